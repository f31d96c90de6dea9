/* SPDX-License-Identifier: Apache-2.0 */
/* See addr.h. */
#include "net/addr.h"

#include "base/file.h"
#include "net/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

socklen_t net_addr_len(const union net_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

void net_addr_text(const union net_addr *a, char out[NET_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		inet_ntop(AF_INET, &a->v6.sin6_addr.s6_addr[12], ip, sizeof(ip));
		snprintf(out, NET_ADDR_TEXT, "%s:%u", ip, ntohs(a->v6.sin6_port));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof(ip));
		snprintf(out, NET_ADDR_TEXT, "[%s]:%u", ip, ntohs(a->v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof(ip));
		snprintf(out, NET_ADDR_TEXT, "%s:%u", ip, ntohs(a->v4.sin_port));
	}
}

void net_addr_set_port(union net_addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

bool net_addr_same_ip(const union net_addr *a, const union net_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

bool net_addr_parse(const char *host, union net_addr *a)
{
	unsigned char ip[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), ip);

	*a = (union net_addr){ 0 };
	if (n == 4) {
		a->sa.sa_family = AF_INET;
		memcpy(&a->v4.sin_addr, ip, n);
	} else if (n) {
		a->sa.sa_family = AF_INET6;
		memcpy(&a->v6.sin6_addr, ip, n);
	}
	return n > 0;
}

bool net_addr_has_route(const union net_addr *a, union net_addr *from)
{
	int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(*from);
	bool yes = fd >= 0 && connect(fd, &a->sa, net_addr_len(a)) == 0 &&
	           getsockname(fd, &from->sa, &n) == 0;

	fd_close(&fd);
	return yes;
}

bool net_addr_is_local(const union net_addr *a)
{
	const unsigned char *ip = a->v6.sin6_addr.s6_addr;

	return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

int net_accept(int fd, int flags)
{
	union net_addr who;
	socklen_t n = sizeof(who);

	return accept4(fd, &who.sa, &n, flags);
}
