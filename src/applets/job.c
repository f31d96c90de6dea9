/* SPDX-License-Identifier: Apache-2.0 */
/* job: what the Server has given its runners to do. */
#include "applets/applets.h"
#include "applets/verbs.h"
#include "base/jsonw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 20 /* the last ones, unless --all */

static int list(struct verbs *v, struct err *e)
{
	struct json_doc *doc, *kept = NULL;
	struct buf path = { 0 }, b = { 0 };
	size_t n, i = 0;

	if (v->state && job_state_of(v->state) == JOB_STATE_UNKNOWN)
		return err_set(e, ERR_USAGE, 0,
		               "--state is pending, running, success or error, not \"%s\"",
		               v->state);
	buf_adds(&path, "/job");
	if (v->state)
		buf_addf(&path, "?states=%s", v->state);
	doc = verbs_list_at(v, buf_cstr(&path), e);
	buf_free(&path);
	n = json_len(json_root(doc));
	jw_arr(&b);
	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member), i++)
		if (v->all || i + SHOWN >= n)
			jw_raw(&b, json_raw(member));
	jw_arr_end(&b);
	if (doc)
		kept = json_parse(buf_str(&b), b.n, e);
	if (kept && n == 0 && v->format == CLI_TEXT)
		puts(v->state ? "There are no such jobs." : v->noun->none);
	else if (kept)
		verbs_show_list(v, v->noun->kind, json_root(kept));
	if (kept && !v->all && n > SHOWN)
		fprintf(stderr, "The last %d of %zu; the others with --all\n", SHOWN, n);
	buf_free(&b);
	json_doc_free(doc);
	json_doc_free(kept);
	return kept ? 0 : -1;
}

static int cancel_one(struct verbs *v, struct json it, struct err *e)
{
	char *id = json_dup_or_empty(json_get(it, "id"));
	int rc = api_act(v->admin.link.api, "POST", v->noun->kind->path, id, "cancel",
	                 deadline_in_ms(CLI_CALL_MS), e);

	if (rc < 0 && api_verdict(e) == API_NO_ROUTE)
		rc = err_set(e, ERR_UNSUPPORTED, 0,
		             "this Server cannot cancel a job; stopping its runner ends it");
	if (rc == 0) {
		fputs("Job ", stdout);
		cli_put(id);
		puts(" is canceled.");
	}
	free(id);
	return rc;
}

static int cancel(struct verbs *v, struct err *e)
{
	return verbs_each(v, cancel_one, e);
}

static const struct verb verbs[] = {
	{ "list", "ls", "job list [-s STATE] [-a] [-f json|yaml]\nLists the last jobs.",
	  HAS_FORMAT | HAS_STATE | HAS_ALL, 0, 0, list },
	{ "show", "info", "job show [JOB] [-f json|yaml]\nShows one job.", HAS_FORMAT, 0, 1,
	  verbs_info },
	{ "cancel", NULL,
	  "job cancel [JOB...]\nEnds jobs that no runner has begun, or whose runner is away.", 0, 0,
	  -1, cancel },
};

static const struct noun noun = {
	.name = "job",
	.summary = "What the Server has given its runners to do.",
	.kind = &api_job_kind,
	.none = "There are no jobs.",
	.verbs = verbs,
	.n = ARRAY_LEN(verbs),
};

static int job_run_applet(int argc, char **argv)
{
	return verbs_main(&noun, argc, argv);
}

const struct applet job_applet = { .name = "job",
	                           .summary = "list and cancel jobs of the Server",
	                           .run = job_run_applet,
	                           .aliases = "jobs" };
