/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/tls.h: our client against our server over a socket pair, and the random source when the kernel
 * refuses.
 */
#include "net/tls.h"

#include "base/file.h"

#include "tests/test.h"
#include "tests/unit/testcert.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct pair {
	char dir[TEST_PATH_SIZE], cert[TEST_PATH_SIZE + 8], key[TEST_PATH_SIZE + 8];
	struct tls_ctx *client_ctx, *server_ctx;
	int fds[2];
	struct tls_conn *client, *server;
};

static bool write_file(const char *path, const char *text)
{
	struct err e = { 0 };

	return file_replace(path, 0600, str_of(text), &e) == 0;
}

static bool pair_open(struct pair *p, const char *pin)
{
	struct tls_settings s = { 0 };
	struct err e = { 0 };

	*p = (struct pair){ .fds = { -1, -1 } };
	if (!CHECK(test_mkdtemp(p->dir)))
		return false;
	snprintf(p->cert, sizeof(p->cert), "%s/cert", p->dir);
	snprintf(p->key, sizeof(p->key), "%s/key", p->dir);
	if (!CHECK(write_file(p->cert, cert_pem) && write_file(p->key, key_pem)))
		return false;
	s.server_cert = p->cert;
	s.server_key = p->key;
	if (!CHECK(tls_ctx_new(&p->server_ctx, &s, true, &e) == 0))
		return false;
	s = (struct tls_settings){ .ca_file = p->cert, .pin_sha256 = pin };
	return CHECK(tls_ctx_new(&p->client_ctx, &s, false, &e) == 0);
}

static void pair_close(struct pair *p)
{
	tls_conn_free(p->client);
	tls_conn_free(p->server);
	p->client = p->server = NULL;
	fd_close(&p->fds[0]);
	fd_close(&p->fds[1]);
}

static void pair_free(struct pair *p)
{
	pair_close(p);
	tls_ctx_free(p->client_ctx);
	tls_ctx_free(p->server_ctx);
	unlink(p->cert);
	unlink(p->key);
	rmdir(p->dir);
}

/* Both ends in turn until both are done or one failed, then what the client said. */
static enum tls_io shake(struct pair *p, const char *host, struct err *e)
{
	enum tls_io c = TLS_WANT_READ, s = TLS_WANT_READ;
	struct err server_err = { 0 };

	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->fds) ==
	           0) ||
	    !CHECK(tls_conn_new(&p->client, p->client_ctx, p->fds[0], host, 1, e) == 0) ||
	    !CHECK(tls_conn_new(&p->server, p->server_ctx, p->fds[1], NULL, 0, e) == 0))
		return TLS_FAILED;
	for (int i = 0; i < 100 && c != TLS_FAILED && (c != TLS_OK || s != TLS_OK); i++) {
		c = tls_handshake(p->client, e);
		if (s != TLS_FAILED)
			s = tls_handshake(p->server, &server_err);
	}
	return c;
}

/* Moves n bytes one way and compares; the sender's calls meet a full socket. */
static void move(struct tls_conn *from, struct tls_conn *to, size_t n)
{
	char *out = malloc(n), *in = malloc(n);
	size_t sent = 0, got = 0;
	bool truncated;
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(i * 131 >> 3);
	for (int i = 0; i < 100000 && got < n; i++) {
		long w = sent < n ? tls_write(from, out + sent, n - sent, &e) : TLS_WANT_WRITE;
		long r = tls_read(to, in + got, n - got, &truncated, &e);

		if (!CHECK(w != TLS_FAILED && r != TLS_FAILED && r != 0))
			break;
		sent += w > 0 ? (size_t)w : 0;
		got += r > 0 ? (size_t)r : 0;
	}
	CHECK(got == n && memcmp(in, out, n) == 0);
	free(in);
	free(out);
}

static void bytes_go_both_ways(void)
{
	struct pair p;
	struct err e = { 0 };

	if (pair_open(&p, NULL) && CHECK_INT(shake(&p, "localhost", &e), TLS_OK)) {
		CHECK_STR(tls_version(p.client), "TLSv1.3");
		CHECK(!tls_resumed(p.client));
		CHECK_STR(tls_ctx_ca_source(p.client_ctx), "1 loaded, 0 skipped");
		move(p.client, p.server, 1);
		move(p.client, p.server, 3000000);
		move(p.server, p.client, 3000000);
	}
	pair_free(&p);
}

static void sessions_are_resumed(void)
{
	struct pair p;
	struct err e = { 0 };
	bool truncated;
	char byte;

	if (pair_open(&p, NULL)) {
		for (int i = 0; i < 3; i++) {
			TEST_ROW(i);
			CHECK_INT(shake(&p, "127.0.0.1", &e), TLS_OK);
			CHECK(tls_resumed(p.client) == (i > 0));
			/* The ticket lies behind the handshake; reading takes it in and finds no data. */
			CHECK_INT(tls_read(p.client, &byte, 1, &truncated, &e), TLS_WANT_READ);
			move(p.server, p.client, 10);
			pair_close(&p);
		}
		CHECK_INT(shake(&p, "localhost", &e), TLS_OK);
		CHECK(!tls_resumed(p.client)); /* another name is another peer */
	}
	pair_free(&p);
}

