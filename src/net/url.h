/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of the kinds we use: http, https, ws, wss, tcp, unix (RFC 3986). */
#ifndef NET_URL_H
#define NET_URL_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct url {
	char *scheme; /* lower case */
	char *user;   /* percent-decoded; NULL if none */
	char *password;
	char *host;    /* lower case, without brackets; "" for unix */
	uint16_t port; /* explicit or the scheme's default; 0 for unix */
	bool port_given;
	bool host_is_ip; /* IPv4 or IPv6 literal */
	char *path;      /* "" or "/…" without trailing slashes; for unix the socket path */
	char *query;     /* without '?'; NULL if none */
};

/* Trims white space at both ends; refuses control bytes, empty host, bad port, unknown scheme,
 * overlong (> 4096). The message shows the URL without its user part. */
int url_parse(struct str s, struct url *u, struct err *e);
void url_free(struct url *u);
bool url_is_tls(const struct url *u); /* https, wss */
/* A loopback name or address (localhost, *.localhost, 127/8, ::1): plain http is fine there. */
bool url_is_loopback(const struct url *u);
bool url_same_origin(const struct url *a, const struct url *b);
/* The same of texts; false where one is NULL or no URL. path: that is to be the same, too. */
bool url_texts_match(const char *a, const char *b, bool path);
bool url_text_is_loopback(const char *text);
/* "scheme://host[:port]" without user part, IPv6 bracketed, default port left out. Appends. */
void url_origin(const struct url *u, struct buf *b);
/* Origin + path + query, never the user part: for messages. */
void url_display(const struct url *u, struct buf *b);
/* The Host header's value (RFC 9110 7.2). */
void url_host_header(const struct url *u, struct buf *b);
/* RFC 3986 5.2 against base, for redirects. Trailing slashes of out->path are kept. */
int url_resolve(const struct url *base, struct str ref, struct url *out, struct err *e);

#endif
