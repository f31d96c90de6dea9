/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h. */
#include "applets/host.h"

#include "applets/applets.h"

#include <errno.h>
#include <unistd.h>

#define HOST_LOOK_MS 5000

int host_workspaces(const char *applet, const char *config_dir, struct config *c,
                    struct known *known, struct err *e)
{
	if (cli_look(applet, c, config_dir, NULL, e) < 0)
		return -1;
	if (access(c->state_dir, R_OK | X_OK) < 0 && errno != ENOENT)
		return err_sys(e, errno, "read %s", c->state_dir);
	known_load(known, c->state_dir);
	return 0;
}

static void be_quiet(void *arg, struct str bytes)
{
	(void)arg;
	(void)bytes;
}

int host_provider_open(struct host_provider *p, const struct config *c, const struct workspace *ws,
                       struct err *e)
{
	const char *name = ws->target.config.provider.name;
	const struct config_provider *cp = config_provider_find(c, name);
	const struct provider *found = provider_find(name);

	*p = (struct host_provider){
		.env = { .state_dir = c->state_dir,
		         .runner_id = c->id ? c->id : "",
		         .runner_name = c->name ? c->name : "",
		         .options = cp ? &cp->options : NULL,
		         .self_exe = applet_self_exe(),
		         .log = be_quiet },
	};
	if (!found)
		return err_set(e, ERR_NOT_FOUND, 0, "provider \"%s\" is not in this program", name);
	return provider_open(&p->h, found, &p->env, e);
}

bool host_runs(const struct config *c, const struct workspace *ws)
{
	enum resource_condition condition = COND_UNKNOWN;
	struct host_provider p;
	struct err ignored;

	if (host_provider_open(&p, c, ws, &ignored) < 0)
		return false;
	if (p.h.p->workspace_exec && p.h.p->workspace_condition)
		(void)p.h.p->workspace_condition(p.h.self, ws, &condition,
		                                 deadline_in_ms(HOST_LOOK_MS), &ignored);
	host_provider_close(&p);
	return condition == COND_RUNNING ||
	       condition == COND_INCOMPLETE; /* its agent may be gone */
}

void host_provider_close(struct host_provider *p)
{
	provider_close(&p->h);
}
