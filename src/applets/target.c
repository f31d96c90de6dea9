/* SPDX-License-Identifier: Apache-2.0 */
/* target: where workspaces are made. One is made of a configuration that a runner has registered. */
#include "applets/target.h"

#include "applets/applets.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_CONFIG \
	"no runner has registered a target configuration: register and start one with daytona-runner create and start"

/* "native" of "native-runner-0a1b2c3d4e5f", which runners call it by (protocol 9.2). */
static char *short_name(const char *config)
{
	const char *cut = strstr(config, "-runner-");

	return cut && cut != config ? mem_dupn(config, (size_t)(cut - config)) : mem_dup(config);
}

/* By id or name, or by what people call it: "native" or "native-provider", if that is one alone. Without a name it is
 * the only one that a runner registered. */
static int choose_config(struct json list, const char *wanted, struct json *out, struct err *e)
{
	const struct api_kind *kind = &api_target_config_kind;
	size_t n = 0;

	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *name = json_dup_or_empty(json_get(member, kind->called));
		char *brief = short_name(name);
		bool registered = strcmp(brief, name) != 0;

		if (!wanted ? registered || json_len(list) == 1
		            : registered &&
		                      (strcmp(brief, wanted) == 0 ||
		                       json_str_is(api_kind_get(member, kind->note), wanted))) {
			*out = member;
			n++;
		}
		free(brief);
		free(name);
	}
	if (n == 1)
		return 0;
	if (verbs_pick(list, kind, wanted, NO_CONFIG, out, e) == 0)
		return 0;
	return e->kind == ERR_USAGE ? err_hint(e, "name one with --target-config") : -1;
}

/* A configuration of that name like the registered one, with options of its own. *id: the new one's, in place of the other. */
static int with_options(struct verbs *v, struct json registered, const char *name, char **id,
                        struct err *e)
{
	const struct api_kind *kind = &api_target_config_kind;
	struct kv pairs = { 0 };
	struct buf options = { 0 };
	struct json_doc *list = NULL;
	int rc = verbs_pairs(&v->options, false, &pairs, e);

	jw_obj(&options);
	for (size_t i = 0; i < pairs.n; i++)
		jw_kstr(&options, pairs.pairs[i].key, pairs.pairs[i].value);
	jw_obj_end(&options);
	if (rc == 0)
		rc = api_target_config_create(v->admin.link.api, name, buf_cstr(&options),
		                              json_raw(json_get(registered, "providerInfo")),
		                              deadline_in_ms(CLI_CALL_MS), e);
	if (rc == 0)
		rc = (list = verbs_list_of(v, kind, e)) ? 0 : -1;
	free(*id);
	*id = NULL;
	for (struct json member = json_first(json_root(list)); json_present(member);
	     member = json_next(member))
		if (json_str_is(json_get(member, kind->called), name) && !*id)
			*id = json_dup_or_empty(json_get(member, "id"));
	if (rc == 0 && !*id)
		rc = err_set(e, ERR_NOT_FOUND, 0,
		             "the configuration %s that was made is gone again", name);
	json_doc_free(list);
	buf_free(&options);
	kv_free(&pairs);
	return rc;
}

