/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks of prebuilds that are not at their git host yet, or not known to be: asked for again, with pauses that grow. Which
 * they are is kept, so that it outlives this process: with the prebuilds, and of those that are only to be removed, which
 * have none any more, as records of their own.
 */
#include "server/git.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

#define FIRST_MS 1000
#define PAUSE_MAX_MS (60 * 60 * 1000LL)
#define DUE_MAX 1000

struct hook_due {
	struct hook_due *next;
	char *url, *config; /* as of browse_hook */
	struct deadline at; /* DEADLINE_NEVER while it is asked for */
	int64_t pause_ms;   /* after the next failure */
	bool waits;         /* for a git provider */
};

static struct hook_due **find(struct srv *s, const char *url)
{
	struct hook_due **at = &s->hooks_due;

	while (*at && strcmp((*at)->url, url) != 0)
		at = &(*at)->next;
	return at;
}

static void due_free(struct hook_due *d)
{
	free(d->url);
	free(d->config);
	free(d);
}

static struct hook_due *due_add(struct srv *s, struct hook_due **at, const char *url)
{
	struct hook_due *d = mem_alloc(sizeof(*d));

	d->url = mem_dup(url);
	d->pause_ms = FIRST_MS;
	d->next = *at;
	*at = d;
	s->n_hooks_due++;
	return d;
}

int64_t hooks_failed(struct srv *s, const char *url, const char *config)
{
	struct hook_due **at = find(s, url), *d = *at;
	int64_t pause;

	if (!d && s->n_hooks_due >= DUE_MAX)
		return 0;
	if (!d)
		d = due_add(s, at, url);
	pause = d->pause_ms;
	free(d->config);
	d->config = mem_dup(config);
	d->at = deadline_in_ms(pause);
	d->pause_ms = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
	d->waits = false;
	return pause;
}

bool hooks_wait(struct srv *s, const char *url, const char *config)
{
	if (!hooks_failed(s, url, config))
		return false;
	struct hook_due *d = *find(s, url);

	d->at = DEADLINE_NEVER;
	d->waits = true;
	return true;
}

void hooks_leave(struct srv *s, struct change *ch, const char *url, const char *config)
{
	char *id = mem_dup(config), fresh[ID_SIZE];
	struct err e = { 0 };
	struct rec *r;

	if (!id[0])
		git_adopt(s, url, &id, &e);
	/* Where nobody can be asked, nothing was entered. */
	if (store_find(&s->store, K_GIT, "id", id) &&
	    !store_find(&s->store, K_HOOK, "repositoryUrl", url) && new_id(fresh, &e) == 0) {
		r = change_add(ch, K_HOOK);
		rec_set(r, "id", fresh);
		rec_set(r, "repositoryUrl", url);
		rec_set(r, "gitProviderConfigId", config);
	}
	free(id);
}

void hooks_settled(struct srv *s, const char *url)
{
	struct hook_due **at = find(s, url), *d = *at;
	const struct rec *t = store_find(&s->store, K_TEMPLATE, "repositoryUrl", url),
			 *hook = store_find(&s->store, K_HOOK, "repositoryUrl", url);
	struct change *ch = NULL;
	struct err e = { 0 };

	if (d) {
		*at = d->next;
		due_free(d);
		s->n_hooks_due--;
	}
	for (; t; t = store_find_next(&s->store, t, "repositoryUrl")) {
		const struct rec *p = store_find(&s->store, K_PREBUILD, "workspaceTemplateName",
		                                 rec_text(t, "name"));

		for (; p; p = store_find_next(&s->store, p, "workspaceTemplateName")) {
			if (!rec_bool(p, "hookDue"))
				continue;
			if (!ch)
				ch = change_begin(&s->store);
			rec_set_bool(change_edit(ch, p), "hookDue", false);
		}
	}
	if (hook) {
		if (!ch)
			ch = change_begin(&s->store);
		change_remove(ch, hook);
	}
	/* What cannot be kept is asked for once more at the next start. */
	if (ch && change_commit(ch, &e) < 0)
		log_warn("server: that a hook is set cannot be kept: %s", e.msg);
}

/* What an earlier process did not bring to its end. */
static void begin(struct srv *s)
{
	for (const struct rec *p = store_first(&s->store, K_PREBUILD); p; p = store_next(p)) {
		const struct rec *t = store_find(&s->store, K_TEMPLATE, "name",
		                                 rec_text(p, "workspaceTemplateName"));

		if (t && rec_bool(p, "hookDue") && !*find(s, rec_text(t, "repositoryUrl")))
			hooks_failed(s, rec_text(t, "repositoryUrl"),
			             rec_text(t, "gitProviderConfigId"));
	}
	for (const struct rec *hook = store_first(&s->store, K_HOOK); hook; hook = store_next(hook))
		if (!*find(s, rec_text(hook, "repositoryUrl")))
			hooks_failed(s, rec_text(hook, "repositoryUrl"),
			             rec_text(hook, "gitProviderConfigId"));
	s->hooks_begun = true;
}

void hooks_hurry(struct srv *s)
{
	for (struct hook_due *d = s->hooks_due; d; d = d->next) {
		d->pause_ms = FIRST_MS;
		if (d->waits || d->at.at_ms != DEADLINE_NEVER.at_ms)
			d->at = DEADLINE_PAST;
		d->waits = false;
	}
}

void hooks_poll(const struct srv *s, struct pollset *ps)
{
	if (!s->hooks_begun)
		pollset_until(ps, DEADLINE_PAST);
	for (const struct hook_due *d = s->hooks_due; d; d = d->next)
		pollset_until(ps, d->at);
}

/* One at a time: what is asked may fail at once, which moves it. */
void hooks_step(struct srv *s)
{
	struct hook_due *d = s->hooks_due;

	if (!s->hooks_begun)
		begin(s);
	while (d && !deadline_passed(d->at))
		d = d->next;
	if (!d)
		return;
	char *url = mem_dup(d->url), *config = mem_dup(d->config);

	d->at = DEADLINE_NEVER;
	browse_hook(s, url, config);
	free(url);
	free(config);
}

void hooks_end(struct srv *s)
{
	while (s->hooks_due) {
		struct hook_due *d = s->hooks_due;

		s->hooks_due = d->next;
		due_free(d);
	}
}
