/* SPDX-License-Identifier: Apache-2.0 */
/* A form, whole and byte by byte: the same parts with the same bytes, and little is kept. The first line is its type. */
#include "agent/toolbox/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_form(struct str type, struct str body, size_t step, struct buf *out)
{
	struct multipart parts = { 0 };
	struct err e = { 0 };
	struct str piece;
	enum multipart_event ev = MULTIPART_MORE;

	if (multipart_start(&parts, type, &e) < 0)
		return;
	for (size_t i = 0; i < body.n && ev != MULTIPART_END && ev != MULTIPART_BAD; i += step) {
		size_t n = body.n - i < step ? body.n - i : step;

		multipart_feed(&parts, (struct str){ body.p + i, n });
		while ((ev = multipart_next(&parts, &piece)) > MULTIPART_MORE &&
		       ev != MULTIPART_END) {
			if (ev == MULTIPART_PART)
				buf_addf(out, "\n[%s]\n", buf_cstr(&parts.name));
			if (ev == MULTIPART_DATA && !piece.n)
				abort();
			buf_add_str(out, piece);
		}
		if (parts.raw.n - parts.used >
		    step + MULTIPART_HEAD_MAX + MULTIPART_BOUNDARY_MAX + 256)
			abort();
	}
	buf_addf(out, "\nend %d", (int)ev);
	multipart_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = { (const char *)data, size }, type;
	struct buf whole = { 0 }, bytes = { 0 };

	if (!str_next(&body, '\n', &type) || !body.p || body.n > 1u << 16)
		return 0;
	read_form(type, body, body.n + 1, &whole);
	read_form(type, body, 1, &bytes);
	if (whole.n != bytes.n || (whole.n && memcmp(whole.p, bytes.p, whole.n) != 0))
		abort();
	buf_free(&whole);
	buf_free(&bytes);
	return 0;
}
