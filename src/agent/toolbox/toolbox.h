/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The toolbox of a workspace: files, programs, sessions and git by HTTP, as the reference's agent
 * serves them (protocol 14). Who reaches it may do all that the agent's user may: there is no jail
 * below that, only bounds to what a call costs.
 *
 * A connection is served by a process of its own. What outlives connections, the sessions, is in one
 * more process, started by the first that needs it and ended with the owner (sessions.h).
 */
#ifndef AGENT_TOOLBOX_TOOLBOX_H
#define AGENT_TOOLBOX_TOOLBOX_H

#include "base/err.h"

#include <sys/types.h>

/* Strings are borrowed. */
struct toolbox {
	const char
		*dir; /* the workspace's; relative paths begin there. NULL: where the process is */
	const char
		*run_dir; /* for the sessions, made when it is needed, 0700; of this agent alone */
	const char
		*self_exe;   /* that is applet askpass by that name; NULL: git has no credentials */
	const char *ca_file; /* for git; or NULL */
	pid_t owner;         /* sessions end when it does */
};

#define TOOLBOX_RUN_PREFIX \
	"daytona-agent-" /* of a run_dir's name: those that are left over are removed */

/* Serves one connection, to its end: the peer's, or a silence of ten minutes. fd stays open, but is
 * of no more use. -1: the peer broke the rules or broke off, for a log. */
int toolbox_serve(int fd, const struct toolbox *t, struct err *e);

#endif
