/* SPDX-License-Identifier: Apache-2.0 */
/* See exec.h: one run of the program for each verb, the facts by standard input, lines back as the log. */
#include "providers/exec/exec.h"

#include "base/allow.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/proc.h"
#include "oci/image_ref.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64u << 10) /* a longer one goes to the log in pieces, and is no result */
#define ERROR_BYTES 500
#define EXIT_NO_VERB 3 /* "that verb is not mine" */
#define UNKNOWN_VERB 1 /* what run returns then */

struct run {
	const struct provider_env *env;
	struct buf line; /* one that may be the result is kept back until another comes */
	bool whole;      /* it had its end */
	bool torn;       /* its beginning is in the log already */
};

static const char *program_of(const struct provider_env *env)
{
	const char *program = kv_get(env->options, "program");

	return program && *program ? program : NULL;
}

static void flush(struct run *r)
{
	if (!r->line.n)
		return;
	buf_addc(&r->line, '\n');
	if (r->env->log)
		r->env->log(r->env->log_arg, buf_str(&r->line));
	buf_wipe(&r->line);
}

static void take(void *arg, struct str bytes)
{
	struct run *r = arg;

	for (size_t i = 0; i < bytes.n; i++) {
		if (r->whole) {
			flush(r);
			r->whole = r->torn = false;
		}
		if (bytes.p[i] == '\n') {
			r->whole = r->line.n > 0 && r->line.p[0] == '{';
			if (!r->whole) {
				flush(r); /* empty ones fall out */
				r->torn = false;
			}
		} else if (r->line.n == LINE_MAX_BYTES) {
			flush(r);
			r->torn = true;
			i--;
		} else {
			buf_addc(&r->line, bytes.p[i]);
		}
	}
}

/* The last line, if it is a JSON object; else it belongs to the log. */
static struct json_doc *result_of(struct run *r)
{
	struct str line = buf_str(&r->line);
	struct err ignored = { 0 };
	struct json_doc *doc = NULL;

	if (!r->torn && str_starts(line, "{"))
		doc = json_parse(line, LINE_MAX_BYTES, &ignored);
	if (doc)
		buf_wipe(&r->line);
	else
		flush(r);
	return doc;
}

static int failure(int status, struct json_doc *doc, struct err *e)
{
	struct buf how = { 0 };
	char *text = doc ? json_dup(json_get(json_root(doc), "error")) : NULL;

	if (!text)
		proc_describe_status(status, &how);
	err_set(e, ERR_REMOTE, 0, "%.*s", ERROR_BYTES, text ? text : buf_cstr(&how));
	free(text);
	buf_free(&how);
	return -1;
}

/* 0: done; UNKNOWN_VERB; -1. *answer (may be NULL): the result, or NULL; the caller frees it. */
static int run(const struct provider_env *env, const char *verb, struct str facts,
               struct json_doc **answer, struct deadline d, struct err *e)
{
	const char *const argv[] = { program_of(env), verb, NULL };
	struct run r = { .env = env };
	struct json_doc *doc;
	int status = 0, rc;

	if (!argv[0])
		return err_set(
			e, ERR_CONFIG, 0,
			"[provider \"exec-provider\"] names no program; see docs/exec-provider.md");
	rc = proc_run(&(struct proc_spawn){ .argv = argv,
	                                    .cwd = "/",
	                                    .input = facts,
	                                    .output = take,
	                                    .arg = &r,
	                                    .stop = env->stop },
	              d, &status, e);
	doc = result_of(&r);
	if (rc == 0 && status != 0)
		rc = status == EXIT_NO_VERB << 8 ? UNKNOWN_VERB : failure(status, doc, e);
	if (rc < 0)
		err_wrap(e, "%s %s", argv[0], verb);
	if (rc == 0 && answer) {
		*answer = doc;
		doc = NULL;
	}
	json_doc_free(doc);
	buf_wipe(&r.line);
	return rc;
}

/* ---- what the program is told ---- */

static void add_kv(struct buf *b, const char *key, const struct kv *kv)
{
	static const struct kv none;

	jw_key(b, key);
	kv_to_json(kv ? kv : &none, b);
}

static void begin(struct buf *b, const struct provider_env *env, const char *verb, bool force)
{
	jw_obj(b);
	jw_kint(b, "version", 1);
	jw_kstr(b, "verb", verb);
	jw_kbool(b, "force", force);
	jw_key(b, "runner");
	jw_obj(b);
	jw_kstr(b, "id", env->runner_id);
	jw_kstr(b, "name", env->runner_name);
	jw_kstr(b, "program", env->self_exe);
	jw_obj_end(b);
	jw_kstr(b, "server_url", env->api_url);
	add_kv(b, "options", env->options);
}

