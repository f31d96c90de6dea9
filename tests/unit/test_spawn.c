/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include "base/buf.h"
#include "base/file.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT deadline_in_ms(30000)

extern char **environ;

/* What a child writes to fd until all that have it are gone; *status of it. */
static bool output_of(struct spawn *s, int which, struct buf *out, int *status)
{
	struct spawned p = { 0 };
	struct err e = { 0 };
	char chunk[512];
	int fd[2];
	ssize_t n;
	bool ok;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return false;
	if (which >= 0)
		s->std[which] = fd[1];
	ok = spawn_start(s, LIMIT, &p, &e) == 0;
	CHECK_STR(e.msg, "");
	close(fd[1]);
	while (ok && (n = read(fd[0], chunk, sizeof(chunk))) > 0)
		buf_add(out, chunk, (size_t)n);
	close(fd[0]);
	return ok && spawn_collect(&p, status);
}

static bool sh(const char *text, struct spawn *s, struct buf *out, int *status)
{
	const char *const argv[] = { "sh", "-c", text, NULL };

	s->argv = argv;
	s->std[2] = SPAWN_OURS;
	return output_of(s, 1, out, status);
}

static void fixture_of_a_bad_parent(void)
{
	sigset_t all;

	for (int fd = 30; fd < 40; fd++)
		dup2(2, fd); /* without O_CLOEXEC */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	umask(0);
}

static void a_good_parent_again(void)
{
	sigset_t none;

	for (int fd = 30; fd < 40; fd++)
		close(fd);
	sigemptyset(&none);
	signal(SIGHUP, SIG_DFL);
	umask(022);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void programs_start_clean(void)
{
	static const struct {
		const char *what, *text, *want;
	} rows[] = {
		{ "descriptors", "exec ls /proc/self/fd | wc -l | tr -d ' '", "4\n" },
		{ "signals", "grep -E '^Sig(Blk|Ign)' /proc/self/status",
		  "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" },
		{ "umask", "umask", "0022\n" },
		{ "environment", "env | grep -v '^\\(_\\|PWD\\|SHLVL\\|OLDPWD\\|PATH\\)='",
		  "HOME=/\n" },
		{ "input", "wc -c | tr -d ' '", "0\n" },
		{ "directory", "pwd", "/usr\n" },
	};

	setenv("RUNNER_SECRET", "x", 1);
	fixture_of_a_bad_parent();
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct spawn s = { .cwd = "/usr", .lead = SPAWN_GROUP };
		struct buf out = { 0 };
		int status = -1;

		TEST_ROW(i);
		CHECK(sh(rows[i].text, &s, &out, &status));
		CHECK_INT(status, 0);
		CHECK_STR(buf_cstr(&out), rows[i].want);
		buf_free(&out);
	}
	a_good_parent_again();
}

static void what_is_named_is_there(void)
{
	const int keep[] = { 33, 37 };
	const char *const env[] = { "PATH=/bin:/usr/bin", "A=b", NULL };
	struct spawn s = { .keep = keep, .n_keep = 2, .env = env, .umask = 077, .nice = 3 };
	struct buf out = { 0 };
	int status = -1;

	fixture_of_a_bad_parent();
	CHECK(sh(
		"[ -e /proc/self/fd/33 ] && [ -e /proc/self/fd/37 ] && [ ! -e /proc/self/fd/34 ] && "
		"echo $A $(umask)",
		&s, &out, &status));
	a_good_parent_again();
	CHECK_INT(status, 0);
	CHECK_STR(buf_cstr(&out), "b 0077\n");
	buf_free(&out);
}

static void say_all(void *arg)
{
	const int *fd = arg;
	bool closed = fcntl(34, F_GETFD) < 0 && fcntl(*fd, F_GETFD) >= 0;
	sigset_t now;
	struct sigaction hup;

	sigprocmask(SIG_SETMASK, NULL, &now);
	sigaction(SIGHUP, NULL, &hup);
	dprintf(*fd, "%d%d%d%d", closed, sigismember(&now, SIGTERM), hup.sa_handler == SIG_DFL,
	        getsid(0) == getpid());
}

static void functions_start_clean(void)
{
	struct buf out = { 0 };
	struct spawned p = { 0 };
	struct err e = { 0 };
	char chunk[16] = { 0 };
	int fd[2], status = -1;

	if (!CHECK(pipe2(fd, O_CLOEXEC) == 0))
		return;
	fixture_of_a_bad_parent();
	CHECK_INT(spawn_start(&(struct spawn){ .work = say_all,
	                                       .arg = &fd[1],
	                                       .keep = &fd[1],
	                                       .n_keep = 1,
	                                       .lead = SPAWN_SESSION,
	                                       .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS } },
	                      LIMIT, &p, &e),
	          0);
	a_good_parent_again();
	close(fd[1]);
	CHECK_INT(read(fd[0], chunk, sizeof(chunk) - 1), 4);
	CHECK_STR(chunk, "1011");
	CHECK(spawn_collect(&p, &status));
	CHECK_INT(status, 0);
	CHECK_INT(p.pid, 0);
	close(fd[0]);
	buf_free(&out);
}

