/* SPDX-License-Identifier: Apache-2.0 */
/* Demultiplexer of engine output, see frames.h. */
#include "providers/docker/engine/frames.h"

#include <string.h>

enum { STREAM_SYSTEM_ERROR = 3 };

static int header_done(struct frames *f, struct err *e)
{
	const unsigned char *h = f->head;

	if (h[0] > STREAM_SYSTEM_ERROR || h[1] || h[2] || h[3])
		return err_set(e, ERR_PARSE, h[0],
		               "output stream of the engine: frame header of unknown type %u",
		               h[0]);
	f->count++;
	f->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
	return 0;
}

static size_t take_payload(struct frames *f, struct str in, frames_out *out, void *arg)
{
	size_t n = in.n < f->left ? in.n : f->left;

	if (f->head[0] == STREAM_SYSTEM_ERROR) {
		size_t room = sizeof(f->system_error) - 1 - f->n_error;
		size_t k = n < room ? n : room;

		memcpy(f->system_error + f->n_error, in.p, k);
		f->n_error += k;
	} else {
		out(arg, f->head[0] == 2 ? 2 : 1, (struct str){ in.p, n });
	}
	f->left -= (uint32_t)n;
	return n;
}

int frames_feed(struct frames *f, struct str in, frames_out *out, void *arg, struct err *e)
{
	if (f->raw) {
		if (in.n)
			out(arg, 1, in);
		return 0;
	}
	while (in.n) {
		size_t n = 1;

		if (f->n_head < sizeof(f->head)) {
			f->head[f->n_head++] = (unsigned char)*in.p;
			if (f->n_head == sizeof(f->head) && header_done(f, e) < 0)
				return -1;
		} else {
			n = take_payload(f, in, out, arg);
		}
		if (f->n_head == sizeof(f->head) && !f->left) {
			if (f->n_error)
				return err_set(e, ERR_OTHER, 0, "engine: %s", f->system_error);
			f->n_head = 0;
		}
		in.p += n;
		in.n -= n;
	}
	return 0;
}

int frames_end(const struct frames *f, struct err *e)
{
	if (f->raw || !f->n_head)
		return 0;
	return err_set(e, ERR_CLOSED, 0, "output stream of the engine was cut inside a frame");
}
