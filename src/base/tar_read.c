/* SPDX-License-Identifier: Apache-2.0 */
/* tar archives as they arrive, see tar.h. */
#include "base/mem.h"
#include "base/tar_format.h"

#include <stdlib.h>
#include <string.h>

enum state {
	AT_HEADER,
	AT_TEXT,   /* content of a header that describes the next entry */
	AT_SPARSE, /* more pieces of an old GNU sparse file */
	AT_MAP,    /* pieces in front of the data (PAX form 1.0) */
	AT_DATA,
	AT_PAD,
	AT_END,
};

struct tar_read {
	struct tar_handler h;
	enum state state;
	char block[TAR_BLOCK];
	size_t n_block;
	struct tar_extra extra;
	unsigned preludes; /* headers before this entry */
	struct buf *text;  /* where the content of one goes; NULL: nowhere */
	char text_type;
	uint64_t left; /* stored bytes of the content still to come */
	size_t pad;
	uint64_t map_left, map_number; /* numbers of a map; the one being read */
	size_t map_digits;
	bool map_begun;
	size_t piece; /* being filled, and how far */
	uint64_t piece_at;
	struct tar_piece whole; /* of a file without holes */
	bool in_entry, zero;    /* zero: one block of zeros was seen */
	char name[TAR_NAME_SIZE + TAR_PREFIX_SIZE + 2];
	char link[TAR_NAME_SIZE + 1];
	struct tar_entry en;
};

struct tar_read *tar_read_new(const struct tar_handler *h)
{
	struct tar_read *r = mem_alloc(sizeof(*r));

	r->h = *h;
	return r;
}

void tar_read_free(struct tar_read *r)
{
	if (!r)
		return;
	tar_extra_free(&r->extra);
	free(r);
}

/* Octal between blanks, or base 256 when the first bit is set. */
static bool get_number(const char *at, size_t width, int64_t *out)
{
	const unsigned char *p = (const unsigned char *)at;
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		bool negative = (p[0] & 0x40) != 0;

		v = negative ? UINT64_MAX : 0;
		for (i = 0; i < width; i++) {
			unsigned byte = i ? p[i] : negative ? p[0] : p[0] & 0x7fu;

			if (v >> 55 != (negative ? UINT64_MAX >> 55 : 0))
				return false;
			v = v << 8 | byte;
		}
		*out = (int64_t)v;
		return true;
	}
	while (i < width && p[i] == ' ')
		i++;
	for (; i < width && p[i] >= '0' && p[i] <= '7'; i++) {
		if (v >> 60)
			return false;
		v = v << 3 | (uint64_t)(p[i] - '0');
	}
	for (; i < width; i++)
		if (p[i] && p[i] != ' ')
			return false;
	*out = (int64_t)v;
	return true;
}

static bool get_size(const char *at, uint64_t *out)
{
	int64_t v;

	if (!get_number(at, TAR_SIZE_SIZE, &v) || v < 0)
		return false;
	*out = (uint64_t)v;
	return true;
}

/* Sum of all bytes, as unsigned or, in old archives, signed ones. */
static bool sum_is_right(const char *h)
{
	int64_t want, sum = 0, odd = 0;

	if (!get_number(h + TAR_SUM_AT, TAR_ID_SIZE, &want))
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool blank = i >= TAR_SUM_AT && i < TAR_SUM_AT + TAR_ID_SIZE;

		sum += blank ? ' ' : (unsigned char)h[i];
		odd += blank ? ' ' : (signed char)h[i];
	}
	return want == sum || want == odd;
}

static bool all_zero(const char *h)
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (h[i])
			return false;
	return true;
}

static int malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_PARSE, 0, "tar: %s", what);
}

static void take_name(struct tar_read *r)
{
	const char *h = r->block;
	bool posix = memcmp(h + TAR_MAGIC_AT, "ustar\0", 6) == 0;
	bool star = posix && memcmp(h + TAR_STAR_MAGIC_AT, "tar\0", 4) == 0;
	size_t max = star ? TAR_STAR_PREFIX_SIZE : TAR_PREFIX_SIZE;
	int n = posix ? (int)strnlen(h + TAR_PREFIX_AT, max) : 0;

	snprintf(r->name, sizeof(r->name), "%.*s%s%.*s", n, h + TAR_PREFIX_AT, n ? "/" : "",
	         (int)strnlen(h, TAR_NAME_SIZE), h);
	snprintf(r->link, sizeof(r->link), "%.*s", TAR_NAME_SIZE, h + TAR_LINK_AT);
}

