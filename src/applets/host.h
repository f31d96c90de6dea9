/* SPDX-License-Identifier: Apache-2.0 */
/* Workspaces of this host for applets that reach them without the Server. */
#ifndef APPLETS_HOST_H
#define APPLETS_HOST_H

#include "applets/cli.h"
#include "jobs/known.h"
#include "providers/provider.h"

/* Loads configuration and records; both are to be freed, whatever comes back. */
int host_workspaces(const char *applet, const char *config_dir, struct config *c,
                    struct known *known, struct err *e);

struct host_provider {
	struct provider_env env;
	struct provider_handle h;
};
/* The provider of ws as this host has it, silent. */
int host_provider_open(struct host_provider *p, const struct config *c, const struct workspace *ws,
                       struct err *e);
void host_provider_close(struct host_provider *p);

struct host_exec {
	const char *const *argv; /* NULL-terminated */
	const struct kv *env;    /* or NULL */
	const char *cwd, *user;  /* or NULL */
	bool input;              /* ours; else there is none */
	bool tty;                /* ours becomes raw meanwhile, and its size is passed on */
};
/* Whether ws runs here, as far as we may know. */
bool host_runs(const struct config *c, const struct workspace *ws);
/* Runs a program in ws with our standard streams, and passes signals on. *status: that to end with. */
int host_exec(const struct config *c, const struct workspace *ws, const struct host_exec *exec,
              int *status, struct err *e);

#endif
