/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of replies and requests, dates in them. What is consumed must lie in the input. */
#include "net/http_parts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct http_head *h, long n, struct str in)
{
	if (n > 0 && (size_t)n > in.n)
		abort();
	for (size_t i = 0; n > 0 && i < h->n_headers; i++)
		if (h->headers[i].name.p < in.p ||
		    h->headers[i].value.p + h->headers[i].value.n > in.p + n)
			abort();
	if (n > 0)
		(void)http_retry_after(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = { "GET", "HEAD", "CONNECT" };
	struct str in = { (const char *)data, size };
	struct http_head h;
	struct err e = { 0 };
	int64_t seconds;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		check(&h, http_parse_response(in, methods[i], &h, &e), in);
	check(&h, http_parse_request(in, &h, &e), in);
	(void)http_date_parse(in, &seconds);
	return 0;
}