static int take_ids(struct tar_read *r, struct err *e)
{
	const char *h = r->block;
	int64_t mode, uid, gid, mtime, major = 0, minor = 0;
	struct tar_entry *en = &r->en;

	if (!get_number(h + TAR_MODE_AT, TAR_ID_SIZE, &mode) ||
	    !get_number(h + TAR_UID_AT, TAR_ID_SIZE, &uid) ||
	    !get_number(h + TAR_GID_AT, TAR_ID_SIZE, &gid) ||
	    !get_number(h + TAR_MTIME_AT, TAR_SIZE_SIZE, &mtime))
		return malformed(e, "a number in a header is malformed");
	uid = r->extra.has_uid ? (int64_t)r->extra.uid : uid;
	gid = r->extra.has_gid ? (int64_t)r->extra.gid : gid;
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_set(e, ERR_PARSE, 0, "tar: %.200s: owner %lld:%lld is beyond 32 bits",
		               en->name, (long long)uid, (long long)gid);
	if ((en->type == '3' || en->type == '4') &&
	    (!get_number(h + TAR_MAJOR_AT, TAR_ID_SIZE, &major) ||
	     !get_number(h + TAR_MINOR_AT, TAR_ID_SIZE, &minor)))
		return malformed(e, "a device number is malformed");
	en->mode = (mode_t)(mode & 07777);
	en->uid = (unsigned)uid;
	en->gid = (unsigned)gid;
	en->major = (unsigned)major;
	en->minor = (unsigned)minor;
	en->mtime = r->extra.has_mtime ? r->extra.mtime : mtime;
	en->mtime_ns = r->extra.has_mtime ? r->extra.mtime_ns : 0;
	en->xattrs = r->extra.xattrs;
	en->n_xattrs = r->extra.n_xattrs;
	return 0;
}

static const char *first_of(const char *a, struct buf *b, const char *c)
{
	return a ? a : b->n ? buf_cstr(b) : c;
}

static int take_names(struct tar_read *r, struct err *e)
{
	struct tar_entry *en = &r->en;
	const char *link;
	size_t n;

	take_name(r);
	en->name = r->extra.sparse_name ? r->extra.sparse_name
	                                : first_of(r->extra.path, &r->extra.name, r->name);
	link = first_of(r->extra.linkpath, &r->extra.link, r->link);
	en->link = en->type == '1' || en->type == '2' ? link : NULL;
	n = strlen(en->name);
	if (!n)
		return malformed(e, "an entry without a name");
	if (n > TAR_NAME_MAX || (en->link && strlen(en->link) > TAR_NAME_MAX))
		return err_set(e, ERR_LIMIT, 0, "tar: a name of more than %d bytes", TAR_NAME_MAX);
	if (en->type == '0' && en->name[n - 1] == '/' && !r->extra.sparse)
		en->type = '5'; /* as v7 wrote them */
	return 0;
}

/* The entry is complete: what belonged to it is forgotten. */
static int finish(struct tar_read *r, struct err *e)
{
	if (r->in_entry && r->h.end && r->h.end(r->h.arg, e) < 0)
		return -1;
	r->in_entry = false;
	tar_extra_free(&r->extra);
	r->preludes = 0;
	r->state = r->pad ? AT_PAD : AT_HEADER;
	return 0;
}

/* Headers are read; the data follow. */
static int begin(struct tar_read *r, struct err *e)
{
	uint64_t sum = 0;

	if (r->extra.sparse) {
		for (size_t i = 0; i < r->extra.n_pieces; i++)
			sum += r->extra.pieces[i]
			               .n; /* at most the file's size, since they do not overlap */
		if (sum != r->left)
			return malformed(e, "a sparse file's map does not fit its data");
		if (r->extra.n_pieces) {
			const struct tar_piece *last = &r->extra.pieces[r->extra.n_pieces - 1];

			if (last->at + last->n > r->extra.realsize)
				return malformed(e, "a sparse file's map leads beyond its end");
		}
		r->en.size = r->extra.realsize;
	} else {
		r->whole = (struct tar_piece){ 0, r->left };
		r->en.size = r->left;
	}
	r->piece = 0;
	r->piece_at = 0;
	r->in_entry = true;
	r->state = AT_DATA;
	if (r->h.begin(r->h.arg, &r->en, e) < 0)
		return -1;
	return r->left ? 0 : finish(r, e);
}

