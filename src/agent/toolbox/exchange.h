/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 over one connection in a process of its own (RFC 9112): it may block, so bodies of any
 * length pass through a few KiB of memory. net/httpd.h, in whose loop nothing may block, holds whole
 * bodies instead.
 *
 *	while (exchange_next(&x, &e) > 0)
 *		exchange_reply(&x, 200, "text/plain", NULL, STR_LIT("hello"));
 *	exchange_free(&x);
 */
#ifndef AGENT_TOOLBOX_EXCHANGE_H
#define AGENT_TOOLBOX_EXCHANGE_H

#include "base/buf.h"
#include "base/json.h"
#include "net/http_parse.h"

#define EXCHANGE_BODY_MAX (1u << 20) /* of a body that is JSON */

/* Zero, with fd set, to start. */
struct exchange {
	int fd;
	struct buf in; /* received; the first used bytes are done with */
	size_t used;
	/* The request at hand. */
	struct buf head_text;
	struct http_head head; /* borrows from head_text */
	struct buf path;       /* decoded, without a slash at its end */
	struct str query;      /* as it came */
	uint64_t left;         /* of a body with a length */
	struct http_chunked chunked;
	bool body_done, waits; /* waits: for 100 (Continue) */
	bool keep;             /* the connection outlives it */
	bool answered, broken; /* broken: the connection is of no more use */
	struct json_doc *doc;
};

/* 1: a request is there; 0: the peer has ended, or the connection with the last answer; -1: it sent
 * what is none, and was told so. */
int exchange_next(struct exchange *exchange, struct err *e);
void exchange_free(struct exchange *exchange); /* leaves fd open */

/* 1: data has some bytes of the body, until the next call; 0: it has ended; -1: the peer broke off. */
int exchange_read(struct exchange *exchange, struct str *data, struct err *e);
/* These answer themselves when they return false. */
bool exchange_body(struct exchange *exchange, struct buf *body); /* at most EXCHANGE_BODY_MAX */
bool exchange_object(struct exchange *exchange,
                     struct json *root); /* the body, until the next request */
/* A member that is a string without NUL; the caller frees. Must: it has to be there and not empty, else NULL means
 * that it was answered. Not must: NULL when it is not there. */
char *exchange_member(struct exchange *exchange, struct json root, const char *name, bool must);
bool exchange_query(struct exchange *exchange, const char *name,
                    struct buf *out); /* not empty, no NUL */
bool exchange_query_maybe(struct exchange *exchange, const char *name,
                          struct buf *out); /* may be missing */

/* Each request has one answer. fields: more lines "Name: value\r\n"… or NULL. */
void exchange_reply(struct exchange *exchange, int status, const char *type, const char *fields,
                    struct str body);
void exchange_json(struct exchange *exchange, int status, struct buf *json); /* frees json */
void exchange_empty(struct exchange *exchange, int status);
void exchange_fail(struct exchange *exchange, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* By the kind of error: 404 where something is missing, 408 when it took too long, else 400. */
void exchange_fail_err(struct exchange *exchange, const struct err *e);
/* An answer in pieces: its head, then length bytes by exchange_write, which is false when the peer has gone. */
void exchange_begin(struct exchange *exchange, int status, const char *type, const char *fields,
                    uint64_t length);
bool exchange_write(struct exchange *exchange, struct str bytes);

#endif
