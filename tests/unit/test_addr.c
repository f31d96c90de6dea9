/* SPDX-License-Identifier: Apache-2.0 */
/* net/addr.h: how an address is shown. */
#include "net/addr.h"

#include "tests/test.h"

static void an_address_has_one_text(void)
{
	static const struct {
		const char *host, *shown;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1:80" },
		{ "2001:db8::1", "[2001:db8::1]:80" },
		{ "::1", "[::1]:80" },
		/* A peer of IPv4 at a socket of IPv6. */
		{ "::ffff:192.0.2.1", "192.0.2.1:80" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union net_addr a = { 0 };
		char text[NET_ADDR_TEXT];

		CHECK(net_addr_parse(rows[i].host, &a));
		net_addr_set_port(&a, 80);
		net_addr_text(&a, text);
		CHECK_STR(text, rows[i].shown);
	}
}

TEST_MAIN(TEST(an_address_has_one_text))
