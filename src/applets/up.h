/* SPDX-License-Identifier: Apache-2.0 */
/*
 * up and down: a whole system on one machine. up_local.c has the processes here (server, runner), up.c target and
 * workspace, down.c the way back. Each step looks first whether it is done: whatever was cut off anywhere is gone on
 * with by the next call, and two calls take turns.
 */
#ifndef APPLETS_UP_H
#define APPLETS_UP_H

#include "applets/verbs.h"

struct up {
	struct verbs v;       /* speaks to the server here; its options are the workspace's */
	struct config config; /* of the runner here */
	char *data;           /* of the server here */
	char *url;            /* where it listens; NULL: it does not run */
	const char *provider;
	bool looks; /* a wrong setting is left out: what runs can be stopped all the same */
	int lock;   /* descriptor */
};

/* Configuration and lock, waiting for another up or down. */
int up_open(struct up *u, struct err *e);
void up_unlock(struct up *u);
void up_close(struct up *u);

/* The server runs, and u->v.admin speaks to it. *started: we did that. */
int up_server(struct up *u, bool *started, struct err *e);
/* Finds a server that runs already: u->url stays NULL if there is none. */
int up_find_server(struct up *u, struct err *e);
int up_stop_server(struct up *u, bool *was_running, struct err *e);
/* All that the server here has kept; it does not run. */
int up_remove_data(struct up *u, struct err *e);
/* The runner is registered and runs. Refuses a host that is another Server's. */
int up_runner(struct up *u, bool *started, struct err *e);
/* A runner that was paused takes jobs again: true. */
bool up_resume(const struct up *u);
/* The configuration here is that of a runner of the server here, or there is none. */
int up_check_runner(struct up *u, bool *known, struct err *e);

#endif
