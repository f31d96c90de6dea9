/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket (RFC 6455): handshake values, frames both ways, and a client for the log endpoints. */
#ifndef NET_WS_H
#define NET_WS_H

#include "base/buf.h"
#include "base/deadline.h"
#include "net/conn.h"
#include "net/http.h"

#include <stdbool.h>

#define WS_FRAME_MAX (1u << 20)

enum ws_opcode { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_NONE = 1005, /* never sent: there was no code */
	WS_CLOSE_LOST = 1006, /* never sent: there was no close frame */
	WS_CLOSE_NO_TEXT = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_RESTART = 1012,
	WS_CLOSE_AGAIN_LATER = 1013,
};
/* May an endpoint send it? (RFC 6455 7.4: registered, or of a library or application) */
bool ws_close_code_ok(int code);
/* The code in a close frame, WS_CLOSE_NONE for an empty one; -1 and the code to answer with in
 * e->code when it is none, or its reason no UTF-8. */
int ws_close_parse(struct str payload, struct err *e);

/* Appends a close frame's payload: nothing for code 0; a reason that is too long is cut. */
void ws_close_payload(struct buf *out, int code, const char *reason);

void ws_accept_value(struct str key, char out[29]); /* base64(SHA-1(key + GUID)) */
/* Appends one frame; masked (with a random mask) as clients must. */
void ws_frame_add(struct buf *out, enum ws_opcode op, struct str payload, bool masked);

/* Incremental reader of frames; joins fragments. Zero to start. require_mask: server side.
 * check_text: a text message that is no UTF-8 is an error (the reference's logs may have such). */
struct ws_reader {
	bool require_mask, check_text;
	size_t max;         /* bytes of a message; 0: WS_FRAME_MAX */
	struct buf raw;     /* bytes not yet a whole frame */
	size_t used;        /* of raw: frames handed out */
	struct buf message; /* fragments so far */
	int op;             /* of the fragmented message; 0 if there is none */
};
/* 1: a message or control frame is in *op and *payload (borrowed until the next call); 0: need more; -1: protocol
 * error or over the limit, e->code then is the close code that says so. Feed bytes by ws_reader_feed first. */
void ws_reader_feed(struct ws_reader *r, struct str bytes);
int ws_reader_next(struct ws_reader *r, enum ws_opcode *op, struct str *payload, struct err *e);
void ws_reader_free(struct ws_reader *r);

/* Client. Non-blocking: ws_step drives handshake, sending, pings answered. */
struct ws_client;
enum ws_status { WS_CONNECTING, WS_OPEN, WS_CLOSED };

/* target and fields are needed during the call alone. Redirects are refusals. */
struct ws_client *ws_client_new(const struct conn_target *t, const char *target,
                                const struct http_field *fields, size_t n_fields,
                                struct deadline d);
void ws_client_free(struct ws_client *w);
/* WS_CLOSED: e says why; close code in *code when the peer sent one (1000 is a clean end). on_message may be NULL. */
enum ws_status ws_client_step(struct ws_client *w,
                              void (*on_message)(void *arg, struct str payload), void *arg,
                              struct err *e);
void ws_client_poll(const struct ws_client *w, struct pollset *ps);
/* Queues a text frame; false when more than max_queued bytes would wait (nothing is queued). */
bool ws_client_send(struct ws_client *w, struct str payload, size_t max_queued);
bool ws_client_send_binary(struct ws_client *w, struct str payload, size_t max_queued);
/* After a wait on ps, which ws_client_poll had filled: a step would find nothing. */
bool ws_client_is_quiet(const struct ws_client *w, const struct pollset *ps);
size_t ws_client_queued(const struct ws_client *w);
void ws_client_close(struct ws_client *w); /* queues a close frame 1000 */
/* The peer has wait_ms to take all that is queued and to answer. */
void ws_client_close_with(struct ws_client *w, int code, const char *reason, int64_t wait_ms);
int64_t ws_client_heard_ms(const struct ws_client *w); /* when the last byte came; 0: none */
int ws_client_close_code(const struct ws_client *w);
const char *ws_client_close_reason(const struct ws_client *w); /* the peer's, printable; "" */

#endif
