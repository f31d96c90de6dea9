/* SPDX-License-Identifier: Apache-2.0 */
/* A confined process cannot look into others or signal them, has no hidden files and no calls that are refused, and
 * works as before on the rest. */
#include "base/confine.h"

#include "base/file.h"
#include "base/proc.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static bool have_landlock;

static bool can_read(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool moves_between_directories(void)
{
	char dir[] = "/tmp/test-confine-XXXXXX";
	char a[64], b[64], from[80], to[80];
	struct err e = { 0 };
	bool ok;

	if (!mkdtemp(dir))
		return false;
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	snprintf(from, sizeof(from), "%s/f", a);
	snprintf(to, sizeof(to), "%s/g", b);
	ok = file_mkdirs(a, 0700, &e) == 0 && file_mkdirs(b, 0700, &e) == 0 &&
	     file_replace(from, 0600, STR_LIT("x"), &e) == 0 && rename(from, to) == 0;
	return file_remove_tree(dir, &e) == 0 && ok;
}

/* What fails in the confined child, as a bit each; SKIPPED without Landlock. */
static int in_child(pid_t parent)
{
	/* Root may read environments by a capability that it loses with the next exec. */
	const char *what = geteuid() == 0 ? "mem" : "environ";
	int wrong = 0;

	if (!can_read(parent, what) || kill(parent, 0) < 0)
		return 32; /* the comparison would mean nothing */
	if (!confine_self())
		return SKIPPED;
	wrong |= can_read(parent, what) ? 1 : 0;
	wrong |= can_read(getpid(), what) ? 0 : 2;
	wrong |= moves_between_directories() ? 0 : 4;
	wrong |= kill(getpid(), 0) == 0 ? 0 : 8;
	return wrong;
}

static void other_processes_are_out_of_reach(void)
{
	pid_t parent = getpid(), pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(in_child(parent));
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED)
		printf("this kernel has no Landlock: not tested\n");
	else
		CHECK_INT(WEXITSTATUS(status), 0);
	have_landlock = WEXITSTATUS(status) != SKIPPED;
}

static void take(void *arg, struct str bytes)
{
	buf_add_str(arg, bytes);
}

static void confined_programs_run(void)
{
	const char *const argv[] = {
		"sh", "-c", "cat /proc/$PPID/environ >/dev/null 2>&1 && echo read || echo refused",
		NULL
	};
	struct buf out = { 0 };
	struct err e = { 0 };
	struct proc_spawn s = { .argv = argv, .output = take, .arg = &out };
	int status = 1;

	CHECK(proc_run(&s, deadline_in_ms(20000), &status, &e) == 0);
	CHECK_STR(buf_cstr(&out), "read\n");
	buf_reset(&out);
	s.confined = true;
	CHECK(proc_run(&s, deadline_in_ms(20000), &status, &e) == 0);
	CHECK_INT(status, 0);
	if (have_landlock)
		CHECK_STR(buf_cstr(&out), "refused\n");
	buf_free(&out);
}

