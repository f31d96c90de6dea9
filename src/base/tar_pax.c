/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a PAX extended header (POSIX.1-2001 pax, "length key=value\n"), cut up where they lie. */
#include "base/mem.h"
#include "base/tar_format.h"

#include <stdlib.h>
#include <string.h>

#define INITIAL_PIECES 16

void tar_extra_free(struct tar_extra *extra)
{
	buf_free(&extra->text);
	buf_free(&extra->name);
	buf_free(&extra->link);
	buf_free(&extra->decoded);
	free(extra->pieces);
	*extra = (struct tar_extra){ 0 };
}

int tar_piece_add(struct tar_extra *extra, uint64_t at, uint64_t n, struct err *e)
{
	const struct tar_piece *last = extra->n_pieces ? &extra->pieces[extra->n_pieces - 1] : NULL;

	if (at > INT64_MAX || n > INT64_MAX - at || (last && at < last->at + last->n))
		return err_set(e, ERR_PARSE, 0, "tar: the map of a sparse file makes no sense");
	if (extra->n_pieces == TAR_SPARSE_MAX)
		return err_set(e, ERR_LIMIT, 0, "tar: a sparse file has more than %d pieces",
		               TAR_SPARSE_MAX);
	if (!extra->pieces || extra->n_pieces == extra->cap_pieces) {
		extra->cap_pieces = extra->cap_pieces ? 2 * extra->cap_pieces : INITIAL_PIECES;
		extra->pieces = mem_realloc(extra->pieces,
		                            extra->cap_pieces * sizeof(*extra->pieces));
	}
	extra->pieces[extra->n_pieces++] = (struct tar_piece){ at, n };
	return 0;
}

static bool number(struct str s, uint64_t *out)
{
	int64_t v;

	if (!s.n || s.p[0] < '0' || s.p[0] > '9' || !str_to_i64(s, 0, INT64_MAX, &v))
		return false;
	*out = (uint64_t)v;
	return true;
}

/* Seconds with any fraction. */
static bool moment(struct str s, int64_t *seconds, unsigned *ns)
{
	const char *dot = memchr(s.p, '.', s.n);
	struct str whole = { s.p, dot ? (size_t)(dot - s.p) : s.n };
	bool negative = s.n && s.p[0] == '-';
	unsigned scale = 100000000, frac = 0;

	if (!str_to_i64(whole, INT64_MIN / 2, INT64_MAX / 2, seconds))
		return false;
	for (const char *p = dot ? dot + 1 : s.p + s.n; p < s.p + s.n; p++) {
		if (*p < '0' || *p > '9')
			return false;
		frac += (unsigned)(*p - '0') * scale;
		scale /= 10;
	}
	if (negative && frac) {
		(*seconds)--;
		frac = 1000000000 - frac;
	}
	*ns = frac;
	return true;
}

static int add_xattr(struct tar_extra *extra, const char *name, struct str value, struct err *e)
{
	if (!*name)
		return err_set(e, ERR_PARSE, 0, "tar: an extended attribute without a name");
	if (extra->n_xattrs == TAR_XATTRS_MAX)
		return err_set(e, ERR_LIMIT, 0, "tar: more than %d extended attributes",
		               TAR_XATTRS_MAX);
	extra->xattrs[extra->n_xattrs++] = (struct tar_xattr){ name, value };
	return 0;
}

/* libarchive's: the name percent-encoded, the value base64. Decoded values need less room than their text, which
 * bounds them. */
static int add_encoded(struct tar_extra *extra, const char *name, struct str value, struct err *e)
{
	size_t at, name_at = extra->decoded.n;

	buf_reserve(&extra->decoded, extra->text.n); /* once: what points into it must stay */
	if (!buf_add_urldec(&extra->decoded, str_of(name), false))
		return err_set(e, ERR_PARSE, 0, "tar: attribute %.60s: bad name", name);
	buf_addc(&extra->decoded, '\0');
	at = extra->decoded.n;
	if (!buf_add_unbase64(&extra->decoded, value))
		return err_set(e, ERR_PARSE, 0, "tar: attribute %.60s: bad value", name);
	return add_xattr(extra, extra->decoded.p + name_at,
	                 (struct str){ extra->decoded.p + at, extra->decoded.n - at }, e);
}

static int sparse_list(struct tar_extra *extra, struct str value, struct err *e)
{
	struct str at, n;
	uint64_t a, b;

	while (str_next(&value, ',', &at))
		if (!str_next(&value, ',', &n) || !number(at, &a) || !number(n, &b) ||
		    tar_piece_add(extra, a, b, e) < 0)
			return e->kind ? -1
			               : err_set(e, ERR_PARSE, 0,
			                         "tar: the map of a sparse file is malformed");
	return 0;
}

