/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: requests given whole, split at every byte, and pipelined; slow and late ones. */
#include "base/file.h"
#include "tests/unit/httpdcase.h"

#include <sys/un.h>

#define ANSWER \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-B: c\r\nX-S: t\r\nContent-Length: 5\r\n"
#define REFUSED(status, length) \
	"HTTP/1.1 " status \
	"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " length \
	"\r\nConnection: close\r\n\r\n" status

static const struct {
	const char *request, *log, *reply;
	bool closed;
} exchanges[] = {
	{ "GET /a?b=c HTTP/1.1\r\n" H "\r\n", "GET /a?b=c [];", ANSWER "\r\nhello", false },
	{ "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "GET /? [];",
	  ANSWER "Connection: close\r\n\r\nhello", true },
	{ "GET / HTTP/1.0\r\n\r\n", "GET /? [];", ANSWER "Connection: close\r\n\r\nhello", true },
	{ "HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD /? [];", ANSWER "\r\n", false },
	{ "GET /204 HTTP/1.1\r\n" H "\r\n", "GET /204? [];",
	  "HTTP/1.1 204 No Content\r\nX-S: t\r\n\r\n", false },
	{ "POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "POST /p? [abc];",
	  ANSWER "\r\nhello", false },
	{ "POST /p HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: u\r\n\r\n",
	  "POST /p? [abc];", ANSWER "\r\nhello", false },
	{ "GET http://h:1/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y [];", ANSWER "\r\nhello", false },
	/* Two at once. */
	{ "GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H
	  "Content-Length: 1\r\nConnection: close\r\n\r\nz",
	  "GET /1? [];POST /2? [z];", ANSWER "\r\nhello" ANSWER "Connection: close\r\n\r\nhello",
	  true },
	/* Refusals. */
	{ "GET / HTTP/1.1\r\n\r\n", "",
	  REFUSED("400 Bad Request", "45") ": missing required Host header", true },
	{ "GET / HTTP/1.1\r\n" H "hOST: y\r\n\r\n", "",
	  REFUSED("400 Bad Request", "42") ": more than one Host header", true },
	{ "GET / HTTP/1.0\r\n" H H "\r\n", "",
	  REFUSED("400 Bad Request", "42") ": more than one Host header", true },
	{ "GET / HTTP/1.1\n", "", REFUSED("400 Bad Request", "15"), true },
	{ "GET noslash HTTP/1.1\r\n" H "\r\n", "", REFUSED("400 Bad Request", "15"), true },
	{ "POST / HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  "", REFUSED("400 Bad Request", "15"), true },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "",
	  REFUSED("400 Bad Request", "15"), true },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 65\r\n\r\n", "",
	  REFUSED("413 Request Entity Too Large", "28"), true },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n41\r\n"
	  "0123456789012345678901234567890123456789012345678901234567890123456789",
	  "", REFUSED("413 Request Entity Too Large", "28"), true },
	{ "GET /none HTTP/1.1\r\n" H "\r\n", "GET /none? [];",
	  REFUSED("500 Internal Server Error", "25"), true },
};

static void exchanges_whole_and_split(void)
{
	static const size_t pieces[] = { 100000, 1, 7 };
	struct httpd_settings s = { .fields = "X-S: t\r\n", .max_body = 64 };
	struct fixture f;

	fixture_open(&f, &s);
	for (size_t i = 0; i < TEST_N(exchanges); i++) {
		for (size_t p = 0; p < TEST_N(pieces); p++) {
			struct buf reply = { 0 };
			size_t n = strlen(exchanges[i].request);
			bool closed;

			TEST_ROW(i);
			buf_reset(&f.log);
			exchange(&f, exchanges[i].request, n, pieces[p] < n ? pieces[p] : n, &reply,
			         &closed);
			strip_date(&reply);
			CHECK_STR(buf_cstr(&f.log), exchanges[i].log);
			CHECK_STR(buf_cstr(&reply), exchanges[i].reply);
			CHECK_INT(closed, exchanges[i].closed);
			buf_free(&reply);
		}
	}
	CHECK(httpd_conns(f.h) == 0);
	fixture_close(&f);
}

