/* SPDX-License-Identifier: Apache-2.0 */
/* Which verb, its options, and the verbs that several kinds share. See verbs.h. */
#include "applets/verbs.h"

#include "applets/applets.h"
#include "applets/logs.h"
#include "base/out.h"
#include "base/spell.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTS_MAX 40
#define LINES_MAX 1000000

static const struct verb *find_verb(const struct noun *noun, const char *word, char hint[96])
{
	struct spell near = { .word = str_of(word) };

	for (size_t i = 0; i < noun->n; i++) {
		const struct verb *v = &noun->verbs[i];

		if (strcmp(v->name, word) == 0 || (v->also && strcmp(v->also, word) == 0))
			return v;
		spell_try(&near, v->name);
	}
	spell_hint(&near, "", hint);
	return NULL;
}

/* "workspace {create | list}\nSummary\ncreate: what its own help says first\n…" */
static void noun_usage(const struct noun *noun, struct buf *b)
{
	buf_addf(b, "%s {", noun->name);
	for (size_t i = 0; i < noun->n; i++)
		buf_addf(b, "%s%s", i ? " | " : "", noun->verbs[i].name);
	buf_addf(b, "} [OPTION...]\n%s Without a verb: list.", noun->summary);
	for (size_t i = 0; i < noun->n; i++) {
		struct str rest = str_of(noun->verbs[i].usage), line;

		str_next(&rest, '\n', &line);
		str_next(&rest, '.', &line); /* its first sentence */
		buf_addf(b, "\n%s: %.*s.", noun->verbs[i].name, STR_ARG(line));
	}
}

#define AT(member) offsetof(struct verbs, member)

/* Every option of every verb: who has it, where its value goes, and its texts as in struct opt. */
static const struct verb_opt {
	unsigned short in, at;
	char type, letter;
	const char *text;
} all_opts[] = {
	{ HAS_CREATE | HAS_TARGET, AT(name), OPT_TYPE_STR, 'n',
	  OPT_TEXT("name", "NAME", "what it is called") },
	{ HAS_CREATE, AT(branch), OPT_TYPE_STR, 'b',
	  OPT_TEXT("branch", "BRANCH", "of the repository") },
	{ HAS_CREATE, AT(target), OPT_TYPE_STR, 't',
	  OPT_TEXT("target", "TARGET", "where it is made; by name or id") },
	{ HAS_CREATE | HAS_TARGET, AT(config), OPT_TYPE_STR, 0,
	  OPT_TEXT("target-config", "CONFIG", "of the target that is made, by name or id") },
	{ HAS_TARGET, AT(options), OPT_TYPE_LIST, 'o',
	  OPT_TEXT("option", "K=V",
	           "an option of its provider, such as Image=debian:12; repeatable") },
	{ HAS_CREATE, AT(env), OPT_TYPE_LIST, 'e',
	  OPT_TEXT("env", "K=V", "a variable; K alone takes it from here; repeatable") },
	{ HAS_CREATE | HAS_LABEL, AT(labels), OPT_TYPE_LIST, 'l',
	  OPT_TEXT("label", "K=V", "a label; repeatable") },
	{ HAS_CREATE, AT(image), OPT_TYPE_STR, 0,
	  OPT_TEXT("image", "IMAGE", "an image, in place of a build") },
	{ HAS_CREATE, AT(image), OPT_TYPE_STR, 0, OPT_TEXT("custom-image", "IMAGE", "the same") },
	{ HAS_CREATE, AT(user), OPT_TYPE_STR, 0,
	  OPT_TEXT("user", "USER", "who works in the image (root)") },
	{ HAS_CREATE, AT(user), OPT_TYPE_STR, 0,
	  OPT_TEXT("custom-image-user", "USER", "the same") },
	{ HAS_CREATE, AT(builder), OPT_TYPE_STR, 0,
	  OPT_TEXT("builder", "WHAT", "auto, devcontainer or none (auto)") },
	{ HAS_CREATE, AT(devcontainer), OPT_TYPE_STR, 0,
	  OPT_TEXT("devcontainer-path", "FILE", "the dev container's file in the repository") },
	{ HAS_CREATE, AT(git_config), OPT_TYPE_STR, 0,
	  OPT_TEXT("git-provider-config", "ID", "credentials on the Server for the repository") },
	{ HAS_STATE, AT(state), OPT_TYPE_STR, 's',
	  OPT_TEXT("state", "STATE", "pending, running, success or error alone") },
	{ HAS_ALL, AT(all), OPT_TYPE_FLAG, 'a', OPT_TEXT("all", "", "all of them") },
	{ HAS_LOG, AT(follow), OPT_TYPE_FLAG, 'f', OPT_TEXT("follow", "", "wait for what comes") },
	{ HAS_LOG, AT(lines), OPT_TYPE_INT, 'n', OPT_TEXT("lines", "N", "the last N lines only") },
	{ HAS_FORCE, AT(force), OPT_TYPE_FLAG, 0,
	  OPT_TEXT("force", "", "also when the runner cannot clean up behind it") },
	{ HAS_WAIT, AT(wait), OPT_TYPE_FLAG, 0,
	  OPT_TEXT("wait", "", "do not wait for the job's end") },
	{ HAS_YES, AT(yes), OPT_TYPE_FLAG, 'y', OPT_TEXT("yes", "", "do not ask") },
	{ HAS_FORMAT, AT(format_text), OPT_TYPE_STR, 'f',
	  OPT_TEXT("format", "FORMAT", "json or yaml instead of text") },
};

