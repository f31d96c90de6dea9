/* SPDX-License-Identifier: Apache-2.0 */
/* See http_parts.h. */
#include "net/http_parts.h"

#include "base/mem.h"
#include "net/conn_parts.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RETRY_AFTER_MAX_MS \
	600000 /* a maintenance may end early: whoever said a day is asked again */

static bool is_clean(const char *s, bool spaces)
{
	for (; *s; s++)
		if ((unsigned char)*s < (spaces ? 0x20 : 0x21) || *s == 0x7f)
			return false;
	return true;
}

static bool is_name(const char *s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(others, *s))
			return false;
	return true;
}

static bool wants_length(const struct http_request *req)
{
	return req->body.n > 0 || strcmp(req->method, "POST") == 0 ||
	       strcmp(req->method, "PUT") == 0 || strcmp(req->method, "PATCH") == 0;
}

static int check(const struct http_request *req, const char *target, struct err *e)
{
	if (!is_name(req->method))
		return err_set(e, ERR_USAGE, 0, "HTTP request: bad method");
	if (target[0] != '/' || !is_clean(target, false))
		return err_set(
			e, ERR_USAGE, 0,
			"HTTP request: the path has a space or control character, or no leading slash");
	for (size_t i = 0; i < req->n_fields; i++) {
		if (!is_name(req->fields[i].name))
			return err_set(e, ERR_USAGE, 0, "HTTP request: bad header name");
		if (!is_clean(req->fields[i].value, true))
			return err_set(e, ERR_USAGE, 0,
			               "HTTP request: header %s: control character in its value",
			               req->fields[i].name);
	}
	return 0;
}

int http_request_head(struct buf *out, const struct http_request *req, const char *target,
                      const struct conn_target *t, const char *user_agent, struct err *e)
{
	bool absolute = t->proxy && !t->command && !t->tunnel &&
	                strcmp(t->url->scheme, "http") == 0;

	if (check(req, target, e) < 0)
		return -1;
	buf_addf(out, "%s ", req->method);
	if (absolute)
		url_origin(t->url, out);
	buf_addf(out, "%s HTTP/1.1\r\nHost: ", target);
	url_host_header(t->url, out);
	if (user_agent)
		buf_addf(out, "\r\nUser-Agent: %s", user_agent);
	if (absolute && t->proxy->user) {
		buf_adds(out, "\r\nProxy-Authorization: ");
		proxy_authorization(t->proxy, out);
	}
	for (size_t i = 0; i < req->n_fields; i++)
		buf_addf(out, "\r\n%s: %s", req->fields[i].name, req->fields[i].value);
	if (req->content_type)
		buf_addf(out, "\r\nContent-Type: %s", req->content_type);
	if (req->body_source)
		buf_adds(out, "\r\nTransfer-Encoding: chunked");
	else if (wants_length(req))
		buf_addf(out, "\r\nContent-Length: %zu", req->body.n);
	if (req->upgrade)
		buf_adds(out, "\r\nConnection: Upgrade");
	else if (req->no_keep_alive)
		buf_adds(out, "\r\nConnection: close");
	buf_adds(out, "\r\n\r\n");
	return 0;
}

