/* SPDX-License-Identifier: Apache-2.0 */
/* See ip.h. */
#include "net/ip.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

size_t ip_parse(struct str text, unsigned char out[IP_MAX_BYTES])
{
	char copy[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n))
		return 0;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (inet_pton(AF_INET, copy, out) == 1)
		return 4;
	return inet_pton(AF_INET6, copy, out) == 1 ? 16 : 0;
}

bool host_is_within(struct str host, struct str domain)
{
	size_t above;

	if (domain.n == 0 || domain.n > host.n)
		return false;
	above = host.n - domain.n;
	return strncasecmp(host.p + above, domain.p, domain.n) == 0 &&
	       (above == 0 || host.p[above - 1] == '.');
}

bool host_is_localhost(struct str host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	return host_is_within(host, STR_LIT("localhost"));
}