static void choose_opts(struct verbs *v, unsigned has, struct opt out[OPTS_MAX])
{
	const struct opt admin[] = { CLI_ADMIN_OPTS(&v->admin), OPT_END };
	size_t n = 0;

	if (has)
		out[n++] = (struct opt)OPT_GROUP("Options");
	for (size_t i = 0; i < ARRAY_LEN(all_opts); i++) {
		const struct verb_opt *o = &all_opts[i];

		if (o->in & has)
			out[n++] = (struct opt){ .text = o->text,
				                 .to = (char *)v + o->at,
				                 .max = LINES_MAX,
				                 .type = (unsigned char)o->type,
				                 .letter = o->letter };
	}
	memcpy(out + n, admin, sizeof(admin));
}

/* A noun alone, or with an option, is about its list; --help and what completion asks are about the noun. */
static bool about_noun(int argc, char **argv)
{
	return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	                    strcmp(argv[1], "--print-options") == 0);
}

static void print_verbs(const struct noun *noun)
{
	for (size_t i = 0; i < noun->n; i++)
		puts(noun->verbs[i].name);
}

/* The names to complete with, and nothing else whatever happens. */
static int print_names(const struct noun *noun)
{
	struct verbs v = { .noun = noun };
	struct json_doc *doc;
	struct err e = { 0 };

	if (cli_admin_open(&v.admin, noun->name, &e) == 0) {
		doc = verbs_list_of(&v, noun->kind, &e);
		for (struct json member = json_first(json_root(doc)); json_present(member);
		     member = json_next(member)) {
			char *name = json_dup_or_empty(json_get(member, noun->kind->called));

			if (str_is_id(str_of(name)))
				puts(name);
			free(name);
		}
		json_doc_free(doc);
	}
	cli_admin_close(&v.admin);
	return out_flush();
}

static int run_verb(struct verbs *v, int argc, char **argv)
{
	struct opt opts[OPTS_MAX];
	struct err e = { 0 };
	int rc;

	choose_opts(v, v->verb->has, opts);
	v->n = opts_parse(opts, v->verb->usage, argc, argv, v->verb->min, v->verb->max);
	v->operands = argv + 1;
	v->format = cli_format(v->verb->usage, v->format_text);
	rc = cli_admin_open(&v->admin, v->noun->name, &e);
	if (rc == 0) {
		rc = v->verb->run(v, &e);
		if (rc < 0)
			cli_explain(&v->admin, &e);
	}
	cli_admin_close(&v->admin);
	free(v->env.v);
	free(v->labels.v);
	free(v->options.v);
	if (rc < 0 && logs_reader_gone(&e))
		return 0; /* `logs | head` */
	if (rc < 0) {
		int status = applet_fail(v->noun->name, &e);

		return e.kind == ERR_CANCELED && e.code ? 128 + e.code : status;
	}
	rc = out_flush();
	return v->status ? v->status : rc;
}

int verbs_main(const struct noun *noun, int argc, char **argv)
{
	struct verbs v = { .noun = noun, .wait = true, .lines = -1 };
	bool bare = argc < 2 || argv[1][0] == '-';
	struct buf usage = { 0 };
	char hint[96];

	if (argc > 1 && strcmp(argv[1], "--print-verbs") == 0) {
		print_verbs(noun);
		return out_flush();
	}
	if (argc > 1 && strcmp(argv[1], "--print-names") == 0)
		return print_names(noun);
	noun_usage(noun, &usage);
	if (about_noun(argc, argv)) {
		struct opt opts[OPTS_MAX];

		choose_opts(&v, 0, opts);
		opts_parse(opts, buf_cstr(&usage), argc, argv, 0, 0);
	}
	v.verb = find_verb(noun, bare ? "list" : argv[1], hint);
	if (!v.verb) {
		buf_reset(&usage);
		buf_adds(&usage, noun->name); /* for the hint to --help */
		opts_misuse(buf_cstr(&usage), "%s has no verb \"%s\"%s", noun->name, argv[1], hint);
	}
	buf_free(&usage);
	return bare ? run_verb(&v, argc, argv) : run_verb(&v, argc - 1, argv + 1);
}

