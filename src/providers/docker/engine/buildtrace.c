/* SPDX-License-Identifier: Apache-2.0 */
/* See buildtrace.h. */
#include "providers/docker/engine/buildtrace.h"

#include <string.h>

/* Field numbers of StatusResponse, Vertex and VertexLog. */
enum { STATUS_VERTEX = 1, STATUS_LOG = 3 };
enum {
	VERTEX_DIGEST = 1,
	VERTEX_NAME = 3,
	VERTEX_CACHED = 4,
	VERTEX_STARTED = 5,
	VERTEX_ERROR = 7
};
enum { LOG_TEXT = 4 };

struct field {
	unsigned number;
	uint64_t value;   /* of a varint */
	struct str bytes; /* of what has a length */
};

static bool take_varint(struct str *s, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; s->n && shift < 64; shift += 7) {
		unsigned char c = (unsigned char)*s->p;

		*s = (struct str){ s->p + 1, s->n - 1 };
		*v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return true;
	}
	return false;
}

static bool take_bytes(struct str *s, uint64_t n, struct str *out)
{
	if (n > s->n)
		return false;
	*out = (struct str){ s->p, (size_t)n };
	*s = (struct str){ s->p + n, s->n - (size_t)n };
	return true;
}

/* The next field; false at the end, or where the rest is none. */
static bool take_field(struct str *s, struct field *f)
{
	uint64_t key, n;

	*f = (struct field){ 0 };
	if (!s->n || !take_varint(s, &key) || key >> 3 == 0 || key >> 3 > 0xffff)
		return false;
	f->number = (unsigned)(key >> 3);
	switch (key & 7) {
	case 0:
		return take_varint(s, &f->value);
	case 1:
		return take_bytes(s, 8, &f->bytes);
	case 2:
		return take_varint(s, &n) && take_bytes(s, n, &f->bytes);
	case 5:
		return take_bytes(s, 4, &f->bytes);
	default:
		return false;
	}
}

/* Whether it was not there yet. */
static bool note(struct buildtrace *t, struct str digest)
{
	uint32_t hash = str_hash(digest);

	for (size_t i = 0; i < t->n && i < BUILDTRACE_STEPS; i++)
		if (t->seen[i] == hash)
			return false;
	t->seen[t->n++ % BUILDTRACE_STEPS] = hash;
	return true;
}

static void add_vertex(struct buildtrace *t, struct str s, struct buf *out)
{
	struct str name = { 0 }, digest = { 0 }, error = { 0 };
	bool started = false, cached = false;
	struct field f;

	while (take_field(&s, &f)) {
		if (f.number == VERTEX_NAME)
			name = f.bytes;
		else if (f.number == VERTEX_DIGEST)
			digest = f.bytes;
		else if (f.number == VERTEX_ERROR)
			error = f.bytes;
		else if (f.number == VERTEX_STARTED)
			started = true;
		else if (f.number == VERTEX_CACHED)
			cached = f.value != 0;
	}
	if ((started || cached) && name.n && note(t, digest)) {
		buf_add_str(out, name);
		buf_adds(out, cached ? " (from the cache)\n" : "\n");
	}
	if (error.n) {
		buf_add_str(out, error);
		buf_addc(out, '\n');
	}
}

static void add_log(struct str s, struct buf *out)
{
	struct field f;

	while (take_field(&s, &f))
		if (f.number == LOG_TEXT)
			buf_add_str(out, f.bytes);
}

void buildtrace_feed(struct buildtrace *t, struct str base64, struct buf *out)
{
	struct buf raw = { 0 };
	struct field f;
	struct str s;

	if (buf_add_unbase64(&raw, base64)) {
		s = buf_str(&raw);
		while (take_field(&s, &f)) {
			if (f.number == STATUS_VERTEX)
				add_vertex(t, f.bytes, out);
			else if (f.number == STATUS_LOG)
				add_log(f.bytes, out);
		}
	}
	buf_free(&raw);
}
