/* SPDX-License-Identifier: Apache-2.0 */
/* See where.h. */
#include "oci/where.h"

#include "base/str.h"

static const char *mirrors_text, *plain_text;

void where_set(const char *mirrors, const char *plain_http)
{
	mirrors_text = mirrors;
	plain_text = plain_http;
}

static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] == '=' || s.p[i] == '@' || s.p[i] <= ' ')
			return false;
	return s.n > 0;
}

int where_check(const char *mirrors, struct err *e)
{
	struct str rest = str_of(mirrors), pair, host;

	while (rest.n && str_next(&rest, ',', &pair)) {
		struct str whole = pair = str_trim(pair);

		(void)str_next(&pair, '=', &host);
		if (!is_host(host) || !is_host(pair))
			return err_set(e, ERR_CONFIG, 0, "\"%.*s\" is not HOST=MIRROR[:PORT]",
			               STR_ARG(whole));
	}
	return 0;
}

bool where_mirror(const char *host, size_t i, struct buf *mirror)
{
	struct str rest = str_of(mirrors_text), pair, of;

	while (str_next(&rest, ',', &pair)) {
		pair = str_trim(pair);
		(void)str_next(&pair, '=', &of);
		if (!str_ieq(of, host) || i-- > 0)
			continue;
		buf_add_str(mirror, pair);
		return true;
	}
	return false;
}

bool where_is_plain(const char *host)
{
	struct str rest = str_of(plain_text), one;

	while (str_next(&rest, ',', &one))
		if (str_ieq(str_trim(one), host))
			return true;
	return false;
}
