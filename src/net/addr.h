/* SPDX-License-Identifier: Apache-2.0 */
/* An IPv4 or IPv6 address with its port. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

union net_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

socklen_t net_addr_len(const union net_addr *a);
/* "127.0.0.1:80", "[::1]:80"; IPv4 behind a socket of IPv6 as IPv4. */
#define NET_ADDR_TEXT 64
void net_addr_text(const union net_addr *a, char out[NET_ADDR_TEXT]);
void net_addr_set_port(union net_addr *a, uint16_t port);
bool net_addr_same_ip(const union net_addr *a, const union net_addr *b);
bool net_addr_parse(const char *host, union net_addr *a); /* false: a name; port 0 */
/* Would the kernel send to a? from: by which of its addresses. Nothing is sent. */
bool net_addr_has_route(const union net_addr *a, union net_addr *from);
/* IPv6, fc00::/7 or fe80::/10: not of the whole network. */
bool net_addr_is_local(const union net_addr *a);

/* accept4(2), whoever it is that comes. */
int net_accept(int fd, int flags);

#endif
