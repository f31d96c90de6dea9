/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a stream (server/tunnels.h) whose client speaks plain HTTP: one request, whose
 * head is written anew, and whose body and answer pass as they come, in bounded memory. Here is what
 * that end says and understands (api/tunnel.h); tunnels.c passes it on.
 */
#ifndef SERVER_RELAY_H
#define SERVER_RELAY_H

#include "server/srv.h"

#define RELAY_GRANT 5 /* bytes of that message */

struct relay;

/* For the request at hand, whose second parameter is the path there. Its key goes no further. */
struct relay *relay_new(const struct call *c);
void relay_free(struct relay *y); /* NULL is fine */
/* The first message to the agent. Borrowed. */
struct str relay_head(const struct relay *y);
/* Appends a message with some of the client's bytes, as far as they are of this request; how many were used, 0 until the
 * agent allows more. -1: they are no body. */
long relay_bytes(struct relay *y, struct str bytes, struct buf *message);
/* A message of the agent's: what is in it goes to r. False: it breaks the rules. */
bool relay_message(struct relay *y, struct httpd_req *r, struct str message);
/* All of it has been taken: true, and the message that says so, when that is due. */
bool relay_drained(struct relay *y, char message[RELAY_GRANT]);
/* The stream has ended. Who had no answer yet gets one that says why. */
void relay_close(struct relay *y, struct httpd_req *r, int code, const char *reason);

#endif