static void cut_off_requests_leave_nothing(void)
{
	static const char request[] = "POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc";
	struct fixture f;

	fixture_open(&f, NULL);
	for (size_t n = 0; n + 1 < sizeof(request); n++) {
		struct buf reply = { 0 };
		bool closed;

		exchange(&f, request, n, n ? n : 1, &reply, &closed);
		CHECK(reply.n == 0);
		CHECK(httpd_conns(f.h) == 0);
		buf_free(&reply);
	}
	CHECK_STR(buf_cstr(&f.log), "");
	fixture_close(&f);
}

static void endless_head_is_refused(void)
{
	struct fixture f;
	struct buf reply = { 0 };
	char line[1024];
	bool closed;
	int fd;

	fixture_open(&f, NULL);
	fd = client(&f);
	memset(line, 'a', sizeof(line));
	for (int i = 0; i < 2000 && send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0; i++)
		turn(&f, 0);
	turn(&f, 2);
	receive(fd, &reply, &closed);
	CHECK(str_starts(buf_str(&reply), "HTTP/1.1 431 ") || (closed && !reply.n));
	close(fd);
	turn(&f, 2);
	CHECK(httpd_conns(f.h) == 0);
	buf_free(&reply);
	fixture_close(&f);
}

static void later_answers(void)
{
	static const char request[] = "GET /later HTTP/1.1\r\n" H "\r\n";
	struct fixture f;
	struct buf reply = { 0 };
	bool closed;
	int fd;

	fixture_open(&f, NULL);
	fd = client(&f);
	send_text(fd, request);
	turn(&f, 2);
	if (CHECK(f.kept != NULL))
		httpd_respond(f.kept, 200, NULL, NULL, STR_LIT("now"));
	turn(&f, 2);
	receive(fd, &reply, &closed);
	CHECK(str_ends(buf_str(&reply), "\r\n\r\nnow"));
	CHECK_INT(closed, false);
	CHECK_INT(f.gone, 0);
	/* Again on the same connection, which then goes away. */
	send_text(fd, request);
	turn(&f, 2);
	CHECK_INT(f.gone, 0);
	close(fd);
	turn(&f, 2);
	CHECK_INT(f.gone, 1);
	CHECK(httpd_conns(f.h) == 0);
	/* And one that is open when the server ends. */
	fd = client(&f);
	send_text(fd, request);
	turn(&f, 2);
	fixture_close(&f);
	CHECK_INT(f.gone, 2);
	close(fd);
	buf_free(&reply);
}

static void files_and_large_bodies(void)
{
	struct fixture f;
	struct buf reply = { 0 };
	char *at;
	bool closed;
	int fd;

	fixture_open(&f, NULL);
	exchange_text(&f, "GET /file HTTP/1.1\r\n" H "\r\n", &reply, &closed);
	at = strstr(buf_cstr(&reply), "\r\n\r\n");
	if (CHECK(at != NULL)) {
		CHECK(strlen(at + 4) == 100);
		CHECK(strncmp(at + 4, "/* SPDX-", 8) == 0);
	}
	buf_reset(&reply);
	/* A reader that takes its time: the server must not. */
	fd = client(&f);
	send_text(fd, "GET /big HTTP/1.1\r\n" H "\r\n");
	do {
		turn(&f, 0);
		receive(fd, &reply, &closed);
	} while (reply.n < 1u << 20 && !closed);
	turn(&f, 2);
	receive(fd, &reply, &closed);
	at = strstr(buf_cstr(&reply), "\r\n\r\n");
	if (CHECK(at != NULL))
		CHECK(strlen(at + 4) == 1u << 20);
	close(fd);
	buf_free(&reply);
	fixture_close(&f);
}

static void slow_peers_are_dropped(void)
{
	struct httpd_settings s = { .head_ms = 20, .body_ms = 20, .idle_ms = 20, .stall_ms = 20 };
	static const char *const starts[] = {
		"",
		"GET / HT",
		"POST / HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nab",
		"GET / HTTP/1.1\r\n" H "\r\n",    /* idle after its answer */
		"GET /big HTTP/1.1\r\n" H "\r\n", /* never reads */
	};
	struct fixture f;

	fixture_open(&f, &s);
	for (size_t i = 0; i < TEST_N(starts); i++) {
		int fd = client(&f);

		TEST_ROW(i);
		send_text(fd, starts[i]);
		turn(&f, 60);
		turn(&f, 60);
		CHECK(httpd_conns(f.h) == 0);
		close(fd);
	}
	fixture_close(&f);
}