static void says_why_it_cannot_start(void)
{
	static const char *const none[] = { "no-such-program-here", NULL };
	static const char *const nowhere[] = { "/no/such/file", NULL };
	static const char *const directory[] = { "/", NULL };
	static const char *const ok[] = { "true", NULL };
	static const struct {
		const char *const *argv;
		const char *program, *cwd, *msg;
		int code;
	} rows[] = {
		{ none, NULL, NULL, "no-such-program-here: no such program in PATH; install it",
		  ENOENT },
		{ nowhere, NULL, NULL, "start /no/such/file: No such file or directory", ENOENT },
		{ directory, NULL, NULL, "start /: Permission denied", EACCES },
		{ ok, "/no/such/file", NULL, "start /no/such/file: No such file or directory",
		  ENOENT },
		{ ok, NULL, "/no/such/dir",
		  "start true in directory /no/such/dir: No such file or directory", ENOENT },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct spawn s = { .argv = rows[i].argv,
			           .program = rows[i].program,
			           .cwd = rows[i].cwd };
		struct spawned p = { 1, 1 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(spawn_start(&s, LIMIT, &p, &e), -1);
		CHECK_STR(e.msg, rows[i].msg);
		CHECK_INT(e.code, rows[i].code);
		CHECK_INT(p.pid, 0);
	}
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* nothing is left */
}

/* Root searches it all the same. */
static void a_directory_that_may_not_be_searched_is_passed_over(void)
{
	char dir[TEST_PATH_SIZE], path[TEST_PATH_SIZE + 64];
	static const char *const argv[] = { "no-such-program-here", NULL };
	const char *const env[] = { path, NULL };
	struct spawn s = { .argv = argv, .env = env };
	struct spawned p = { 0 };
	struct err e = { 0 };

	if (!test_mkdtemp(dir))
		abort();
	chmod(dir, 0);
	snprintf(path, sizeof(path), "PATH=%s:/bin", dir);
	CHECK_INT(spawn_start(&s, LIMIT, &p, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	chmod(dir, 0700);
}

static void exit_with(void *arg)
{
	_exit(*(int *)arg);
}

static struct spawned start_exiting(int *status)
{
	struct spawned p = { 0 };
	struct err e = { 0 };

	CHECK_INT(spawn_start(&(struct spawn){ .work = exit_with, .arg = status }, LIMIT, &p, &e),
	          0);
	return p;
}

static void await_ended(const struct spawned *p)
{
	while (spawn_look(p) == SPAWN_RUNS)
		poll(NULL, 0, 1);
}

/* One that collects orphans takes no status away from who waits for it. */
static void each_gets_the_status_of_its_own(void)
{
	int codes[] = { 3, 4, 5 }, status = -1;
	struct spawned p[3];
	size_t seen = 0;
	pid_t pid;

	for (size_t i = 0; i < 3; i++) {
		p[i] = start_exiting(&codes[i]);
		await_ended(&p[i]);
	}
	CHECK(spawn_collect(&p[1], &status) && WEXITSTATUS(status) == 4);
	while ((pid = spawn_next_ended(&status)) > 0) {
		CHECK(pid == p[0].pid || pid == p[2].pid);
		spawn_take(pid);
		seen++;
	}
	CHECK_INT(seen, 2);
	for (size_t i = 0; i < 3; i += 2) {
		CHECK_INT(spawn_look(&p[i]), SPAWN_ENDED);
		CHECK(spawn_collect(&p[i], &status) && WEXITSTATUS(status) == codes[i]);
		CHECK_INT(spawn_look(&p[i]), SPAWN_LOST);
		CHECK(!spawn_collect(&p[i], &status));
	}
}

/* What was taken is not signalled: its number may be another's. Another with that number is played by a registered
 * handle with a forged pid. */
static void no_signal_after_the_end(void)
{
	int code = 0, status;
	struct spawned p = start_exiting(&code), live = { 0 }, forged;
	const char *const argv[] = { "sleep", "1000", NULL };
	struct err e = { 0 };

	await_ended(&p);
	spawn_take_all();
	CHECK_INT(
		spawn_start(&(struct spawn){ .argv = argv, .lead = SPAWN_GROUP }, LIMIT, &live, &e),
		0);
	forged = (struct spawned){ live.pid, p.serial };
	spawn_signal(&forged, SIGKILL);
	spawn_end(&forged);
	CHECK_INT(spawn_look(&live), SPAWN_RUNS);
	spawn_signal(&live, SIGTERM);
	CHECK(spawn_collect(&live, &status) && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void the_whole_group_is_signalled(void)
{
	const char *const argv[] = { "sh", "-c", "sleep 1000 & echo; wait", NULL };
	struct spawned p = { 0 };
	struct err e = { 0 };
	char c;
	int fd[2];

	if (!CHECK(pipe2(fd, O_CLOEXEC) == 0))
		return;
	CHECK_INT(spawn_start(&(struct spawn){ .argv = argv,
	                                       .std = { SPAWN_NULL, fd[1], SPAWN_OURS },
	                                       .lead = SPAWN_GROUP },
	                      LIMIT, &p, &e),
	          0);
	close(fd[1]);
	CHECK_INT(read(fd[0], &c, 1), 1);
	spawn_end(&p);
	CHECK_INT(read(fd[0], &c, 1), 0); /* nobody has it any more */
	close(fd[0]);
	spawn_end(&p);
}

static void work_forever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void start_and_die(void *arg)
{
	struct spawned p;
	struct err e = { 0 };
	const struct spawn s = { .work = work_forever,
		                 .death_signal = SIGKILL,
		                 .keep = arg,
		                 .n_keep = 1,
		                 .lead = SPAWN_SESSION };

	_exit(spawn_start(&s, LIMIT, &p, &e) < 0);
}

static void death_signal_reaches_the_child(void)
{
	struct spawned p = { 0 };
	struct err e = { 0 };
	int fd[2], status = -1;
	char c;

	if (!CHECK(pipe2(fd, O_CLOEXEC) == 0))
		return;
	CHECK_INT(spawn_start(&(struct spawn){ .work = start_and_die,
	                                       .arg = &fd[1],
	                                       .keep = &fd[1],
	                                       .n_keep = 1 },
	                      LIMIT, &p, &e),
	          0);
	close(fd[1]);
	CHECK(spawn_collect(&p, &status));
	CHECK_INT(status, 0);
	CHECK_INT(read(fd[0], &c, 1), 0);
	close(fd[0]);
}

static void confinement_is_set(void)
{
	static const struct {
		enum spawn_confine confine;
		const char *want;
	} rows[] = { { SPAWN_FREE, "NoNewPrivs:\t0\n" },
		     { SPAWN_JOB, "NoNewPrivs:\t1\n" },
		     { SPAWN_WORKSPACE, "NoNewPrivs:\t1\n" },
		     { SPAWN_TOOL, "NoNewPrivs:\t1\n" } };

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0) {
		TEST_SKIP("no_new_privs is set here already");
		return;
	}
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct spawn s = { .confine = rows[i].confine };
		struct buf out = { 0 };
		int status;

		TEST_ROW(i);
		CHECK(sh("grep NoNewPrivs /proc/self/status", &s, &out, &status));
		CHECK_STR(buf_cstr(&out), rows[i].want);
		buf_free(&out);
	}
}

static void forgotten_ones_go_on(void)
{
	const char *const argv[] = { "sleep", "1000", NULL };
	struct spawned p = { 0 };
	struct err e = { 0 };
	pid_t pid;
	int status;

	CHECK_INT(spawn_start(&(struct spawn){ .argv = argv }, LIMIT, &p, &e), 0);
	pid = p.pid;
	spawn_forget(&p);
	CHECK_INT(p.pid, 0);
	CHECK(kill(pid, SIGKILL) == 0);
	while (spawn_next_ended(&status) != pid)
		poll(NULL, 0, 1);
	spawn_take(pid);
	CHECK_INT(spawn_next_ended(&status), 0);
}

/* With SIGCHLD ignored the kernel forgets: said, not waited for. */
static void a_lost_status_is_said(void)
{
	int code = 0, status;
	struct spawned p;

	signal(SIGCHLD, SIG_IGN);
	p = start_exiting(&code);
	CHECK(!spawn_collect(&p, &status));
	signal(SIGCHLD, SIG_DFL);
}

TEST_MAIN(TEST(programs_start_clean), TEST(what_is_named_is_there), TEST(functions_start_clean),
          TEST(says_why_it_cannot_start), TEST(a_directory_that_may_not_be_searched_is_passed_over),
          TEST(each_gets_the_status_of_its_own), TEST(no_signal_after_the_end),
          TEST(the_whole_group_is_signalled), TEST(death_signal_reaches_the_child),
          TEST(confinement_is_set), TEST(forgotten_ones_go_on), TEST(a_lost_status_is_said))