static void add_target(struct buf *b, const struct target *t)
{
	struct err ignored = { 0 };
	const char *text = t->config.options ? t->config.options : "";
	struct json_doc *doc = json_parse(str_of(text), LINE_MAX_BYTES, &ignored);

	jw_key(b, "target");
	jw_obj(b);
	jw_kstr(b, "id", t->id);
	jw_kstr(b, "name", t->name);
	jw_key(b, "options");
	if (doc && json_is_object(json_root(doc)))
		jw_raw(b, json_raw(json_root(doc)));
	else
		jw_raw(b, STR_LIT("{}"));
	add_kv(b, "env", &t->env);
	jw_obj_end(b);
	json_doc_free(doc);
}

static void add_repository(struct buf *b, const struct repository *r)
{
	jw_key(b, "repository");
	jw_obj(b);
	jw_kstr(b, "url", r->url);
	jw_kstr(b, "name", r->name);
	jw_kstr(b, "branch", r->branch);
	jw_kstr(b, "sha", r->clone_commit ? r->sha : NULL);
	jw_obj_end(b);
}

/* w NULL: only what a condition is asked of. */
static void add_workspace(struct buf *b, const struct provider_env *env, const struct workspace *ws,
                          const struct workspace_job *w)
{
	struct kv vars = { 0 };

	if (w)
		kv_merge(&vars, w->env);
	if (ws->api_key && *ws->api_key && !kv_get(&vars, "DAYTONA_SERVER_API_KEY"))
		kv_set(&vars, "DAYTONA_SERVER_API_KEY", ws->api_key);
	if (!kv_get(&vars, "DAYTONA_SERVER_API_URL"))
		kv_set(&vars, "DAYTONA_SERVER_API_URL", env->api_url);
	kv_set(&vars, "DAYTONA_WORKSPACE_ID", ws->id);
	jw_key(b, "workspace");
	jw_obj(b);
	jw_kstr(b, "id", ws->id);
	jw_kstr(b, "name", ws->name);
	jw_kstr(b, "image", ws->image);
	jw_kstr(b, "user", ws->user);
	add_kv(b, "env", &vars);
	add_kv(b, "labels", &ws->labels);
	add_repository(b, &ws->repo);
	jw_obj_end(b);
	if (w && w->git) {
		jw_key(b, "git");
		jw_obj(b);
		jw_kstr(b, "username", w->git->username);
		jw_kstr(b, "token", w->git->token);
		jw_obj_end(b);
	}
	kv_free(&vars);
}

static int on_target(void *self, const char *verb, const struct target *t, bool force,
                     struct json_doc **answer, struct deadline d, struct err *e)
{
	const struct provider_env *env = self;
	struct buf b = { 0 };
	int rc;

	begin(&b, env, verb, force);
	add_target(&b, t);
	jw_obj_end(&b);
	rc = run(env, verb, buf_str(&b), answer, d, e);
	buf_wipe(&b);
	return rc;
}

static int on_workspace(void *self, const char *verb, const struct workspace *ws,
                        const struct workspace_job *w, struct json_doc **answer, struct deadline d,
                        struct err *e)
{
	const struct provider_env *env = self;
	struct buf b = { 0 };
	int rc;

	begin(&b, env, verb, w && w->force);
	add_target(&b, &ws->target);
	add_workspace(&b, env, ws, w);
	jw_obj_end(&b);
	rc = run(env, verb, buf_str(&b), answer, d, e);
	buf_wipe(&b);
	return rc;
}

/* ---- verbs ---- */

/* A target may need nothing. */
static int target_create(void *self, const struct target *t, struct deadline d, struct err *e)
{
	return on_target(self, "target-create", t, false, NULL, d, e) < 0 ? -1 : 0;
}

static int target_start(void *self, const struct target *t, struct deadline d, struct err *e)
{
	return on_target(self, "target-start", t, false, NULL, d, e) < 0 ? -1 : 0;
}

static int target_stop(void *self, const struct target *t, struct deadline d, struct err *e)
{
	return on_target(self, "target-stop", t, false, NULL, d, e) < 0 ? -1 : 0;
}

static int target_delete(void *self, const struct target *t, bool force, struct deadline d,
                         struct err *e)
{
	return on_target(self, "target-delete", t, force, NULL, d, e) < 0 ? -1 : 0;
}

static int needed(int rc, const char *verb, struct err *e)
{
	if (rc == UNKNOWN_VERB)
		return err_set(e, ERR_UNSUPPORTED, 0, "exec-provider's program does not know %s",
		               verb);
	return rc;
}

#define WORKSPACE_VERB(name, verb) \
	static int name(void *self, const struct workspace_job *w, struct deadline d, \
	                struct err *e) \
	{ \
		return needed(on_workspace(self, verb, w->ws, w, NULL, d, e), verb, e); \
	}
