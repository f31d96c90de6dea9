/* SPDX-License-Identifier: Apache-2.0 */
/* The local part of purge: the process, the service, the files. */
#include "applets/purge.h"

#include "applets/life.h"
#include "base/file.h"
#include "host/daemon.h"
#include "host/service.h"
#include "host/wipe.h"
#include "providers/native/native.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define END_GRACE_MS 5000
#define END_MS 30000

/* The next one that was written for this runner, whichever init runs. */
static bool has_service(const struct config *c, struct service *s, unsigned *at)
{
	*s = (struct service){ .root = "", .config = c };
	while (service_written(s, at)) {
		if (service_is_for(s))
			return true;
	}
	return false;
}

void purge_show_local(struct purge *p, const struct config *c)
{
	struct proc_id who = { 0 };
	struct err why = { 0 };
	struct service s;
	size_t data = wipe_count_data(c->state_dir);
	unsigned at = 0;
	bool any = false;

	puts("On this host:");
	if (daemon_lock_probe(c->state_dir, &who, &why) > 0)
		printf("  the running runner (process %ld) is stopped\n", (long)who.pid);
	while (has_service(c, &s, &at)) {
		printf("  its %s service is removed\n", service_type_name(s.type));
		any = true;
	}
	if (!any && who.pid && service_owns(&s, who.pid))
		printf("  unit %s is not ours and is only stopped\n", s.unit);
	if (p->keep_data) {
		puts("  files are kept");
		return;
	}
	purge_show_owned(p, c);
	if (c->file_exists)
		printf("  configuration: %s\n", c->file);
	if (wipe_check_state_dir(c->state_dir, &why) == 0)
		printf("  state and logs: %s\n", c->state_dir);
	else if (why.kind != ERR_NOT_FOUND)
		printf("  state and logs are left alone: %s\n", why.msg);
	if (!c->file_exists && why.kind == ERR_NOT_FOUND)
		puts("  nothing");
	if (data)
		printf("  %zu workspaces, targets or builds with users' data: %s\n", data,
		       p->purge_data ? "are removed" : "are kept, unless you say --purge-data");
}

int purge_ask_local(struct purge *p, const struct config *c, struct err *e)
{
	struct proc_id who = { 0 };
	char keeper[SERVICE_UNIT_MAX];
	struct err ignored = { 0 };
	bool yes = false;

	if (daemon_lock_probe(c->state_dir, &who, &ignored) > 0 && service_keeper(who.pid, keeper))
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"nothing was changed: process %ld would be started again by %s; stop it there first",
			(long)who.pid, keeper);
	if (p->yes || p->keep_data || !p->terminal)
		return 0;
	if (prompt_yes(&p->prompt, "Delete its files on this host (configuration, state, logs)?",
	               &yes, e) < 0)
		return -1;
	p->keep_data = !yes;
	if (!yes || p->purge_data || wipe_count_data(c->state_dir) + p->containers == 0)
		return 0;
	return prompt_yes(&p->prompt, "Delete the workspaces' data as well?", &p->purge_data, e);
}

static int remove_service(const struct config *c, struct err *e)
{
	struct service s;
	struct buf done = { 0 };
	unsigned at = 0;
	bool was_there;
	int rc = 0;

	while (rc == 0 && has_service(c, &s, &at)) {
		rc = service_uninstall(&s, &was_there, &done, e);
		fputs(buf_cstr(&done), stdout);
	}
	buf_free(&done);
	return rc;
}

static int remove_files(const struct purge *p, const struct config *c, struct err *e)
{
	struct buf left = { 0 };
	struct err why = { 0 };
	size_t ended = 0;
	int rc = 0;

	/* What still runs in a workspace would go on without its files, and write new ones. */
	if (p->purge_data && wipe_check_state_dir(c->state_dir, &why) == 0) {
		if (native_end_all(c->state_dir, END_GRACE_MS, &ended, deadline_in_ms(END_MS), e) <
		    0)
			return -1;
		if (ended)
			printf("%zu processes of workspaces were ended.\n", ended);
	}
	if (wipe_state_dir(c->state_dir, p->purge_data, &left, &why) < 0 &&
	    why.kind != ERR_NOT_FOUND) {
		*e = why;
		rc = -1;
	}
	if (left.n)
		fprintf(stderr, "These are left:\n%s", buf_cstr(&left));
	/* The configuration last: with it the rest can be tried again. */
	if (rc == 0)
		rc = wipe_config(c, e);
	buf_free(&left);
	if (rc == 0)
		puts("Its files on this host were removed.");
	if (rc == 0 && !p->purge_data && wipe_count_data(c->state_dir))
		printf("Workspaces' data were kept in %s.\n", c->state_dir);
	return rc;
}

int purge_local(struct purge *p, const struct config *c, struct err *e)
{
	struct proc_id who = { 0 };
	int running = daemon_lock_probe(c->state_dir, &who, e);

	/* A state directory that cannot be read holds nothing of ours that runs. */
	if (running > 0 && life_stop(c, -1, e) < 0)
		return -1;
	if (remove_service(c, e) < 0)
		return -1;
	if (p->keep_data)
		return 0;
	/* With what is left the rest can be tried again, but not without the configuration. */
	return purge_owned(p, c, e) < 0 ? -1 : remove_files(p, c, e);
}
