/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer of the Server means: said here and nowhere else. A status is anybody's word on the way
 * (a gateway's page, a proxy's 400, an empty body); what decides is the Server's own error object,
 * {"error":"<words>"} whatever the content type says, in the words of protocol 2 and 3. Whatever is not in them is
 * asked again.
 */
#ifndef API_VERDICT_H
#define API_VERDICT_H

#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

#include <stdbool.h>

enum api_verdict {
	API_DONE,     /* 2xx, and no page: it is as was asked */
	API_ALREADY,  /* it was so before: the state, or a thing of that name */
	API_MISSING,  /* the Server does not have what the call is about */
	API_NEVER,    /* it will not take this request from us, however often it is sent */
	API_KEY,      /* it does not know our key, or not for this */
	API_NO_ROUTE, /* it is a Server (X-Server-Version) that has no such call */
	API_TROUBLE, /* an error object in other words: its own trouble, or a gateway's; soon over or not */
	API_AGAIN, /* nobody's word: whoever answered was not the Server, or nobody did */
};

enum api_verdict api_judge(const struct http_reply *reply);
/* Of a call that left e: API_DONE if e is empty; a failure without an answer is API_AGAIN. Wrapping e keeps it. */
enum api_verdict api_verdict(const struct err *e);
/* The kind of an error with that verdict; ERR_NONE for API_DONE. */
enum err_kind api_verdict_kind(enum api_verdict v);

/* A web page, by type or by its first byte. */
bool api_is_page(const struct http_reply *reply);
/* The words of an error object, as they are; false: the body is none. */
bool api_error_words(const struct http_reply *reply, struct buf *words);

#endif
