/* SPDX-License-Identifier: Apache-2.0 */
/* tar headers and the reader of one entry, see tar.h. */
#include "providers/docker/engine/tar.h"

#include "base/str.h"

#include <string.h>

/* Offsets and widths of POSIX.1-2001 ustar. */
enum {
	NAME_AT = 0,
	NAME_SIZE = 100,
	MODE_AT = 100,
	UID_AT = 108,
	GID_AT = 116,
	SIZE_AT = 124,
	SIZE_SIZE = 12,
	MTIME_AT = 136,
	SUM_AT = 148,
	TYPE_AT = 156,
	LINK_AT = 157,
	MAGIC_AT = 257,
};

#define LINK_MAX_BYTES 4096

static void put_octal(char *at, size_t width, uint64_t value)
{
	for (size_t i = width - 1; i-- > 0; value >>= 3)
		at[i] = (char)('0' + (value & 7));
}

static uint64_t get_octal(const char *at, size_t width)
{
	uint64_t v = 0;

	for (size_t i = 0; i < width && at[i]; i++)
		if (at[i] >= '0' && at[i] <= '7')
			v = v << 3 | (uint64_t)(at[i] - '0');
	return v;
}

static void put_header(struct buf *b, const struct tar_entry *en, const char *name, char type,
                       uint64_t size)
{
	char *h = buf_reserve(b, TAR_BLOCK);
	unsigned sum = 0;
	size_t n = strlen(name);

	memset(h, 0, TAR_BLOCK);
	memcpy(h + NAME_AT, name, n < NAME_SIZE ? n : NAME_SIZE);
	put_octal(h + MODE_AT, 8, en->mode & 07777);
	put_octal(h + UID_AT, 8, en->uid & 07777777);
	put_octal(h + GID_AT, 8, en->gid & 07777777);
	put_octal(h + SIZE_AT, SIZE_SIZE, size);
	put_octal(h + MTIME_AT, SIZE_SIZE, en->mtime > 0 ? (uint64_t)en->mtime : 0);
	h[TYPE_AT] = type;
	if (en->link && type == '2') {
		n = strlen(en->link);
		memcpy(h + LINK_AT, en->link, n < NAME_SIZE ? n : NAME_SIZE);
	}
	memcpy(h + MAGIC_AT, "ustar  ", 8); /* GNU, since long names use its form */
	memset(h + SUM_AT, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	put_octal(h + SUM_AT, 7, sum);
	b->n += TAR_BLOCK;
}

static void put_long(struct buf *b, const struct tar_entry *en, const char *text, char type)
{
	size_t n = strlen(text) + 1;

	if (n <= NAME_SIZE)
		return;
	put_header(b, &(struct tar_entry){ .mtime = en->mtime }, "././@LongLink", type, n);
	buf_add(b, text, n);
	tar_pad(b, n);
}

void tar_header(struct buf *b, const struct tar_entry *en)
{
	if (en->link)
		put_long(b, en, en->link, 'K');
	put_long(b, en, en->name, 'L');
	put_header(b, en, en->name, en->type, en->type == '0' ? en->size : 0);
}

static void add_zeros(struct buf *b, size_t n)
{
	memset(buf_reserve(b, n), 0, n);
	b->n += n;
}

void tar_pad(struct buf *b, uint64_t size)
{
	size_t over = (size_t)(size % TAR_BLOCK);

	if (over)
		add_zeros(b, TAR_BLOCK - over);
}

void tar_finish(struct buf *b)
{
	add_zeros(b, 2 * TAR_BLOCK);
}

static void read_header(struct tar_reader *r)
{
	const char *h = r->block.p;
	struct tar_entry *en = &r->first;

	en->type = h[TYPE_AT] ? h[TYPE_AT] : '0';
	en->mode = (mode_t)get_octal(h + MODE_AT, 8);
	en->uid = (unsigned)get_octal(h + UID_AT, 8);
	en->gid = (unsigned)get_octal(h + GID_AT, 8);
	en->size = get_octal(h + SIZE_AT, SIZE_SIZE);
	r->left = en->size;
	r->have_header = true;
	if (en->type == '2') {
		size_t n = strnlen(h + LINK_AT, NAME_SIZE);

		if (!r->link.n) /* a long target came before */
			buf_add(&r->link, h + LINK_AT, n);
	}
}

/* Headers that only describe the next entry: PAX ('x', 'g') and GNU long names. */
static bool is_prelude(const struct tar_reader *r)
{
	return r->first.type == 'x' || r->first.type == 'g' || r->first.type == 'L' ||
	       r->first.type == 'K';
}

/* The content of a prelude is in block; only a long link target matters here. */
static int prelude_done(struct tar_reader *r, struct err *e)
{
	struct str s = { r->out.p, r->out.n }, line;

	if (r->first.type == 'K') {
		buf_add(&r->link, s.p, strnlen(s.p ? s.p : "", s.n));
	} else if (r->first.type == 'x') {
		while (str_next(&s, '\n', &line)) {
			const char *at = str_find(line, " linkpath=");

			if (at)
				buf_add(&r->link, at + 10, line.n - (size_t)(at + 10 - line.p));
		}
	}
	buf_reset(&r->out);
	if (r->link.n > LINK_MAX_BYTES)
		return err_set(e, ERR_LIMIT, 0, "archive from the engine: link of %zu bytes",
		               r->link.n);
	r->have_header = false;
	return 0;
}

int tar_reader_feed(struct tar_reader *r, struct str in, struct err *e)
{
	while (in.n && !r->done) {
		size_t room = TAR_BLOCK - r->block.n;
		size_t n = in.n < room ? in.n : room;
		size_t keep;

		buf_add(&r->block, in.p, n);
		in.p += n;
		in.n -= n;
		if (r->block.n < TAR_BLOCK)
			return 0;
		if (!r->have_header) {
			if (!r->block.p[0])
				return err_set(e, ERR_NOT_FOUND, 0,
				               "archive from the engine holds nothing");
			if (memcmp(r->block.p + MAGIC_AT, "ustar", 5) != 0)
				return err_set(e, ERR_PARSE, 0,
				               "archive from the engine is no tar archive");
			read_header(r);
			if (r->first.type != '0' && !is_prelude(r))
				r->left = 0;
		} else {
			keep = r->left < TAR_BLOCK ? (size_t)r->left : TAR_BLOCK;
			if (buf_add_max(&r->out, r->block.p, keep, r->max ? r->max : 65536, e) < 0)
				return -1;
			r->left -= keep;
		}
		buf_reset(&r->block);
		if (r->left)
			continue;
		if (!is_prelude(r))
			r->done = true;
		else if (prelude_done(r, e) < 0)
			return -1;
	}
	return 0;
}

void tar_reader_free(struct tar_reader *r)
{
	buf_free(&r->block);
	buf_free(&r->link);
	buf_free(&r->out);
}
