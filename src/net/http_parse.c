/* SPDX-License-Identifier: Apache-2.0 */
/* See http_parse.h. */
#include "net/http_parse.h"

#include <string.h>
#include <strings.h>

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static struct str trim_blanks(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The next line without its CRLF: 1 found, 0 incomplete, -1 not ended by CRLF. */
static int next_line(struct str bytes, size_t *pos, struct str *line, struct err *e)
{
	const char *from = bytes.p + *pos;
	const char *lf = bytes.n > *pos ? memchr(from, '\n', bytes.n - *pos) : NULL;

	if (!lf)
		return 0;
	if (lf == from || lf[-1] != '\r')
		return err_set(e, ERR_PARSE, 0, "HTTP head: a line ends without CR");
	*line = (struct str){ from, (size_t)(lf - from) - 1 };
	*pos += line->n + 2;
	for (size_t i = 0; i < line->n; i++)
		if (is_control(line->p[i]))
			return err_set(e, ERR_PARSE, 0, "HTTP head: control character 0x%02x",
			               (unsigned char)line->p[i]);
	return 1;
}

static int parse_version(struct str s, struct http_head *h, struct err *e)
{
	if (s.n != 8 || !str_starts(s, "HTTP/1.") || (s.p[7] != '0' && s.p[7] != '1'))
		return err_set(e, ERR_PARSE, 0, "not HTTP/1.1: \"%.*s\"", s.n > 16 ? 16 : (int)s.n,
		               s.p);
	h->minor = s.p[7] - '0';
	return 0;
}

static int parse_status_line(struct str line, struct http_head *h, struct err *e)
{
	int64_t status;

	if (parse_version((struct str){ line.p, line.n < 8 ? line.n : 8 }, h, e) < 0)
		return -1;
	if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' ') ||
	    line.p[9] < '1' || !str_to_i64((struct str){ line.p + 9, 3 }, 100, 999, &status))
		return err_set(e, ERR_PARSE, 0, "HTTP status line: \"%.*s\"",
		               line.n > 40 ? 40 : (int)line.n, line.p);
	h->status = (int)status;
	if (line.n > 13)
		h->reason = (struct str){ line.p + 13, line.n - 13 };
	return 0;
}

static int parse_request_line(struct str line, struct http_head *h, struct err *e)
{
	const char *sp = line.n ? memchr(line.p, ' ', line.n) : NULL;
	const char *last = line.n ? memrchr(line.p, ' ', line.n) : NULL;

	if (!sp || sp == last)
		return err_set(e, ERR_PARSE, 0, "HTTP request line without three parts");
	h->method = (struct str){ line.p, (size_t)(sp - line.p) };
	h->target = (struct str){ sp + 1, (size_t)(last - sp) - 1 };
	if (!is_token(h->method))
		return err_set(e, ERR_PARSE, 0, "HTTP request line: bad method");
	if (h->target.n == 0 || memchr(h->target.p, ' ', h->target.n) ||
	    memchr(h->target.p, '\t', h->target.n))
		return err_set(e, ERR_PARSE, 0, "HTTP request line: bad target");
	return parse_version((struct str){ last + 1, line.n - (size_t)(last + 1 - line.p) }, h, e);
}

static int parse_header(struct str line, struct http_head *h, struct err *e)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct http_header *to;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return err_set(e, ERR_PARSE, 0, "HTTP head: folded header");
	if (!colon || !is_token((struct str){ line.p, (size_t)(colon - line.p) }))
		return err_set(e, ERR_PARSE, 0, "HTTP head: no header name in \"%.*s\"",
		               line.n > 32 ? 32 : (int)line.n, line.p);
	if (h->n_headers == HTTP_HEADERS_MAX)
		return err_set(e, ERR_LIMIT, 0, "HTTP head: more than %d headers",
		               HTTP_HEADERS_MAX);
	to = &h->headers[h->n_headers++];
	to->name = (struct str){ line.p, (size_t)(colon - line.p) };
	to->value = trim_blanks((struct str){ colon + 1, line.n - to->name.n - 1 });
	return 0;
}

struct str http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (str_ieq(h->headers[i].name, name))
			return h->headers[i].value;
	return (struct str){ 0 };
}

bool http_head_websocket(const struct http_head *h)
{
	return h->upgrade && str_ieq(http_head_get(h, "Upgrade"), "websocket");
}

