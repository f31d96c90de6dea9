/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See unpack.h. A row of steps; the first byte t of each says which:
 *   t < 0x80   t + 1 bytes follow as they are;
 *   else       a copy, which may overlap. t & 15 begins the way back less 1 (big endian), c = t >> 4 & 7:
 *              c < 6   another byte of that; c + 3 bytes are copied;
 *              c == 6  two more bytes of that; a byte: so many plus 3 are copied;
 *              c == 7  another byte of that; a byte: so many plus 3 are copied.
 */
#include "base/unpack.h"

#include <assert.h>

void unpack(struct buf *b, const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;

	while (p < end) {
		size_t t = *p++, len = t >> 4 & 7, back;
		char *to;

		if (t < 0x80) {
			buf_add(b, p, t + 1);
			p += t + 1;
			continue;
		}
		back = (t & 15) << 8 | *p++;
		if (len == 6)
			back = back << 8 | *p++;
		len = 3 + (len < 6 ? len : *p++);
		back++;
		assert(back <= b->n);
		to = buf_reserve(b, len);
		for (const char *from = to - back; len; len--) {
			*to++ = *from++;
			b->n++;
		}
		*to = '\0';
	}
}
