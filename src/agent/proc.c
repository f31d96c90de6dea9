/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_proc.h. */
#include "agent/proc.h"

#include "base/proc.h"

#include <stdlib.h>
#include <unistd.h>

#define KILL_MS 5000
#define EXEC_MS 30000 /* a program on a dead network file system */
#define ROUNDS_MAX 20

extern char **environ;

int agent_command_start(char *const *argv, const char *dir, struct spawned *p, struct err *e)
{
	return spawn_start(&(struct spawn){ .argv = (const char *const *)argv,
	                                    .env = (const char *const *)environ,
	                                    .cwd = dir,
	                                    .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
	                                    .lead = SPAWN_GROUP,
	                                    .terminal = true },
	                   deadline_in_ms(EXEC_MS), p, e);
}

int agent_end_children(int64_t grace_ms, struct err *e)
{
	struct deadline d = deadline_in_ms(grace_ms + KILL_MS);
	int64_t grace_end = clock_mono_ms() + grace_ms;

	/* Orphans of what ends come to us, so one round may not be all. */
	for (int round = 0; round < ROUNDS_MAX; round++) {
		int64_t left = grace_end - clock_mono_ms();
		struct proc_id *ids;
		size_t n = proc_descendants(getpid(), &ids);
		int rc = n ? proc_end_tree(ids, n, left > 0 ? left : 0, d, e) : 0;

		free(ids);
		spawn_take_all();
		if (n == 0 || rc < 0)
			return rc;
	}
	return err_set(e, ERR_TIMEOUT, 0, "new processes appear faster than they can be ended");
}
