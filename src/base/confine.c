/* SPDX-License-Identifier: Apache-2.0 */
/* See confine.h. The numbers are the kernel's and the same on every architecture; libc headers lack them. */
#include "base/confine.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446
#define ASK_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_REFER (1ull << 13)
#define SCOPE_ABSTRACT_SOCKET (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)
#define CAPABILITY_FILES_END 8 /* CAP_CHOWN to CAP_SETUID are below it */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static bool restrict_with(int ruleset, int root)
{
	/* A ruleset has to handle some right: renames between directories, which are then allowed everywhere. */
	const struct path_beneath rule = { FS_REFER, root };

	return root >= 0 && syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0 &&
	       syscall(SYS_RESTRICT_SELF, ruleset, 0) == 0;
}

/* Root keeps what work on files needs; CAP_SYS_ADMIN or CAP_PERFMON would read environments all the same. */
static void drop_capabilities(void)
{
	for (int cap = CAPABILITY_FILES_END; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
}

bool confine_self(void)
{
	long version = syscall(SYS_CREATE_RULESET, NULL, 0, ASK_VERSION);
	struct ruleset r = { .fs = FS_REFER };
	int fd, root;
	bool done;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	drop_capabilities();
	if (version < 2)
		return false;
	if (version >= 6)
		r.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	fd = (int)syscall(SYS_CREATE_RULESET, &r, version >= 6 ? sizeof(r) : sizeof(r.fs), 0);
	if (fd < 0)
		return false;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	done = restrict_with(fd, root);
	if (root >= 0)
		close(root);
	close(fd);
	return done;
}
