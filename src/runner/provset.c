/* SPDX-License-Identifier: Apache-2.0 */
/* See provset.h: which providers this runner offers, and whether their requirements are met. */
#include "runner/provset.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/provstate.h"
#include "runner/child.h"
#include "runner/health.h"
#include "runner/tasks.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_MS 15000
#define RECHECK_UNMET_MS 10000
#define RECHECK_UNMET_TIMES 6 /* then less often, while no job is known */
#define RECHECK_RARE_MS 60000
#define RECHECK_MET_MS 300000

struct provset_item {
	const struct provider *p;
	bool enabled;
	bool checked; /* the first check has ended */
	bool usable;
	char *why;     /* of not usable, or NULL */
	char *version; /* as reported; owned */
	bool preset_done;
	bool searched;  /* for what an earlier life has left */
	unsigned unmet; /* checks in a row */
	struct child check;
	struct deadline check_at;
};

struct provset {
	struct provset_item *items;
	size_t n;
	struct buf json;      /* array for heartbeats: the enabled ones */
	struct child presets; /* registers target configs, looks for orphans */
	unsigned preset_tries;
	struct deadline presets_at;
};

static struct provset_item *item_of(struct sup *s, const char *name)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		if (strcmp(s->provs->items[i].p->name, name) == 0)
			return &s->provs->items[i];
	}
	return NULL;
}

static void build_json(struct sup *s)
{
	struct provset *ps = s->provs;
	bool first = true;

	buf_reset(&ps->json);
	buf_addc(&ps->json, '[');
	for (size_t i = 0; i < ps->n; i++) {
		if (!ps->items[i].enabled)
			continue;
		if (!first)
			buf_addc(&ps->json, ',');
		first = false;
		provider_info_json(ps->items[i].p, ps->items[i].version, s->c->id, s->c->name,
		                   &ps->json);
	}
	buf_addc(&ps->json, ']');
}

void provset_load(struct sup *s)
{
	struct provset *ps = s->provs;
	struct provstate st = { 0 };
	struct err e = { 0 };

	if (!ps) {
		s->provs = ps = mem_alloc(sizeof(*ps));
		ps->presets.fd = -1;
		while (providers[ps->n])
			ps->n++;
		ps->items = mem_array(ps->n, sizeof(*ps->items));
		for (size_t i = 0; i < ps->n; i++) {
			ps->items[i].p = providers[i];
			ps->items[i].check.fd = -1;
		}
	}
	if (s->state_ok && provstate_load(&st, s->c->state_dir, &e) < 0)
		log_warn("%s; what provider jobs had set is ignored", e.msg);
	for (size_t i = 0; i < ps->n; i++) {
		struct provset_item *it = &ps->items[i];
		const struct config_provider *cp = config_provider_find(s->c, it->p->name);
		const struct provstate_entry *job = provstate_find(&st, it->p->name);
		bool was = it->enabled;

		it->enabled = job ? job->enabled : cp ? cp->enabled : !it->p->opt_in;
		free(it->version);
		it->version = mem_dup(job && job->version ? job->version : jobs_provider_version());
		if (it->enabled && !was) {
			it->checked = it->preset_done = false;
			it->check_at = (struct deadline){ 0 };
			s->provs->presets_at = (struct deadline){ 0 };
		}
	}
	provstate_free(&st);
	build_json(s);
	health_changed(s);
}

void provset_free(struct sup *s)
{
	struct provset *ps = s->provs;

	if (!ps)
		return;
	for (size_t i = 0; i < ps->n; i++) {
		free(ps->items[i].why);
		free(ps->items[i].version);
		child_free(&ps->items[i].check);
	}
	child_free(&ps->presets);
	free(ps->items);
	buf_free(&ps->json);
	free(ps);
	s->provs = NULL;
}

/* ---- checks, each in a process of its own: an engine that hangs holds up nothing ---- */

struct check_arg {
	struct sup *s;
	const struct provider *p;
};

static void check_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct check_arg *a = arg;
	struct buf report = { 0 };
	struct err e = { 0 };
	struct provider_env env = {
		.state_dir = a->s->c->state_dir,
		.runner_id = a->s->c->id,
		.runner_name = a->s->c->name,
		.options = provset_options(a->s, a->p->name),
		.self_exe = a->s->o->self_exe,
		.stop = stop,
	};

	if (a->p->check(&env, &report, deadline_in_ms(CHECK_MS - 3000), &e) < 0)
		buf_addf(out, "-%s", e.msg);
	else
		buf_adds(out, "+");
	buf_free(&report);
}

static bool to_search(const struct provset_item *it)
{
	return it->enabled && it->usable && !it->searched;
}

int64_t provset_recheck_ms(unsigned unmet, bool wanted)
{
	return unmet == 0                               ? RECHECK_MET_MS
	       : unmet > RECHECK_UNMET_TIMES && !wanted ? RECHECK_RARE_MS
	                                                : RECHECK_UNMET_MS;
}

