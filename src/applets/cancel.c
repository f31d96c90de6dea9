/* SPDX-License-Identifier: Apache-2.0 */
/* cancel: ends jobs of the runner on this host as errors. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/out.h"
#include "host/control.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 100

static const char usage[] =
	"cancel JOB...\n"
	"Ends jobs of this host's runner; the Server gets the error \"canceled by USER\". A job's process has 10 s for "
	"an orderly end. status lists the jobs.";

/* Until it is over or d passes. *answer: its last word, NULL when it is forgotten already. */
static int await_end(const char *state_dir, const char *target, struct deadline d,
                     struct json_doc **answer, struct err *e)
{
	for (;;) {
		int rc = control_call(state_dir, "GET", target, NULL, answer,
		                      deadline_in_ms(CONTROL_CALL_MS), e);

		if (rc < 0 && e->kind == ERR_NOT_FOUND && e->code == 404)
			return 0;
		if (rc < 0)
			return -1;
		if (json_present(json_get(json_root(*answer), "result")))
			return 0;
		json_doc_free(*answer);
		*answer = NULL;
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0, "it has been told and has not ended yet");
		poll(NULL, 0, LOOK_MS);
	}
}

static int cancel_one(const char *state_dir, const char *id, int64_t timeout_ms)
{
	struct json_doc *answer = NULL;
	struct buf path = { 0 }, order = { 0 };
	struct err e = { 0 };
	char *error = NULL;
	int rc;

	buf_addf(&path, "/jobs/%s", id);
	if (str_is_id(str_of(id))) {
		buf_addf(&order, "/jobs/%s/cancel", id);
		rc = control_call(state_dir, "POST", buf_cstr(&order), NULL, &answer,
		                  deadline_in_ms(CONTROL_CALL_MS), &e);
	} else {
		rc = err_set(&e, ERR_USAGE, 0, "that is no job's id");
	}
	json_doc_free(answer);
	answer = NULL;
	if (rc == 0 && timeout_ms > 0)
		rc = await_end(state_dir, buf_cstr(&path), deadline_in_ms(timeout_ms), &answer, &e);
	if (rc == 0 && answer)
		error = json_dup(json_get(json_root(answer), "error"));
	if (rc < 0)
		rc = (err_wrap(&e, "%s", id), applet_fail("cancel", &e));
	else if (answer && !error)
		printf("Job %s had succeeded before it could be ended\n", id);
	else
		printf("Job %s: %s\n", id, error ? error : "canceled");
	free(error);
	json_doc_free(answer);
	buf_free(&order);
	buf_free(&path);
	return rc;
}

static int cancel_run(int argc, char **argv)
{
	struct config c = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *state_dir = NULL;
	int64_t seconds = 30;
	const struct opt opts[] = {
		OPT_INT('t', "timeout", "SECONDS", &seconds, 0, 86400,
		        "how long to wait for the end (30); 0: not at all"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 1, -1), worst = 0;

	if (state_dir)
		kv_set(&flags, "runner.state_dir", state_dir);
	if (cli_look("cancel", &c, config_dir, &flags, &e) < 0)
		worst = applet_fail("cancel", &e);
	for (int i = 1; i <= n && c.state_dir; i++) {
		int rc = cancel_one(c.state_dir, argv[i], seconds * 1000);

		worst = rc ? rc : worst;
	}
	config_free(&c);
	kv_free(&flags);
	return worst ? worst : out_flush();
}

const struct applet cancel_applet = { .name = "cancel",
	                              .summary = "end a job of this host",
	                              .run = cancel_run };
