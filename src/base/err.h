/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error a fallible function leaves behind: for code a kind and a number, for a person one
 * line of text. It lives on the caller's stack, owns nothing and is never released.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/attr.h"

enum err_kind {
	ERR_NONE = 0,
	ERR_SYS,       /* code = errno */
	ERR_USAGE,     /* the caller of the program asked for something impossible: exit 2 */
	ERR_CONFIG,    /* a configuration file or value is wrong */
	ERR_PARSE,     /* bytes from outside are malformed */
	ERR_LIMIT,     /* a size, depth or count limit was passed */
	ERR_TIMEOUT,   /* a deadline passed */
	ERR_RESOLVE,   /* a host name has no address */
	ERR_CONNECT,   /* no address of the peer accepts a connection */
	ERR_TLS,       /* handshake or record failure, certificate refused */
	ERR_CLOSED,    /* the peer closed before the answer was complete */
	ERR_HTTP,      /* code = HTTP status that is no success */
	ERR_NOT_FOUND, /* the named thing does not exist */
	ERR_EXISTS,    /* the thing exists already */
	ERR_BUSY,      /* somebody else holds it */
	ERR_UNSUPPORTED,
	ERR_DENIED,   /* the other side does not let us */
	ERR_REFUSED,  /* the other side will never take that */
	ERR_REMOTE,   /* the other side failed and said so */
	ERR_CANCELED, /* we were told to stop */
	ERR_OTHER,
};

struct err {
	enum err_kind kind;
	int code;      /* errno, HTTP status or exit status; 0 if none */
	char msg[640]; /* one line for a person; longer text is cut at a character boundary */
};

/* Fills e with a text. Returns -1 always, so that a function can end in `return err_set(…)`. */
int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* As err_set with kind ERR_SYS; appends ": <strerror(code)>". ENOENT gives ERR_NOT_FOUND. */
int err_sys(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "<text>: " before the message that is there. Keeps kind and code. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "; <text>" behind it: what a person can do, said where that is known. Returns -1. */
int err_hint(struct err *e, const char *text);
void err_clear(struct err *e);

#endif
