/* SPDX-License-Identifier: Apache-2.0 */
/* Log entries as the Server and its clients read them (protocol 5.1, 6). */
#ifndef API_LOGENTRY_H
#define API_LOGENTRY_H

#include "base/buf.h"
#include "base/json.h"
#include "net/ws.h"

#define LOG_DELIMITER "!-#_^*|\n"

/* Appends one entry (JSON + delimiter). msg: any bytes; invalid UTF-8 becomes U+FFFD. time: now, local. */
void log_entry_add(struct buf *b, const char *source, const char *label, struct str msg);

/* Moves whole entries from the front of queue to ws, one message each, while no more than max bytes wait there. */
void log_entries_send(struct buf *queue, struct ws_client *ws, size_t max);

struct log_entry {
	char *source, *label, *msg, *level, *time;
};
/* Parses one line (with or without delimiter or LF); false for anything else, an empty entry included. */
bool log_entry_parse(struct str line, struct log_entry *out);
void log_entry_free(struct log_entry *en);

/*
 * Cuts a byte stream into entries: complete characters are carried over chunk edges, secrets are
 * masked across them, a line longer than 16 KB is sent in pieces, a partial line is flushed by
 * log_cutter_flush (idle).
 */
struct log_cutter;
struct log_cutter *log_cutter_new(void (*emit)(void *arg, struct str msg), void *arg);
void log_cutter_feed(struct log_cutter *c, struct str bytes);
void log_cutter_flush(struct log_cutter *c); /* emits what waits, except an incomplete character */
void log_cutter_free(struct log_cutter *c);  /* flushes all */

#endif