int target_make(struct verbs *v, const char *name, char **id, struct err *e)
{
	struct api *api = v->admin.link.api;
	struct json_doc *configs = verbs_list_of(v, &api_target_config_kind, e), *targets = NULL;
	char new_id[13], *config_id = NULL, *config = NULL, *shown = NULL, *runner = NULL;
	struct json c = { 0 };
	struct follow f = { .kind = "target", .id = new_id, .blind = v->quiet };
	int rc = configs ? choose_config(json_root(configs), v->config, &c, e) : -1;

	if (rc == 0) {
		config_id = json_dup_or_empty(json_get(c, "id"));
		config = json_dup_or_empty(json_get(c, "name"));
		runner = json_dup_or_empty(api_kind_get(c, api_target_config_kind.runner));
		f.runner = runner;
		targets = verbs_list_of(v, &api_target_kind, e);
		rc = targets && cli_new_id(new_id, e) == 0 ? 0 : -1;
	}
	if (rc == 0 && name) {
		shown = mem_dup(name);
	} else if (rc == 0) {
		char *base = short_name(config);

		shown = verbs_free_name(json_root(targets), &api_target_kind, base);
		free(base);
	}
	f.name = shown;
	if (rc == 0 && v->options.n) {
		char *own = verbs_free_name(json_root(configs), &api_target_config_kind, shown);

		rc = with_options(v, c, own, &config_id, e);
		free(own);
	}
	if (rc == 0)
		rc = api_target_create(api, new_id, shown, config_id, deadline_in_ms(CLI_CALL_MS),
		                       e);
	if (rc == 0 && v->wait)
		rc = follow_job(&f, api, e);
	if (rc == 0 && !v->quiet)
		fprintf(stderr, "Target %s %s.\n", shown, v->wait ? "is there" : "has its job");
	if (rc == 0 && id)
		*id = mem_dup(new_id);
	if (rc < 0 && e->kind != ERR_CANCELED && shown)
		err_wrap(e, "create target %s", shown);
	free(shown);
	free(config);
	free(config_id);
	free(runner);
	json_doc_free(targets);
	json_doc_free(configs);
	return rc;
}

static int create(struct verbs *v, struct err *e)
{
	const char *name = v->n ? v->operands[0] : v->name;

	if (target_make(v, name, NULL, e) < 0)
		return -1;
	puts("Next: daytona-runner workspace create REPOSITORY");
	return 0;
}

static int set_default(struct verbs *v, struct json it, struct err *e)
{
	char *id = json_dup_or_empty(json_get(it, "id"));
	char *name = json_dup_or_empty(json_get(it, "name"));
	int rc = api_act(v->admin.link.api, "PATCH", "/target", id, "set-default",
	                 deadline_in_ms(CLI_CALL_MS), e);

	if (rc == 0) {
		fputs("Target ", stdout);
		cli_put(name);
		puts(" is the default.");
	}
	free(id);
	free(name);
	return rc;
}

static int make_default(struct verbs *v, struct err *e)
{
	return verbs_each(v, set_default, e);
}

static const struct verb verbs[] = {
	{ "create", "add",
	  "target create [NAME] [--target-config CONFIG] [-o K=V...]\n"
	  "Makes a target of a runner's configuration. Where there are several, asks which. CONFIG may be a provider's name.",
	  HAS_TARGET | HAS_WAIT, 0, 1, create },
	{ "list", "ls", "target list [-f json|yaml]\nLists the targets.", HAS_FORMAT, 0, 0,
	  verbs_list },
	{ "info", NULL, "target info [TARGET] [-f json|yaml]\nShows one target.", HAS_FORMAT, 0, 1,
	  verbs_info },
	{ "start", NULL,
	  "target start [TARGET...]\nStarts targets that have a process of their own.", HAS_WAIT, 0,
	  -1, verbs_act },
	{ "stop", NULL, "target stop [TARGET...]\nStops targets that have a process of their own.",
	  HAS_WAIT, 0, -1, verbs_act },
	{ "restart", NULL,
	  "target restart [TARGET...]\nStops and starts targets that have a process of their own.",
	  HAS_WAIT, 0, -1, verbs_act },
	{ "set-default", NULL,
	  "target set-default [TARGET]\nMakes one the default for new workspaces.", 0, 0, 1,
	  make_default },
	{ "delete", "rm",
	  "target delete [TARGET...] [-y] [--force]\n"
	  "Deletes targets. Their workspaces must be gone.",
	  HAS_YES | HAS_FORCE | HAS_WAIT, 0, -1, verbs_delete },
};

static const struct noun noun = {
	.name = "target",
	.summary = "Targets: where the Server has workspaces made.",
	.kind = &api_target_kind,
	.none = "There are no targets. Make one with: daytona-runner target create",
	.verbs = verbs,
	.n = ARRAY_LEN(verbs),
};

static int target_run(int argc, char **argv)
{
	return verbs_main(&noun, argc, argv);
}

const struct applet target_applet = { .name = "target",
	                              .summary = "make, list and delete targets on the Server",
	                              .run = target_run,
	                              .aliases = "targets" };