int verbs_list(struct verbs *v, struct err *e)
{
	struct json_doc *doc = verbs_list_of(v, v->noun->kind, e);

	if (!doc)
		return -1;
	if (v->format == CLI_TEXT && json_len(json_root(doc)) == 0)
		puts(v->noun->none);
	else
		verbs_show_list(v, v->noun->kind, json_root(doc));
	json_doc_free(doc);
	return 0;
}

int verbs_info(struct verbs *v, struct err *e)
{
	struct json_doc *doc = NULL;
	struct json it;
	int rc = verbs_find(v, v->n ? v->operands[0] : NULL, &doc, &it, e);

	if (rc == 0)
		verbs_show_one(v, v->noun->kind, it);
	json_doc_free(doc);
	return rc;
}

int verbs_each(struct verbs *v, int (*each)(struct verbs *v, struct json element, struct err *e),
               struct err *e)
{
	int rc = 0;

	for (int i = 0; i == 0 || i < v->n; i++) {
		struct json_doc *doc = NULL;
		struct err why = { 0 };
		struct json it;
		int one = verbs_find(v, v->n ? v->operands[i] : NULL, &doc, &it, &why);

		if (one == 0)
			one = each(v, it, &why);
		json_doc_free(doc);
		if (one < 0 && rc == 0)
			*e = why;
		else if (one < 0)
			applet_fail(v->noun->name, &why);
		if (one < 0)
			rc = -1;
		if (one < 0 && why.kind == ERR_CANCELED)
			break;
	}
	return rc;
}

static const char *done_text(const char *verb)
{
	return strcmp(verb, "stop") == 0      ? "is stopped"
	       : strcmp(verb, "delete") == 0  ? "is deleted"
	       : strcmp(verb, "restart") == 0 ? "is started again"
	                                      : "is started";
}

/* The call by start, and then its job. */
static int by_job(struct verbs *v, struct json it,
                  int (*start)(struct verbs *, const char *, struct err *), struct err *e)
{
	const struct api_kind *kind = v->noun->kind;
	char *id = json_dup_or_empty(json_get(it, kind->id));
	char *name = json_dup_or_empty(json_get(it, kind->called));
	char *runner = json_dup_or_empty(api_kind_get(it, kind->runner));
	struct follow f = { .kind = kind->name, .id = id, .name = name, .runner = runner };
	int rc;

	if (v->wait)
		follow_mark(&f, v->admin.link.api);
	rc = start(v, id, e);
	if (rc == 0 && v->wait)
		rc = follow_job(&f, v->admin.link.api, e);
	if (rc == 0) {
		fputs(kind == &api_workspace_kind ? "Workspace " : "Target ", stdout);
		cli_put(name);
		printf(" %s.\n", v->wait ? done_text(v->verb->name) : "has its job");
	}
	if (rc < 0 && e->kind != ERR_CANCELED)
		err_wrap(e, "%s %s %s", v->verb->name, kind->name, name);
	free(id);
	free(name);
	free(runner);
	return rc;
}

static int start_act(struct verbs *v, const char *id, struct err *e)
{
	return api_act(v->admin.link.api, "POST", v->noun->kind->path, id, v->verb->name,
	               deadline_in_ms(CLI_CALL_MS), e);
}

static int act_one(struct verbs *v, struct json it, struct err *e)
{
	return by_job(v, it, start_act, e);
}

int verbs_act(struct verbs *v, struct err *e)
{
	return verbs_each(v, act_one, e);
}

static int start_delete(struct verbs *v, const char *id, struct err *e)
{
	return api_remove(v->admin.link.api, v->noun->kind->path, id, v->force,
	                  deadline_in_ms(CLI_CALL_MS), e);
}

static int delete_one(struct verbs *v, struct json it, struct err *e)
{
	const struct api_kind *kind = v->noun->kind;
	char *name = json_dup_or_empty(json_get(it, kind->called));
	struct buf question = { 0 };
	int rc;

	buf_addf(&question, "Delete %s %s%s?", kind->name, name,
	         kind == &api_workspace_kind ? " and all that is in it" : "");
	rc = verbs_confirm(v, buf_cstr(&question), e);
	if (rc == 0)
		rc = by_job(v, it, start_delete, e);
	buf_free(&question);
	free(name);
	return rc;
}

int verbs_delete(struct verbs *v, struct err *e)
{
	return verbs_each(v, delete_one, e);
}
