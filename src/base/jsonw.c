/* SPDX-License-Identifier: Apache-2.0 */
/* See jsonw.h. */
#include "base/jsonw.h"

#include <inttypes.h>
#include <string.h>

/* No value ends in one of these, so they tell that this is the first one here. LF: lines of JSON. */
static void separate(struct buf *b)
{
	char last = b->n ? b->p[b->n - 1] : ',';

	if (last != ',' && last != ':' && last != '{' && last != '[' && last != '\n')
		buf_addc(b, ',');
}

static void put(struct buf *b, const char *s)
{
	separate(b);
	buf_adds(b, s);
}

void jw_obj(struct buf *b)
{
	put(b, "{");
}

void jw_obj_end(struct buf *b)
{
	buf_addc(b, '}');
}

void jw_arr(struct buf *b)
{
	put(b, "[");
}

void jw_arr_end(struct buf *b)
{
	buf_addc(b, ']');
}

static void escape(struct buf *b, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, (char)c) : NULL;

	if (at)
		buf_addf(b, "\\%c", to[at - from]);
	else
		buf_addf(b, "\\u%04x", c);
}

void jw_str(struct buf *b, struct str s)
{
	put(b, "\"");
	while (s.n) {
		size_t run = str_plain_run(s.p, s.n);
		int len = 1;

		while (run < s.n && (unsigned char)s.p[run] >= 0x80 &&
		       (len = str_utf8_len(s.p + run, s.n - run)) > 0)
			run += (size_t)len;
		buf_add(b, s.p, run);
		s.p += run;
		s.n -= run;
		if (run)
			continue;
		if (len > 0)
			escape(b, (unsigned char)s.p[0]);
		else
			buf_adds(b, "\xEF\xBF\xBD");
		s.p++;
		s.n--;
	}
	buf_addc(b, '"');
}

void jw_key(struct buf *b, const char *key)
{
	jw_str(b, str_of(key));
	buf_addc(b, ':');
}

void jw_int(struct buf *b, int64_t v)
{
	separate(b);
	buf_addf(b, "%" PRId64, v);
}

void jw_bool(struct buf *b, bool v)
{
	put(b, v ? "true" : "false");
}

void jw_null(struct buf *b)
{
	put(b, "null");
}

void jw_raw(struct buf *b, struct str json)
{
	separate(b);
	buf_add_str(b, json);
}

void jw_kstr(struct buf *b, const char *key, const char *s)
{
	jw_key(b, key);
	if (s)
		jw_str(b, str_of(s));
	else
		jw_null(b);
}

void jw_kint(struct buf *b, const char *key, int64_t v)
{
	jw_key(b, key);
	jw_int(b, v);
}

void jw_kbool(struct buf *b, const char *key, bool v)
{
	jw_key(b, key);
	jw_bool(b, v);
}
