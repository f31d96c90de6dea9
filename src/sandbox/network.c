/* SPDX-License-Identifier: Apache-2.0 */
/* See network.h; pasta(1), slirp4netns(1). */
#include "sandbox/network.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/proc_stat.h"
#include "base/spawn.h"
#include "base/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 4096 /* of what a helper says; more is lost */
#define SAID_MAX 300
#define LOOK_MS 1000
#define DEVICE "/dev/net/tun"
#define MISSING "Network=private needs pasta or slirp4netns"

static const char *const names[] = {
	[NETWORK_PASTA] = "pasta",
	[NETWORK_SLIRP] = "slirp4netns",
};

static bool is_in_path(const char *name)
{
	const char *path = getenv("PATH");
	struct str rest = str_of(path ? path : SPAWN_DEFAULT_PATH), dir;
	bool found = false;

	while (!found && str_next(&rest, ':', &dir)) {
		struct buf b = { 0 };

		buf_addf(&b, "%.*s/%s", STR_ARG(dir), name);
		found = dir.n && access(buf_cstr(&b), X_OK) == 0;
		buf_free(&b);
	}
	return found;
}

static enum network_how installed(void)
{
	for (enum network_how how = NETWORK_PASTA; how <= NETWORK_SLIRP; how++)
		if (is_in_path(names[how]))
			return how;
	return NETWORK_MISSING;
}

enum network_how network_find(void)
{
	return access(DEVICE, R_OK | W_OK) == 0 ? installed() : NETWORK_MISSING;
}

const char *network_remedy(void)
{
	return installed() == NETWORK_MISSING ? "install the package passt (or slirp4netns)"
	                                      : "let this user open " DEVICE
	                                        " (modprobe tun; chmod 666 " DEVICE ")";
}

void network_describe(enum network_how how, struct buf *b)
{
	if (how == NETWORK_MISSING)
		buf_addf(b, "missing: " MISSING "; %s\n", network_remedy());
	else
		buf_addf(b, "ok: Network=private by %s\n", names[how]);
}

/* ---- the watch ---- */

struct watched {
	struct proc_id init, helper;
};

static void watch(void *arg)
{
	const struct watched *w = arg;
	struct pollfd fds[] = {
		{ .fd = proc_pidfd(w->init.pid), .events = POLLIN },
		{ .fd = proc_pidfd(w->helper.pid), .events = POLLIN },
	};
	bool notified = fds[0].fd >= 0 && fds[1].fd >= 0;

	/* A descriptor is of the process that is looked at after it was opened, or tells of an end at once. */
	while (proc_alive(w->init) && proc_alive(w->helper))
		poll(fds, ARRAY_LEN(fds), notified ? -1 : LOOK_MS);
	if (!proc_alive(w->init))
		network_end(w->helper);
}

void network_end(struct proc_id helper)
{
	if (helper.pid)
		proc_signal(helper, SIGKILL);
}

/* ---- the helper ---- */

/* Where it writes what is wrong: bounded, however long it lives and whatever it meets. */
static int words_open(struct err *e)
{
	int fd = memfd_create("network", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, errno, "memfd_create");
	if (ftruncate(fd, WORDS_MAX) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
		err_sys(e, errno, "memfd");
		fd_close(&fd);
	}
	return fd;
}

static int say_why(int fd, enum network_how how, struct err *e)
{
	char words[WORDS_MAX];
	struct buf b = { 0 };
	ssize_t n = pread(fd, words, sizeof(words), 0);
	struct str s = str_trim((struct str){ words, n > 0 ? strnlen(words, (size_t)n) : 0 });

	if (s.n > SAID_MAX) { /* the last words say most */
		s.p += s.n - SAID_MAX;
		s.n = SAID_MAX;
	}
	buf_add_printable(&b, s, true);
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n')
			b.p[i] = ' ';
	err_set(e, ERR_OTHER, 0, "%s ended before the network was there: %s", names[how],
	        b.n ? buf_cstr(&b) : "it said nothing");
	buf_free(&b);
	return -1;
}

/* The network namespace of init where that is of our own user namespace, -1: which pasta joins as it is; as root it gives
 * up the right to look for it at init. */
static int plain_namespace(pid_t init)
{
	char user[40], net[40];
	struct stat its, ours;

	snprintf(user, sizeof(user), "/proc/%ld/ns/user", (long)init);
	snprintf(net, sizeof(net), "/proc/%ld/ns/net", (long)init);
	if (stat(user, &its) < 0 || stat("/proc/self/ns/user", &ours) < 0 ||
	    its.st_ino != ours.st_ino || its.st_dev != ours.st_dev)
		return -1;
	return open(net, O_RDONLY | O_CLOEXEC);
}