/* ---- files ---- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) >= 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool get(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool denied(bool done)
{
	return !done && (errno == EACCES || errno == EXDEV);
}

static void hide(void)
{
	confine_hide("etc/runner.ini", HIDE_FROM_JOB);
	confine_hide("state/journal", HIDE_FROM_JOB);
	confine_hide("etc/not-there", HIDE_FROM_JOB);
	confine_hide(NULL, HIDE_FROM_JOB);
	confine_hide("state/workspaces", HIDE_FROM_TOOLS);
	confine_keep("state/workspaces/a");
}

/* A tool: what is wrong, as the number of the check; 0 is fine. */
static int tool_on_files(void)
{
	static const char *const gone[] = { "etc/runner.ini", "etc/runner.ini.bak", "etc/link.ini",
		                            "state/journal", "state/workspaces/b/file" };

	hide();
	if (!confine_self())
		return SKIPPED;
	for (size_t i = 0; i < TEST_N(gone); i++) {
		if (!denied(get(gone[i])) || !denied(put(gone[i], "x")))
			return 10 + (int)i;
	}
	if (!denied(unlink("etc/runner.ini") == 0) ||
	    !denied(rename("state/journal", "state/workspaces/a/j") == 0) ||
	    !denied(link("state/journal", "state/workspaces/a/j") == 0) ||
	    !denied(rename("state/workspaces/a/file", "etc/runner.ini") == 0) ||
	    !denied(symlink("/tmp", "etc/new") == 0) || !denied(mkdir("state/new", 0700) == 0) ||
	    !denied(rename("etc", "etc2") == 0))
		return 20;
	if (!put("state/other", "y") || !get("etc/ca.pem") || !put("etc/ca.pem", "y") ||
	    !get("/proc/self/stat") || !get("/dev/null"))
		return 21;
	if (!get("state/workspaces/a/file") || !put("state/workspaces/a/new", "x") ||
	    mkdir("state/workspaces/a/dir", 0700) < 0 ||
	    rename("state/workspaces/a/new", "state/workspaces/a/dir/new") < 0 ||
	    !get("state/workspaces/a/dir/new"))
		return 22;
	return 0;
}

/* A job's own process, and a tool that it starts. */
static int job_on_files(void)
{
	int status = 0;
	pid_t pid;

	hide();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!confine_job())
		return SKIPPED;
	if (!denied(get("etc/runner.ini")) || !denied(put("etc/runner.ini", "x")) ||
	    !denied(get("state/journal")) || !denied(unlink("state/journal") == 0) ||
	    !denied(rename("state/workspaces/a/file", "state/journal") == 0))
		return 30;
	if (!get("state/workspaces/b/file") || mkdir("state/workspaces/c", 0700) < 0 ||
	    !put("state/workspaces/c/file", "x") || !get("state/workspaces/c/file") ||
	    !put("state/other", "y"))
		return 31;
	pid = fork();
	if (pid == 0)
		_exit(tool_on_files());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 33;
}

static int nothing_hidden(void)
{
	if (!confine_self())
		return SKIPPED;
	return get("etc/runner.ini") && put("etc/new", "x") && mkdir("new", 0700) == 0 &&
	                       rename("etc/new", "new/x") == 0
	               ? 0
	               : 40;
}

/* ---- files: who, with and without Landlock ---- */

#define NOBODY 65534

static unsigned crowd;   /* further files beside "etc", and few enough in it and in "state" */
static bool no_landlock; /* the kernel has none, as far as the child can tell */

/* A system call that this kernel does not have. */
static bool take_away(int nr)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)nr },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog p = { TEST_N(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) == 0;
}

static bool make_crowd(const char *dir)
{
	char path[64];
	bool ok = true;

	for (unsigned i = 0; ok && i < crowd; i++) {
		snprintf(path, sizeof(path), "%s/beside-%u", dir, i);
		ok = put(path, "");
	}
	return ok;
}

static bool make_tree(void)
{
	static const char *const dirs[] = {
		"etc",      "state", "state/workspaces", "state/workspaces/a", "state/workspaces/b",
		"state/dir"
	};
	static const char *const files[] = {
		"etc/runner.ini", "etc/runner.ini.bak", "etc/ca.pem",
		"etc/.set",       "state/journal",      "state/workspaces/a/file",
		"state/dir/one",  "state/other",        "state/workspaces/b/file"
	};
	bool ok = make_crowd(".");

	for (size_t i = 0; i < TEST_N(dirs); i++) {
		ok = mkdir(dirs[i], 0700) == 0 && ok;
		if (i < 2 && crowd < 10000)
			ok = make_crowd(dirs[i]) && ok;
	}
	for (size_t i = 0; i < TEST_N(files); i++)
		ok = put(files[i], "x") && ok;
	return symlink("runner.ini", "etc/link.ini") == 0 && ok;
}

