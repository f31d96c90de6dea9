/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include "base/file.h"
#include "base/proc_by_env.h"
#include "base/spawn_child.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT deadline_in_ms(30000)

static void collect(void *arg, struct str bytes)
{
	buf_add_str(arg, bytes);
}

/* Runs sh -c text; the output is in out. */
static int run_sh(const char *text, struct str input, struct deadline d, int *status,
                  struct buf *out, struct err *e)
{
	const char *const argv[] = { "sh", "-c", text, NULL };
	struct proc_spawn s = {
		.argv = argv, .input = input, .output = collect, .arg = out, .grace_ms = 300
	};

	return proc_run(&s, d, status, e);
}

static void run_gives_output_and_status(void)
{
	static const struct {
		const char *text, *out;
		int exit;
	} rows[] = {
		{ "echo out; echo err >&2", "out\nerr\n", 0 },
		{ "exit 3", "", 3 },
		{ "cat", "input", 0 },
		{ "env | grep -v '^\\(_\\|PWD\\|SHLVL\\|OLDPWD\\|PATH\\)='", "HOME=/\n", 0 },
		{ "exec ls /proc/self/fd | wc -l | tr -d ' '", "4\n",
		  0 }, /* 0 to 2 and the listing itself */
		{ "exec 0<&-; sleep 0.05; echo late", "late\n", 0 }, /* input is not read */
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("RUNNER_SECRET", "x", 1);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 };
		struct err e = { 0 };
		int status = -1;

		TEST_ROW(i);
		CHECK_INT(run_sh(rows[i].text, STR_LIT("input"), LIMIT, &status, &out, &e), 0);
		CHECK_STR(e.msg, "");
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == rows[i].exit);
		CHECK_STR(buf_cstr(&out), rows[i].out);
		buf_free(&out);
	}
}

static void run_carries_much_in_both_directions(void)
{
	struct buf in = { 0 }, out = { 0 };
	struct err e = { 0 };
	int status = -1;

	for (int i = 0; i < 200000; i++)
		buf_addf(&in, "line %d\n", i);
	CHECK_INT(run_sh("cat", buf_str(&in), LIMIT, &status, &out, &e), 0);
	CHECK(in.n > 2000000 && out.n == in.n && memcmp(in.p, out.p, in.n) == 0);
	buf_free(&in);
	buf_free(&out);
}

