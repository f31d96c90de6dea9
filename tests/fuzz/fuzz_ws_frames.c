/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames, both directions: whole and byte by byte must give the same messages. */
#include "net/ws.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(struct str in, size_t step, bool mask, struct buf *out)
{
	struct ws_reader r = { .require_mask = mask };
	enum ws_opcode op;
	struct str payload;
	struct err e = { 0 };
	int rc = 0;

	for (size_t at = 0; at < in.n && rc == 0; at += step) {
		ws_reader_feed(&r, (struct str){ in.p + at, in.n - at < step ? in.n - at : step });
		while ((rc = ws_reader_next(&r, &op, &payload, &e)) > 0) {
			buf_addc(out, (char)op);
			buf_add_str(out, payload);
		}
		if (r.message.n > WS_FRAME_MAX)
			abort();
	}
	ws_reader_free(&r);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };

	for (int mask = 0; mask < 2; mask++) {
		struct buf a = { 0 }, b = { 0 };

		if (read_all(in, size + 1, mask, &a) != read_all(in, 1, mask, &b))
			abort();
		if (a.n != b.n || (a.n && memcmp(a.p, b.p, a.n) != 0))
			abort();
		buf_free(&a);
		buf_free(&b);
	}
	return 0;
}
