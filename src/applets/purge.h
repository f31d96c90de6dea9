/* SPDX-License-Identifier: Apache-2.0 */
/* Between purge.c (what is to be done, questions) and purge_local.c (this host's part). */
#ifndef APPLETS_PURGE_H
#define APPLETS_PURGE_H

#include "applets/cli.h"
#include "host/prompt.h"

struct purge {
	struct cli_admin admin;
	const char *state_dir; /* option */
	bool yes, dry_run, local_only, keep_data, purge_data;
	bool terminal;
	struct prompt prompt;
	/* What was decided. */
	struct runner_info *list;
	size_t n, picked;
	size_t containers; /* kept unless purge_data */
	bool own;          /* the picked runner is the one configured here */
};

/* What is on this host: told, then stopped and removed. c: this host's configuration. */
void purge_show_local(struct purge *p, const struct config *c);
/* Questions about local files; changes keep_data and purge_data. ERR_CANCELED on Ctrl-C. */
int purge_ask_local(struct purge *p, const struct config *c, struct err *e);
int purge_local(struct purge *p, const struct config *c, struct err *e);

/* Containers with the runner's label: told, removed or kept, a line for each. */
void purge_show_owned(struct purge *p, const struct config *c);
int purge_owned(struct purge *p, const struct config *c, struct err *e);

#endif
