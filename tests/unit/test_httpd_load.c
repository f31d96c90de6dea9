/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server with more than it can keep: bodies nobody asked for, small pieces, many peers. */
#include "tests/unit/httpdcase.h"
#include "tests/unit/testcert.h"

#include "base/file.h"
#include "net/tls.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Before a byte of the body has come, or with all of it there. */
static void bodies_wait_for_admission(void)
{
	static const struct {
		const char *head, *log, *status;
	} rows[] = {
		{ "POST /refused HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\n",
		  "admit POST /refused [0];", "401" },
		{ "POST /refused HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
		  "admit POST /refused [0];", "401" },
		/* Not even asked to send it, and refused before it is found too large. */
		{ "POST /refused HTTP/1.1\r\n" H
		  "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
		  "admit POST /refused [0];", "401" },
		{ "POST /small HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\n",
		  "admit POST /small [0];", "413" },
		{ "POST /ok HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\n", "admit POST /ok [0];",
		  NULL },
	};
	struct httpd_settings s = { .max_unknown = 8 };
	struct fixture f;

	fixture_open(&f, &s);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf reply = { 0 };
		bool closed;
		int fd = client(&f);

		TEST_ROW(i);
		buf_reset(&f.log);
		send_text(fd, rows[i].head);
		turn(&f, 2);
		receive(fd, &reply, &closed);
		CHECK_STR(buf_cstr(&f.log), rows[i].log);
		CHECK_INT(closed, rows[i].status != NULL);
		if (rows[i].status) {
			CHECK(reply.n > 12 && memcmp(reply.p + 9, rows[i].status, 3) == 0);
			CHECK(strstr(buf_cstr(&reply), "\r\nConnection: close\r\n") != NULL);
			/* What still comes is no request, and goes nowhere. */
			(void)send(fd, "GET /x HTTP/1.1\r\n" H "\r\n", 28, MSG_NOSIGNAL);
			turn(&f, 2);
			CHECK_STR(buf_cstr(&f.log), rows[i].log);
		} else {
			CHECK(reply.n == 0);
		}
		close(fd);
		turn(&f, 2);
		CHECK(httpd_conns(f.h) == 0);
		buf_free(&reply);
	}
	fixture_close(&f);
}

