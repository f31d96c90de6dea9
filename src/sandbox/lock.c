/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps before a program runs inside; see inside.h. */
#include "base/confine.h"
#include "base/kv.h"
#include "base/mem.h"
#include "sandbox/inside.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define JOIN_SESSION_KEYRING 1

/* Root inside may work on files of its own, and be another user; linux/capability.h. */
static bool may_keep(int cap, enum sandbox_net net)
{
	static const int kept[] = { 0 /* CHOWN */,
		                    1 /* DAC_OVERRIDE */,
		                    3 /* FOWNER */,
		                    4 /* FSETID */,
		                    5 /* KILL */,
		                    6 /* SETGID */,
		                    7 /* SETUID */,
		                    8 /* SETPCAP */,
		                    10 /* NET_BIND_SERVICE */,
		                    18 /* SYS_CHROOT */,
		                    31 /* SETFCAP */ };

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (kept[i] == cap)
			return true;
	return cap == 13 /* NET_RAW */ && net != SANDBOX_NET_HOST;
}

static int drop_capabilities(enum sandbox_net net, struct err *e)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!may_keep(cap, net) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(e, errno, "drop capability %d", cap);
	return 0;
}

static int take_user(const struct lock *l, struct err *e)
{
	const struct user *u = l->user;
	gid_t groups[USERS_GROUPS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < u->n_groups; i++)
		if (userns_has(l->map, 0, u->groups[i]))
			groups[n++] = u->groups[i];
	if (l->map->how != MAP_SINGLE && setgroups(n, groups) < 0)
		return err_sys(e, errno, "take the groups of %s", u->name);
	if (setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(e, errno, "become user %s (%u:%u)", u->name, u->uid, u->gid);
	return 0;
}

int lock_down(const struct lock *l, struct err *e)
{
	/* Keys of the host's session stay there; a kernel without keys has none. */
	syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL);
	if (l->userns >= 0 && userns_enter(l->userns, l->map, e) < 0)
		return -1;
	if (drop_capabilities(l->net, e) < 0 || take_user(l, e) < 0)
		return -1;
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up new privileges");
	if (l->net == SANDBOX_NET_HOST)
		confine_sockets();
	if (!confine_syscalls(SYSCALLS_SANDBOX))
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "this kernel cannot filter system calls (seccomp)");
	return 0;
}

char **user_environment(const char *const *env, const struct user *u)
{
	struct kv vars = { 0 };
	char **out;

	kv_set(&vars, "HOME", u->home);
	kv_set(&vars, "USER", u->name);
	kv_set(&vars, "SHELL", u->shell);
	for (; env && *env; env++) {
		const char *eq = strchr(*env, '=');
		char *key = eq ? mem_dupn(*env, (size_t)(eq - *env)) : NULL;

		if (key)
			kv_set(&vars, key, eq + 1);
		free(key);
	}
	out = kv_to_env(&vars);
	kv_free(&vars);
	return out;
}

void user_directory(const char *cwd, const struct user *u)
{
	if ((cwd && chdir(cwd) == 0) || chdir(u->home) == 0)
		return;
	if (chdir("/") < 0)
		_exit(1);
}
