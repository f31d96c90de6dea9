/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See unpack.h. A row of steps; the first byte t of each says which:
 *   t < 0x80   t + 1 bytes follow as they are;
 *   else       copy from (t & 15) << 8 | next byte, plus 1, bytes back: (t >> 4 & 7) + 3 bytes, or,
 *              where that would be 10, 10 more than the third byte says. Copies may overlap.
 */
#include "base/unpack.h"

#include <assert.h>

void unpack(struct buf *b, const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;

	while (p < end) {
		size_t t = *p++, len = (t >> 4 & 7) + 3, back;
		char *to;

		if (t < 0x80) {
			buf_add(b, p, t + 1);
			p += t + 1;
			continue;
		}
		back = ((t & 15) << 8 | *p++) + 1;
		if (len == 10)
			len += *p++;
		assert(back <= b->n);
		to = buf_reserve(b, len);
		for (size_t i = 0; i < len; i++)
			to[i] = to[i - back];
		to[len] = '\0';
		b->n += len;
	}
}