WORKSPACE_VERB(create_by_program, "workspace-create")
WORKSPACE_VERB(start_by_program, "workspace-start")
WORKSPACE_VERB(workspace_stop, "workspace-stop")
WORKSPACE_VERB(workspace_delete, "workspace-delete")

/* The program takes the image: it is asked about here. */
static int admit(const struct workspace_job *w, struct err *e)
{
	struct image_ref r = { 0 };

	if (!w->ws->image || !*w->ws->image ||
	    !(allow_limits(ALLOW_IMAGES) || allow_limits(ALLOW_REGISTRIES)))
		return 0;
	if (image_ref_parse(w->ws->image, &r, e) < 0)
		return -1;
	image_ref_free(&r);
	return 0;
}

static int workspace_create(void *self, const struct workspace_job *w, struct deadline d,
                            struct err *e)
{
	return admit(w, e) < 0 ? -1 : create_by_program(self, w, d, e);
}

static int workspace_start(void *self, const struct workspace_job *w, struct deadline d,
                           struct err *e)
{
	return admit(w, e) < 0 ? -1 : start_by_program(self, w, d, e);
}

static int workspace_info(void *self, const struct workspace_job *w, struct buf *b,
                          struct deadline d, struct err *e)
{
	struct json_doc *answer = NULL;
	struct kv info = { 0 };

	if (on_workspace(self, "workspace-info", w->ws, w, &answer, d, e) < 0)
		return -1;
	if (answer)
		kv_from_json(&info, json_get(json_root(answer), "info"));
	kv_set(&info, "daytona.workspace.id", w->ws->id);
	kv_set(&info, "daytona.target.id", w->ws->target_id ? w->ws->target_id : "");
	kv_to_json(&info, b);
	json_doc_free(answer);
	kv_free(&info);
	return 0;
}

static int workspace_condition(void *self, const struct workspace *ws, enum resource_condition *out,
                               struct deadline d, struct err *e)
{
	static const char *const names[] = {
		[COND_UNKNOWN] = "unknown",       [COND_MISSING] = "missing",
		[COND_INCOMPLETE] = "incomplete", [COND_STOPPED] = "stopped",
		[COND_RUNNING] = "running",
	};
	struct json_doc *answer = NULL;

	*out = COND_UNKNOWN;
	if (on_workspace(self, "workspace-condition", ws, NULL, &answer, d, e) < 0)
		return -1;
	for (size_t i = 0; answer && i < ARRAY_LEN(names); i++) {
		if (json_str_is(json_get(json_root(answer), "condition"), names[i]))
			*out = (enum resource_condition)i;
	}
	json_doc_free(answer);
	return 0;
}

/* ---- the provider ---- */

static void to_report(void *arg, struct str bytes)
{
	struct buf *report = arg;

	if (report->n < LINE_MAX_BYTES) {
		buf_adds(report, "note: ");
		buf_add_str(report, bytes);
	}
}

static int check(const struct provider_env *env, struct buf *report, struct deadline d,
                 struct err *e)
{
	const char *program = program_of(env);
	struct provider_env quiet = *env;
	struct buf facts = { 0 };
	int rc;

	quiet.log = to_report;
	quiet.log_arg = report;
	if (program && (program[0] != '/' || access(program, X_OK) < 0))
		rc = err_set(e, ERR_CONFIG, 0, "%s is no executable file with its whole path",
		             program);
	else {
		begin(&facts, env, "check", false);
		jw_obj_end(&facts);
		rc = run(&quiet, "check", buf_str(&facts), NULL, d, e);
		buf_wipe(&facts);
	}
	if (rc < 0)
		buf_addf(report, "missing: %s\n", e->msg);
	else
		buf_addf(report, "ok: %s\n", program);
	return rc < 0 ? -1 : 0;
}

static int open_it(void **self, const struct provider_env *env, struct err *e)
{
	(void)e;
	*self = mem_alloc(sizeof(*env));
	memcpy(*self, env, sizeof(*env));
	return 0;
}

static void manifest(struct buf *b)
{
	jw_obj(b);
	jw_obj_end(b);
}

const struct provider exec_provider = {
	.name = "exec-provider",
	.opt_in = true,
	.manifest = manifest,
	.syscalls = SYSCALLS_MACHINE,
	.check = check,
	.open = open_it,
	.close = free,
	.target_create = target_create,
	.target_start = target_start,
	.target_stop = target_stop,
	.target_delete = target_delete,
	.workspace_create = workspace_create,
	.workspace_start = workspace_start,
	.workspace_stop = workspace_stop,
	.workspace_delete = workspace_delete,
	.workspace_info = workspace_info,
	.workspace_condition = workspace_condition,
};