/* Is word in the comma-separated lists of all headers of that name? */
static bool list_has(const struct http_head *h, const char *name, const char *word)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value, item;

		if (!str_ieq(h->headers[i].name, name))
			continue;
		while (str_next(&rest, ',', &item))
			if (str_ieq(trim_blanks(item), word))
				return true;
	}
	return false;
}

/* Sets *has and *length; the same length twice is harmless, two lengths are not (RFC 9112 6.3). */
static int content_length(const struct http_head *h, bool *has, uint64_t *length, struct err *e)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str v = h->headers[i].value;
		int64_t n;

		if (!str_ieq(h->headers[i].name, "Content-Length"))
			continue;
		if (v.n == 0 || v.p[0] == '+' || v.p[0] == '-' || !str_to_i64(v, 0, INT64_MAX, &n))
			return err_set(e, ERR_PARSE, 0, "HTTP head: Content-Length \"%.*s\"",
			               v.n > 32 ? 32 : (int)v.n, v.p);
		if (*has && *length != (uint64_t)n)
			return err_set(e, ERR_PARSE, 0, "HTTP head: two different Content-Length");
		*has = true;
		*length = (uint64_t)n;
	}
	return 0;
}

static int transfer_encoding(const struct http_head *h, bool *chunked, struct err *e)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str v = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, "Transfer-Encoding"))
			continue;
		if (*chunked || !str_ieq(v, "chunked"))
			return err_set(e, ERR_PARSE, 0,
			               "HTTP head: Transfer-Encoding \"%.*s\" is not chunked",
			               v.n > 32 ? 32 : (int)v.n, v.p);
		*chunked = true;
	}
	return 0;
}

static int frame(struct http_head *h, bool request, struct err *e)
{
	bool has_length = false, chunked = false;

	if (content_length(h, &has_length, &h->length, e) < 0 ||
	    transfer_encoding(h, &chunked, e) < 0)
		return -1;
	if (chunked && request && (has_length || h->minor == 0))
		return err_set(e, ERR_PARSE, 0,
		               "HTTP head: Transfer-Encoding beside Content-Length or in HTTP/1.0");
	if (chunked) {
		h->framing = HTTP_CHUNKED;
		if (has_length || h->minor == 0)
			h->keep_alive = false;
	} else if (has_length) {
		h->framing = HTTP_LENGTH;
	} else if (request) {
		h->framing = HTTP_NO_BODY;
	} else {
		h->framing = HTTP_UNTIL_CLOSE;
		h->keep_alive = false;
	}
	return 0;
}

/* RFC 9112 6.3: method and status decide first, whatever the headers say. */
static bool never_has_body(const char *method, int status)
{
	return status < 200 || status == 204 || status == 304 || strcmp(method, "HEAD") == 0 ||
	       (strcmp(method, "CONNECT") == 0 && status < 300);
}

/* method NULL: a request. */
static long parse_head(struct str bytes, const char *method, struct http_head *h, struct err *e)
{
	struct str all = bytes, line = { 0 };
	size_t pos = 0;
	bool first = true;
	int rc;

	memset(h, 0, sizeof(*h));
	if (bytes.n > HTTP_HEAD_MAX)
		bytes.n = HTTP_HEAD_MAX;
	while ((rc = next_line(bytes, &pos, &line, e)) > 0) {
		if (first && line.n == 0 && !method && pos == 2)
			continue; /* one empty line before a request is allowed: RFC 9112 2.2 */
		if (!first && line.n == 0)
			break;
		if (first)
			rc = method ? parse_status_line(line, h, e)
			            : parse_request_line(line, h, e);
		else
			rc = parse_header(line, h, e);
		if (rc < 0)
			return -1;
		first = false;
	}
	if (rc < 0)
		return -1;
	if (rc == 0 && all.n >= HTTP_HEAD_MAX)
		return err_set(e, ERR_LIMIT, 0, "HTTP head: longer than %d bytes", HTTP_HEAD_MAX);
	if (rc == 0)
		return 0;
	h->upgrade = list_has(h, "Connection", "upgrade");
	h->keep_alive = !list_has(h, "Connection", "close") &&
	                (h->minor == 1 || list_has(h, "Connection", "keep-alive"));
	if (method && never_has_body(method, h->status))
		h->framing = HTTP_NO_BODY;
	else if (frame(h, !method, e) < 0)
		return -1;
	return (long)pos;
}

long http_parse_request(struct str bytes, struct http_head *h, struct err *e)
{
	return parse_head(bytes, NULL, h, e);
}

long http_parse_response(struct str bytes, const char *method, struct http_head *h, struct err *e)
{
	return parse_head(bytes, method, h, e);
}
