/* SPDX-License-Identifier: Apache-2.0 */
/* See url.h. */
#include "net/url.h"

#include "base/mem.h"
#include "net/ip.h"

#include <ctype.h>
#include <string.h>

#define URL_MAX 4096
#define HOST_MAX 253

static const struct {
	const char *name;
	uint16_t port;
	bool tls;
} schemes[] = {
	{ "http", 80, false }, { "https", 443, true }, { "ws", 80, false },
	{ "wss", 443, true },  { "tcp", 2375, false }, { "unix", 0, false },
};

static size_t scheme_find(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_LEN(schemes) && (!name || strcmp(schemes[i].name, name) != 0))
		i++;
	return i;
}

void url_free(struct url *u)
{
	free(u->scheme);
	free(u->user);
	mem_free_secret(u->password);
	free(u->host);
	free(u->path);
	free(u->query);
	*u = (struct url){ 0 };
}

/* What messages may show of a text that is no URL yet: nothing between "//" and the last '@'
 * before the path, nothing unprintable, not all of it. */
static void show(struct str s, struct buf *out)
{
	struct buf shown = { 0 };
	const char *slashes = str_find(s, "//");
	size_t from = slashes ? (size_t)(slashes - s.p) + 2 : 0;
	size_t end = from, at = 0;

	while (end < s.n && !strchr("/?#", s.p[end]))
		end++;
	for (size_t i = from; i < end; i++)
		if (s.p[i] == '@')
			at = i + 1;
	buf_add(&shown, s.p, from);
	if (at)
		buf_adds(&shown, "***@");
	else
		at = from;
	buf_add(&shown, s.p + at, s.n - at);
	if (shown.n > 200)
		shown.n = 200;
	buf_add_printable(out, buf_str(&shown), false);
	buf_free(&shown);
}

static int refuse(struct str s, struct err *e, const char *why)
{
	struct buf shown = { 0 };

	show(s, &shown);
	err_set(e, ERR_CONFIG, 0, "URL %s: %s", buf_cstr(&shown), why);
	buf_free(&shown);
	return -1;
}

static char *dup_decoded(struct str s)
{
	struct buf b = { 0 };

	if (!buf_add_urldec(&b, s, false) || memchr(buf_cstr(&b), '\0', b.n)) {
		buf_wipe(&b);
		return NULL;
	}
	return buf_take(&b);
}

static const char *parse_userinfo(struct str s, struct url *u)
{
	const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
	struct str user = s, password = { 0 };

	if (colon) {
		user.n = (size_t)(colon - s.p);
		password = (struct str){ colon + 1, s.n - user.n - 1 };
	}
	u->user = dup_decoded(user);
	u->password = colon ? dup_decoded(password) : NULL;
	if (!u->user || (colon && !u->password))
		return "the part before '@' is not percent-encoded correctly";
	return NULL;
}

/* A last label of digits alone is a mistyped IPv4 address, never a name (RFC 3696 section 2). */
static bool is_bad_ip4(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot ? dot + 1 : host;

	return *last && strspn(last, "0123456789") == strlen(last);
}

static const char *parse_host(struct str s, struct url *u)
{
	bool bracketed = s.n && s.p[0] == '[';
	unsigned char ip[IP_MAX_BYTES];
	char *host;

	if (bracketed) {
		if (s.n < 4 || s.p[s.n - 1] != ']')
			return "the IPv6 address has no closing bracket";
		s.p++;
		s.n -= 2;
	}
	if (s.n == 0)
		return "no host name";
	if (s.n > HOST_MAX)
		return "the host name is too long";
	host = u->host = mem_dupn(s.p, s.n);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)host[i];

		if (c >= 0x80)
			return "the host name is not ASCII; write it in its xn-- form";
		if (!isalnum(c) && !strchr(bracketed ? ".:" : ".-_", c))
			return "the host name has a character that cannot be in one";
		host[i] = (char)tolower(c);
	}
	u->host_is_ip = ip_parse(str_of(host), ip) > 0;
	if (bracketed && !(u->host_is_ip && strchr(host, ':')))
		return "not an IPv6 address";
	if (!u->host_is_ip && is_bad_ip4(host))
		return "not an IPv4 address";
	if (host[0] == '.' || strstr(host, ".."))
		return "the host name has an empty part";
	return NULL;
}

