/* SPDX-License-Identifier: Apache-2.0 */
/* A private network has a way out and to a resolver, none to this host's loopback, and ends with its namespace. */
#include "sandbox/network.h"

#include "base/file.h"
#include "base/spawn.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- a namespace whose process answers: 'c' + address: can it connect; 'q': quit ---- */

struct inside {
	pid_t pid;
	int fd;
};

static int try_for(const struct sockaddr_in *to, int ms)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), code = 0;
	struct pollfd p = { fd, POLLOUT, 0 };
	socklen_t n = sizeof(code);

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		code = errno;
	else if (poll(&p, 1, ms) != 1)
		code = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n);
	close(fd);
	return code;
}

static int connects(const struct sockaddr_in *to)
{
	return try_for(to, 10000);
}

/* What is never answered is not waited for. */
static int is_there(const struct sockaddr_in *to)
{
	return try_for(to, 1000);
}

static const unsigned char query[] = { 0x12, 0x34, 1,   0,   0,   1,   0,   0,   0,   0,
	                               0,    0,    7,   'e', 'x', 'a', 'm', 'p', 'l', 'e',
	                               3,    'c',  'o', 'm', 0,   0,   1,   0,   1 };

/* Whether a resolver there answers at all. */
static int resolves(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = ETIMEDOUT;
	struct pollfd p = { fd, POLLIN, 0 };
	unsigned char answer[512];

	if (sendto(fd, query, sizeof(query), 0, (const struct sockaddr *)at, sizeof(*at)) < 0)
		rc = errno;
	else if (poll(&p, 1, 10000) == 1 && recv(fd, answer, sizeof(answer), 0) > 12 &&
	         answer[0] == query[0] && answer[1] == query[1])
		rc = 0;
	close(fd);
	return rc;
}

struct question {
	int (*ask)(const struct sockaddr_in *);
	struct sockaddr_in to;
};

static _Noreturn void be_inside(int fd, int namespaces)
{
	struct question q;
	char c = unshare(namespaces) == 0 ? 'y' : 'n';

	if (write(fd, &c, 1) != 1)
		_exit(1);
	while (read(fd, &q, sizeof(q)) == (ssize_t)sizeof(q)) {
		int code = q.ask(&q.to);

		if (write(fd, &code, sizeof(code)) != (ssize_t)sizeof(code))
			break;
	}
	_exit(0);
}

static bool write_map(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
	close(fd);
	return ok;
}

static bool go_inside(struct inside *in, int namespaces)
{
	char map[32];
	int fds[2];
	char c = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	in->fd = fds[0];
	in->pid = fork();
	if (in->pid == 0) {
		close(fds[0]);
		be_inside(fds[1], namespaces);
	}
	close(fds[1]);
	if (read(in->fd, &c, 1) != 1 || c != 'y')
		return false;
	if (!(namespaces & CLONE_NEWUSER))
		return true;
	(void)write_map(in->pid, "setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	if (!write_map(in->pid, "uid_map", map))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", getegid());
	return write_map(in->pid, "gid_map", map);
}

static void leave(struct inside *in)
{
	close(in->fd);
	waitpid(in->pid, NULL, 0);
}

static int ask(struct inside *in, int (*what)(const struct sockaddr_in *), struct sockaddr_in to)
{
	struct question q = { what, to };
	int code = -1;

	CHECK(write(in->fd, &q, sizeof(q)) == (ssize_t)sizeof(q));
	CHECK(read(in->fd, &code, sizeof(code)) == (ssize_t)sizeof(code));
	return code;
}

/* ---- this host ---- */

static int listener(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(*at);

	CHECK(bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0 && listen(fd, 8) == 0 &&
	      getsockname(fd, (struct sockaddr *)at, &n) == 0);
	return fd;
}

static bool own_address(struct sockaddr_in *out)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    (i->ifa_flags & (IFF_LOOPBACK | IFF_UP | IFF_RUNNING)) !=
		            (IFF_UP | IFF_RUNNING))
			continue;
		memcpy(out, i->ifa_addr, sizeof(*out));
		found = true;
	}
	freeifaddrs(list);
	return found;
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	CHECK(inet_pton(AF_INET, text, &a.sin_addr) == 1);
	return a;
}

static bool own_resolver(struct sockaddr_in *out)
{
	struct buf b = { 0 };
	struct str rest, line;
	struct err e;
	bool found = false;

	(void)file_read("/etc/resolv.conf", 65536, &b, &e);
	rest = buf_str(&b);
	while (!found && str_next(&rest, '\n', &line)) {
		char text[64];

		if (!str_starts(line, "nameserver ") || line.n > 60)
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)line.n - 11, line.p + 11);
		*out = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53) };
		found = inet_pton(AF_INET, text, &out->sin_addr) == 1;
	}
	buf_free(&b);
	return found && resolves(out) == 0;
}

