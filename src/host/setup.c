/* SPDX-License-Identifier: Apache-2.0 */
/* See setup.h. */
#include "host/setup.h"

#include "base/confine.h"
#include "base/mem.h"
#include "jobs/provstate.h"
#include "providers/provider.h"

#include <stdlib.h>
#include <string.h>

#define CALL_MS 15000
#define POLL_LOOK_MIN_MS 300
#define POLL_LOOK_MAX_MS 3000

static struct deadline call_limit(struct deadline d)
{
	return deadline_min(d, deadline_in_ms(CALL_MS));
}

static int check_record(const struct config *c, struct api *api, struct buf *notes,
                        struct deadline d, struct err *e)
{
	struct runner_info r = { 0 };
	int rc = api_runner(api, c->id, &r, call_limit(d), e);

	if (rc < 0 && api_verdict(e) == API_KEY)
		return err_hint(e, "take id and key from one line of `daytona-runner create`");
	if (rc < 0 && api_verdict(e) == API_MISSING)
		return err_set(
			e, ERR_NOT_FOUND, 0,
			"the Server %s has no runner with id %s; take id and key from one line of `daytona-runner create`",
			c->url, c->id);
	if (rc == 0 && strcmp(r.id, c->id) != 0)
		/* The Server looks names up as well, but only the id works in the other calls. */
		rc = err_set(e, ERR_CONFIG, 0,
		             "\"%s\" is the name of runner %s, not its id; use --id %s", c->id,
		             r.id, r.id);
	else if (rc == 0 && strcmp(r.name, c->name) != 0)
		buf_addf(notes, "The Server knows runner %s as \"%s\", not \"%s\".\n", c->id,
		         r.name, c->name);
	runner_info_free(&r);
	return rc;
}

/* Any key may read a runner's record; a poll is refused at once to a key that is no runner's,
 * and waits otherwise. */
static int check_poll(const struct config *c, struct api *api, int64_t round_trip_ms,
                      struct deadline d, struct err *e)
{
	int64_t look = 4 * round_trip_ms + POLL_LOOK_MIN_MS;
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/runner/%s/jobs", c->id);
	rc = api_call(
		api, "GET", buf_cstr(&path), (struct str){ 0 }, NULL,
		deadline_min(d, deadline_in_ms(look < POLL_LOOK_MAX_MS ? look : POLL_LOOK_MAX_MS)),
		e);
	buf_free(&path);
	if (rc == 0 || api_verdict(e) != API_KEY) {
		err_clear(e);
		return 0;
	}
	return err_set(
		e, ERR_DENIED, e->code,
		"the key is valid on %s but is not the key of runner %s; use the one that `daytona-runner create` printed for it",
		c->url, c->id);
}

static int check_health(const struct config *c, struct api *api, struct deadline d, struct err *e)
{
	if (api_health(api, call_limit(d), e) == 0)
		return 0;
	err_wrap(e, "the Server %s cannot be used", c->url);
	return server_hint(e);
}

int setup_check_answer(const struct config *c, bool with_key, struct err *e)
{
	struct deadline d = deadline_in_ms(CALL_MS);
	struct server_config sc = { 0 };
	struct server_link l;
	int rc;

	if (server_link_open(&l, c, e) < 0)
		return -1;
	rc = check_health(c, l.api, d, e);
	if (rc == 0 && with_key && api_server_config(l.api, &sc, d, e) < 0 &&
	    api_verdict(e) == API_KEY)
		rc = err_set(e, ERR_DENIED, e->code, "the Server %s refuses this key", c->url);
	server_config_free(&sc);
	server_link_close(&l);
	return rc;
}

int setup_check_server(const struct config *c, struct buf *notes, struct deadline d, struct err *e)
{
	struct server_link l;
	int64_t before;
	int rc = config_require(c, e);

	if (rc < 0 || server_link_open(&l, c, e) < 0)
		return -1;
	rc = check_health(c, l.api, d, e);
	before = clock_mono_ms();
	if (rc == 0)
		rc = check_record(c, l.api, notes, d, e);
	if (rc == 0)
		rc = check_poll(c, l.api, clock_mono_ms() - before, d, e);
	server_link_close(&l);
	return rc;
}

static void check_one(const struct config *c, const struct provider *p, const char *self_exe,
                      struct setup_provider *out, struct deadline d)
{
	static const struct kv none;
	const struct config_provider *cp = config_provider_find(c, p->name);
	const struct provider_env env = {
		.state_dir = c->state_dir,
		.runner_id = c->id ? c->id : "",
		.runner_name = c->name ? c->name : "",
		.options = cp ? &cp->options : &none,
		.api_url = c->url ? c->url : "",
		.self_exe = self_exe,
		.env_allow = c->env_allow,
	};
	struct buf report = { 0 };
	struct err why = { 0 };

	buf_adds(&report, "note: jobs are contained by ");
	confine_describe(&report);
	buf_addc(&report, '\n');
	out->usable = !p->check ||
	              p->check(&env, &report, deadline_min(d, deadline_in_ms(CALL_MS)), &why) == 0;
	out->report = buf_take(&report);
	out->why = out->usable ? NULL : mem_dup(why.msg);
}

size_t setup_providers(const struct config *c, const char *self_exe, bool check,
                       struct setup_provider **out, struct deadline d)
{
	struct provstate state = { 0 };
	struct err ignored = { 0 };
	size_t n = 0;

	(void)provstate_load(&state, c->state_dir,
	                     &ignored); /* damaged: as if no job had set anything */
	while (providers[n])
		n++;
	*out = mem_array(n, sizeof(**out));
	for (size_t i = 0; i < n; i++) {
		const struct config_provider *cp = config_provider_find(c, providers[i]->name);
		const struct provstate_entry *job = provstate_find(&state, providers[i]->name);
		struct setup_provider *p = &(*out)[i];

		p->name = providers[i]->name;
		p->enabled = job ? job->enabled : cp ? cp->enabled : !providers[i]->opt_in;
		if (check)
			check_one(c, providers[i], self_exe, p, d);
	}
	provstate_free(&state);
	return n;
}

void setup_providers_free(struct setup_provider *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].report);
		free(list[i].why);
	}
	free(list);
}

static void select_one(const char *name, bool on, struct kv *changes)
{
	struct buf key = { 0 };

	buf_addf(&key, "provider \"%s\".enabled", name);
	kv_set(changes, buf_cstr(&key), on ? "true" : "false");
	buf_free(&key);
}

int setup_select_providers(const char *names, struct kv *changes, struct err *e)
{
	struct str rest = str_of(names), piece;

	for (size_t i = 0; providers[i]; i++)
		select_one(providers[i]->name, false, changes);
	while (str_next(&rest, ',', &piece)) {
		char *name;
		bool known;

		piece = str_trim(piece);
		if (piece.n == 0 || str_eq(piece, "none"))
			continue;
		name = mem_dupn(piece.p, piece.n);
		known = provider_find(name) != NULL;
		if (known) {
			select_one(name, true, changes);
		} else {
			struct buf have = { 0 };

			provider_names(&have, name);
			err_set(e, ERR_CONFIG, 0,
			        "there is no provider \"%s\"; this program has %s", name,
			        buf_cstr(&have));
			buf_free(&have);
		}
		free(name);
		if (!known)
			return -1;
	}
	return 0;
}
