/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's own log: one line and one write(2) each, to stderr. Control bytes are escaped.
 * State is process-wide on purpose (level, sink), set once at start. errno is kept.
 *
 *	2026-01-02T03:04:05Z INFO  connected to api.example
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/attr.h"
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Level from logrus names: panic fatal error → error, warn(ing), info, debug trace. */
bool log_level_parse(struct str s, enum log_level *out);
void log_set_level(enum log_level level);
/* Called with each text after masking (no time stamp, no level, no newline), besides the write to
 * stderr; used to send the runner's log to the Server and the local log file. What the sink itself
 * logs goes to stderr alone. NULL removes it. */
void log_set_sink(void (*sink)(void *arg, enum log_level level, struct str line), void *arg);
/* One JSON object a line in place of text: {"time":"2026-01-02T03:04:05.678Z","level":"info","msg":"…"}. */
void log_set_json(bool on);
/* Journal: standard error, each line with the level as systemd reads it and no stamp. Syslog: datagrams to /dev/log, and
 * standard error where nobody takes them. */
enum log_target { LOG_TO_STDERR, LOG_TO_JOURNAL, LOG_TO_SYSLOG };
void log_set_target(enum log_target target);
/* When false nothing goes to stderr (the sink alone). */
void log_to_stderr(bool on);

/* For applets: "daytona-runner <who>: <text>" (who may be NULL) to stderr, masked, one write. No stamp, no sink. */
void log_say(const char *who, const char *text);

void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