/* ---- */

static void check_reach(struct inside *in)
{
	struct sockaddr_in loop = address("127.0.0.1", 0), own, at;
	int fd = listener(&loop), own_fd;

	CHECK_INT(connects(&loop), 0);
	CHECK(ask(in, is_there, loop) != 0);
	/* What the helpers call the host unless they are told not to. */
	at = address("10.0.2.2", ntohs(loop.sin_port));
	CHECK(ask(in, is_there, at) != 0);
	if (own_address(&own)) {
		at = own;
		at.sin_port = loop.sin_port;
		CHECK(ask(in, is_there, at) != 0); /* no listener there */
		own.sin_port = 0;
		own_fd = listener(&own);
		CHECK_INT(ask(in, connects, own), 0);
		close(own_fd);
	} else {
		TEST_SKIP("this host has no address but its loopback");
	}
	if (own_resolver(&at))
		CHECK_INT(ask(in, resolves, address("10.0.2.3", 53)), 0);
	else
		TEST_SKIP("no resolver answers on this host");
	close(fd);
}

static bool ends(struct proc_id id)
{
	struct deadline d = deadline_in_ms(10000);

	while (proc_alive(id) && !deadline_passed(d)) {
		spawn_take_all();
		usleep(2000);
	}
	return !proc_alive(id);
}

/* Whether it works. */
static bool with(enum network_how how, int namespaces)
{
	struct proc_id helper, init;
	struct inside in;
	struct err e = { 0 };

	if (!go_inside(&in, namespaces)) {
		TEST_SKIP("no user and network namespaces for us");
		leave(&in);
		return false;
	}
	CHECK(proc_identify(in.pid, &init));
	if (network_start(how, init, deadline_in_ms(20000), &helper, &e) < 0) {
		/* pasta needs a route; slirp4netns a device. */
		TEST_SKIP(e.msg);
		CHECK(e.msg[0] && helper.pid == 0);
		leave(&in);
		return false;
	}
	CHECK(proc_alive(helper));
	check_reach(&in);
	leave(&in);
	CHECK(ends(helper));
	network_end(helper);
	network_end((struct proc_id){ 0 });
	return true;
}

/* Beside a user namespace of its own, as root's sandboxes have it while their network is made. */
static void both(enum network_how how)
{
	bool works = with(how, CLONE_NEWUSER | CLONE_NEWNET);

	if (works && geteuid() == 0)
		CHECK(with(how, CLONE_NEWNET));
}

static void pasta_carries(void)
{
	if (access("/usr/bin/pasta", X_OK) == 0)
		both(NETWORK_PASTA);
	else
		TEST_SKIP("pasta is not installed");
}

static void slirp_carries(void)
{
	if (access("/usr/bin/slirp4netns", X_OK) == 0)
		both(NETWORK_SLIRP);
	else
		TEST_SKIP("slirp4netns is not installed");
}

/* A helper that ends says why, and nothing is left of it. */
static void failures_are_told(void)
{
	static const struct {
		const char *script, *want;
	} rows[] = {
		{ "#!/bin/sh\necho 'no way' >&2\nexit 1\n",
		  "pasta ended before the network was there: no way" },
		{ "#!/bin/sh\nexit 1\n",
		  "pasta ended before the network was there: it said nothing" },
		{ "#!/bin/sh\nexec /bin/sleep 100\n", "pasta: " },
	};
	char dir[TEST_PATH_SIZE], *path, *old = strdup(getenv("PATH"));
	struct proc_id self, helper;
	struct buf line = { 0 };
	bool device = access("/dev/net/tun", R_OK | W_OK) == 0;

	CHECK(test_mkdtemp(dir) && proc_identify(getpid(), &self));
	path = path_join(dir, "pasta");
	setenv("PATH", dir, 1);
	CHECK(network_find() == NETWORK_MISSING);
	network_describe(NETWORK_MISSING, &line);
	CHECK(strstr(buf_cstr(&line), "missing: ") && strstr(buf_cstr(&line), "package passt"));
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK(file_replace(path, 0755, str_of(rows[i].script), &e) == 0);
		CHECK(network_find() == (device ? NETWORK_PASTA : NETWORK_MISSING));
		CHECK(device || strstr(network_remedy(), "/dev/net/tun"));
		setenv("PATH", dir, 1);
		CHECK_INT(network_start(NETWORK_PASTA, self, deadline_in_ms(i == 2 ? 300 : 20000),
		                        &helper, &e),
		          -1);
		CHECK(strncmp(e.msg, rows[i].want, strlen(rows[i].want)) == 0);
		CHECK_INT(helper.pid, 0);
	}
	setenv("PATH", old, 1);
	buf_free(&line);
	free(path);
	free(old);
}

TEST_MAIN(TEST(pasta_carries), TEST(slirp_carries), TEST(failures_are_told))
