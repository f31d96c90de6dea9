/* SPDX-License-Identifier: Apache-2.0 */
/* See jobs.h: what an earlier life has left. */
#include "jobs/jobs.h"

#include "jobs/ctx.h"
#include "jobs/owned.h"

#include <stdlib.h>

#define ORPHANS_MAX 50
#define RUNNING_MAX 32768

struct search {
	struct ctx *c;
	struct buf *out;
	size_t n;
};

static int tell_orphan(void *arg, const struct provider_owned *t, struct err *e)
{
	struct search *s = arg;
	char *job;
	enum owned_use use = owned_use(s->c->api, t, &job, ctx_call(s->c));

	(void)e;
	if ((use == OWNED_ORPHAN || job) && s->n++ < ORPHANS_MAX) {
		if (job)
			buf_addf(s->out, "@%s ", job);
		else
			buf_addc(s->out, '!');
		buf_addf(s->out,
		         "orphan: container %s (%.12s, %s) of %s, %s; to remove it: "
		         "docker rm -f -v %.12s, or daytona-runner purge\n",
		         t->name, t->id, t->state, t->resource_id,
		         job ? "whose job this runner has no record of"
		             : "which the Server does not know",
		         t->id);
	}
	free(job);
	return 0;
}

/* Jobs of a runner that lost its state directory, or of another program with this id, would lock their resources for ever. */
static void list_running(struct ctx *c, struct buf *out)
{
	struct json_doc *doc = NULL;
	struct err none = { 0 }; /* a Server without that list */

	if (api_call(c->api, "GET", "/job?states=running", (struct str){ 0 }, &doc, ctx_call(c),
	             &none) < 0)
		return;
	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		struct job j = { 0 };
		struct buf one = { 0 };

		if (json_str_is(json_get(member, "state"), "running") &&
		    json_str_is(json_get(member, "runnerId"), c->env->runner_id) &&
		    job_parse(member, &j, &none) == 0)
			job_write(&j, &one);
		if (one.n && out->n + one.n < RUNNING_MAX) /* else at the next start */
			buf_addf(out, "?%s\n", buf_cstr(&one));
		buf_free(&one);
		job_free(&j);
	}
	json_doc_free(doc);
}

int job_find_orphans(const struct jobs_env *env, const struct provider *p, struct buf *out,
                     struct err *e)
{
	struct job none = { 0 };
	struct ctx c;
	struct search s = { &c, out, 0 };
	int rc;

	ctx_open(&c, env, &none);
	rc = ctx_provider(&c, p->name, e);
	if (rc == 0)
		rc = owned_each(&c.provider, c.api, env->runner_id, tell_orphan, &s, ctx_call(&c),
		                e);
	if (rc == 0)
		list_running(&c, out);
	if (rc < 0)
		err_wrap(e, "look for what an earlier runner left");
	ctx_close(&c);
	return rc;
}
