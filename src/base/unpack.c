/* SPDX-License-Identifier: Apache-2.0 */
/* See unpack.h. Three bytes with the size, big endian, and a raw deflate stream (RFC 1951). */
#include "base/unpack.h"

#include "base/mem.h"

#include <assert.h>
#include <zlib.h>

size_t unpack_size(const unsigned char *p)
{
	return (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
}

void unpack_to(unsigned char *to, const unsigned char *p, size_t n)
{
	z_stream z = { .next_in = p + 3,
		       .avail_in = (uInt)n - 3,
		       .next_out = to,
		       .avail_out = (uInt)unpack_size(p) };
	int rc = inflateInit2_(&z, -MAX_WBITS, zlibVersion(),
	                       (int)sizeof(z)); /* with no constant of ours */

	if (rc == Z_OK)
		rc = inflate(&z, Z_FINISH); /* whole at once, which takes no window */
	if (rc == Z_MEM_ERROR)
		mem_out();
	assert(rc == Z_STREAM_END && z.avail_out == 0); /* the build's own data */
	(void)inflateEnd(&z);
}

void unpack(struct buf *b, const unsigned char *p, size_t n)
{
	size_t size = unpack_size(p);

	unpack_to((unsigned char *)buf_reserve(b, size), p, n);
	b->n += size;
	b->p[b->n] = '\0';
}
