/* SPDX-License-Identifier: Apache-2.0 */
/* See decode.h; the only file that knows zstd, and zlib but for base/unpack.c. */
#include "oci/decode.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#define ZSTD_STATIC_LINKING_ONLY /* frame headers */
#include <zstd.h>
#include <zstd_errors.h>

#define OUT_BYTES (64u << 10)
#define PIECE (64u << 10)
#define MAGIC_BYTES 4
#define GZIP_WINDOW (15 + 16) /* zlib's way to say: gzip only */

enum kind { UNKNOWN, PLAIN, GZIP, ZSTD };

struct decode {
	struct sink to;
	uint64_t max, bytes_in, bytes_out;
	enum kind kind;
	char magic[MAGIC_BYTES];
	size_t n_magic;
	z_stream z;
	ZSTD_DStream *zstd;
	unsigned window_log;
	bool whole;   /* at the end of a member or frame */
	bool trailer; /* behind gzip's last member: zeros that some tools add */
	char out[OUT_BYTES];
};

struct decode *decode_new(struct sink to, uint64_t max)
{
	struct decode *d = mem_alloc(sizeof(*d));

	d->to = to;
	d->max = max;
	d->window_log = DECODE_WINDOW_LOG_DEFAULT;
	return d;
}

void decode_limit_window(struct decode *d, unsigned log)
{
	d->window_log = log;
}

uint64_t decode_window(struct str in)
{
	ZSTD_frameHeader h;

	return ZSTD_getFrameHeader(&h, in.p, in.n) == 0 && h.frameType == ZSTD_frame ? h.windowSize
	                                                                             : 0;
}

void decode_free(struct decode *d)
{
	if (!d)
		return;
	if (d->kind == GZIP)
		(void)inflateEnd(&d->z);
	(void)ZSTD_freeDStream(d->zstd);
	free(d);
}

static int give(struct decode *d, struct str bytes, struct err *e)
{
	if (!bytes.n)
		return 0;
	if (bytes.n > d->max - d->bytes_out)
		return err_set(e, ERR_LIMIT, 0, "it unpacks to more than %llu bytes",
		               (unsigned long long)d->max);
	d->bytes_out += bytes.n;
	if (d->bytes_out > DECODE_FACTOR_FREE && d->bytes_out / DECODE_FACTOR_MAX > d->bytes_in)
		return err_set(e, ERR_LIMIT, 0,
		               "it grows to more than %d times its size: a decompression bomb",
		               DECODE_FACTOR_MAX);
	return d->to.take(d->to.arg, bytes, e);
}

static void start(struct decode *d)
{
	const unsigned char *m = (const unsigned char *)d->magic;
	bool zstd = m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd;
	bool skippable = (m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18;

	if (d->n_magic >= 2 && m[0] == 0x1f && m[1] == 0x8b) {
		if (inflateInit2(&d->z, GZIP_WINDOW) != Z_OK)
			mem_out();
		d->kind = GZIP;
	} else if (d->n_magic == MAGIC_BYTES && (zstd || skippable)) {
		d->zstd = ZSTD_createDStream();
		if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
		                                                    (int)d->window_log)))
			mem_out();
		d->kind = ZSTD;
	} else {
		d->kind = PLAIN;
		d->whole = true;
	}
}

static int feed_gzip(struct decode *d, struct str in, struct err *e)
{
	d->z.next_in = (const Bytef *)in.p;
	d->z.avail_in = (uInt)in.n;
	do {
		int rc;

		if (d->whole && d->z.avail_in) {
			d->trailer = d->trailer || *d->z.next_in == 0;
			if (d->trailer)
				return 0;
			if (inflateReset(&d->z) != Z_OK)
				return err_set(e, ERR_PARSE, 0, "gzip: cannot go on");
			d->whole = false;
		}
		d->z.next_out = (Bytef *)d->out;
		d->z.avail_out = OUT_BYTES;
		rc = inflate(&d->z, Z_NO_FLUSH);
		if (rc == Z_MEM_ERROR)
			mem_out();
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return err_set(e, ERR_PARSE, 0, "gzip: %s",
			               d->z.msg ? d->z.msg : "not understood");
		d->whole = rc == Z_STREAM_END;
		if (give(d, (struct str){ d->out, OUT_BYTES - d->z.avail_out }, e) < 0)
			return -1;
	} while (d->z.avail_in || d->z.avail_out == 0);
	return 0;
}

static int feed_zstd(struct decode *d, struct str in, struct err *e)
{
	ZSTD_inBuffer from = { in.p, in.n, 0 };
	ZSTD_outBuffer to = { d->out, OUT_BYTES, 0 };

	do {
		size_t rc;

		to.pos = 0;
		rc = ZSTD_decompressStream(d->zstd, &to, &from);
		if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
			return err_set(e, ERR_LIMIT, DECODE_WINDOW_CODE,
			               "zstd: a window above %u MiB", 1u << (d->window_log - 20));
		if (ZSTD_isError(rc))
			return err_set(e, ERR_PARSE, 0, "zstd: damaged (error %u)",
			               0u - (unsigned)rc);
		d->whole = rc == 0;
		if (give(d, (struct str){ d->out, to.pos }, e) < 0)
			return -1;
		/* Asked again at the end of a frame it would wait for another. */
	} while (from.pos < from.size || (to.pos == to.size && !d->whole));
	return 0;
}

static int feed(struct decode *d, struct str in, struct err *e)
{
	d->bytes_in += in.n;
	switch (d->kind) {
	case GZIP:
		return feed_gzip(d, in, e);
	case ZSTD:
		return feed_zstd(d, in, e);
	default:
		return give(d, in, e);
	}
}

static int begin(struct decode *d, struct err *e)
{
	start(d);
	return feed(d, (struct str){ d->magic, d->n_magic }, e);
}

int decode_feed(struct decode *d, struct str in, struct err *e)
{
	while (d->kind == UNKNOWN && in.n) {
		d->magic[d->n_magic++] = *in.p++;
		in.n--;
		if (d->n_magic == MAGIC_BYTES && begin(d, e) < 0)
			return -1;
	}
	/* zlib counts in 32 bits. */
	while (in.n) {
		size_t n = in.n < (1u << 30) ? in.n : (1u << 30);

		if (feed(d, (struct str){ in.p, n }, e) < 0)
			return -1;
		in.p += n;
		in.n -= n;
	}
	return 0;
}

int decode_end(struct decode *d, struct err *e)
{
	if (d->kind == UNKNOWN && d->n_magic && begin(d, e) < 0)
		return -1;
	if (d->kind != UNKNOWN && !d->whole)
		return err_set(e, ERR_CLOSED, 0, "%s: the stream is cut",
		               d->kind == GZIP ? "gzip" : "zstd");
	return 0;
}

int decode_file(struct decode *d, int fd, struct deadline until, const volatile int *stop,
                struct err *e)
{
	char *piece = mem_alloc(PIECE);
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(fd, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, errno, "read the archive");
		else if (stop && *stop)
			rc = err_set(e, ERR_CANCELED, 0,
			             "stopped because the runner was told to end");
		else if (deadline_passed(until))
			rc = err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
		else
			rc = decode_feed(d, (struct str){ piece, (size_t)n }, e);
	}
	free(piece);
	return rc == 0 ? decode_end(d, e) : -1;
}
