/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of engine output: whole and in single bytes give the same output and the same end. */
#include "base/buf.h"
#include "providers/docker/engine/frames.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, int stream, struct str s)
{
	struct buf *b = arg;

	if (stream != 1 && stream != 2)
		abort();
	buf_add_str(&b[stream - 1], s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole[2] = { 0 }, single[2] = { 0 };
	struct frames f = { 0 }, g = { 0 };
	struct err e = { 0 };
	int rc = frames_feed(&f, (struct str){ (const char *)data, size }, take, whole, &e), rs = 0;

	for (size_t i = 0; rs == 0 && i < size; i++)
		rs = frames_feed(&g, (struct str){ (const char *)data + i, 1 }, take, single, &e);
	if (rc == 0)
		rc = frames_end(&f, &e);
	if (rs == 0)
		rs = frames_end(&g, &e);
	if (rc != rs)
		abort();
	for (int i = 0; i < 2; i++) {
		if (whole[i].n != single[i].n || whole[i].n > size ||
		    (whole[i].n && memcmp(whole[i].p, single[i].p, whole[i].n) != 0))
			abort();
		buf_free(&whole[i]);
		buf_free(&single[i]);
	}
	return 0;
}
