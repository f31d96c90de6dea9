/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: what is shown of an accepted one must be accepted again and mean the same; references resolve or fail. */
#include "net/conn.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct url u, again, base;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (url_parse(STR_LIT("http://a/b/c?d"), &base, &e) < 0)
		abort();
	if (url_resolve(&base, in, &u, &e) == 0)
		url_free(&u);
	if (url_parse(in, &u, &e) == 0) {
		url_display(&u, &b);
		if (url_parse(buf_str(&b), &again, &e) < 0 || !url_same_origin(&u, &again) ||
		    strcmp(u.path, again.path) != 0)
			abort();
		url_free(&again);
		buf_reset(&b);
		url_host_header(&u, &b);
		(void)url_is_loopback(&u);
		(void)proxy_for(&u, "http://p", "10.0.0.0/8,.x,[::1]:80,*.y:1");
		url_free(&u);
	}
	buf_reset(&b);
	buf_add_str(&b, in);
	if (!memchr(buf_cstr(&b), '\0', b.n))
		(void)proxy_for(&base, "http://p", buf_cstr(&b));
	buf_free(&b);
	url_free(&base);
	return 0;
}