static void wrong_names_are_refused(void)
{
	static const struct {
		const char *host;
		bool good;
	} rows[] = { { "localhost", true }, { "LOCALHOST", true },   { "localhost.", true },
		     { "127.0.0.1", true }, { "127.0.0.2", false },  { "::1", false },
		     { "other", false },    { "a.localhost", false } };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct pair p;
		struct err e = { 0 };

		TEST_ROW(i);
		if (pair_open(&p, NULL)) {
			CHECK((shake(&p, rows[i].host, &e) == TLS_OK) == rows[i].good);
			if (!rows[i].good) {
				CHECK_INT(e.kind, ERR_TLS);
				CHECK(strstr(e.msg, rows[i].host) != NULL);
				CHECK(strstr(e.msg, "localhost, IP 127.0.0.1") != NULL);
			}
		}
		pair_free(&p);
	}
}

static void ends_are_told_apart(void)
{
	for (int graceful = 0; graceful < 2; graceful++) {
		struct pair p;
		struct err e = { 0 };
		bool truncated = false;
		char byte;

		TEST_ROW(graceful);
		if (pair_open(&p, NULL) && CHECK_INT(shake(&p, "localhost", &e), TLS_OK)) {
			move(p.server, p.client, 100);
			if (graceful)
				CHECK(tls_shutdown_write(p.server) == 0);
			shutdown(p.fds[1], SHUT_WR);
			CHECK_INT(tls_read(p.client, &byte, 1, &truncated, &e), 0);
			CHECK(truncated == !graceful);
		}
		pair_free(&p);
	}
}

static void half_closed_still_reads(void)
{
	struct pair p;
	struct err e = { 0 };
	bool truncated = false;
	char byte;

	if (pair_open(&p, NULL) && CHECK_INT(shake(&p, "localhost", &e), TLS_OK)) {
		CHECK(tls_shutdown_write(p.client) == 0);
		CHECK_INT(tls_read(p.server, &byte, 1, &truncated, &e), 0);
		CHECK(!truncated);
		move(p.server, p.client, 5000);
	}
	pair_free(&p);
}

static void a_wrong_pin_is_refused(void)
{
	struct pair p;
	struct err e = { 0 };

	if (pair_open(&p, "0000000000000000000000000000000000000000000000000000000000000000")) {
		CHECK_INT(shake(&p, "localhost", &e), TLS_FAILED);
		CHECK(strstr(e.msg, "pinned") != NULL);
	}
	pair_free(&p);
}

static void digests(void)
{
	static const unsigned char sha256_abc[] = { 0xba, 0x78, 0x16, 0xbf },
				   sha1_abc[] = { 0xa9, 0x99, 0x3e, 0x36 };
	static const struct {
		size_t n;
		const char *want;
	} sha1_of[] = {
		{ 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
		{ 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
		{ 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
		{ 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
		{ 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56" },
		{ 120, "f34c1488385346a55709ba056ddd08280dd4c6d6" },
		{ 1000, "291e9a6c66994949b57ba5e650361e98fc36b1ba" },
	};
	char many[1000];
	unsigned char out[32], parts[32];
	struct sha256 *h = sha256_new();
	struct buf hex = { 0 };

	crypto_sha256("abc", 3, out);
	CHECK(memcmp(out, sha256_abc, 4) == 0);
	sha256_add(h, "a", 1);
	sha256_add(h, NULL, 0);
	sha256_add(h, "bc", 2);
	sha256_end(h, parts);
	CHECK(memcmp(out, parts, 32) == 0);
	crypto_sha1("abc", 3, out);
	CHECK(memcmp(out, sha1_abc, 4) == 0);
	memset(many, 'a', sizeof(many));
	for (size_t i = 0; i < ARRAY_LEN(sha1_of); i++) {
		TEST_ROW(i);
		crypto_sha1(many, sha1_of[i].n, out);
		buf_add_hex(&hex, out, 20);
		CHECK_STR(buf_cstr(&hex), sha1_of[i].want);
		buf_free(&hex);
	}
}

static void random_bytes_differ(void)
{
	static unsigned char a[100000], b[100000];
	struct err e = { 0 };
	size_t zero = 0;

	CHECK(crypto_random(a, sizeof(a), &e) == 0 && crypto_random(b, sizeof(b), &e) == 0);
	CHECK(memcmp(a, b, sizeof(a)) != 0);
	for (size_t i = 0; i < sizeof(a); i++)
		zero += a[i] == 0;
	CHECK(zero < 1000);
}

/* getrandom fails with code; no_files: nothing can be opened either. The kind of crypto_random's error, -1
 * if the filter is not allowed here. */
static int random_under(int code, bool no_files)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, no_files ? SYS_openat : SYS_getrandom, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_LEN(filter), filter };
	struct err e = { 0 };
	unsigned char bytes[600] = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
			_exit(100);
		(void)crypto_random(bytes, sizeof(bytes), &e);
		_exit((int)e.kind);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -2;
	return WEXITSTATUS(status) == 100 ? -1 : WEXITSTATUS(status);
}

static void randomness_has_a_fallback_or_a_clear_end(void)
{
	int kind = random_under(EPERM, false);

	if (kind == -1)
		return; /* no seccomp here; the other tests stand */
	CHECK_INT(kind, ERR_NONE);
	CHECK_INT(random_under(ENOSYS, false), ERR_NONE);
	CHECK_INT(random_under(EPERM, true), ERR_SYS);
	CHECK_INT(random_under(EAGAIN, false),
	          ERR_BUSY); /* not ready: no fallback to what is no better */
}

TEST_MAIN(TEST(bytes_go_both_ways), TEST(sessions_are_resumed), TEST(wrong_names_are_refused),
          TEST(ends_are_told_apart), TEST(half_closed_still_reads), TEST(a_wrong_pin_is_refused),
          TEST(digests), TEST(random_bytes_differ), TEST(randomness_has_a_fallback_or_a_clear_end))