static void child_starts_with_clean_signals(void)
{
	struct buf out = { 0 };
	struct err e = { 0 };
	sigset_t all, old;
	int status = -1;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	CHECK_INT(run_sh("cat /proc/self/status | grep -E '^Sig(Blk|Ign|Cgt)'", (struct str){ 0 },
	                 LIMIT, &status, &out, &e),
	          0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_STR(
		buf_cstr(&out),
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n");
	buf_free(&out);
}

static void run_says_why_it_cannot_start(void)
{
	const char *const missing[] = { "no-such-program-here", NULL };
	const char *const directory[] = { "/", NULL };
	const char *const ok[] = { "true", NULL };
	struct proc_spawn s = { .argv = missing };
	struct err e = { 0 };
	int status;

	CHECK_INT(proc_run(&s, LIMIT, &status, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	CHECK(strstr(e.msg, "no-such-program-here") != NULL);
	s.argv = directory;
	CHECK_INT(proc_run(&s, LIMIT, &status, &e), -1);
	CHECK_INT(e.code, EACCES);
	s.argv = ok;
	s.cwd = "/no/such/dir";
	CHECK_INT(proc_run(&s, LIMIT, &status, &e), -1);
	CHECK(strstr(e.msg, "/no/such/dir") != NULL);
}

static void path_of_the_given_env_counts(void)
{
	const char *const argv[] = { "sh", "-c", "exit 0", NULL };
	const char *const nowhere[] = { "PATH=/nowhere", NULL };
	const char *const somewhere[] = { "A=b", "PATH=::/nowhere:/bin:/usr/bin", NULL };
	struct proc_spawn s = { .argv = argv, .env = nowhere };
	struct err e = { 0 };
	int status = -1;

	CHECK_INT(proc_run(&s, LIMIT, &status, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	s.env = somewhere;
	CHECK_INT(proc_run(&s, LIMIT, &status, &e), 0);
	CHECK_INT(status, 0);
}

/* Orphans come to us (become_subreaper), so the dead ones can be waited for. */
static bool group_is_dead(pid_t pgid)
{
	struct deadline d = deadline_in_ms(1000);

	while (waitpid(-pgid, NULL, WNOHANG) >= 0 && !deadline_passed(d))
		poll(NULL, 0, 1);
	return kill(-pgid, 0) < 0 && errno == ESRCH;
}

static void deadline_ends_the_whole_group(void)
{
	static const char *const rows[] = {
		"echo $$; sleep 1000",
		"trap '' TERM; echo $$; while :; do sleep 1000; done",
		"echo $$; sleep 1000 & wait",
		"trap '' TERM; echo $$; (trap '' TERM; sleep 1000) & wait",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 };
		struct err e = { 0 };
		int64_t pid = 0, before = clock_mono_ms();
		int status;

		TEST_ROW(i);
		CHECK_INT(
			run_sh(rows[i], (struct str){ 0 }, deadline_in_ms(500), &status, &out, &e),
			-1);
		CHECK_INT(e.kind, ERR_TIMEOUT);
		CHECK(strstr(e.msg, "sh took too long") != NULL);
		CHECK(clock_mono_ms() - before < 500000); /* not the sleep's end */
		if (CHECK(str_to_i64(str_trim(buf_str(&out)), 2, 1 << 30, &pid)))
			CHECK(group_is_dead((pid_t)pid));
		buf_free(&out);
	}
}

static volatile int stop_now;

static void on_alarm(int sig)
{
	(void)sig;
	stop_now = 1;
}

static void stop_is_seen(void)
{
	const char *const argv[] = { "sleep", "1000", NULL };
	struct proc_spawn s = { .argv = argv, .stop = &stop_now, .grace_ms = 300 };
	struct err e = { 0 };
	int status;

	signal(SIGALRM, on_alarm);
	ualarm(50000, 0);
	CHECK_INT(proc_run(&s, LIMIT, &status, &e), -1);
	CHECK_INT(e.kind, ERR_CANCELED);
}

static void inherited_pipe_does_not_hold_up(void)
{
	struct buf out = { 0 };
	struct err e = { 0 };
	int64_t before = clock_mono_ms(), pid = 0;
	int status = -1;

	CHECK_INT(run_sh("sleep 1000 & echo $!", (struct str){ 0 }, LIMIT, &status, &out, &e), 0);
	CHECK(clock_mono_ms() - before < 500000); /* not the sleep's end */
	if (CHECK(str_to_i64(str_trim(buf_str(&out)), 2, 1 << 30, &pid)))
		kill((pid_t)pid, SIGKILL);
	buf_free(&out);
}

static void status_in_words(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = { { "exit 3", "exit status 3" },
		     { "kill -9 $$", "killed by signal 9 (Killed)" } };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 }, words = { 0 };
		struct err e = { 0 };
		int status = 0;

		TEST_ROW(i);
		CHECK_INT(run_sh(rows[i].text, (struct str){ 0 }, LIMIT, &status, &out, &e), 0);
		proc_describe_status(status, &words);
		CHECK_STR(buf_cstr(&words), rows[i].want);
		buf_free(&out);
		buf_free(&words);
	}
}

static void identity_notices_another_process(void)
{
	struct proc_id id = { 0 }, none;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, ") S 1 (x"); /* a name made to mislead */
		pause();
		_exit(0);
	}
	CHECK(proc_identify(pid, &id));
	CHECK(id.pid == pid && id.start > 0 && proc_alive(id));
	none = id;
	none.start++;
	CHECK(!proc_alive(none));
	CHECK(!proc_signal(none, SIGKILL));
	CHECK(proc_alive(id));
	CHECK(proc_signal(id, SIGKILL));
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	CHECK(!proc_identify(pid, &none)); /* a zombie is gone */
	CHECK(!proc_signal(id, SIGTERM));
	waitpid(pid, NULL, 0);
	CHECK(!proc_alive(id));
	CHECK(!proc_identify(0, &none) && !proc_identify(-1, &none));
}

static void close_keeps_what_it_is_told(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int keep[] = { 50, 7, -1 };
		bool ok;

		dup2(2, 7);
		dup2(2, 8);
		dup2(2, 50);
		dup2(2, 200);
		spawn_close_fds(keep, 3);
		ok = fcntl(7, F_GETFD) >= 0 && fcntl(50, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0 &&
		     fcntl(8, F_GETFD) < 0 && fcntl(200, F_GETFD) < 0 && fcntl(3, F_GETFD) < 0;
		spawn_close_fds(NULL, 0);
		_exit(ok && fcntl(7, F_GETFD) < 0 && fcntl(50, F_GETFD) < 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

/*
 * A root that is a subreaper runs the shell text and stays; it has said "ready" on the pipe when
 * this returns. Descendants inherit the pipe's write end, so its end shows that all are dead.
 */
static struct proc_id start_tree(const char *text, bool reaps, int *alive_fd)
{
	struct proc_id id = { 0 };
	struct err e = { 0 };
	int fd[2], known[2];
	char c = 0;
	pid_t pid;

	if (pipe(fd) < 0 || pipe(known) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		/* One that has ended cannot be identified, and some end at once. */
		close(known[1]);
		if (read(known[0], &c, 1) != 0)
			_exit(126);
		close(known[0]);
		if (reaps) {
			prctl(PR_SET_CHILD_SUBREAPER, 1);
			setpgid(0, 0);
		}
		dup2(fd[1], 3);
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	CHECK(proc_identify(pid, &id));
	close(known[0]);
	close(known[1]);
	CHECK(wait_fd(fd[0], POLLIN, LIMIT, &e) > 0 && read(fd[0], &c, 1) == 1 && c == 'r');
	*alive_fd = fd[0];
	return id;
}

static bool all_are_dead(int *alive_fd)
{
	struct err e = { 0 };
	bool dead = false;
	char rest[64];

	while (!dead && wait_fd(*alive_fd, POLLIN, deadline_in_ms(3000), &e) > 0)
		dead = read(*alive_fd, rest, sizeof(rest)) == 0;
	fd_close(alive_fd);
	return dead;
}

static void reap(pid_t pid)
{
	waitpid(pid, NULL, 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void whole_trees_end(void)
{
	static const char *const rows[] = {
		"printf r >&3; sleep 1000",
		"sleep 1000 & sleep 1000 & printf r >&3; wait",
		"setsid sleep 1000 & (sleep 1000 &) ; nohup sleep 1000 >/dev/null 2>&1 & printf r >&3; wait",
		"setsid sh -c '(setsid sleep 1000 &) ; sleep 0.1; printf r >&3' & wait; sleep 1000",
		"trap '' TERM; (trap '' TERM; setsid sh -c \"trap '' TERM; printf r >&3; while :; do sleep 1000; done\") & "
		"while :; do sleep 1000; done",
		"sleep 1000 & kill -STOP $!; printf r >&3; wait",
		/* Goes on to fork, in new sessions, when it is told to end. */
		"f() { setsid sh -c 'trap \"\" TERM; sleep 1000' & }; trap 'f; f; f' TERM; printf r >&3; "
		"while :; do sleep 0.01; done",
	};
	pid_t stranger = fork();

	if (stranger == 0) {
		pause();
		_exit(0);
	}
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		int fd;
		struct proc_id id = start_tree(rows[i], true, &fd);
		int64_t before = clock_mono_ms();

		TEST_ROW(i);
		CHECK_INT(proc_end_tree(&id, 1, 300, LIMIT, &e), 0);
		CHECK_STR(e.msg, "");
		CHECK(clock_mono_ms() - before < 500000); /* not the sleep's end */
		CHECK(all_are_dead(&fd));
		reap(id.pid);
	}
	CHECK(kill(stranger, 0) == 0);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
}

static void polite_trees_are_not_killed(void)
{
	struct err e = { 0 };
	int status = 0, fd;
	struct proc_id id = start_tree(
		"trap 'exit 7' TERM; printf r >&3; while :; do sleep 0.01; done", true, &fd);

	CHECK_INT(proc_end_tree(&id, 1, 20000, LIMIT, &e), 0);
	waitpid(id.pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(all_are_dead(&fd));
}

static void fork_bomb_ends(void)
{
	/* Each generation forks two; bounded in number by depth, so that a failure does no harm. */
	static const char bomb[] =
		"b() { if [ $1 -gt 0 ]; then b $(($1 - 1)) & b $(($1 - 1)) & fi; trap '' TERM; wait; sleep 1000; }; "
		"printf r >&3; b 7";
	struct err e = { 0 };
	int fd;
	struct proc_id id = start_tree(bomb, true, &fd);

	CHECK_INT(proc_end_tree(&id, 1, 0, LIMIT, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK(all_are_dead(&fd));
	reap(id.pid);
}

static void session_members_of_a_dead_root_end(void)
{
	struct err e = { 0 };
	int fd;
	/* The orphan comes to us; that it belongs to the root shows by its session alone. */
	struct proc_id id = start_tree("exec setsid sh -c '(sleep 1000 &) ; printf r >&3; exit'",
	                               false, &fd);

	waitid(P_PID, (id_t)id.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	CHECK_INT(proc_end_tree(&id, 1, 300, LIMIT, &e), 0);
	CHECK(all_are_dead(&fd));
	reap(id.pid);
}

static void ids_of_others_are_left_alone(void)
{
	struct err e = { 0 };
	struct proc_id self, id = { 0 };
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK(proc_identify(pid, &id) && proc_identify(getpid(), &self));
	id.start++;
	CHECK_INT(proc_end_tree(&id, 1, 0, LIMIT, &e), 0);
	CHECK(kill(pid, 0) == 0);
	CHECK_INT(proc_end_tree(&self, 1, 0, LIMIT, &e),
	          0); /* ours is refused, and so are its children */
	CHECK(kill(pid, 0) == 0);
	CHECK_INT(proc_end_tree(NULL, 0, 0, LIMIT, &e), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void descendants_are_listed(void)
{
	struct proc_id *list = NULL;
	struct err e = { 0 };
	bool self = false, child = false;
	int fd;
	struct proc_id id = start_tree("setsid sleep 1000 & sleep 1000 & printf r >&3; wait", true,
	                               &fd);
	size_t n = proc_descendants(id.pid, &list);

	CHECK_INT((long long)n, 2);
	free(list);
	n = proc_descendants(getpid(), &list);
	for (size_t i = 0; i < n; i++) {
		self |= list[i].pid == getpid();
		child |= list[i].pid == id.pid;
	}
	CHECK(n >= 3 && child && !self);
	free(list);
	CHECK_INT(proc_end_tree(&id, 1, 300, LIMIT, &e), 0);
	CHECK(all_are_dead(&fd));
	reap(id.pid);
	CHECK_INT((long long)proc_descendants(id.pid, &list), 0);
	free(list);
}

/* Started just before the program, in the same tick of the clock that start times are told in; its own child meanwhile. */
static void what_was_there_before_a_program_stays(void)
{
	static const char *const argv[] = { "true", NULL };
	struct proc_spawn s = { .argv = argv, .end_daemons = true };
	struct err e = { 0 };

	for (int i = 0; i < 20; i++) {
		int fd, status = -1;
		struct proc_id older = start_tree("printf r >&3; sleep 1000", true, &fd);

		TEST_ROW(i);
		CHECK_INT(proc_run(&s, LIMIT, &status, &e), 0);
		/* The shell would end with its program. */
		CHECK(wait_fd(fd, POLLIN, deadline_in_ms(20), &e) < 0 && proc_alive(older));
		CHECK_INT(proc_end_tree(&older, 1, 300, LIMIT, &e), 0);
		CHECK(all_are_dead(&fd));
		reap(older.pid);
	}
}

/* Whatever is below us and began with that variable. */
static size_t marked(const char *value)
{
	struct proc_list l = { 0 };
	size_t n;

	proc_list_by_env(&l, "DR_TEST_LEFT", value);
	n = l.n;
	proc_list_free(&l);
	return n;
}

static void what_a_program_leaves_is_ended(void)
{
	static const char *const rows[] = {
		"true",
		"setsid sleep 1000 >/dev/null 2>&1 &",
		"(setsid sh -c '(setsid sleep 1000 & setsid sleep 1000 &) ; exit 0' &) >/dev/null 2>&1",
		"(sh -c 'trap \"\" TERM; setsid sleep 1000; sleep 1000' &) >/dev/null 2>&1",
		"true",
	};
	int fd;
	struct proc_id older = start_tree("printf r >&3; exec sleep 1000", true, &fd), again;

	/* At first with another child of ours, then with none: either way. */
	for (size_t i = 0; i < 2 * TEST_N(rows); i++) {
		char value[24], mark[48];
		const char *const env[] = { mark, "PATH=/usr/bin:/bin", NULL };
		const char *const argv[] = { "sh", "-c", rows[i % TEST_N(rows)], NULL };
		struct proc_spawn s = { .argv = argv, .env = env, .end_daemons = true };
		struct err e = { 0 };
		int status = -1;

		TEST_ROW(i);
		if (i == TEST_N(rows)) {
			CHECK(proc_identify(older.pid, &again));
			CHECK_INT(proc_end_tree(&older, 1, 300, LIMIT, &e), 0);
			CHECK(all_are_dead(&fd));
			reap(older.pid);
		}
		snprintf(value, sizeof(value), "%ld.%zu", (long)getpid(), i);
		snprintf(mark, sizeof(mark), "DR_TEST_LEFT=%s", value);
		CHECK_INT(proc_run(&s, LIMIT, &status, &e), 0);
		CHECK_INT(status, 0);
		CHECK_INT((long long)marked(value), 0);
	}
}

static void become_subreaper(void)
{
	CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

TEST_MAIN(TEST(become_subreaper), TEST(run_gives_output_and_status),
          TEST(run_carries_much_in_both_directions), TEST(child_starts_with_clean_signals),
          TEST(run_says_why_it_cannot_start), TEST(path_of_the_given_env_counts),
          TEST(deadline_ends_the_whole_group), TEST(stop_is_seen),
          TEST(inherited_pipe_does_not_hold_up), TEST(status_in_words),
          TEST(identity_notices_another_process), TEST(close_keeps_what_it_is_told),
          TEST(whole_trees_end), TEST(polite_trees_are_not_killed), TEST(fork_bomb_ends),
          TEST(session_members_of_a_dead_root_end), TEST(ids_of_others_are_left_alone),
          TEST(descendants_are_listed), TEST(what_was_there_before_a_program_stays),
          TEST(what_a_program_leaves_is_ended))
