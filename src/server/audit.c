/* SPDX-License-Identifier: Apache-2.0 */
/* See audit.h. */
#include "server/audit.h"

#include "base/deadline.h"
#include "base/jsonw.h"
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define KEPT_MAX (32u << 20) /* a file that is larger becomes FILE.1 */
#define WORD_SHOWN 1024

static bool is_stderr(const char *path)
{
	return strcmp(path, "-") == 0;
}

int access_check(const char *path, struct err *e)
{
	return is_stderr(path) ? 0 : log_append(path, (struct str){ NULL, 0 }, KEPT_MAX, e);
}

/* A pipe that says it can be written to takes PIPE_BUF bytes without waiting. */
static bool to_stderr(struct str line)
{
	struct pollfd p = { STDERR_FILENO, POLLOUT, 0 };

	return line.n <= PIPE_BUF && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
	       write(STDERR_FILENO, line.p, line.n) == (ssize_t)line.n;
}

static void add_time(struct buf *b)
{
	char stamp[TIME_TEXT_SIZE];

	time_rfc3339(clock_wall_ms(), false, false, stamp);
	buf_adds(b, stamp);
}

/* Only visible ASCII, and not too much, so that it stays one word; "-" for nothing. */
static void add_word(struct buf *b, struct str s)
{
	if (!s.n)
		buf_addc(b, '-');
	for (size_t i = 0; i < s.n && i < WORD_SHOWN; i++) {
		if (s.p[i] > ' ' && s.p[i] < 0x7f)
			buf_addc(b, s.p[i]);
		else
			buf_addf(b, "%%%02X", (unsigned char)s.p[i]);
	}
}

/* Bytes of an at sign at the front, however often it was encoded; 0: none. */
static size_t at_sign(struct str s)
{
	size_t n = 1;

	if (!s.n || s.p[0] == '@')
		return s.n ? 1 : 0;
	if (s.p[0] != '%')
		return 0;
	while (s.n - n >= 2 && s.p[n] == '2' && s.p[n + 1] == '5')
		n += 2;
	return s.n - n >= 2 && s.p[n] == '4' && s.p[n + 1] == '0' ? n + 2 : 0;
}

/* A segment may be a URL, and have a user and a password: nothing before its last at sign is shown. */
static void add_path(struct buf *b, struct str path)
{
	struct buf shown = { 0 };
	size_t begin = 0, n;

	for (size_t i = 0; i < path.n; i += n ? n : 1) {
		n = at_sign((struct str){ path.p + i, path.n - i });
		if (n) {
			buf_cut(&shown, begin);
			buf_adds(&shown, "***@");
			continue;
		}
		buf_addc(&shown, path.p[i]);
		if (path.p[i] == '/')
			begin = shown.n;
	}
	add_word(b, buf_str(&shown));
	buf_free(&shown);
}

void audit_who(struct buf *b, const struct rec *key)
{
	buf_addf(b, "%s/%s", rec_text(key, "type"), rec_text(key, "name"));
}

void access_done(void *arg, const struct httpd_req *r, const struct httpd_done *d)
{
	struct srv *s = arg;
	struct buf line = { 0 };
	struct err ignored = { 0 };
	char from[NET_ADDR_TEXT];

	httpd_from(r, from);
	add_time(&line);
	buf_addf(&line, " %s ", from);
	add_word(&line, d->method);
	buf_addc(&line, ' ');
	add_path(&line, d->path);
	buf_addf(&line, " %d %llu %lld ", d->status, (unsigned long long)d->bytes,
	         (long long)d->ms);
	add_word(&line, d->who);
	buf_addc(&line, '\n');
	if (is_stderr(s->opt.access_log)
	            ? !to_stderr(buf_str(&line))
	            : log_append(s->opt.access_log, buf_str(&line), KEPT_MAX, &ignored) < 0)
		s->lines_lost++;
	buf_free(&line);
}

static void add_caller(struct buf *b, const struct srv *s)
{
	const struct call *c = s->call;
	struct buf who = { 0 }, request = { 0 };
	char from[NET_ADDR_TEXT];

	if (!c) {
		jw_kstr(b, "who", s->who ? s->who : "server");
		return;
	}
	if (c->key)
		audit_who(&who, c->key);
	httpd_from(c->r, from);
	buf_addf(&request, "%.*s ", STR_ARG(c->r->method));
	add_path(&request, c->r->path);
	jw_kstr(b, "who", buf_cstr(&who));
	jw_kstr(b, "from", from);
	jw_kstr(b, "request", buf_cstr(&request));
	buf_free(&who);
	buf_free(&request);
}

void audit_committed(void *arg, struct str did)
{
	struct srv *s = arg;
	char *path = store_path(&s->store, AUDIT_FILE);
	struct buf line = { 0 }, time = { 0 };
	struct err e = { 0 };

	add_time(&time);
	jw_obj(&line);
	jw_kstr(&line, "time", buf_cstr(&time));
	add_caller(&line, s);
	jw_key(&line, "did");
	jw_raw(&line, did);
	jw_obj_end(&line);
	buf_addc(&line, '\n');
	if (log_append(path, buf_str(&line), KEPT_MAX, &e) == 0) {
		s->audit_fails = false;
	} else {
		s->lines_lost++;
		if (!s->audit_fails)
			log_warn("server: the audit log misses changes: %s", e.msg);
		s->audit_fails = true;
	}
	buf_free(&time);
	buf_free(&line);
	free(path);
}
