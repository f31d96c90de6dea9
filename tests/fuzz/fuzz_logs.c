/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log's lines: bytes are read as an entry, and cut into entries in pieces whose lengths come from
 * them. The entries together must be the bytes, each must become a line that reads back.
 */
#include "api/logentry.h"

#include "base/mask.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, struct str msg)
{
	struct buf line = { 0 };
	struct log_entry en;

	if (!msg.n || msg.n > 16384)
		abort();
	log_entry_add(&line, "provider", "x", msg);
	if (!log_entry_parse(buf_str(&line), &en))
		abort();
	log_entry_free(&en);
	buf_free(&line);
	buf_add_str(arg, msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct buf whole = { 0 }, got = { 0 };
	struct log_cutter *c = log_cutter_new(take, &got);
	struct log_entry en;

	if (log_entry_parse(in, &en))
		log_entry_free(&en);
	mask_text(&whole, in);
	for (size_t i = 0; i < in.n;) {
		size_t n = (unsigned char)in.p[i] % 9 + 1u;

		if (n > in.n - i)
			n = in.n - i;
		log_cutter_feed(c, (struct str){ in.p + i, n });
		if (n == 5)
			log_cutter_flush(c);
		i += n;
	}
	log_cutter_free(c);
	if (got.n != whole.n || (got.n && memcmp(got.p, whole.p, got.n) != 0))
		abort();
	buf_free(&whole);
	buf_free(&got);
	return 0;
}