static void refused_bodies_are_not_drained_for_ever(void)
{
	struct httpd_settings s = { .max_unknown = 8 };
	struct fixture f;
	char lump[65536];
	size_t sent = 0;
	ssize_t n = 1;
	int fd;

	fixture_open(&f, &s);
	memset(lump, 'x', sizeof(lump));
	fd = client(&f);
	send_text(fd, "POST /refused HTTP/1.1\r\n" H "Content-Length: 99999999\r\n\r\n");
	while (httpd_conns(f.h) || !sent) {
		n = send(fd, lump, sizeof(lump), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turn(&f, 0);
		if (n < 0 && errno != EAGAIN)
			break;
	}
	turn(&f, 2);
	CHECK(httpd_conns(f.h) == 0);
	CHECK(sent < 32u << 20);
	close(fd);
	fixture_close(&f);
}

/* n chunks of one byte, sent in pieces of so many bytes. */
static long long us_of_chunks(size_t n, size_t piece)
{
	struct httpd_settings s = { .max_body = 4u << 20 };
	struct fixture f;
	struct buf out = { 0 }, reply = { 0 };
	bool closed;
	size_t at = 0;

	fixture_open(&f, &s);
	buf_adds(&out, "POST /c HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < n; i++)
		buf_adds(&out, "1\r\nx\r\n");
	buf_adds(&out, "0\r\n\r\n");
	int fd = client(&f);
	long long from = test_cpu_us();

	while (at < out.n) {
		size_t want = out.n - at < piece ? out.n - at : piece;
		ssize_t k = send(fd, out.p + at, want, MSG_NOSIGNAL);

		at += k > 0 ? (size_t)k : 0;
		turn(&f, 0);
		if (k < 0 && errno != EAGAIN)
			break;
	}
	turn(&f, 2);
	from = test_cpu_us() - from;
	receive(fd, &reply, &closed);
	CHECK(str_ends(buf_str(&reply), "\r\n\r\nhello"));
	CHECK(strlen(buf_cstr(&f.log)) == n + strlen("POST /c? [];"));
	close(fd);
	buf_free(&out);
	buf_free(&reply);
	fixture_close(&f);
	return from;
}

/* So many bytes of a head in packets of their own, behind so many lines of it. */
static long long us_of_dribble(size_t lines, size_t n)
{
	struct fixture f;
	struct buf head = { 0 };
	char line[600];
	int fd;

	fixture_open(&f, NULL);
	fd = client(&f);
	memset(line, 'x', sizeof(line));
	buf_adds(&head, "GET / HTTP/1.1\r\n" H);
	for (size_t i = 0; i < lines; i++)
		buf_addf(&head, "X: %.*s\r\n", (int)sizeof(line), line);
	send_text(fd, buf_cstr(&head));
	turn(&f, 2);
	long long from = test_cpu_us();

	for (size_t i = 0; i < n; i++) {
		send_text(fd, "x");
		turn(&f, 0);
	}
	from = test_cpu_us() - from;
	CHECK(httpd_conns(f.h) == 1);
	buf_free(&head);
	close(fd);
	fixture_close(&f);
	return from;
}

/* Also when as many chunks wait as the server reads ahead, and behind much of a head. */
static void small_pieces_cost_linear_time(void)
{
	CHECK(test_is_linear(us_of_chunks(10000, 1500), us_of_chunks(160000, 1500), 16));
	CHECK(test_is_linear(us_of_chunks(160000, 1500), us_of_chunks(160000, SIZE_MAX), 1));
	CHECK(test_is_linear(us_of_dribble(0, 3000), us_of_dribble(95, 3000), 1));
}

/* Silent ones beyond their budget: each newcomer takes the place of the oldest of them, and those
 * that were vouched for stay, although they are older and idle. */
static void the_unknown_go_first(void)
{
	struct httpd_settings s = { .max_conns = 8, .max_unknown = 4 };
	static const char keyed[] = "POST /k HTTP/1.1\r\n" H
				    "Authorization: x\r\nContent-Length: 1\r\n\r\nx";
	struct fixture f;
	struct buf reply = { 0 };
	int known[2], silent[20], late;
	bool closed;

	fixture_open(&f, &s);
	for (size_t i = 0; i < TEST_N(known); i++) {
		known[i] = client(&f);
		send_text(known[i], keyed);
		turn(&f, 2);
		receive(known[i], &reply, &closed);
		CHECK(!closed);
	}
	for (size_t i = 0; i < TEST_N(silent); i++) {
		silent[i] = client(&f);
		turn(&f, 2);
		CHECK(httpd_conns(f.h) <= 2 + 4);
	}
	for (size_t i = 0; i < TEST_N(known); i++) {
		buf_reset(&reply);
		send_text(known[i], keyed);
		turn(&f, 2);
		receive(known[i], &reply, &closed);
		CHECK(str_starts(buf_str(&reply), "HTTP/1.1 200 OK"));
	}
	late = client(&f);
	buf_reset(&reply);
	send_text(late, keyed);
	turn(&f, 2);
	receive(late, &reply, &closed);
	CHECK(str_starts(buf_str(&reply), "HTTP/1.1 200 OK"));
	receive(silent[0], &reply, &closed);
	CHECK(closed);
	close(late);
	for (size_t i = 0; i < TEST_N(silent); i++)
		close(silent[i]);
	for (size_t i = 0; i < TEST_N(known); i++)
		close(known[i]);
	buf_free(&reply);
	fixture_close(&f);
}

/* 127.0.0.2 has one connection, 127.0.0.1 floods: it is the flood that loses. */
static void an_address_crowds_out_itself(void)
{
	struct httpd_settings s = { .max_conns = 16, .max_unknown = 8 };
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002) };
	struct fixture f;
	struct buf reply = { 0 };
	int one, many[40];
	bool closed;

	fixture_open(&f, &s);
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(httpd_port(f.h)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(one, (struct sockaddr *)(void *)&from, sizeof(from)), 0);
	CHECK_INT(connect(one, (struct sockaddr *)(void *)&to, sizeof(to)), 0);
	fcntl(one, F_SETFL, O_NONBLOCK);
	turn(&f, 2);
	for (size_t i = 0; i < TEST_N(many); i++) {
		many[i] = client(&f);
		turn(&f, 2);
	}
	CHECK(httpd_conns(f.h) == 1 + 4); /* a half of the budget */
	send_text(one, "GET / HTTP/1.1\r\n" H "\r\n");
	turn(&f, 2);
	receive(one, &reply, &closed);
	CHECK(str_starts(buf_str(&reply), "HTTP/1.1 200 OK"));
	close(one);
	for (size_t i = 0; i < TEST_N(many); i++)
		close(many[i]);
	buf_free(&reply);
	fixture_close(&f);
}

