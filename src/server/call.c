/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body and query, and answers in the reference's forms (protocol 2). See srv.h. */
#include "server/srv.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "server/goscan.h"

#include <stdarg.h>

#define TYPE_JSON "application/json; charset=utf-8"
#define TYPE_TEXT "text/plain; charset=utf-8"

static void reply(struct call *c, int status, const char *type, struct str body)
{
	struct buf fields = { 0 };

	buf_addf(&fields, "X-Server-Version: %s\r\n", c->s->opt.version);
	httpd_respond(c->r, status, type, buf_cstr(&fields), body);
	buf_free(&fields);
}

void reply_empty(struct call *c, int status)
{
	reply(c, status, NULL, (struct str){ NULL, 0 });
}

void reply_json(struct call *c, int status, struct buf *json)
{
	reply(c, status, TYPE_JSON, buf_str(json));
	buf_wipe(json);
}

void reply_text(struct call *c, int status, const char *text)
{
	reply(c, status, TYPE_TEXT, str_of(text));
}

void reply_error(struct call *c, int status, const char *fmt, ...)
{
	struct buf body = { 0 }, text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	jw_obj(&body);
	jw_kstr(&body, "error", buf_cstr(&text));
	jw_obj_end(&body);
	/* The reference has sent its head when the body is made: JSON, but called plain text. */
	reply(c, status, TYPE_TEXT, buf_str(&body));
	buf_free(&text);
	buf_free(&body);
}

/* Invalid bytes become U+FFFD, as in the reference. */
static void add_valid(struct buf *b, struct str s)
{
	while (s.n) {
		int len = str_utf8_len(s.p, s.n);

		if (len > 0)
			buf_add(b, s.p, (size_t)len);
		else
			buf_adds(b, "\xef\xbf\xbd");
		size_t step = len > 0 ? (size_t)len : 1;

		s.p += step;
		s.n -= step;
	}
}

bool call_body(struct call *c, const struct dto *d, struct json *root)
{
	struct buf why = { 0 }, text = { 0 };
	struct err e = { 0 };
	size_t n = goscan_value(c->r->body, &why);

	if (n) {
		add_valid(&text, (struct str){ c->r->body.p, n });
		c->doc = json_parse(buf_str(&text), 4 * (size_t)JSON_BODY_MAX, &e);
		if (!c->doc)
			buf_adds(&why, e.msg);
	}
	if (c->doc && dto_check(d, json_root(c->doc), &why))
		*root = json_root(c->doc);
	bool ok = why.n == 0;

	if (!ok)
		reply_error(c, 400, "%s", buf_cstr(&why));
	buf_free(&why);
	buf_wipe(&text);
	return ok;
}

bool call_query(struct call *c, const char *name, struct buf *out)
{
	return httpd_query_get(c->r->query, name, out);
}

bool call_query_true(struct call *c, const char *name)
{
	struct buf value = { 0 };
	bool yes = call_query(c, name, &value) && str_eq(buf_str(&value), "true");

	buf_free(&value);
	return yes;
}

bool call_force(struct call *c, bool *force)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "", "0", "f", "F", "FALSE", "false", "False" };
	struct buf value = { 0 };
	bool known = false;

	*force = false;
	call_query(c, "force", &value);
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		*force = *force || str_eq(buf_str(&value), yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		known = known || str_eq(buf_str(&value), no[i]);
	buf_free(&value);
	if (!*force && !known)
		reply_error(c, 400, "invalid value for force flag");
	return *force || known;
}

/* A Host header becomes part of scripts and URLs: only what names and addresses are made of. */
static bool plain_host(struct str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char ch = host.p[i];
		bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
		          (ch >= 'A' && ch <= 'Z') || (ch && strchr(".-_:[]", ch));

		if (!ok)
			return false;
	}
	return host.n > 0 && host.n < 256;
}

void call_base_url(struct call *c, struct buf *out)
{
	struct str host = http_head_get(c->r->head, "Host");
	bool https = c->r->tls || str_eq(http_head_get(c->r->head, "X-Forwarded-Proto"), "https");

	if (c->s->opt.public_url)
		buf_adds(out, c->s->opt.public_url);
	else if (plain_host(host))
		buf_addf(out, "http%s://%.*s", https ? "s" : "", STR_ARG(host));
}
