/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of http.c without state: the bytes of a request, dates, where a redirect leads. */
#ifndef NET_HTTP_PARTS_H
#define NET_HTTP_PARTS_H

#include "net/http.h"

/* Appends the head of req for target. ERR_USAGE if a part of it would break the syntax. */
int http_request_head(struct buf *out, const struct http_request *req, const char *target,
                      const struct conn_target *t, const char *user_agent, struct err *e);
/* Retry-After in ms from now, at most a day, relative to the reply's own Date if it has one; -1 if there is none. */
int64_t http_retry_after(const struct http_head *h);
/* RFC 9110 5.6.7, all three forms; seconds since 1970. */
bool http_date_parse(struct str s, int64_t *seconds);
/* The status is a redirect with a Location. 1: next is the target to ask instead (same origin); -1: it may not
 * be followed, e names where it leads. */
int http_redirect(const struct conn_target *t, const char *method, const char *target,
                  const struct http_reply *r, struct buf *next, struct err *e);

#endif