static int gnu_pieces(struct tar_read *r, const char *at, int n, bool more, struct err *e)
{
	for (int i = 0; i < n; i++, at += 2 * TAR_SIZE_SIZE) {
		uint64_t from, len;

		if (!at[0] || !at[TAR_SIZE_SIZE])
			break; /* unused */
		if (!get_size(at, &from) || !get_size(at + TAR_SIZE_SIZE, &len))
			return malformed(e, "the map of a sparse file is malformed");
		if (tar_piece_add(&r->extra, from, len, e) < 0)
			return -1;
	}
	if (more) {
		r->state = AT_SPARSE;
		return 0;
	}
	return begin(r, e);
}

static int start_entry(struct tar_read *r, uint64_t size, struct err *e)
{
	const char *h = r->block;
	bool content = strchr("07S", r->en.type) != NULL;

	if (take_names(r, e) < 0 || take_ids(r, e) < 0)
		return -1;
	r->left = r->extra.has_size ? r->extra.size : size;
	if (r->left > INT64_MAX - TAR_BLOCK)
		return malformed(e, "a size is out of range");
	/* The size of a link may be that of its target; no data follow. */
	if (!content)
		r->left = 0;
	r->pad = (size_t)((TAR_BLOCK - r->left % TAR_BLOCK) % TAR_BLOCK);
	if (r->en.type == '7')
		r->en.type = '0';
	if (r->en.type == 'S') {
		r->en.type = '0';
		r->extra.sparse = true;
		if (!get_size(h + TAR_GNU_REALSIZE_AT, &r->extra.realsize))
			return malformed(e, "the size of a sparse file is malformed");
		return gnu_pieces(r, h + TAR_GNU_SPARSE_AT, TAR_GNU_SPARSE_N, h[TAR_GNU_MORE_AT],
		                  e);
	}
	if (r->extra.sparse && r->en.type == '0') {
		if (!r->extra.has_realsize)
			return malformed(e, "a sparse file without its size");
		r->map_left = 1;
		r->map_number = 0;
		r->map_digits = 0;
		r->map_begun = false;
		if (r->extra.sparse_in_data) {
			r->state = AT_MAP;
			return r->left ? 0 : malformed(e, "the map of a sparse file is missing");
		}
	} else {
		r->extra.sparse = false;
	}
	return begin(r, e);
}

