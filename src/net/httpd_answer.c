/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's answers: heads, bodies, files; and the reading of query strings. */
#include "base/file.h"
#include "base/mem.h"
#include "net/httpd_int.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define FILE_CHUNK 16384
#define WRITE_PER_STEP (256u << 10)

const char *httpd_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 301, "Moved Permanently" },
		{ 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Request Entity Too Large" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

void httpd_add_date(struct buf *b)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		buf_addf(b, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n",
		         &days[3 * tm.tm_wday], tm.tm_mday, &months[3 * tm.tm_mon],
		         tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void hconn_answers(struct hconn *c, int status, uint64_t length)
{
	c->h->answers[status / 100 - 1]++;
	c->status = status;
	c->length = length;
}

void hconn_done(struct hconn *c)
{
	uint64_t left = c->out.n + c->file_left;
	struct httpd_done d = {
		.method = buf_str(&c->method),
		.path = buf_str(&c->path),
		.who = buf_str(&c->who),
		.status = c->status,
		.bytes = left < c->length ? c->length - left : 0,
		.ms = c->began_ms ? clock_mono_ms() - c->began_ms : 0,
	};

	if (c->status && c->h->s.done)
		c->h->s.done(c->h->s.arg, &c->req, &d);
	c->status = 0;
	c->began_ms = 0;
	buf_free(&c->method);
	buf_free(&c->path);
	buf_free(&c->who);
}

void httpd_name(struct httpd_req *r, struct str who)
{
	struct hconn *c = hconn_of(r);

	buf_reset(&c->who);
	buf_add_str(&c->who, who);
}

void httpd_from(const struct httpd_req *r, char out[NET_ADDR_TEXT])
{
	const struct hconn *c = (const struct hconn *)(const void *)r;

	if (c->from.sa.sa_family == AF_UNIX)
		snprintf(out, NET_ADDR_TEXT, "unix");
	else
		net_addr_text(&c->from, out);
}

bool httpd_peer(const struct httpd_req *r, struct proc_id *peer, uid_t *uid)
{
	const struct hconn *c = (const struct hconn *)(const void *)r;

	*peer = c->process;
	*uid = c->uid;
	return c->uid != (uid_t)-1;
}

bool httpd_peer_ended(const struct httpd_req *r)
{
	struct pollfd p = { .fd = ((const struct hconn *)(const void *)r)->peer_fd,
		            .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void add_head(struct hconn *c, int status, const char *content_type, const char *fields,
                     uint64_t length)
{
	hconn_answers(c, status, c->no_body || status == 204 || status == 304 ? 0 : length);
	buf_addf(&c->out, "HTTP/1.1 %d %s\r\n", status, httpd_reason(status));
	if (content_type)
		buf_addf(&c->out, "Content-Type: %s\r\n", content_type);
	if (fields)
		buf_adds(&c->out, fields);
	httpd_add_date(&c->out);
	if (status != 204 && status != 304)
		buf_addf(&c->out, "Content-Length: %llu\r\n", (unsigned long long)length);
	if (!c->keep)
		buf_adds(&c->out, "Connection: close\r\n");
	else if (c->minor0)
		buf_adds(&c->out, "Connection: keep-alive\r\n");
	buf_adds(&c->out, "\r\n");
}

static void answer_begins(struct hconn *c)
{
	c->req.gone = NULL;
	c->state = H_ANSWER;
	c->until = deadline_in_ms(c->h->s.stall_ms);
	if (c->h->stepping != c) /* else it is written next */
		hconn_touch(c);
}

static void answer(struct hconn *c, int status, const char *content_type, const char *fields,
                   struct str body)
{
	struct buf all = { 0 };

	if (c->state != H_HANDLER)
		return;
	if (fields)
		buf_adds(&all, fields);
	if (c->h->s.fields)
		buf_adds(&all, c->h->s.fields);
	add_head(c, status, content_type, buf_cstr(&all), body.n);
	if (!c->no_body && status != 204 && status != 304)
		buf_add_str(&c->out, body);
	answer_begins(c);
	buf_free(&all);
}

void httpd_respond(struct httpd_req *r, int status, const char *content_type, const char *fields,
                   struct str body)
{
	answer(hconn_of(r), status, content_type, fields, body);
}

void httpd_respond_file(struct httpd_req *r, int status, const char *content_type,
                        const char *fields, int fd, uint64_t size)
{
	struct hconn *c = hconn_of(r);
	bool head_only = c->no_body;

	if (c->state != H_HANDLER) {
		fd_close(&fd);
		return;
	}
	if (c->h->n_files >= c->h->s.max_files) {
		fd_close(&fd);
		answer(c, 503, "text/plain; charset=utf-8", "Retry-After: 1\r\n",
		       STR_LIT("503 Service Unavailable: too many downloads\n"));
		return;
	}
	/* The length is the file's, the body comes later. */
	struct buf all = { 0 };

	if (fields)
		buf_adds(&all, fields);
	if (c->h->s.fields)
		buf_adds(&all, c->h->s.fields);
	add_head(c, status, content_type, buf_cstr(&all), size);
	buf_free(&all);
	answer_begins(c);
	if (head_only || !size) {
		fd_close(&fd);
		return;
	}
	c->file_fd = fd;
	c->file_left = size;
	c->h->n_files++;
}

void hconn_file_end(struct hconn *c)
{
	if (c->file_fd < 0)
		return;
	fd_close(&c->file_fd);
	c->h->n_files--;
}

void hconn_refuse(struct hconn *c, int status, const char *text)
{
	c->keep = false;
	buf_wipe(&c->head);
	buf_wipe(&c->body);
	add_head(c, status, "text/plain; charset=utf-8", NULL, strlen(text));
	buf_adds(&c->out, text);
	answer_begins(c);
}

/* The next piece of a file into out. False when the file became shorter than announced. */
static bool fill_from_file(struct hconn *c)
{
	size_t want = c->file_left < FILE_CHUNK ? (size_t)c->file_left : FILE_CHUNK;
	ssize_t n;

	do {
		n = read(c->file_fd, buf_reserve(&c->out, want), want);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	c->out.n += (size_t)n;
	c->file_left -= (uint64_t)n;
	if (!c->file_left)
		hconn_file_end(c);
	return true;
}

void hconn_flush(struct hconn *c)
{
	struct err e = { 0 };
	bool had = c->out.n > 0;
	size_t written = 0;

	while (c->state != H_DEAD && c->state != H_SETUP) {
		if (!c->out.n && c->file_left && !fill_from_file(c)) {
			hconn_drop(c);
			return;
		}
		if (!c->out.n)
			break;
		if (written >= WRITE_PER_STEP) {
			hconn_touch(c); /* others have their turn first */
			return;
		}
		/* TLS wants a write that had to wait repeated with the same length. */
		size_t want = c->again_n ? c->again_n : c->out.n;
		long n = conn_write(c->c, c->out.p, want, &e);

		c->again_n = n == CONN_AGAIN ? want : 0;
		if (n == CONN_AGAIN)
			return;
		if (n <= 0) {
			hconn_drop(c);
			return;
		}
		buf_drop(&c->out, (size_t)n);
		written += (size_t)n;
		if (c->state == H_ANSWER || c->state == H_WS || c->state == H_WS_END)
			c->until = deadline_in_ms(c->h->s.stall_ms);
	}
	if (c->state == H_WS) {
		c->until = DEADLINE_NEVER;
		if (had && c->ws->drained)
			c->ws->drained(&c->req);
	}
}

bool httpd_query_get(struct str query, const char *name, struct buf *out)
{
	struct str piece;
	bool found = false;

	while (!found && str_next(&query, '&', &piece)) {
		const char *eq = piece.n ? memchr(piece.p, '=', piece.n) : NULL;
		struct str key = { piece.p, eq ? (size_t)(eq - piece.p) : piece.n };
		struct str value = { piece.p + key.n, 0 };
		struct buf decoded = { 0 };

		if (eq)
			value = (struct str){ eq + 1, piece.n - key.n - 1 };
		if (buf_add_urldec(&decoded, key, true) && str_eq(buf_str(&decoded), name)) {
			found = buf_add_urldec(out, value, true);
			if (!found) {
				buf_free(&decoded);
				return false;
			}
		}
		buf_free(&decoded);
	}
	return found;
}
