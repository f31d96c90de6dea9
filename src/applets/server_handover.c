/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See server_handover.h. The environment says by number which descriptors are there. First the executable is started once
 * with nothing to serve: one that cannot read its options, certificates or records changes nothing.
 */
#include "applets/server_handover.h"

#include "applets/applets.h"
#include "applets/life.h"
#include "base/proc.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "DAYTONA_RUNNER_HANDOVER"
#define TRIAL "trial"
#define TRIAL_MS 45000
#define SAID_MAX 300
#define ANSWER_MS 1000

bool handover_take(struct handover *h)
{
	struct str rest = str_of(getenv(VARIABLE)), word;
	int64_t fd;

	*h = (struct handover){ .trial = str_eq(rest, TRIAL) };
	while (rest.n && !h->trial && str_next(&rest, ',', &word)) {
		if (h->n == ARRAY_LEN(h->fds) || !str_to_i64(word, 3, INT_MAX, &fd) ||
		    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
			return false;
		h->fds[h->n++] = (int)fd;
	}
	unsetenv(VARIABLE);
	return true;
}

static void keep_said(void *arg, struct str bytes)
{
	struct buf *said = arg;

	if (said->n < SAID_MAX)
		buf_add(said, bytes.p, bytes.n < SAID_MAX ? bytes.n : SAID_MAX);
}

static int try_it(const char *const *argv, struct err *e)
{
	struct buf said = { 0 };
	struct proc_spawn p = { .argv = argv, .output = keep_said, .arg = &said };
	int status = 0, rc;

	setenv(VARIABLE, TRIAL, 1);
	p.env = (const char *const *)environ; /* setenv moves it */
	rc = proc_run(&p, deadline_in_ms(TRIAL_MS), &status, e);
	if (rc == 0 && status) {
		struct buf how = { 0 };

		proc_describe_status(status, &how);
		rc = err_set(e, ERR_OTHER, 0, "%s: %s: %.*s", argv[0], buf_cstr(&how),
		             STR_ARG(str_trim(buf_str(&said))));
		buf_free(&how);
	}
	buf_free(&said);
	return rc;
}

/* Who asked has the answer before we are another. */
static void answer(struct srv *s)
{
	struct deadline d = deadline_in_ms(ANSWER_MS);
	struct pollset ps = { 0 };
	struct err ignored = { 0 };

	restart_answer(s, NULL);
	for (httpd_step(s->httpd, NULL); httpd_conns(s->httpd) && !deadline_passed(d);) {
		pollset_reset(&ps);
		pollset_until(&ps, d);
		httpd_poll(s->httpd, &ps);
		pollset_wait(&ps, &ignored);
		httpd_step(s->httpd, &ps);
	}
	pollset_free(&ps);
}

int handover_give(struct srv *s, int lock, const char **argv, struct err *e)
{
	int fds[1 + HTTPD_LISTENERS_MAX] = { lock };
	size_t n = 1 + httpd_listeners(s->httpd, fds + 1);
	struct buf list = { 0 };
	int rc;

	argv[0] = life_program(e);
	rc = argv[0] ? try_it(argv, e) : -1;

	if (rc == 0) {
		for (size_t i = 0; i < n; i++)
			buf_addf(&list, "%s%d", i ? "," : "", fds[i]);
		setenv(VARIABLE, buf_cstr(&list), 1);
		answer(s);
		rc = spawn_become(argv[0], argv, fds, n, e);
	}
	unsetenv(VARIABLE);
	buf_free(&list);
	return rc;
}