static void check_result(struct sup *s, struct provset_item *it)
{
	struct str out = buf_str(&it->check.out);
	bool usable = out.n && out.p[0] == '+';
	char *why = usable  ? NULL
	            : out.n ? mem_dupn(out.p + 1, out.n - 1)
	                    : mem_dup("its check did not end in time");

	if (!it->checked || usable != it->usable || (why && it->why && strcmp(why, it->why) != 0)) {
		if (usable)
			log_info("provider %s: requirements met", it->p->name);
		else
			log_warn("provider %s: requirements not met: %s", it->p->name, why);
		health_changed(s);
	}
	free(it->why);
	it->why = why;
	it->usable = usable;
	it->checked = true;
	it->unmet = usable ? 0 : it->unmet + 1;
	it->check_at = deadline_in_ms(provset_recheck_ms(it->unmet, tasks_counts(s).known > 0));
	if (to_search(it))
		s->provs->presets_at = (struct deadline){ 0 };
}

static void check_start(struct sup *s, struct provset_item *it)
{
	struct check_arg a = { s, it->p };
	struct err e = { 0 };

	if (!it->p->check) {
		it->checked = it->usable = true;
		it->check_at = DEADLINE_NEVER;
		return;
	}
	if (child_start(&it->check, check_work, &a, deadline_in_ms(CHECK_MS), &e) < 0) {
		log_warn("check provider %s: %s", it->p->name, e.msg);
		it->check_at = deadline_in_ms(RECHECK_UNMET_MS);
	}
}

/* ---- presets ---- */

static void presets_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct sup *s = arg;
	struct jobs_env env = sup_jobs_env(s, stop);

	env.timeout_ms = CHECK_MS * 4;
	for (size_t i = 0; i < s->provs->n; i++) {
		struct provset_item *it = &s->provs->items[i];
		struct err e = { 0 };

		if (it->enabled && !it->preset_done) {
			if (job_register_preset(&env, it->p, it->version, &e) < 0)
				buf_addf(out, "-%s\n", e.msg);
			else
				buf_addf(out, "+%s\n", it->p->name);
		}
		if (to_search(it)) {
			if (job_find_orphans(&env, it->p, out, &e) < 0)
				buf_addf(out, "-%s\n", e.msg);
			else
				buf_addf(out, "=%s\n", it->p->name);
		}
	}
}

static void take_lost(struct sup *s, const char *text)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(str_of(text), strlen(text), &e);
	struct job j;

	if (doc && job_parse(json_root(doc), &j, &e) == 0) {
		tasks_lost(s, &j);
		job_free(&j);
	}
	json_doc_free(doc);
}

static void presets_result(struct sup *s)
{
	struct str rest = buf_str(&s->provs->presets.out), line;
	bool all = rest.n > 0;

	while (str_next(&rest, '\n', &line)) {
		char *text = line.n ? mem_dupn(line.p + 1, line.n - 1) : NULL, *space;
		struct provset_item *it = text ? item_of(s, text) : NULL;

		if (it) {
			it->preset_done |= line.p[0] == '+';
			it->searched |= line.p[0] == '=';
		} else if (text && line.p[0] == '?') {
			take_lost(s, text);
		} else if (text && line.p[0] == '@' && (space = strchr(text, ' ')) != NULL) {
			*space = '\0';
			if (!tasks_knows(s, text))
				log_warn("%s", space + 1);
		} else if (text) {
			log_warn("%s", text);
			all &= line.p[0] != '-';
		}
		free(text);
	}
	s->provs->presets_at = all ? DEADLINE_NEVER
	                           : deadline_in_ms(
					     backoff_ms(++s->provs->preset_tries + 2, 60000));
	for (size_t i = 0; all && i < s->provs->n; i++)
		if (to_search(&s->provs->items[i])) /* it became usable meanwhile */
			s->provs->presets_at = (struct deadline){ 0 };
}

static bool presets_due(const struct sup *s)
{
	bool missing = false;

	for (size_t i = 0; i < s->provs->n; i++)
		missing = missing || to_search(&s->provs->items[i]) ||
		          (s->provs->items[i].enabled && !s->provs->items[i].preset_done);
	return missing && health_is_ok(s) && !s->provs->presets.id.pid &&
	       deadline_passed(s->provs->presets_at) && s->phase == PHASE_RUN;
}

/* ---- loop ---- */

void provset_poll(struct sup *s, struct pollset *ps)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		struct provset_item *it = &s->provs->items[i];

		if (it->check.id.pid)
			child_poll(&it->check, ps);
		else if (it->enabled && s->phase == PHASE_RUN)
			pollset_until(ps, it->check_at);
	}
	child_poll(&s->provs->presets, ps);
	if (!s->provs->presets.id.pid && health_is_ok(s) && s->phase == PHASE_RUN)
		pollset_until(ps, s->provs->presets_at);
}

