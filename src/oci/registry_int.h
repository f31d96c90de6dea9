/* SPDX-License-Identifier: Apache-2.0 */
/* What registry.c, registry_auth.c and origin.c share. */
#ifndef OCI_REGISTRY_INT_H
#define OCI_REGISTRY_INT_H

#include "net/http.h"
#include "oci/challenge.h"
#include "oci/registry.h"

#define REGISTRY_CALL_MS 60000 /* a manifest or token, from connecting to its last byte */

/* One peer: where it is, and a connection that is kept. */
struct origin {
	struct url url, proxy;
	struct conn_target target;
	struct http_client *http;
};

int origin_open(struct origin *o, const char *url, const struct registry_options *opt,
                struct err *e);
int origin_open_url(struct origin *o, const struct url *url, const struct registry_options *opt,
                    struct err *e);
void origin_close(struct origin *o);

struct registry {
	const struct registry_options *o;
	char *host;
	bool plain; /* spoken to without TLS */
	struct origin origin;
	struct login login;
	bool login_known;         /* it was looked for */
	struct buf authorization; /* the field's value; empty: none yet */
};

/* After a 401: what to send instead, in r->authorization. scope: "repository:PATH:pull". */
int registry_authorize(struct registry *r, const struct http_reply *reply, const char *scope,
                       struct deadline d, struct err *e);
/* An error out of a reply that is none of what was wanted. */
int registry_refused(const struct registry *r, const struct http_reply *reply, const char *what,
                     struct err *e);
/* Waits as the other side asks, or longer each time; false when the deadline would pass. */
bool registry_wait(const struct registry *r, int attempt, int64_t asked_ms, const char *why,
                   struct deadline d);
/* A busy peer is asked again, when it has been waited for. */
bool registry_again(const struct registry *r, const struct http_reply *reply, int *attempts,
                    struct deadline d);

#endif