/* Offsets and lengths as records of their own, one behind the other (0.0). */
static int sparse_pair(struct tar_extra *extra, bool offset, uint64_t v, struct err *e)
{
	if (offset == extra->half_piece)
		return err_set(e, ERR_PARSE, 0, "tar: the map of a sparse file is malformed");
	extra->half_piece = offset;
	if (offset)
		return tar_piece_add(extra, v, 0, e);
	if (v > INT64_MAX - extra->pieces[extra->n_pieces - 1].at)
		return err_set(e, ERR_PARSE, 0, "tar: the map of a sparse file makes no sense");
	extra->pieces[extra->n_pieces - 1].n = v;
	return 0;
}

static int sparse(struct tar_extra *extra, const char *key, struct str value, struct err *e)
{
	uint64_t v = 0;
	bool is_number = number(value, &v);

	extra->sparse = true;
	if (strcmp(key, "map") == 0)
		return sparse_list(extra, value, e);
	if (strcmp(key, "name") == 0) {
		extra->sparse_name = value.p;
		return 0;
	}
	if (!is_number)
		return err_set(e, ERR_PARSE, 0, "tar: GNU.sparse.%.20s is no number", key);
	if (strcmp(key, "offset") == 0 || strcmp(key, "numbytes") == 0)
		return sparse_pair(extra, *key == 'o', v, e);
	if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0) {
		extra->has_realsize = true;
		extra->realsize = v;
	} else if (strcmp(key, "major") == 0) {
		if (v > 1)
			return err_set(e, ERR_UNSUPPORTED, 0, "tar: sparse files in form %llu",
			               (unsigned long long)v);
		extra->sparse_in_data = v == 1;
	}
	return 0;
}

static int numbers(struct tar_extra *extra, const char *key, struct str value, struct err *e)
{
	bool ok = true;

	if (strcmp(key, "size") == 0)
		ok = extra->has_size = number(value, &extra->size);
	else if (strcmp(key, "uid") == 0)
		ok = extra->has_uid = number(value, &extra->uid);
	else if (strcmp(key, "gid") == 0)
		ok = extra->has_gid = number(value, &extra->gid);
	else if (strcmp(key, "mtime") == 0)
		ok = extra->has_mtime = moment(value, &extra->mtime, &extra->mtime_ns);
	if (!ok)
		return err_set(e, ERR_PARSE, 0, "tar: bad %s in an extended header", key);
	return 0;
}

/* value ends in a NUL behind its last byte, where its newline was. */
static int record(struct tar_extra *extra, const char *key, struct str value, struct err *e)
{
	const char **text = strcmp(key, "path") == 0       ? &extra->path
	                    : strcmp(key, "linkpath") == 0 ? &extra->linkpath
	                                                   : NULL;

	if (strncmp(key, "SCHILY.xattr.", 13) == 0)
		return add_xattr(extra, key + 13, value, e);
	if (strncmp(key, "LIBARCHIVE.xattr.", 17) == 0)
		return add_encoded(extra, key + 17, value, e);
	if (strncmp(key, "GNU.sparse.", 11) == 0)
		return sparse(extra, key + 11, value, e);
	if (text) {
		if (memchr(value.p, '\0', value.n))
			return err_set(e, ERR_PARSE, 0, "tar: a NUL in a name");
		*text = value.n ? value.p : NULL;
		return 0;
	}
	return value.n ? numbers(extra, key, value, e)
	               : 0; /* an empty one takes an earlier one back */
}

/* One record at p, of at most n bytes. Its length, 0 if it is malformed; then key and value. */
static size_t cut(char *p, size_t n, char **key, struct str *value)
{
	char *space = memchr(p, ' ', n < 20 ? n : 20), *equals;
	uint64_t len;

	if (!space || !number((struct str){ p, (size_t)(space - p) }, &len) || len > n ||
	    len < (size_t)(space - p) + 3 || p[len - 1] != '\n')
		return 0;
	*key = space + 1;
	equals = memchr(*key, '=', (size_t)(p + len - 1 - *key));
	if (!equals || equals == *key || memchr(*key, '\0', (size_t)(equals - *key)))
		return 0;
	*equals = p[len - 1] = '\0';
	*value = (struct str){ equals + 1, (size_t)(p + len - 1 - (equals + 1)) };
	return (size_t)len;
}

int tar_pax_parse(struct tar_extra *extra, struct err *e)
{
	char *p = extra->text.p;
	size_t left = extra->text.n;

	while (left) {
		char *key;
		struct str value;
		size_t n = cut(p, left, &key, &value);

		if (!n)
			return err_set(e, ERR_PARSE, 0, "tar: a malformed extended header");
		if (record(extra, key, value, e) < 0)
			return -1;
		p += n;
		left -= n;
	}
	if (extra->half_piece)
		return err_set(e, ERR_PARSE, 0, "tar: the map of a sparse file is cut");
	return 0;
}