/* Its exit status. */
static int in_tree(int (*check)(void), uid_t who)
{
	char dir[] = "/tmp/test-confine-XXXXXX";
	struct err e = { 0 };
	int status = 0;
	pid_t pid;

	CHECK(mkdtemp(dir) != NULL);
	CHECK(who == geteuid() || chown(dir, who, who) == 0);
	pid = fork();
	if (pid == 0) {
		bool ok = chdir(dir) == 0 &&
		          (who == geteuid() || (setgid(who) == 0 && setuid(who) == 0));

		ok = ok && make_tree() && (!no_landlock || take_away(444));
		_exit(ok ? check() : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK(file_remove_tree(dir, &e) == 0);
	return WEXITSTATUS(status);
}

/* In a crowd the hidden stays out of reach, and what counts in reach. */
static int crowd_on_files(void)
{
	hide();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!confine_job())
		return SKIPPED;
	if (!denied(get("etc/runner.ini")) || !denied(get("etc/runner.ini.bak")) ||
	    !denied(put("etc/runner.ini", "x")) || !denied(get("state/journal")) ||
	    !denied(unlink("state/journal") == 0))
		return 50;
	if (!get("etc/.set") || !get("state/dir/one") || !get("state/workspaces/b/file") ||
	    !put("state/workspaces/a/file", "y") || !get("/proc/self/stat") || !get("/dev/null"))
		return 51;
	confine_self();
	if (!denied(get("etc/runner.ini")) || !denied(get("state/workspaces/b/file")) ||
	    !get("etc/.set") || !get("state/dir/one") || !put("state/workspaces/a/file", "z"))
		return 52;
	return 0;
}

/* Whoever may not list a directory above it keeps the hidden out of reach all the same. */
static int unlisted_on_files(void)
{
	if (chmod("etc", 0300) < 0)
		return 70;
	hide();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!confine_job())
		return SKIPPED;
	if (!denied(get("etc/runner.ini")) || !denied(put("etc/runner.ini", "x")) ||
	    !denied(get("state/journal")) || !get("state/other"))
		return 71;
	confine_self();
	return denied(get("etc/runner.ini")) && denied(get("state/workspaces/b/file")) &&
	                       get("state/other") && get("/dev/null")
	               ? 0
	               : 72;
}

/* Without Landlock all is as it was, but what works goes on working. */
static int works_without(void)
{
	hide();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (confine_job() || confine_self())
		return 60;
	return get("etc/ca.pem") && put("state/workspaces/a/new", "x") ? 0 : 61;
}

static void hidden_files_are_out_of_reach(void)
{
	static const struct {
		int (*check)(void);
		unsigned crowd;
		bool without;
	} rows[] = {
		{ tool_on_files, 0, false },    { job_on_files, 0, false },
		{ nothing_hidden, 0, false },   { crowd_on_files, 0, false },
		{ crowd_on_files, 600, false }, { unlisted_on_files, 0, false },
		{ works_without, 0, true },
	};
	const uid_t who[] = { geteuid(), NOBODY };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		for (size_t k = 0; k < (geteuid() == 0 ? TEST_N(who) : 1); k++) {
			int status;

			TEST_ROW(i);
			crowd = rows[i].crowd;
			no_landlock = rows[i].without;
			status = in_tree(rows[i].check, who[k]);
			if (have_landlock || rows[i].without || status != SKIPPED)
				CHECK_INT(status, 0);
		}
	}
	crowd = 0;
	no_landlock = false;
}

/* ---- the price ---- */

static struct price {
	long rules, calls;
} * price; /* shared with children */

static int confine_under_trace(void)
{
	hide();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return SKIPPED;
	raise(SIGSTOP);
	return confine_job() ? 0 : SKIPPED;
}