static bool month(struct str s, int *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; s.n == 3 && i < 12; i++) {
		if (strncasecmp(names + 3 * i, s.p, 3) == 0) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool number(struct str s, int64_t max, int *out)
{
	int64_t v;

	if (!s.n || !isdigit((unsigned char)s.p[0]) || !str_to_i64(s, 0, max, &v))
		return false;
	*out = (int)v;
	return true;
}

bool http_date_parse(struct str s, int64_t *seconds)
{
	struct str w[9];
	size_t n = 0;
	struct tm tm = { 0 };
	bool asctime, ok;

	while (s.n && n < ARRAY_LEN(w)) {
		size_t len = 0;

		while (len < s.n && !strchr(" ,:-\t", s.p[len]))
			len++;
		if (len)
			w[n++] = (struct str){ s.p, len };
		len += len < s.n;
		s.p += len;
		s.n -= len;
	}
	/* Sun 06 Nov 1994 08 49 37 GMT; asctime: Sun Nov 6 08 49 37 1994 */
	if (n != 7 && n != 8)
		return false;
	asctime = n == 7;
	ok = month(w[asctime ? 1 : 2], &tm.tm_mon) && number(w[asctime ? 2 : 1], 31, &tm.tm_mday) &&
	     number(w[asctime ? 6 : 3], 9999, &tm.tm_year) &&
	     number(w[asctime ? 3 : 4], 23, &tm.tm_hour) &&
	     number(w[asctime ? 4 : 5], 59, &tm.tm_min) &&
	     number(w[asctime ? 5 : 6], 60, &tm.tm_sec) && (asctime || str_eq(w[7], "GMT"));
	if (!ok)
		return false;
	if (w[asctime ? 6 : 3].n == 2) /* RFC 850: the century is ours to guess */
		tm.tm_year += tm.tm_year < 70 ? 2000 : 1900;
	tm.tm_year -= 1900;
	*seconds = (int64_t)timegm(&tm);
	return true;
}

int64_t http_retry_after(const struct http_head *h)
{
	struct str v = http_head_get(h, "Retry-After");
	int64_t at, now, s;

	if (!v.n)
		return -1;
	if (isdigit((unsigned char)v.p[0])) {
		for (size_t i = 0; i < v.n; i++)
			if (!isdigit((unsigned char)v.p[i]))
				return -1;
		if (!str_to_i64(v, 0, RETRY_AFTER_MAX_MS / 1000, &s))
			s = RETRY_AFTER_MAX_MS / 1000;
		return s * 1000;
	}
	if (!http_date_parse(v, &at))
		return -1;
	/* Our clock may be wrong; the peer's own says how long it meant. */
	if (!http_date_parse(http_head_get(h, "Date"), &now))
		now = clock_wall_ms() / 1000;
	if (at <= now)
		return 0;
	return at - now > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (at - now) * 1000;
}

/* The URL asked, as http or https whatever the transport is. */
static int asked_url(const struct conn_target *t, const char *target, struct url *out,
                     struct err *e)
{
	bool tls = url_is_tls(t->url) || (t->tls && strcmp(t->url->scheme, "tcp") == 0);
	struct buf b = { 0 };
	struct url origin;
	int rc;

	buf_adds(&b, tls ? "https://" : "http://");
	if (t->url->port == 0)
		buf_adds(&b, "localhost");
	else if (strchr(t->url->host, ':'))
		buf_addf(&b, "[%s]:%u", t->url->host, t->url->port);
	else
		buf_addf(&b, "%s:%u", t->url->host, t->url->port);
	rc = url_parse(buf_str(&b), &origin, e);
	buf_free(&b);
	if (rc < 0)
		return -1;
	rc = url_resolve(&origin, str_of(target), out, e);
	url_free(&origin);
	return rc;
}

int http_redirect(const struct conn_target *t, const char *method, const char *target,
                  const struct http_reply *r, struct buf *next, struct err *e)
{
	bool safe = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	struct url from = { 0 }, to = { 0 };
	struct buf shown = { 0 };
	int rc = -1;

	if (asked_url(t, target, &from, e) < 0)
		return -1;
	if (url_resolve(&from, http_head_get(&r->h, "Location"), &to, e) < 0) {
		err_wrap(e, "HTTP %d redirect", r->status);
		goto out;
	}
	url_display(&to, &shown);
	if (!url_same_origin(&from, &to)) {
		err_set(e, ERR_HTTP, r->status,
		        "HTTP %d redirects to %s, another origin: configure that URL if it is right",
		        r->status, buf_cstr(&shown));
	} else if (!safe && r->status != 307 && r->status != 308) {
		err_set(e, ERR_HTTP, r->status,
		        "HTTP %d redirects %s to %s: configure the URL it leads to", r->status,
		        method, buf_cstr(&shown));
	} else {
		buf_reset(next);
		buf_adds(next, to.path[0] ? to.path : "/");
		if (to.query)
			buf_addf(next, "?%s", to.query);
		rc = 1;
	}
out:
	buf_free(&shown);
	url_free(&from);
	url_free(&to);
	return rc;
}