static void idle_ones_make_room(void)
{
	struct httpd_settings s = { .max_conns = 2 };
	static const char request[] = "GET / HTTP/1.1\r\n" H "\r\n";
	static const char later[] = "GET /later HTTP/1.1\r\n" H "\r\n";
	struct fixture f;
	struct buf reply = { 0 };
	int fd[4];
	bool closed;

	fixture_open(&f, &s);
	for (int i = 0; i < 3; i++) { /* the third pushes out the first */
		fd[i] = client(&f);
		send_text(fd[i], request);
		turn(&f, 2);
	}
	CHECK(httpd_conns(f.h) == 2);
	receive(fd[0], &reply, &closed);
	CHECK(closed);
	receive(fd[2], &reply, &closed);
	CHECK(!closed);
	/* Busy ones stay: a newcomer waits in the backlog. */
	send_text(fd[1], later);
	send_text(fd[2], later);
	turn(&f, 2);
	fd[3] = client(&f);
	send_text(fd[3], request);
	turn(&f, 2);
	buf_reset(&reply);
	receive(fd[3], &reply, &closed);
	CHECK(reply.n == 0);
	close(fd[2]);
	turn(&f, 2);
	receive(fd[3], &reply, &closed);
	CHECK(str_starts(buf_str(&reply), "HTTP/1.1 200 OK"));
	for (int i = 0; i < 4; i++)
		if (i != 2)
			close(fd[i]);
	buf_free(&reply);
	fixture_close(&f);
}

static void query_values(void)
{
	static const struct {
		const char *query, *name, *value; /* value NULL: not found */
	} rows[] = {
		{ "a=1&b=2", "b", "2" },       { "a=1&a=2", "a", "1" }, { "", "a", NULL },
		{ "ab=1", "a", NULL },         { "a", "a", "" },        { "a=", "a", "" },
		{ "a=x%20y+z", "a", "x y z" }, { "a=%zz", "a", NULL },  { "%61=1", "a", "1" },
		{ "a=b=c", "a", "b=c" },       { "&&a=1&", "a", "1" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		bool found = httpd_query_get(str_of(rows[i].query), rows[i].name, &b);
		CHECK_INT(found, rows[i].value != NULL);
		CHECK_STR(buf_cstr(&b), rows[i].value ? rows[i].value : "");
		buf_free(&b);
	}
}

static void listening(void)
{
	struct fixture f;
	struct err e = { 0 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[TEST_PATH_SIZE];
	struct buf reply = { 0 };
	bool closed;
	int fd;

	fixture_open(&f, NULL);
	CHECK_INT(httpd_listen(f.h, "127.0.0.1", httpd_port(f.h), NULL, &e), -1);
	CHECK_INT(e.kind, ERR_BUSY);
	CHECK_INT(httpd_listen(f.h, "example.org", 1, NULL, &e), -1);
	CHECK_INT(e.kind, ERR_USAGE);
	snprintf(path, sizeof(path), "%s/httpd.sock", test_tmp());
	CHECK_INT(httpd_listen_unix(f.h, path, &e), 0);
	CHECK_INT(httpd_listen_unix(f.h, path, &e), -1);
	memcpy(a.sun_path, path, strnlen(path, sizeof(a.sun_path) - 1));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(fd, (struct sockaddr *)(void *)&a, sizeof(a)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	send_text(fd, "GET / HTTP/1.0\r\n\r\n");
	turn(&f, 2);
	receive(fd, &reply, &closed);
	CHECK(str_ends(buf_str(&reply), "hello"));
	close(fd);
	buf_free(&reply);
	fixture_close(&f);
	CHECK(!file_exists(path));
}

TEST_MAIN(TEST(exchanges_whole_and_split), TEST(cut_off_requests_leave_nothing),
          TEST(endless_head_is_refused), TEST(later_answers), TEST(files_and_large_bodies),
          TEST(slow_peers_are_dropped), TEST(idle_ones_make_room), TEST(query_values),
          TEST(listening))
