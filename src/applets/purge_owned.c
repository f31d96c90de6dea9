/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of a runner that is purged: those with its label alone. What the Server does not know, or what was never
 * made to the end, goes with the runner; in others somebody has worked, so they count as workspaces' data.
 */
#include "applets/purge.h"

#include "jobs/owned.h"

#include <stdio.h>
#include <stdlib.h>

#define OWNED_MS 60000

struct walk {
	struct purge *p;
	struct provider_handle h;
	bool remove;
	size_t doomed, kept, failed;
	struct deadline d;
};

static int visit(void *arg, const struct provider_owned *t, struct err *e)
{
	struct walk *w = arg;
	struct api *api = w->p->local_only ? NULL : w->p->admin.link.api;
	enum owned_use use = OWNED_UNKNOWN;
	struct err why = { 0 };
	char *job = NULL;

	(void)e;
	if (!w->p->purge_data && api)
		use = owned_use(api, t, &job, w->d);
	free(job);
	if (!w->p->purge_data && use != OWNED_ORPHAN && use != OWNED_UNBORN) {
		w->kept++;
		if (w->remove)
			printf("Container %s (%.12s, %s) was kept; to remove it: docker rm -f -v %.12s\n",
			       t->name, t->id, t->state, t->id);
	} else if (!w->remove) {
		w->doomed++;
	} else if (w->h.p->owned_remove(w->h.self, t->id, w->d, &why) < 0) {
		w->failed++;
		fprintf(stderr, "%s\n", why.msg);
	} else {
		printf("Container %s (%.12s) was removed.\n", t->name, t->id);
	}
	return 0;
}

static void be_quiet(void *arg, struct str bytes)
{
	(void)arg;
	(void)bytes;
}

static int walk(struct walk *w, const struct config *c, struct err *e)
{
	struct provider_env env = { .state_dir = c->state_dir,
		                    .runner_id = c->id,
		                    .runner_name = c->name,
		                    .log = be_quiet };
	int rc = 0;

	w->d = deadline_in_ms(OWNED_MS);
	for (size_t i = 0; providers[i] && rc == 0; i++) {
		const struct config_provider *cp = config_provider_find(c, providers[i]->name);

		if (!providers[i]->owned || (cp && !cp->enabled) || !c->id)
			continue;
		env.options = cp ? &cp->options : NULL;
		rc = provider_open(&w->h, providers[i], &env, e);
		if (rc == 0)
			rc = owned_each(&w->h, w->p->local_only ? NULL : w->p->admin.link.api,
			                c->id, visit, w, w->d, e);
		provider_close(&w->h);
	}
	return rc;
}

void purge_show_owned(struct purge *p, const struct config *c)
{
	struct walk w = { .p = p };
	struct err e = { 0 };

	if (walk(&w, c, &e) < 0)
		printf("  containers were not looked for: %s\n", e.msg);
	if (w.doomed)
		printf("  %zu of its containers: are removed\n", w.doomed);
	if (w.kept)
		printf("  %zu containers of workspaces: are kept, unless you say --purge-data\n",
		       w.kept);
	p->containers = w.kept;
}

int purge_owned(struct purge *p, const struct config *c, struct err *e)
{
	struct walk w = { .p = p, .remove = true };
	struct err none = { 0 }; /* it was said before the question */

	(void)walk(&w, c, &none);
	return w.failed ? err_set(e, ERR_OTHER, 0, "%zu containers could not be removed", w.failed)
	                : 0;
}