/* From its child's stop to its end. */
static int count_calls(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(confine_under_trace());
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		struct __ptrace_syscall_info info = { 0 };

		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			price->calls++;
			price->rules += info.entry.nr == 445;
		}
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void neighbours_cost_a_bounded_number_of_calls(void)
{
	static const unsigned crowds[] = { 10, 20000 };
	struct price paid[TEST_N(crowds)] = { 0 };

	price = mmap(NULL, sizeof(*price), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	if (!CHECK(price != MAP_FAILED))
		return;
	for (size_t i = 0; i < TEST_N(crowds); i++) {
		int status;

		*price = (struct price){ 0 };
		crowd = crowds[i];
		status = in_tree(count_calls, geteuid());
		if (status == SKIPPED || price->calls == 0) {
			printf("no Landlock or no tracing here: not counted\n");
			break;
		}
		CHECK_INT(status, 0);
		paid[i] = *price;
	}
	crowd = 0;
	munmap(price, sizeof(*price));
	if (paid[1].calls == 0)
		return;
	/* One directory of the tree is full; the rest is the machine's, and may change meanwhile. */
	CHECK(paid[0].rules > 20); /* else nothing was counted */
	CHECK(paid[1].rules < paid[0].rules + 512 + 500);
	/* A rule takes four calls; the names are read some dozens with a call. */
	CHECK(paid[1].calls < paid[0].calls + 4 * (512 + 500) + 20000 / 10);
}

static void crowds_are_found(void)
{
	char dir[] = "/tmp/test-confine-XXXXXX", path[64];
	struct err e = { 0 };
	struct buf found = { 0 };

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/state", dir);
	CHECK(mkdir(path, 0700) == 0);
	crowd = 511;
	CHECK(make_crowd(dir));
	confine_crowded(path, &found); /* whatever else this machine has */
	CHECK(strcmp(buf_cstr(&found), dir) != 0);
	crowd = 512;
	CHECK(make_crowd(dir));
	buf_reset(&found);
	CHECK(confine_crowded(path, &found));
	CHECK_STR(buf_cstr(&found), dir);
	buf_reset(&found);
	CHECK(!confine_crowded("/tmp/not-there/at-all", &found));
	crowd = 0;
	buf_free(&found);
	CHECK(file_remove_tree(dir, &e) == 0);
}

/* ---- system calls ---- */

static int result(long rc)
{
	return rc < 0 ? errno : 0;
}

static int call_module(void)
{
	return result(syscall(SYS_init_module, "", 0L, ""));
}

static int call_io_uring(void)
{
	return result(syscall(425, 0L, NULL));
}

static int call_terminal(void)
{
	return result(ioctl(0, TIOCSTI, NULL));
}

static int call_rare_socket(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int call_usual_socket(void)
{
	int fds[2];

	return result(socket(AF_INET, SOCK_STREAM, 0)) | result(socket(AF_UNIX, SOCK_STREAM, 0)) |
	       result(socket(AF_NETLINK, SOCK_RAW, 0)) |
	       result(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) |
	       (ioctl(0, FIONREAD, fds) < 0 && errno == EPERM);
}

static int call_trace(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int call_memory(void)
{
	return result(syscall(SYS_process_vm_readv, (long)getpid(), NULL, 0L, NULL, 0L, 0L));
}

static int call_unshare(void)
{
	return result(unshare(0));
}

static int call_mount(void)
{
	return result(umount2("", 0));
}

static int call_keys(void)
{
	return result(syscall(SYS_keyctl, 9999L, 0L, 0L, 0L, 0L));
}

static int call_namespace(void)
{
	int pid = (int)syscall(SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0L, 0L, 0L, 0L);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int call_clone3(void)
{
	return result(syscall(435, NULL, 0L));
}

static int call_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid) | (pid > 0 ? result(waitpid(pid, NULL, 0)) : 0);
}

#if defined(__x86_64__)
static int call_foreign(void)
{
	long rc = 20; /* getpid of i386 */

	/* A kernel without that ABI ends the process: by the signal, not by a sanitizer's handler and exit 1. */
	signal(SIGSEGV, SIG_DFL);
	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
	return rc < 0 ? (int)-rc : 0;
}
#else
static int call_foreign(void)
{
	return ENOSYS;
}
#endif

static int call_and_exit(int (*call)(void), int level)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(level < 0 || confine_syscalls((enum confine_syscalls)level) ? call() : 255);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 254;
}

static void calls_are_refused_by_level(void)
{
	static const struct {
		int (*call)(void);
		int level, error; /* refused from there on */
	} rows[] = {
		{ call_module, SYSCALLS_MACHINE, EPERM },
		{ call_io_uring, SYSCALLS_WORKSPACE, ENOSYS },
		{ call_terminal, SYSCALLS_WORKSPACE, EPERM },
		{ call_rare_socket, SYSCALLS_WORKSPACE, EAFNOSUPPORT },
		{ call_foreign, SYSCALLS_MACHINE, ENOSYS },
		{ call_trace, SYSCALLS_TOOL, EPERM },
		{ call_memory, SYSCALLS_TOOL, EPERM },
		{ call_unshare, SYSCALLS_SANDBOX, EPERM },
		{ call_mount, SYSCALLS_SANDBOX, EPERM },
		{ call_keys, SYSCALLS_SANDBOX, EPERM },
		{ call_namespace, SYSCALLS_SANDBOX, EPERM },
		{ call_clone3, SYSCALLS_SANDBOX, ENOSYS },
		{ call_usual_socket, SYSCALLS_TOOL + 1, 0 },
		{ call_fork, SYSCALLS_TOOL + 1, 0 },
	};

	if (call_and_exit(call_fork, SYSCALLS_MACHINE) == 255) {
		printf("this kernel has no seccomp filters: not tested\n");
		return;
	}
	for (size_t i = 0; i < TEST_N(rows); i++) {
		int plain = call_and_exit(rows[i].call, -1);

		TEST_ROW(i);
		for (int level = SYSCALLS_MACHINE; level <= SYSCALLS_TOOL; level++) {
			int now = call_and_exit(rows[i].call, level);

			if (level < rows[i].level)
				CHECK_INT(now, plain);
			else if (plain != 254) /* a kernel without the other ABI ends the process */
				CHECK_INT(now, rows[i].error);
		}
	}
}

/* ---- the sandbox's level, call by call ---- */

#define NOT_REFUSED 99
#define NUMBERS 1024

/* All but what it takes to confine oneself and to end is answered here, and never reaches the kernel. A filter that comes
 * later goes before this one. */
static bool answer_all(void)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 2, 0, SYS_prctl },
		{ BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_exit_group },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | NOT_REFUSED },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog p = { TEST_N(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) == 0;
}

