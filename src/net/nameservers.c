/* SPDX-License-Identifier: Apache-2.0 */
/* See nameservers.h. */
#include "net/nameservers.h"

#include "base/file.h"
#include "base/str.h"

#include <string.h>

#define RESOLV_CONF_MAX 65536
#define KEYWORD "nameserver"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The word behind the keyword, which begins its line; what follows it is a comment. */
static bool address_of(struct str line, struct str *address)
{
	const size_t n = strlen(KEYWORD);
	size_t end = 0;

	if (!str_starts(line, KEYWORD) || line.n == n || !is_blank(line.p[n]))
		return false;
	*address = str_trim((struct str){ line.p + n, line.n - n });
	while (end < address->n && !is_blank(address->p[end]) && address->p[end] != '#' &&
	       address->p[end] != ';')
		end++;
	address->n = end;
	return end > 0;
}

void nameservers_add(struct buf *b, const char *path)
{
	struct buf text = { 0 };
	struct str rest, line, address;
	struct err ignored = { 0 };
	const char *before = " (name servers: ";

	if (file_read(path, RESOLV_CONF_MAX, &text, &ignored) < 0) {
		buf_addf(b, " (%s cannot be read)", path);
		return;
	}
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		if (!address_of(line, &address))
			continue;
		buf_adds(b, before);
		buf_add_printable(b, address, false);
		before = ", ";
	}
	if (before[0] == ',')
		buf_addc(b, ')');
	else
		buf_addf(b, " (no name server in %s)", path);
	buf_free(&text);
}
