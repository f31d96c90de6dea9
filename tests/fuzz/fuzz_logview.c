/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a log: what goes to a terminal without colours holds no control character but newlines. */
#include "host/logview.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct logview terminal = { .terminal = true, .times = size & 1 },
		       file = { .json = size & 2 };
	struct str rest = { (const char *)data, size }, line;
	struct buf out = { 0 }, plain = { 0 };

	while (str_next(&rest, '\n', &line)) {
		logview_add(&terminal, line, &out);
		logview_add(&file, line, &plain);
	}
	for (size_t i = 0; i < out.n; i++) {
		unsigned char c = (unsigned char)out.p[i];

		if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
			abort();
	}
	buf_free(&out);
	buf_free(&plain);
	return 0;
}
