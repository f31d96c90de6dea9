/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See spawn.h: who has ended. The kernel gives a status once, to whoever asks first; so the children that somebody
 * waits for are written down here, process-wide as the kernel's own list is.
 */
#include "base/spawn_reap.h"

#include "base/mem.h"
#include "base/spawn.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct entry {
	struct spawned who;
	bool leads;
	bool taken; /* from the kernel: its number may be another's by now */
	int status;
};

static struct {
	struct entry *list;
	size_t n, cap;
	uint64_t serial;
} children;

struct spawned spawn_register(pid_t pid, bool leads)
{
	struct spawned who = { pid, ++children.serial };

	if (children.n == children.cap) {
		children.cap = children.cap ? children.cap * 2 : 8;
		children.list = mem_realloc(children.list, children.cap * sizeof(children.list[0]));
	}
	children.list[children.n++] = (struct entry){ .who = who, .leads = leads };
	return who;
}

void spawn_register_clear(void)
{
	children.n = 0;
}

static struct entry *find(const struct spawned *p)
{
	for (size_t i = 0; p->pid && i < children.n; i++) {
		if (children.list[i].who.serial == p->serial)
			return &children.list[i];
	}
	return NULL;
}

static void drop(struct spawned *p)
{
	struct entry *entry = find(p);

	if (entry)
		*entry = children.list[--children.n];
	*p = (struct spawned){ 0 };
}

enum spawn_state spawn_look(const struct spawned *p)
{
	const struct entry *entry = find(p);
	siginfo_t si = { 0 };
	int rc;

	if (!entry)
		return SPAWN_LOST;
	if (entry->taken)
		return SPAWN_ENDED;
	do
		rc = waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG | WNOWAIT);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return SPAWN_LOST;
	return si.si_pid == p->pid ? SPAWN_ENDED : SPAWN_RUNS;
}

/* Takes it from the kernel. */
static bool take(struct entry *entry, pid_t pid, int flags)
{
	int status = 0;
	pid_t got;

	do
		got = waitpid(pid, &status, flags);
	while (got < 0 && errno == EINTR);
	if (got == pid && entry) {
		entry->taken = true;
		entry->status = status;
	}
	return got == pid;
}

bool spawn_collect(struct spawned *p, int *status)
{
	struct entry *entry = find(p);
	bool known = entry && (entry->taken || take(entry, p->pid, 0));

	*status = known ? entry->status : 0;
	drop(p);
	return known;
}

void spawn_signal(const struct spawned *p, int sig)
{
	const struct entry *entry = find(p);

	if (!entry || spawn_look(p) == SPAWN_LOST || entry->taken)
		return;
	/* A function's child may not lead its session yet: then the process is all there is. */
	if (!entry->leads || kill(-p->pid, sig) < 0)
		kill(p->pid, sig);
}

void spawn_end(struct spawned *p)
{
	int status;

	spawn_signal(p, SIGKILL);
	spawn_collect(p, &status);
}

void spawn_forget(struct spawned *p)
{
	struct entry *entry = find(p);

	if (entry && !entry->taken)
		take(entry, p->pid, WNOHANG);
	drop(p);
}

pid_t spawn_next_ended(int *status)
{
	siginfo_t si = { 0 };

	if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid <= 0)
		return 0;
	*status = si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
	return si.si_pid;
}

void spawn_take(pid_t pid)
{
	struct entry *entry = NULL;

	for (size_t i = 0; i < children.n; i++) {
		if (children.list[i].who.pid == pid && !children.list[i].taken)
			entry = &children.list[i];
	}
	take(entry, pid, WNOHANG);
}

bool spawn_take_all(void)
{
	bool any = false;
	int status;
	pid_t pid;

	for (; (pid = spawn_next_ended(&status)) > 0; any = true)
		spawn_take(pid);
	return any;
}

bool spawn_childless(void)
{
	siginfo_t si;
	int subreaper = 0;

	return prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper &&
	       waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}
