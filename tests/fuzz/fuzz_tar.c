/* SPDX-License-Identifier: Apache-2.0 */
/* Archives from an engine: bounded, and independent of the pieces they come in. */
#include "providers/docker/engine/tar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tar_reader a = { .max = 5000 }, b = { .max = 5000 };
	struct err e = { 0 };
	int ra = tar_reader_feed(&a, (struct str){ (const char *)data, size }, &e), rb = 0;

	for (size_t i = 0; rb == 0 && i < size; i += 7)
		rb = tar_reader_feed(
			&b, (struct str){ (const char *)data + i, size - i < 7 ? size - i : 7 },
			&e);
	if (ra != rb || a.done != b.done || a.out.n != b.out.n || a.out.n > 5000)
		abort();
	if (a.out.n && memcmp(a.out.p, b.out.p, a.out.n) != 0)
		abort();
	tar_reader_free(&a);
	tar_reader_free(&b);
	return 0;
}
