/* SPDX-License-Identifier: Apache-2.0 */
/* tar headers as they are written, and the reader of one entry; see tar.h. */
#include "base/tar.h"

#include "base/tar_format.h"

#include <string.h>

/* Octal, or GNU's base 256 for what has too many digits or is negative: both are read by every tar of the last decades. */
static void put_number(char *at, size_t width, int64_t value)
{
	bool fits = value >= 0 && (uint64_t)value >> (3 * (width - 1)) == 0;
	uint64_t v = (uint64_t)value;

	for (size_t i = fits ? width - 1 : width; i-- > 0; v = fits ? v >> 3 : v >> 8) {
		bool gone = !fits && width - i > sizeof(v);

		if (fits)
			at[i] = (char)('0' + (v & 7));
		else
			at[i] = (char)(gone ? (value < 0 ? 0xff : 0) : v & 0xff);
	}
	if (!fits)
		at[0] = (char)(value < 0 ? 0xff : 0x80);
}

static void put_header(struct buf *b, const struct tar_entry *en, const char *name, char type,
                       uint64_t size)
{
	char *h = buf_reserve(b, TAR_BLOCK);
	unsigned sum = 0;
	size_t n = strlen(name);

	memset(h, 0, TAR_BLOCK);
	memcpy(h + TAR_NAME_AT, name, n < TAR_NAME_SIZE ? n : TAR_NAME_SIZE);
	put_number(h + TAR_MODE_AT, TAR_ID_SIZE, (int64_t)(en->mode & 07777));
	put_number(h + TAR_UID_AT, TAR_ID_SIZE, (int64_t)en->uid);
	put_number(h + TAR_GID_AT, TAR_ID_SIZE, (int64_t)en->gid);
	put_number(h + TAR_SIZE_AT, TAR_SIZE_SIZE, (int64_t)size);
	put_number(h + TAR_MTIME_AT, TAR_SIZE_SIZE, en->mtime);
	h[TAR_TYPE_AT] = type;
	if (en->link && (type == '1' || type == '2')) {
		n = strlen(en->link);
		memcpy(h + TAR_LINK_AT, en->link, n < TAR_NAME_SIZE ? n : TAR_NAME_SIZE);
	}
	memcpy(h + TAR_MAGIC_AT, "ustar  ", 8); /* GNU, since long names use its form */
	memset(h + TAR_SUM_AT, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	put_number(h + TAR_SUM_AT, 7, (int64_t)sum);
	b->n += TAR_BLOCK;
}

static void put_long(struct buf *b, const char *text, char type)
{
	size_t n = strlen(text) + 1;

	if (n <= TAR_NAME_SIZE)
		return;
	put_header(b, &(struct tar_entry){ 0 }, "././@LongLink", type, n);
	buf_add(b, text, n);
	tar_pad(b, n);
}

void tar_header(struct buf *b, const struct tar_entry *en)
{
	if (en->link)
		put_long(b, en->link, 'K');
	put_long(b, en->name, 'L');
	put_header(b, en, en->name, en->type, en->type == '0' || en->type == 'x' ? en->size : 0);
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

static int first_begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct tar_first *t = arg;

	(void)e;
	if (t->begun)
		return 0;
	t->begun = true;
	t->first = *en;
	t->first.name = t->first.link = NULL;
	t->first.xattrs = NULL;
	t->first.n_xattrs = 0;
	if (en->link)
		buf_adds(&t->link, en->link);
	return 0;
}

static int first_data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct tar_first *t = arg;
	size_t max = t->max ? t->max : 65536;

	if (t->done)
		return 0;
	if (at > max || bytes.n > max - at)
		return err_set(e, ERR_LIMIT, 0, "archive from the engine: more than %zu bytes",
		               max);
	if (at > t->out.n) {
		size_t gap = (size_t)at - t->out.n;

		memset(buf_reserve(&t->out, gap), 0, gap);
		t->out.n += gap;
	}
	buf_add_str(&t->out, bytes);
	return 0;
}

static int first_end(void *arg, struct err *e)
{
	struct tar_first *t = arg;

	(void)e;
	t->done = true;
	return 0;
}

int tar_first_feed(struct tar_first *t, struct str in, struct err *e)
{
	struct tar_handler h = { first_begin, first_data, first_end, t };

	if (!t->read)
		t->read = tar_read_new(&h);
	/* Block by block, so that what follows the first entry is not even looked at. */
	while (in.n && !t->done) {
		struct str block = { in.p, in.n < TAR_BLOCK ? in.n : TAR_BLOCK };

		if (tar_read_feed(t->read, block, e) < 0)
			return err_wrap(e, "archive from the engine");
		if (tar_read_ended(t->read))
			return err_set(e, ERR_NOT_FOUND, 0,
			               "archive from the engine holds nothing");
		in.p += block.n;
		in.n -= block.n;
	}
	return 0;
}

void tar_first_free(struct tar_first *t)
{
	tar_read_free(t->read);
	t->read = NULL;
	buf_free(&t->link);
	buf_free(&t->out);
}