/* A header that only describes the next entry. */
static int start_text(struct tar_read *r, uint64_t size, struct err *e)
{
	char type = r->en.type;

	if (++r->preludes > TAR_PRELUDES_MAX)
		return err_set(e, ERR_LIMIT, 0, "tar: more than %d headers before an entry",
		               TAR_PRELUDES_MAX);
	if (size > TAR_EXTRA_MAX)
		return err_set(e, ERR_LIMIT, 0, "tar: an extended header of %llu bytes",
		               (unsigned long long)size);
	r->text = type == 'x' || type == 'X' ? &r->extra.text
	          : type == 'L'              ? &r->extra.name
	          : type == 'K'              ? &r->extra.link
	                                     : NULL; /* of the whole archive: comments */
	if (r->text == &r->extra.text && r->text->n)
		return malformed(e, "two extended headers for one entry");
	if (r->text)
		buf_reset(r->text);
	r->text_type = type;
	r->left = size;
	r->pad = (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
	r->state = size ? AT_TEXT : AT_HEADER;
	return 0;
}

static int header(struct tar_read *r, struct err *e)
{
	const char *h = r->block;
	uint64_t size;

	if (all_zero(h)) {
		if (r->preludes)
			return malformed(e, "the archive ends behind an extended header");
		r->state = r->zero ? AT_END : AT_HEADER;
		r->zero = true;
		return 0;
	}
	if (r->zero || !sum_is_right(h))
		return malformed(e, "no tar archive, or a damaged one");
	if (!get_size(h + TAR_SIZE_AT, &size))
		return malformed(e, "a size is malformed");
	r->en = (struct tar_entry){ .type = h[TAR_TYPE_AT] ? h[TAR_TYPE_AT] : '0' };
	switch (r->en.type) {
	case 'x':
	case 'X':
	case 'g':
	case 'L':
	case 'K':
		return start_text(r, size, e);
	case 'V': /* a volume's label */
		return size ? malformed(e, "a label with content") : 0;
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case 'S':
		return start_entry(r, size, e);
	default:
		return err_set(e, ERR_UNSUPPORTED, 0, "tar: %.100s: entries of type %c (%u)", h,
		               r->en.type > ' ' && r->en.type < 127 ? r->en.type : '?',
		               (unsigned char)r->en.type);
	}
}

static int text_done(struct tar_read *r, struct err *e)
{
	r->state = r->pad ? AT_PAD : AT_HEADER;
	if (r->text == &r->extra.text)
		return tar_pax_parse(&r->extra, e);
	if (r->text) {
		r->text->n = strnlen(r->text->p, r->text->n);
		if (r->text->n > TAR_NAME_MAX)
			return err_set(e, ERR_LIMIT, 0, "tar: a name of more than %d bytes",
			               TAR_NAME_MAX);
	}
	return 0;
}

/* Decimal numbers, each with a newline: how many pieces, then offset and length of each; zeros up to the block's end. */
static int map_block(struct tar_read *r, struct err *e)
{
	r->left -= r->left < TAR_BLOCK ? r->left : TAR_BLOCK;
	for (size_t i = 0; i < TAR_BLOCK && r->map_left; i++) {
		char c = r->block[i];

		if (c >= '0' && c <= '9' && r->map_digits++ < 18) {
			r->map_number = r->map_number * 10 + (uint64_t)(c - '0');
			continue;
		}
		if (c != '\n' || !r->map_digits)
			return malformed(e, "the map of a sparse file is malformed");
		if (!r->map_begun && r->map_number > TAR_SPARSE_MAX)
			return err_set(e, ERR_LIMIT, 0,
			               "tar: a sparse file has more than %d pieces",
			               TAR_SPARSE_MAX);
		r->map_left--;
		if (!r->map_begun)
			r->map_left = 2 * r->map_number;
		else if (r->map_left % 2)
			r->piece_at = r->map_number;
		else if (tar_piece_add(&r->extra, r->piece_at, r->map_number, e) < 0)
			return -1;
		r->map_begun = true;
		r->map_number = 0;
		r->map_digits = 0;
	}
	if (!r->map_left)
		return begin(r, e);
	return r->left ? 0 : malformed(e, "the map of a sparse file is cut");
}

static int block(struct tar_read *r, struct err *e)
{
	switch (r->state) {
	case AT_HEADER:
		return header(r, e);
	case AT_SPARSE:
		return gnu_pieces(r, r->block, TAR_EXT_SPARSE_N, r->block[TAR_EXT_MORE_AT], e);
	default:
		return map_block(r, e);
	}
}

/* Content: as much of bytes as belongs to one piece. */
static int data(struct tar_read *r, struct str *in, struct err *e)
{
	const struct tar_piece *pieces = r->extra.sparse ? r->extra.pieces : &r->whole;
	const struct tar_piece *p;
	struct str bytes = *in;

	while (pieces[r->piece].n == r->piece_at) {
		r->piece++;
		r->piece_at = 0;
	}
	p = &pieces[r->piece];
	if (bytes.n > p->n - r->piece_at)
		bytes.n = (size_t)(p->n - r->piece_at);
	if (r->h.data && r->h.data(r->h.arg, p->at + r->piece_at, bytes, e) < 0)
		return -1;
	r->piece_at += bytes.n;
	r->left -= bytes.n;
	in->p += bytes.n;
	in->n -= bytes.n;
	return r->left ? 0 : finish(r, e);
}

static size_t take(struct str *in, uint64_t max)
{
	size_t n = in->n < max ? in->n : (size_t)max;

	in->p += n;
	in->n -= n;
	return n;
}

static int step(struct tar_read *r, struct str *in, struct err *e)
{
	const char *p = in->p;
	size_t n;

	switch (r->state) {
	case AT_END:
		in->n = 0;
		return 0;
	case AT_DATA:
		return data(r, in, e);
	case AT_PAD:
		r->pad -= take(in, r->pad);
		if (!r->pad)
			r->state = AT_HEADER;
		return 0;
	case AT_TEXT:
		n = take(in, r->left);
		r->left -= n;
		if (r->text)
			buf_add(r->text, p, n);
		return r->left ? 0 : text_done(r, e);
	default:
		n = take(in, TAR_BLOCK - r->n_block);
		memcpy(r->block + r->n_block, p, n);
		r->n_block += n;
		if (r->n_block < TAR_BLOCK)
			return 0;
		r->n_block = 0;
		return block(r, e);
	}
}

int tar_read_feed(struct tar_read *r, struct str in, struct err *e)
{
	while (in.n)
		if (step(r, &in, e) < 0)
			return -1;
	return 0;
}

bool tar_read_ended(const struct tar_read *r)
{
	return r->state == AT_END || r->zero;
}

int tar_read_end(const struct tar_read *r, struct err *e)
{
	if (r->state == AT_END || (r->state == AT_HEADER && !r->n_block && !r->preludes))
		return 0;
	return err_set(e, ERR_CLOSED, 0, "tar: the archive is cut");
}
