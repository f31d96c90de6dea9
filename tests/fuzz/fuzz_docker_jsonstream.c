/* SPDX-License-Identifier: Apache-2.0 */
/* Progress streams: whole and in single bytes give the same objects. */
#include "providers/docker/engine/jsonstream.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int note(void *arg, struct json v, struct err *e)
{
	(void)e;
	buf_add_str(arg, json_raw(v));
	buf_addc(arg, '\n');
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jsonstream s = { 0 }, t = { 0 };
	struct buf whole = { 0 }, single = { 0 };
	struct err e = { 0 };
	int rc = jsonstream_feed(&s, (struct str){ (const char *)data, size }, note, &whole, &e),
	    rt = 0;

	for (size_t i = 0; rt == 0 && i < size; i++)
		rt = jsonstream_feed(&t, (struct str){ (const char *)data + i, 1 }, note, &single,
		                     &e);
	if (jsonstream_end(&s, &e) < 0)
		rc = -1;
	if (jsonstream_end(&t, &e) < 0)
		rt = -1;
	if (rc != rt || whole.n != single.n || (whole.n && memcmp(whole.p, single.p, whole.n) != 0))
		abort();
	buf_free(&whole);
	buf_free(&single);
	return 0;
}