static int start_helper(enum network_how how, pid_t init, int ready, int words, struct deadline d,
                        struct spawned *p, struct err *e)
{
	char pid[16], ready_fd[16];
	int ns = how == NETWORK_PASTA ? plain_namespace(init) : -1, rc;
	/* Its newer versions close all but the standard streams. Root would become a user that may not join the namespaces; it
	 * confines itself all the same. */
	const char *pasta[] = { "pasta",
		                "--runas=0",
		                "-f",
		                "-q",
		                "-e",
		                "--config-net",
		                "-a",
		                "10.0.2.100",
		                "-n",
		                "24",
		                "-g",
		                "10.0.2.2",
		                "--no-map-gw",
		                "--dns-forward",
		                "10.0.2.3",
		                "-t",
		                "none",
		                "-u",
		                "none",
		                "-T",
		                "none",
		                "-U",
		                "none",
		                "-P",
		                "/proc/self/fd/1",
		                ns < 0 ? pid : "--no-netns-quit",
		                ns < 0 ? NULL : "--netns=/proc/self/fd/0",
		                NULL };
	const char *slirp[] = { "slirp4netns",
		                "--configure",
		                "--mtu=65520",
		                "--disable-host-loopback",
		                "--enable-sandbox",
		                "--enable-seccomp",
		                "--ready-fd",
		                ready_fd,
		                pid,
		                "tap0",
		                NULL };

	const char **argv = pasta;

	if (how == NETWORK_SLIRP)
		argv = slirp;
	else if (geteuid() != 0)
		*++argv = "pasta";
	snprintf(pid, sizeof(pid), "%ld", (long)init);
	snprintf(ready_fd, sizeof(ready_fd), "%d", ready);
	rc = spawn_start(&(struct spawn){ .argv = argv,
	                                  .cwd = "/",
	                                  .std = { ns < 0 ? SPAWN_NULL : ns,
	                                           how == NETWORK_PASTA ? ready : words, words },
	                                  .keep = &ready,
	                                  .n_keep = how == NETWORK_SLIRP,
	                                  .lead = SPAWN_SESSION },
	                 d, p, e);
	fd_close(&ns);
	return rc;
}

/* It writes when it is ready, and never does when it ends. */
static int await_ready(int fd, enum network_how how, int words, struct deadline d, struct err *e)
{
	char c;

	if (wait_fd(fd, POLLIN, d, e) < 0)
		return err_wrap(e, "%s", names[how]);
	return read(fd, &c, 1) == 1 ? 0 : say_why(words, how, e);
}

static int run(enum network_how how, struct proc_id init, int ready[2], int words,
               struct deadline d, struct proc_id *helper, struct err *e)
{
	struct spawned p = { 0 }, watcher = { 0 };
	struct watched w = { .init = init };
	int rc = start_helper(how, init.pid, ready[1], words, d, &p, e);

	fd_close(&ready[1]);
	if (rc == 0)
		rc = await_ready(ready[0], how, words, d, e);
	if (rc == 0 && !proc_identify(p.pid, &w.helper))
		rc = say_why(words, how, e);
	if (rc == 0)
		rc = spawn_start(&(struct spawn){ .work = watch, .arg = &w, .lead = SPAWN_SESSION },
		                 d, &watcher, e);
	if (rc == 0 &&
	    !proc_alive(init)) /* its number may have been another's when it was joined */
		rc = err_set(e, ERR_NOT_FOUND, 0, "the sandbox has ended");
	if (rc < 0)
		spawn_end(&p);
	spawn_forget(&p);
	spawn_forget(&watcher);
	*helper = rc == 0 ? w.helper : (struct proc_id){ 0 };
	return rc;
}

int network_start(enum network_how how, struct proc_id init, struct deadline d,
                  struct proc_id *helper, struct err *e)
{
	int ready[2] = { -1, -1 }, words, rc;

	*helper = (struct proc_id){ 0 };
	if (how == NETWORK_MISSING)
		return err_set(e, ERR_UNSUPPORTED, 0, MISSING "; %s", network_remedy());
	words = words_open(e);
	if (words < 0)
		return -1;
	if (pipe2(ready, O_CLOEXEC) < 0)
		rc = err_sys(e, errno, "pipe");
	else
		rc = run(how, init, ready, words, d, helper, e);
	fd_close(&ready[0]);
	fd_close(&ready[1]);
	fd_close(&words);
	return rc;
}
