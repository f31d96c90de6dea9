/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What native-provider keeps of a workspace:
 *   <state_dir>/workspaces/<id>/                   0700
 *   <state_dir>/workspaces/<id>/<repository>/      the checkout
 *   <state_dir>/workspaces/<id>/.runner/           0700, ours:
 *     workspace.json   what it is, and whether the checkout is complete
 *     agent.json       the agent's process: pid, start time, boot
 *     agent.log        its output; agent.log.1 the one before
 *     home/            HOME of its processes
 *     box/             of one with namespaces of its own: upper, work, tmp, home …; see box.h
 * The names of repositories never begin with a dot (git_dir_name), so nothing collides.
 */
#ifndef PROVIDERS_NATIVE_STATE_H
#define PROVIDERS_NATIVE_STATE_H

#include "api/model.h"
#include "base/proc.h"
#include "sandbox/userns.h"

/* In the environment of all its processes, with root as value. */
#define NATIVE_MARK "DAYTONA_WORKSPACE_ROOT"

struct native_paths {
	char *root; /* …/workspaces/<id> */
	char *own;  /* root/.runner */
	char *state, *agent, *log, *old_log, *home, *box;
	char *ids, *images; /* of all workspaces: sandbox/idrange.h, oci/imgstore.h */
};
/* ERR_PARSE when id could leave the directory. */
int native_paths(struct native_paths *p, const char *state_dir, const char *id, struct err *e);
/* Of a build, in builds/ as a workspace is in workspaces/. */
int native_build_paths(struct native_paths *p, const char *state_dir, const char *id,
                       struct err *e);
void native_paths_free(struct native_paths *p);

enum box_kind { BOX_NONE, BOX_IMAGE, BOX_TREE, BOX_ARCHIVE, BOX_HOST };

/* How a workspace with namespaces of its own was made. */
struct native_box {
	enum box_kind kind;
	char *source;   /* the image's name in full, or a path; "" */
	char *manifest; /* the image's digest; "" */
	struct userns_map map;
	bool shift; /* lower directories have ids as inside */
	bool flat;  /* copied, where there is no overlayfs for us */
	bool strict;
};

struct native_state {
	char *id, *target_id, *url, *dir; /* dir: the checkout's name below root */
	bool complete;
	struct native_box box;
};
/* ERR_NOT_FOUND if there is none. A damaged file counts as none, since the create can be repeated.
 * */
int native_state_read(struct native_state *s, const struct native_paths *p, struct err *e);
int native_state_write(const struct native_state *s, const struct native_paths *p, struct err *e);
void native_state_free(struct native_state *s);

/* The recorded agent. */
struct native_agent {
	struct proc_id id;     /* pid 0: none that is alive */
	bool boxed;            /* it is process 1 of a sandbox */
	struct proc_id helper; /* of its network; may be gone */
};
/* Record of another boot: not alive. A workspace without namespaces can write the record, so a process that was not
 * started with its mark, or is no process 1 of a sandbox, is nobody's agent, whatever the record says. */
struct native_agent native_agent_read(const struct native_paths *p);
int native_agent_write(const struct native_paths *p, const struct native_agent *a, struct err *e);

/* See agent_ended of struct provider. */
bool native_agent_ended(const char *state_dir, pid_t pid, struct buf *id);

#endif