struct asked {
	long nr, a, b;
	int error;
};

/* Fills in the errors that a process of that level gets; false where there are no filters. */
static bool ask(struct asked *q, size_t n, enum confine_syscalls level)
{
	size_t size = n * sizeof(*q);
	struct asked *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                            -1, 0);
	int status = 0;
	pid_t pid;

	if (!CHECK(shared != MAP_FAILED))
		return false;
	memcpy(shared, q, size);
	pid = fork();
	if (pid == 0) {
		if (!answer_all() || !confine_syscalls(level))
			_exit(SKIPPED);
		for (size_t i = 0; i < n; i++) {
			/* uretprobe and uprobe of x86-64 pass by all filters, and end who calls them here. */
			bool ours = shared[i].nr == SYS_prctl || shared[i].nr == SYS_exit_group ||
			            shared[i].nr == 335 || shared[i].nr == 336;

			shared[i].error = ours ? NOT_REFUSED
			                  : syscall(shared[i].nr, shared[i].a, shared[i].b, 0, 0, 0,
			                            0) < 0
			                          ? errno
			                          : 0;
		}
		syscall(SYS_exit_group, 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	memcpy(q, shared, size);
	munmap(shared, size);
	return CHECK(WIFEXITED(status)) && WEXITSTATUS(status) == 0;
}

struct named {
	long nr;
	int error;
};

static const struct named in_sandbox[] = {
/* clang-format off */
#if defined(__x86_64__)
	{ SYS_iopl, EPERM }, { SYS_ioperm, EPERM }, { SYS_uselib, EPERM }, { SYS_ustat, EPERM },
	{ SYS_sysfs, EPERM }, { SYS__sysctl, EPERM }, { SYS_vserver, EPERM }, { SYS_create_module, EPERM },
	{ SYS_get_kernel_syms, EPERM }, { SYS_query_module, EPERM }, { SYS_getpmsg, EPERM },
	{ SYS_putpmsg, EPERM }, { SYS_afs_syscall, EPERM }, { SYS_tuxcall, EPERM }, { SYS_security, EPERM },
#endif
#if !defined(__arm__)
	{ SYS_settimeofday, EPERM }, { SYS_clock_settime, EPERM },
#else
	{ 79, EPERM }, { 262, EPERM }, { 404, EPERM }, { SYS_vserver, EPERM }, { SYS_uselib, EPERM },
	{ SYS_ustat, EPERM }, { SYS_sysfs, EPERM }, { SYS__sysctl, EPERM }, { SYS_bdflush, EPERM },
	{ SYS_pciconfig_iobase, EPERM }, { SYS_pciconfig_read, EPERM }, { SYS_pciconfig_write, EPERM },
#endif
#ifdef SYS_kexec_file_load
	{ SYS_kexec_file_load, EPERM },
#endif
	{ SYS_init_module, EPERM }, { SYS_finit_module, EPERM }, { SYS_delete_module, EPERM },
	{ SYS_kexec_load, EPERM }, { SYS_reboot, EPERM }, { SYS_swapon, EPERM }, { SYS_swapoff, EPERM },
	{ SYS_acct, EPERM }, { SYS_open_by_handle_at, EPERM }, { SYS_bpf, EPERM },
	{ SYS_userfaultfd, EPERM }, { SYS_perf_event_open, EPERM }, { SYS_setns, EPERM },
	{ SYS_unshare, EPERM }, { SYS_mount, EPERM }, { SYS_umount2, EPERM }, { SYS_pivot_root, EPERM },
	{ SYS_keyctl, EPERM }, { SYS_add_key, EPERM }, { SYS_request_key, EPERM }, { SYS_kcmp, EPERM },
	{ SYS_get_mempolicy, EPERM }, { SYS_set_mempolicy, EPERM }, { SYS_mbind, EPERM },
	{ SYS_migrate_pages, EPERM }, { SYS_move_pages, EPERM }, { SYS_syslog, EPERM },
	{ SYS_vhangup, EPERM }, { SYS_sethostname, EPERM }, { SYS_setdomainname, EPERM },
	{ SYS_quotactl, EPERM }, { SYS_fanotify_init, EPERM }, { SYS_nfsservctl, EPERM },
	{ SYS_lookup_dcookie, EPERM },
	{ 425, ENOSYS }, { 426, ENOSYS }, { 427, ENOSYS }, /* io_uring_setup, _enter, _register */
	{ 428, EPERM }, { 429, EPERM }, /* open_tree, move_mount */
	{ 430, EPERM }, { 431, EPERM }, { 432, EPERM }, { 433, EPERM }, /* fsopen, fsconfig, fsmount, fspick */
	{ 435, ENOSYS }, /* clone3 */
	{ 438, EPERM }, { 440, EPERM }, /* pidfd_getfd, process_madvise */
	{ 442, EPERM }, { 443, EPERM }, /* mount_setattr, quotactl_fd */
	{ 450, EPERM }, { 460, EPERM }, { 467, EPERM }, /* set_mempolicy_home_node, lsm_set_self_attr, open_tree_attr */
	/* With arguments of zero. */
	{ SYS_socket, EAFNOSUPPORT },
	/* clang-format on */
};
static const struct named in_tool[] = {
	{ SYS_ptrace, EPERM },
	{ SYS_process_vm_readv, EPERM },
	{ SYS_process_vm_writev, EPERM },
	{ SYS_personality, EPERM },
};

static int wanted(long nr, enum confine_syscalls level)
{
	for (size_t i = 0; i < TEST_N(in_sandbox); i++)
		if (in_sandbox[i].nr == nr)
			return in_sandbox[i].error;
	for (size_t i = 0; level == SYSCALLS_TOOL && i < TEST_N(in_tool); i++)
		if (in_tool[i].nr == nr)
			return in_tool[i].error;
	return nr > 469 ? ENOSYS : NOT_REFUSED;
}

static void each_call_is_judged(void)
{
	static struct asked q[NUMBERS];

	for (int level = SYSCALLS_SANDBOX; level <= SYSCALLS_TOOL; level++) {
		for (long nr = 0; nr < NUMBERS; nr++)
			q[nr] = (struct asked){ .nr = nr };
		if (!ask(q, NUMBERS, (enum confine_syscalls)level)) {
			TEST_SKIP("this kernel has no seccomp filters");
			return;
		}
		for (size_t nr = 0; nr < NUMBERS; nr++) {
			TEST_ROW(nr);
			CHECK_INT(q[nr].error, wanted((long)nr, (enum confine_syscalls)level));
		}
	}
}

static void arguments_are_judged(void)
{
	static const struct asked rows[] = {
		{ SYS_clone, SIGCHLD, 0, NOT_REFUSED },
		{ SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_THREAD, 0, NOT_REFUSED },
		{ SYS_clone, CLONE_NEWUSER, 0, EPERM },
		{ SYS_clone, CLONE_NEWNS, 0, EPERM },
		{ SYS_clone, CLONE_NEWPID, 0, EPERM },
		{ SYS_clone, CLONE_NEWNET, 0, EPERM },
		{ SYS_clone, CLONE_NEWIPC, 0, EPERM },
		{ SYS_clone, CLONE_NEWUTS, 0, EPERM },
		{ SYS_clone, CLONE_NEWCGROUP | SIGCHLD, 0, EPERM },
		{ SYS_personality, 0, 0, NOT_REFUSED },
		{ SYS_personality, 0x8, 0, NOT_REFUSED },
		{ SYS_personality, 0x20000, 0, NOT_REFUSED },
		{ SYS_personality, 0x20008, 0, NOT_REFUSED },
		{ SYS_personality, 0xffffffff, 0, NOT_REFUSED },
		{ SYS_personality, 0x0040000, 0, EPERM }, /* ADDR_NO_RANDOMIZE */
		{ SYS_personality, 0x0400000, 0, EPERM }, /* READ_IMPLIES_EXEC */
		{ SYS_socket, AF_UNIX, 0, NOT_REFUSED },
		{ SYS_socket, AF_INET, 0, NOT_REFUSED },
		{ SYS_socket, AF_INET6, 0, NOT_REFUSED },
		{ SYS_socket, AF_NETLINK, 0, NOT_REFUSED },
		{ SYS_socket, AF_PACKET, 0, EAFNOSUPPORT },
		{ SYS_socket, 38 /* AF_ALG */, 0, EAFNOSUPPORT },
		{ SYS_socket, 40 /* AF_VSOCK */, 0, EAFNOSUPPORT },
		{ SYS_ioctl, 0, TIOCSTI, EPERM },
		{ SYS_ioctl, 0, TIOCLINUX, EPERM },
		{ SYS_ioctl, 0, FIONREAD, NOT_REFUSED },
	};
	struct asked q[TEST_N(rows)];

	memcpy(q, rows, sizeof(rows));
	if (!ask(q, TEST_N(q), SYSCALLS_SANDBOX)) {
		TEST_SKIP("this kernel has no seccomp filters");
		return;
	}
	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_INT(q[i].error, rows[i].error);
	}
}

static void what_there_is_is_told(void)
{
	struct buf b = { 0 };

	confine_describe(&b);
	CHECK(have_landlock == !strstr(buf_cstr(&b), "no Landlock"));
	CHECK((call_and_exit(call_fork, SYSCALLS_MACHINE) == 255) ==
	      !!strstr(buf_cstr(&b), "no seccomp"));
	buf_free(&b);
}

TEST_MAIN(TEST(other_processes_are_out_of_reach), TEST(confined_programs_run),
          TEST(hidden_files_are_out_of_reach), TEST(neighbours_cost_a_bounded_number_of_calls),
          TEST(crowds_are_found), TEST(calls_are_refused_by_level), TEST(each_call_is_judged),
          TEST(arguments_are_judged), TEST(what_there_is_is_told))
