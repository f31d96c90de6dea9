/* SPDX-License-Identifier: Apache-2.0 */
/* Archives from engines and registries: bounded, and independent of the pieces they come in. */
#include "base/tar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, as a number: an FNV hash over all that handlers are told. */
struct seen {
	uint64_t hash, at, size;
};

static void see(struct seen *s, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		s->hash = (s->hash ^ b[i]) * 1099511628211u;
}

static int begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	see(s, en->name, strlen(en->name));
	if (en->link)
		see(s, en->link, strlen(en->link));
	for (size_t i = 0; i < en->n_xattrs; i++) {
		see(s, en->xattrs[i].name, strlen(en->xattrs[i].name));
		see(s, en->xattrs[i].value.p, en->xattrs[i].value.n);
	}
	s->size = en->size;
	s->at = 0;
	return 0;
}

static int content(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	/* Never backwards, never beyond the size that was announced. */
	if (at < s->at || at > s->size || bytes.n > s->size - at)
		abort();
	s->at = at + bytes.n;
	see(s, bytes.p, bytes.n);
	return 0;
}

static int end(void *arg, struct err *e)
{
	(void)e;
	see(arg, "end", 3);
	return 0;
}

static int read_all(const uint8_t *data, size_t size, size_t piece, struct seen *s)
{
	struct tar_handler h = { begin, content, end, s };
	struct tar_read *r = tar_read_new(&h);
	struct err e = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < size; i += piece)
		rc = tar_read_feed(
			r,
			(struct str){ (const char *)data + i, size - i < piece ? size - i : piece },
			&e);
	if (rc == 0)
		rc = tar_read_end(r, &e);
	if (rc < 0 && !*e.msg)
		abort();
	tar_read_free(r);
	return rc;
}

static void first_entry(const uint8_t *data, size_t size)
{
	struct tar_first a = { .max = 5000 }, b = { .max = 5000 };
	struct err e = { 0 };
	int ra = tar_first_feed(&a, (struct str){ (const char *)data, size }, &e), rb = 0;

	for (size_t i = 0; rb == 0 && i < size; i += 7)
		rb = tar_first_feed(
			&b, (struct str){ (const char *)data + i, size - i < 7 ? size - i : 7 },
			&e);
	if (ra != rb || a.done != b.done || a.out.n != b.out.n || a.out.n > 5000)
		abort();
	if (a.out.n && memcmp(a.out.p, b.out.p, a.out.n) != 0)
		abort();
	tar_first_free(&a);
	tar_first_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a = { 0, 0, 0 }, b = { 0, 0, 0 };

	if (read_all(data, size, size ? size : 1, &a) != read_all(data, size, 7, &b) ||
	    a.hash != b.hash)
		abort();
	first_entry(data, size);
	return 0;
}
