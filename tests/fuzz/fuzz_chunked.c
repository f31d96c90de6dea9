/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding: whole and byte by byte must give the same payload and the same end. */
#include "base/buf.h"
#include "net/http_parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(struct str in, size_t step, struct buf *out, size_t *used)
{
	struct http_chunked c = { 0 };
	struct err e = { 0 };

	*used = 0;
	while (*used < in.n && !c.done) {
		size_t left = in.n - *used < step ? in.n - *used : step;
		struct str data;
		long n = http_chunked_feed(&c, (struct str){ in.p + *used, left }, &data, &e);

		if (n < 0)
			return -1;
		if (n == 0 || (size_t)n > left)
			abort();
		buf_add_str(out, data);
		*used += (size_t)n;
	}
	return c.done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct buf a = { 0 }, b = { 0 };
	size_t used_a, used_b;
	int rc = feed(in, size + 1, &a, &used_a);

	if (rc != feed(in, 1, &b, &used_b))
		abort();
	if (rc >= 0 && (used_a != used_b || a.n != b.n || (a.n && memcmp(a.p, b.p, a.n) != 0)))
		abort();
	buf_free(&a);
	buf_free(&b);
	return 0;
}
