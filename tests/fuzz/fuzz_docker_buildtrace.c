/* SPDX-License-Identifier: Apache-2.0 */
/* Records of BuildKit: any bytes end, and what is said is no longer than what was sent. */
#include "providers/docker/engine/buildtrace.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buildtrace t = { 0 };
	struct buf text = { 0 }, out = { 0 };

	buf_add_base64(&text, data, size, false, true);
	for (int i = 0; i < 2; i++) {
		buf_reset(&out);
		buildtrace_feed(&t, buf_str(&text), &out);
		if (out.n > size * 20)
			abort();
	}
	buf_free(&out);
	buf_free(&text);
	return 0;
}
