/* SPDX-License-Identifier: Apache-2.0 */
/* net/nameservers.h: which lines of resolv.conf name a server, and how much of them. */
#include "net/nameservers.h"

#include "tests/test.h"

static void only_the_address_is_shown(void)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "nameserver 192.0.2.1\n", " (name servers: 192.0.2.1)" },
		{ "nameserver\t192.0.2.1\nnameserver  2001:db8::1",
		  " (name servers: 192.0.2.1, 2001:db8::1)" },
		{ "nameserver 192.0.2.1 # office\n", " (name servers: 192.0.2.1)" },
		{ "nameserver 192.0.2.1\t; office\r\n", " (name servers: 192.0.2.1)" },
		{ "nameserver 192.0.2.1#office\n", " (name servers: 192.0.2.1)" },
		{ "nameserver fe80::1%eth0\n", " (name servers: fe80::1%eth0)" },
		{ "#nameserver 192.0.2.1\n; nameserver 192.0.2.2\n", " (no name server in F)" },
		{ " nameserver 192.0.2.1\n", " (no name server in F)" },
		{ "nameservers 192.0.2.1\nnameserver\nnameserver \nnameserver # none\n",
		  " (no name server in F)" },
		{ "options timeout:1\nsearch a.test # nameserver 192.0.2.1\n",
		  " (no name server in F)" },
		{ "", " (no name server in F)" },
	};
	char path[4096], want[4200];

	snprintf(path, sizeof(path), "%s/resolv.conf", test_tmp());
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *mark = strstr(rows[i].shown, " F)");
		FILE *file = fopen(path, "w");
		struct buf b = { 0 };

		TEST_ROW(i);
		CHECK(file && fputs(rows[i].text, file) >= 0 && fclose(file) == 0);
		snprintf(want, sizeof(want), "%.*s%s%s",
		         mark ? (int)(mark - rows[i].shown + 1) : 100, rows[i].shown,
		         mark ? path : "", mark ? ")" : "");
		nameservers_add(&b, path);
		CHECK_STR(buf_cstr(&b), want);
		buf_free(&b);
	}
}

static void a_file_that_is_not_there_is_named(void)
{
	struct buf b = { 0 };

	nameservers_add(&b, "/nonexistent/resolv.conf");
	CHECK_STR(buf_cstr(&b), " (/nonexistent/resolv.conf cannot be read)");
	buf_free(&b);
}

TEST_MAIN(TEST(only_the_address_is_shown), TEST(a_file_that_is_not_there_is_named))