/* Heads that never end: whoever holds most is dropped, and the rest goes on. */
static void unfinished_requests_have_a_sum(void)
{
	struct httpd_settings s = { .max_conns = 64,
		                    .max_unknown = 64,
		                    .max_held_unknown = 100000 };
	struct fixture f;
	char lump[30000];
	int fd[12];

	fixture_open(&f, &s);
	memset(lump, 'a', sizeof(lump));
	for (size_t i = 0; i < TEST_N(fd); i++) {
		fd[i] = client(&f);
		(void)send(fd[i], lump, sizeof(lump), MSG_NOSIGNAL);
		turn(&f, 2);
		CHECK(httpd_conns(f.h) <= 3);
	}
	CHECK(httpd_conns(f.h) == 3);
	for (size_t i = 0; i < TEST_N(fd); i++)
		close(fd[i]);
	fixture_close(&f);
}

/* Of so many requests of one connection beside so many that are silent. */
static long long us_beside(size_t others)
{
	struct fixture f;
	struct buf reply = { 0 };
	bool closed;
	int fd, *silent = mem_alloc((others + 1) * sizeof(*silent));
	struct httpd_settings s = { .max_conns = others + 2 };

	fixture_open(&f, &s);
	for (size_t i = 0; i < others; i++) {
		silent[i] = client(&f);
		turn(&f, 0);
	}
	fd = client(&f);
	turn(&f, 2);
	long long from = test_cpu_us();

	for (int i = 0; i < 2000; i++) {
		send_text(fd, "GET /x HTTP/1.1\r\n" H "\r\n");
		turn(&f, 0);
	}
	from = test_cpu_us() - from;
	receive(fd, &reply, &closed);
	CHECK(str_ends(buf_str(&reply), "\r\n\r\nhello"));
	CHECK(httpd_conns(f.h) == others + 1);
	close(fd);
	for (size_t i = 0; i < others; i++)
		close(silent[i]);
	free(silent);
	buf_free(&reply);
	fixture_close(&f);
	return from;
}

static void a_turn_costs_what_has_work(void)
{
	struct rlimit limit;
	size_t others = 1000;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur / 2 < others + 32)
		others = (size_t)limit.rlim_cur / 2 - 32;
	CHECK(test_is_linear(us_beside(1), us_beside(others), 1));
}

static struct tls_ctx *server_tls(void)
{
	char dir[TEST_PATH_SIZE], cert[TEST_PATH_SIZE + 8], key[TEST_PATH_SIZE + 8];
	struct tls_settings s = { .server_cert = cert, .server_key = key };
	struct tls_ctx *tls = NULL;
	struct err e = { 0 };

	CHECK(test_mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	CHECK(file_replace(cert, 0600, str_of(cert_pem), &e) == 0);
	CHECK(file_replace(key, 0600, str_of(key_pem), &e) == 0);
	CHECK(tls_ctx_new(&tls, &s, true, &e) == 0);
	unlink(cert);
	unlink(key);
	rmdir(dir);
	return tls;
}

/* Both of a listener; one ends while a child that has just been forked has a copy of its descriptor, too. */
static void end_one(struct fixture *f, const char *last)
{
	struct pollset ps = { 0 };
	struct err e = { 0 };
	struct deadline end;
	int fd, stays;
	pid_t child;

	stays = client(f);
	fd = client(f);
	turn(f, 2);
	child = fork();
	if (child == 0) {
		close(fd);
		alarm(60);
		pause();
		_exit(0);
	}
	CHECK(child > 0);
	CHECK(httpd_conns(f->h) == 2);
	if (last) {
		send_text(fd, last);
		turn(f, 50);
	}
	close(fd);
	turn(f, 50);
	CHECK(httpd_conns(f->h) == 1);
	end = deadline_in_ms(20);
	pollset_reset(&ps);
	httpd_poll(f->h, &ps);
	pollset_until(&ps, end);
	CHECK(pollset_wait(&ps, &e) == 0);
	CHECK(deadline_passed(end));
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	close(stays);
	pollset_free(&ps);
}

static void one_that_has_ended_wakes_nobody(void)
{
	struct fixture f;

	fixture_open(&f, NULL);
	end_one(&f, NULL);
	fixture_close(&f);
}

static void nor_does_one_without_a_handshake(void)
{
	struct tls_ctx *tls = server_tls();
	struct fixture f;
	struct err e = { 0 };

	fixture_open(&f, NULL);
	httpd_stop_listening(f.h);
	CHECK(httpd_listen(f.h, "127.0.0.1", 0, tls, &e) == 0);
	end_one(&f, "GET / HTTP/1.1\r\n\r\n");
	fixture_close(&f);
	tls_ctx_free(tls);
}

TEST_MAIN(TEST(bodies_wait_for_admission), TEST(refused_bodies_are_not_drained_for_ever),
          TEST(small_pieces_cost_linear_time), TEST(the_unknown_go_first),
          TEST(an_address_crowds_out_itself), TEST(unfinished_requests_have_a_sum),
          TEST(a_turn_costs_what_has_work), TEST(one_that_has_ended_wakes_nobody),
          TEST(nor_does_one_without_a_handshake))
