/* SPDX-License-Identifier: Apache-2.0 */
/* See unpack.h. Three bytes with the size, big endian, and a raw deflate stream (RFC 1951). */
#include "base/unpack.h"

#include <assert.h>
#include <zlib.h>

void unpack(struct buf *b, const unsigned char *p, size_t n)
{
	size_t size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	z_stream z = { .next_in = p + 3, .avail_in = (uInt)n - 3, .avail_out = (uInt)size };
	int rc = inflateInit2(&z, -MAX_WBITS);

	z.next_out = (Bytef *)buf_reserve(b, size);
	if (rc == Z_OK)
		rc = inflate(&z, Z_FINISH);             /* whole at once, which takes no window */
	assert(rc == Z_STREAM_END && z.avail_out == 0); /* the build's own data */
	(void)inflateEnd(&z);
	b->n += size;
	b->p[b->n] = '\0';
}