void provset_step(struct sup *s)
{
	struct err e = { 0 };

	for (size_t i = 0; i < s->provs->n; i++) {
		struct provset_item *it = &s->provs->items[i];

		child_step(&it->check);
		if (!it->check.id.pid && it->enabled && s->phase == PHASE_RUN &&
		    deadline_passed(it->check_at))
			check_start(s, it);
	}
	child_step(&s->provs->presets);
	if (presets_due(s) && child_start(&s->provs->presets, presets_work, s,
	                                  deadline_in_ms(CHECK_MS * 4), &e) < 0) {
		log_warn("register target configs: %s", e.msg);
		s->provs->presets_at = deadline_in_ms(RECHECK_UNMET_MS);
	} else if (!s->provs->presets.id.pid && deadline_passed(s->provs->presets_at)) {
		s->provs->presets_at = health_is_ok(s) ? DEADLINE_NEVER : s->provs->presets_at;
	}
}

bool provset_reaped(struct sup *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		struct provset_item *it = &s->provs->items[i];

		if (it->check.id.pid == pid) {
			child_ended(&it->check, status);
			check_result(s, it);
			return true;
		}
	}
	if (s->provs->presets.id.pid != pid)
		return false;
	child_ended(&s->provs->presets, status);
	presets_result(s);
	return true;
}

bool provset_any_checked(const struct sup *s)
{
	bool any_enabled = false;

	for (size_t i = 0; i < s->provs->n; i++) {
		any_enabled = any_enabled || s->provs->items[i].enabled;
		if (s->provs->items[i].enabled && s->provs->items[i].checked)
			return true;
	}
	return !any_enabled;
}

bool provset_all_checked(const struct sup *s)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		if (s->provs->items[i].enabled && !s->provs->items[i].checked)
			return false;
	}
	return true;
}

bool provset_any_usable(const struct sup *s)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		if (s->provs->items[i].enabled && s->provs->items[i].usable)
			return true;
	}
	return false;
}

bool provset_can_build(const struct sup *s)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		const struct provset_item *it = &s->provs->items[i];

		if (it->p->build_run && !it->p->builds_last && it->enabled &&
		    (it->usable || !it->checked))
			return true;
	}
	return false;
}

bool provset_enabled(void *sup, const char *name)
{
	const struct provset_item *it = item_of(sup, name);

	return it && it->enabled;
}

bool provset_unmet(const struct sup *s, const char *name)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		const struct provset_item *it = &s->provs->items[i];

		if (it->enabled && it->checked && !it->usable &&
		    (!name || strcmp(it->p->name, name) == 0))
			return true;
	}
	return false;
}

void provset_recheck(struct sup *s)
{
	for (size_t i = 0; i < s->provs->n; i++)
		s->provs->items[i].check_at = deadline_min(s->provs->items[i].check_at,
		                                           deadline_in_ms(1000));
}

const struct kv *provset_options(void *sup, const char *name)
{
	struct sup *s = sup;
	const struct config_provider *cp = config_provider_find(s->c, name);

	return cp ? &cp->options : NULL;
}

bool provset_usable(void *sup, const char *name, struct buf *why)
{
	const struct provset_item *it = item_of(sup, name);

	if (!it || !it->enabled) {
		buf_addf(why, "it is disabled; enable it with daytona-runner provider enable %s",
		         name);
		return false;
	}
	if (it->checked && !it->usable) {
		buf_adds(why, it->why ? it->why : "its requirements are not met");
		return false;
	}
	return true;
}

struct str provset_manifests(const struct sup *s)
{
	return buf_str(&s->provs->json);
}

void provset_server_back(struct sup *s)
{
	struct provset *ps = s->provs;

	if (deadline_passed(ps->presets_at) || ps->presets_at.at_ms == INT64_MAX)
		ps->presets_at = (struct deadline){ 0 };
}

bool provset_any(const struct sup *s)
{
	for (size_t i = 0; i < s->provs->n; i++) {
		const struct provset_item *it = &s->provs->items[i];

		if (it->enabled && (it->usable || !it->why))
			return true;
	}
	return false;
}

void provset_status(const struct sup *s, struct buf *b)
{
	jw_arr(b);
	for (size_t i = 0; i < s->provs->n; i++) {
		const struct provset_item *it = &s->provs->items[i];

		jw_obj(b);
		jw_kstr(b, "name", it->p->name);
		jw_kstr(b, "version", it->version);
		jw_kbool(b, "enabled", it->enabled);
		jw_kbool(b, "usable", it->enabled && it->usable);
		jw_kstr(b, "why", it->why);
		jw_obj_end(b);
	}
	jw_arr_end(b);
}