static const char *parse_authority(struct str s, struct url *u, uint16_t default_port)
{
	const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
	const char *why;
	size_t host_n;
	int64_t port;

	if (at) {
		why = parse_userinfo((struct str){ s.p, (size_t)(at - s.p) }, u);
		if (why)
			return why;
		s.n -= (size_t)(at + 1 - s.p);
		s.p = at + 1;
	}
	host_n = s.n;
	if (s.n && s.p[0] == '[') {
		const char *close = memchr(s.p, ']', s.n);

		host_n = close ? (size_t)(close + 1 - s.p) : s.n;
	} else {
		const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;

		if (colon)
			host_n = (size_t)(colon - s.p);
		if (colon && memchr(colon + 1, ':', s.n - host_n - 1))
			return "write an IPv6 address in brackets: [::1]";
	}
	why = parse_host((struct str){ s.p, host_n }, u);
	if (why)
		return why;
	u->port = default_port;
	s.p += host_n;
	s.n -= host_n;
	if (s.n == 0 || (s.n == 1 && s.p[0] == ':'))
		return NULL;
	s.p++;
	s.n--;
	if (s.p[-1] != ':' || s.p[0] == '+' || s.p[0] == '-' || !str_to_i64(s, 1, 65535, &port))
		return "the port is not a number from 1 to 65535";
	u->port = (uint16_t)port;
	u->port_given = true;
	return NULL;
}

