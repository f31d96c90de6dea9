/* SPDX-License-Identifier: Apache-2.0 */
/* Splitter of JSON objects, see jsonstream.h. */
#include "providers/docker/engine/jsonstream.h"

#include <string.h>

/* Whether c, now part of the object, ends it. */
static bool ends_object(struct jsonstream *s, char c)
{
	if (s->in_string) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = false;
		return false;
	}
	if (c == '"')
		s->in_string = true;
	else if (c == '{' || c == '[')
		s->depth++;
	else if (c == '}' || c == ']')
		return --s->depth == 0;
	return false;
}

static int object_done(struct jsonstream *s, int (*each)(void *, struct json, struct err *),
                       void *arg, struct err *e)
{
	struct json_doc *doc = json_parse(buf_str(&s->object), JSONSTREAM_OBJECT_MAX, e);
	int rc;

	if (!doc)
		return err_wrap(e, "progress stream of the engine");
	rc = each(arg, json_root(doc), e);
	json_doc_free(doc);
	if (s->object.cap > 4096)
		buf_free(&s->object);
	else
		buf_reset(&s->object);
	return rc;
}

int jsonstream_feed(struct jsonstream *s, struct str in,
                    int (*each)(void *arg, struct json object, struct err *e), void *arg,
                    struct err *e)
{
	size_t from = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (!s->depth) {
			from = i;
			if (c && strchr(" \t\r\n\x1e", c))
				continue;
			if (c != '{')
				return err_set(
					e, ERR_PARSE, (unsigned char)c,
					"progress stream of the engine: byte 0x%02x where an "
					"object should begin",
					(unsigned char)c);
		}
		if (!ends_object(s, c))
			continue;
		if (buf_add_max(&s->object, in.p + from, i + 1 - from, JSONSTREAM_OBJECT_MAX, e) <
		    0)
			return -1;
		if (object_done(s, each, arg, e) < 0)
			return -1;
	}
	if (s->depth)
		return buf_add_max(&s->object, in.p + from, in.n - from, JSONSTREAM_OBJECT_MAX, e);
	return 0;
}

int jsonstream_end(struct jsonstream *s, struct err *e)
{
	bool cut = s->depth > 0;

	buf_free(&s->object);
	*s = (struct jsonstream){ 0 };
	if (cut)
		return err_set(e, ERR_CLOSED, 0,
		               "progress stream of the engine was cut inside an object");
	return 0;
}
