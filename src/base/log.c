/* SPDX-License-Identifier: Apache-2.0 */
/* See log.h. */
#include "base/log.h"

#include "base/buf.h"
#include "base/deadline.h"
#include "base/jsonw.h"
#include "base/mask.h"
#include "base/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define FACILITY_DAEMON (3 << 3)

static struct {
	enum log_level level;
	bool silent, json;
	enum log_target target;
	bool in_sink;
	bool colours_known;
	bool colours;
	void (*sink)(void *arg, enum log_level level, struct str line);
	void *arg;
} state = { .level = LOG_INFO };

static const struct {
	const char *label, *name;
	const char *colour;
	int severity; /* of syslog */
} levels[] = {
	[LOG_ERROR] = { "ERROR", "error", "\033[31m", 3 },
	[LOG_WARN] = { "WARN ", "warn", "\033[33m", 4 },
	[LOG_INFO] = { "INFO ", "info", "\033[32m", 6 },
	[LOG_DEBUG] = { "DEBUG", "debug", "\033[36m", 7 },
};

bool log_level_parse(struct str s, enum log_level *out)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {
		{ "panic", LOG_ERROR },  { "fatal", LOG_ERROR }, { "error", LOG_ERROR },
		{ "warning", LOG_WARN }, { "warn", LOG_WARN },   { "info", LOG_INFO },
		{ "debug", LOG_DEBUG },  { "trace", LOG_DEBUG },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_ieq(s, names[i].name)) {
			*out = names[i].level;
			return true;
		}
	}
	return false;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

void log_set_json(bool on)
{
	state.json = on;
}

void log_set_target(enum log_target target)
{
	state.target = target;
}

void log_set_sink(void (*sink)(void *arg, enum log_level level, struct str line), void *arg)
{
	state.sink = sink;
	state.arg = arg;
}

void log_to_stderr(bool on)
{
	state.silent = !on;
	state.colours_known = false;
}

static bool want_colours(void)
{
	if (!state.colours_known) {
		state.colours = out_colours(STDERR_FILENO);
		state.colours_known = true;
	}
	return state.colours;
}

static void write_stderr(struct str rest)
{
	while (rest.n) {
		ssize_t n = write(STDERR_FILENO, rest.p, rest.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nobody is left to be told */
		rest.p += n;
		rest.n -= (size_t)n;
	}
}

/* One datagram a line; a socket each, since log daemons are restarted, and jobs' processes log as well. */
static bool send_syslog(enum log_level level, struct str text)
{
	const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct buf b = { 0 };
	bool sent;

	if (fd < 0)
		return false;
	buf_addf(&b, "<%d>daytona-runner[%ld]: ", FACILITY_DAEMON | levels[level].severity,
	         (long)getpid());
	buf_add_str(&b, text);
	sent = sendto(fd, b.p, b.n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to)) >= 0;
	close(fd);
	buf_free(&b);
	return sent;
}

static void write_line(enum log_level level, struct str text)
{
	bool colours = state.target == LOG_TO_STDERR && want_colours();
	char stamp[TIME_TEXT_SIZE];
	struct buf line = { 0 };

	time_rfc3339(clock_wall_ms(), true, state.json, stamp);
	if (state.target == LOG_TO_JOURNAL)
		buf_addf(&line, "<%d>", levels[level].severity);
	if (state.json) {
		jw_obj(&line);
		jw_kstr(&line, "time", stamp);
		jw_kstr(&line, "level", levels[level].name);
		jw_key(&line, "msg");
		jw_str(&line, text);
		jw_obj_end(&line);
	} else {
		if (state.target == LOG_TO_STDERR)
			buf_addf(&line, "%s %s%s%s ", stamp, colours ? levels[level].colour : "",
			         levels[level].label, colours ? "\033[0m" : "");
		buf_add_str(&line, text);
	}
	buf_addc(&line, '\n');
	if (state.target != LOG_TO_SYSLOG ||
	    !send_syslog(level, (struct str){ line.p, line.n - 1 }))
		write_stderr(buf_str(&line));
	buf_free(&line);
}

void log_say(const char *who, const char *text)
{
	struct buf masked = { 0 }, line = { 0 };
	int saved = errno;

	mask_text(&masked, str_of(text));
	buf_addf(&line, "daytona-runner%s%s: ", who ? " " : "", who ? who : "");
	buf_add_printable(&line, buf_str(&masked), false);
	buf_addc(&line, '\n');
	write_stderr(buf_str(&line));
	buf_free(&line);
	buf_free(&masked);
	errno = saved;
}

static void emit(enum log_level level, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static void emit(enum log_level level, const char *fmt, va_list ap)
{
	struct buf raw = { 0 }, masked = { 0 }, text = { 0 };
	int saved = errno;
	bool cut;

	buf_addv(&raw, fmt, ap);
	mask_text(&masked, buf_str(&raw)); /* before the cut: half a secret is not recognised */
	cut = masked.n >= LINE_MAX_BYTES;
	buf_cut(&masked, LINE_MAX_BYTES - 1);
	buf_add_printable(&text, buf_str(&masked), false);
	if (cut)
		buf_adds(&text, " [cut]");
	if (!state.silent)
		write_line(level, buf_str(&text));
	if (state.sink && !state.in_sink) {
		state.in_sink = true;
		state.sink(state.arg, level, buf_str(&text));
		state.in_sink = false;
	}
	buf_wipe(&raw);
	buf_free(&text);
	buf_free(&masked);
	errno = saved;
}

#define DEFINE_LOG(name, level_) \
	void name(const char *fmt, ...) \
	{ \
		va_list ap; \
\
		if (state.level < (level_)) \
			return; \
		va_start(ap, fmt); \
		emit(level_, fmt, ap); \
		va_end(ap); \
	}

DEFINE_LOG(log_error, LOG_ERROR)
DEFINE_LOG(log_warn, LOG_WARN)
DEFINE_LOG(log_info, LOG_INFO)
DEFINE_LOG(log_debug, LOG_DEBUG)