static const char *parse_parts(struct str s, struct url *u)
{
	const char *colon = str_find(s, "://");
	struct str rest, path;
	const char *mark, *why;
	size_t scheme;

	if (!colon)
		return "no scheme; it begins with http:// or https://";
	u->scheme = mem_dupn(s.p, (size_t)(colon - s.p));
	for (char *c = u->scheme; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	scheme = scheme_find(u->scheme);
	if (scheme == ARRAY_LEN(schemes))
		return "unknown scheme; it is one of http, https, ws, wss, tcp, unix";
	rest = (struct str){ colon + 3, s.n - (size_t)(colon + 3 - s.p) };
	if (strcmp(u->scheme, "unix") == 0) {
		u->host = mem_dup("");
		u->path = mem_dupn(rest.p, rest.n);
		return rest.n && rest.p[0] == '/' ? NULL
		                                  : "the socket's path does not begin with /";
	}
	mark = memchr(rest.p, '#', rest.n);
	if (mark)
		rest.n = (size_t)(mark - rest.p);
	mark = memchr(rest.p, '?', rest.n);
	path = rest;
	if (mark) {
		path.n = (size_t)(mark - rest.p);
		u->query = mem_dupn(mark + 1, rest.n - path.n - 1);
	}
	mark = path.n ? memchr(path.p, '/', path.n) : NULL;
	why = parse_authority((struct str){ path.p, mark ? (size_t)(mark - path.p) : path.n }, u,
	                      schemes[scheme].port);
	if (why)
		return why;
	u->path = mark ? mem_dupn(mark, path.n - (size_t)(mark - path.p)) : mem_dup("");
	return NULL;
}

static int parse(struct str s, struct url *u, struct err *e)
{
	const char *why = NULL;

	*u = (struct url){ 0 };
	s = str_trim(s);
	if (s.n == 0)
		return err_set(e, ERR_CONFIG, 0, "the URL is empty");
	if (s.n > URL_MAX)
		return err_set(e, ERR_CONFIG, 0, "the URL is longer than %d bytes", URL_MAX);
	for (size_t i = 0; i < s.n && !why; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			why = "it has a space or control character inside";
	if (!why)
		why = parse_parts(s, u);
	if (!why)
		return 0;
	url_free(u);
	return refuse(s, e, why);
}

int url_parse(struct str s, struct url *u, struct err *e)
{
	size_t n;

	if (parse(s, u, e) < 0)
		return -1;
	for (n = strlen(u->path); n > 0 && u->path[n - 1] == '/'; n--)
		u->path[n - 1] = '\0';
	if (strcmp(u->scheme, "unix") == 0 && n == 0) {
		url_free(u);
		return refuse(str_trim(s), e, "the socket's path is empty");
	}
	return 0;
}

bool url_is_tls(const struct url *u)
{
	size_t i = scheme_find(u->scheme);

	return i < ARRAY_LEN(schemes) && schemes[i].tls;
}

bool url_is_loopback(const struct url *u)
{
	static const unsigned char four_in_six[12] = { [10] = 0xff, 0xff }, one[16] = { [15] = 1 };
	struct str host = str_of(u->host);
	unsigned char ip[IP_MAX_BYTES];

	if (!u->scheme) /* none was read */
		return false;
	if (strcmp(u->scheme, "unix") == 0)
		return true;
	switch (ip_parse(host, ip)) {
	case 4:
		return ip[0] == 127;
	case 16:
		return memcmp(ip, one, sizeof(one)) == 0 ||
		       (memcmp(ip, four_in_six, sizeof(four_in_six)) == 0 && ip[12] == 127);
	default:
		return host_is_localhost(host);
	}
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	if (strcmp(a->scheme, b->scheme) != 0 || strcmp(a->host, b->host) != 0 ||
	    a->port != b->port)
		return false;
	return a->port != 0 || strcmp(a->path, b->path) == 0;
}

static void add_host(const struct url *u, struct buf *b)
{
	if (strchr(u->host, ':'))
		buf_addf(b, "[%s]", u->host);
	else
		buf_adds(b, u->host);
}

static void add_host_port(const struct url *u, struct buf *b)
{
	size_t i = scheme_find(u->scheme);

	add_host(u, b);
	if (i < ARRAY_LEN(schemes) && u->port != schemes[i].port)
		buf_addf(b, ":%u", u->port);
}

void url_origin(const struct url *u, struct buf *b)
{
	buf_addf(b, "%s://", u->scheme);
	if (u->port == 0)
		buf_adds(b, u->path);
	else
		add_host_port(u, b);
}

void url_display(const struct url *u, struct buf *b)
{
	url_origin(u, b);
	if (u->port == 0)
		return;
	buf_adds(b, u->path);
	if (u->query)
		buf_addf(b, "?%s", u->query);
}

void url_host_header(const struct url *u, struct buf *b)
{
	if (u->port == 0)
		buf_adds(b, "localhost");
	else
		add_host_port(u, b);
}

/* RFC 3986 5.2.4, on an absolute path. */
static void add_without_dots(struct buf *to, struct str path)
{
	struct str rest = path, seg;
	struct buf out = { 0 };
	bool dir = false;

	if (rest.n && rest.p[0] == '/') {
		rest.p++;
		rest.n--;
	}
	while (str_next(&rest, '/', &seg)) {
		dir = str_eq(seg, ".") || str_eq(seg, "..");
		if (str_eq(seg, "..")) {
			while (out.n && out.p[out.n - 1] != '/')
				out.n--;
			if (out.n)
				out.n--;
		} else if (!dir) {
			buf_addc(&out, '/');
			buf_add_str(&out, seg);
		}
	}
	if (dir || out.n == 0)
		buf_addc(&out, '/');
	buf_add_str(to, buf_str(&out));
	buf_free(&out);
}

/* The part of ref before the first of '?' and '#', and where that is. */
static size_t path_len(struct str ref)
{
	size_t n = 0;

	while (n < ref.n && ref.p[n] != '?' && ref.p[n] != '#')
		n++;
	return n;
}

static bool has_scheme(struct str s)
{
	size_t n = 0;

	while (n < s.n && (isalnum((unsigned char)s.p[n]) || strchr("+-.", s.p[n])))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':' && isalpha((unsigned char)s.p[0]);
}

int url_resolve(const struct url *base, struct str ref, struct url *out, struct err *e)
{
	struct buf text = { 0 }, path = { 0 };
	size_t n;
	int rc;

	ref = str_trim(ref);
	if (has_scheme(ref))
		return parse(ref, out, e);
	if (str_starts(ref, "//")) {
		buf_addf(&text, "%s:", base->scheme);
		buf_add_str(&text, ref);
		rc = parse(buf_str(&text), out, e);
		buf_free(&text);
		return rc;
	}
	url_origin(base, &text);
	n = path_len(ref);
	if (n == 0) {
		buf_adds(&text, base->path[0] ? base->path : "/");
		if (base->query && (ref.n == 0 || ref.p[0] == '#'))
			buf_addf(&text, "?%s", base->query);
	} else {
		if (ref.p[0] != '/') {
			const char *slash = strrchr(base->path, '/');

			buf_add(&path, base->path, slash ? (size_t)(slash - base->path) : 0);
			buf_addc(&path, '/');
		}
		buf_add(&path, ref.p, n);
		add_without_dots(&text, buf_str(&path));
	}
	buf_add(&text, ref.p + n, ref.n - n);
	rc = parse(buf_str(&text), out, e);
	buf_free(&path);
	buf_free(&text);
	return rc;
}

bool url_texts_match(const char *a, const char *b, bool path)
{
	struct url ua = { 0 }, ub = { 0 };
	struct err ignored = { 0 };
	bool same = a && b && url_parse(str_of(a), &ua, &ignored) == 0 &&
	            url_parse(str_of(b), &ub, &ignored) == 0 && url_same_origin(&ua, &ub) &&
	            (!path || strcmp(ua.path, ub.path) == 0);

	url_free(&ua);
	url_free(&ub);
	return same;
}

bool url_text_is_loopback(const char *text)
{
	struct url u = { 0 };
	struct err ignored = { 0 };
	bool is = text && url_parse(str_of(text), &u, &ignored) == 0 && url_is_loopback(&u);

	url_free(&u);
	return is;
}
