/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of providers, and the one place where an entry that a provider lacks becomes an error.
 * Adding a provider is its own files and one word in the list.
 */
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/spell.h"
#include "providers/docker/docker.h"
#include "providers/exec/exec.h"
#include "providers/native/native.h"
#include "providers/provider.h"

#include <stdarg.h>

/* clang-format off */
#ifndef PROVIDER_LIST /* else the build's choice: DR_PROVIDERS in CMakeLists.txt */
#define PROVIDER_LIST(X) \
	X(docker) X(native) X(exec)
#endif
/* clang-format on */
#define PROVIDER_ADDRESS(name) &name##_provider,
const struct provider *const providers[] = { PROVIDER_LIST(PROVIDER_ADDRESS) NULL };

const struct provider *provider_find(const char *name)
{
	for (size_t i = 0; name && providers[i]; i++) {
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	}
	return NULL;
}

void provider_names(struct buf *b, const char *instead_of)
{
	struct spell near = { .word = str_of(instead_of) };
	char hint[96];

	for (size_t i = 0; providers[i]; i++) {
		buf_addf(b, "%s%s", i ? ", " : "", providers[i]->name);
		spell_try(&near, providers[i]->name);
	}
	/* "docker" is too far from the name for a slip of the fingers. */
	for (size_t i = 0; near.word.n > 1 && !near.near && providers[i]; i++) {
		if (strncmp(providers[i]->name, near.word.p, near.word.n) == 0)
			near.near = providers[i]->name;
	}
	buf_adds(b, spell_hint(&near, "", hint));
}

int provider_known(const char *name, struct err *e)
{
	struct buf have = { 0 };

	if (provider_find(name))
		return 0;
	provider_names(&have, name);
	err_set(e, ERR_NOT_FOUND, 0, "there is no provider \"%s\"; this program has %s", name,
	        buf_cstr(&have));
	buf_free(&have);
	return -1;
}

void provider_manifest_text(struct buf *b, const char *key, const char *text)
{
	if (*text)
		jw_kstr(b, key, text);
}

void provider_info_json(const struct provider *p, const char *version, const char *runner_id,
                        const char *runner_name, struct buf *b)
{
	jw_obj(b);
	jw_kbool(b, "agentlessTarget", p->agentless);
	if (p->label)
		jw_kstr(b, "label", p->label);
	jw_kstr(b, "name", p->name);
	jw_kstr(b, "runnerId", runner_id);
	jw_kstr(b, "runnerName", runner_name);
	jw_key(b, "targetConfigManifest");
	if (p->manifest) {
		struct buf manifest = { 0 };

		p->manifest(&manifest);
		jw_raw(b, buf_str(&manifest));
		buf_free(&manifest);
	} else {
		jw_obj(b); /* null would be refused (protocol 3.16) */
		jw_obj_end(b);
	}
	jw_kstr(b, "version", version);
	jw_obj_end(b);
}

void provider_logf(const struct provider_env *env, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	if (!env->log)
		return;
	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	buf_addc(&line, '\n');
	env->log(env->log_arg, buf_str(&line));
	buf_free(&line);
}

int provider_open(struct provider_handle *h, const struct provider *p,
                  const struct provider_env *env, struct err *e)
{
	*h = (struct provider_handle){ .p = p };
	if (p->open && p->open(&h->self, env, e) < 0) {
		h->p = NULL;
		return -1;
	}
	return 0;
}

void provider_close(struct provider_handle *h)
{
	if (h->p && h->p->close)
		h->p->close(h->self);
	*h = (struct provider_handle){ 0 };
}

static int cannot(const struct provider_handle *h, enum job_action a, const char *what,
                  struct err *e)
{
	const char *verb = a == ACT_FORCE_DELETE ? "delete" : job_action_name(a);

	return err_set(e, ERR_UNSUPPORTED, 0, "%s cannot %s a %s", h->p->name, verb, what);
}

int provider_target(struct provider_handle *h, enum job_action a, const struct target *t,
                    struct deadline d, struct err *e)
{
	const struct provider *p = h->p;

	switch (a) {
	case ACT_CREATE:
		return p->target_create ? p->target_create(h->self, t, d, e)
		                        : cannot(h, a, "target", e);
	case ACT_START:
		return p->target_start ? p->target_start(h->self, t, d, e)
		                       : cannot(h, a, "target", e);
	case ACT_STOP:
		return p->target_stop ? p->target_stop(h->self, t, d, e)
		                      : cannot(h, a, "target", e);
	case ACT_RESTART:
		if (!p->target_stop || !p->target_start)
			return cannot(h, a, "target", e);
		if (p->target_stop(h->self, t, d, e) < 0)
			return -1;
		return p->target_start(h->self, t, d, e);
	case ACT_DELETE:
	case ACT_FORCE_DELETE:
		return p->target_delete ? p->target_delete(h->self, t, a == ACT_FORCE_DELETE, d, e)
		                        : cannot(h, a, "target", e);
	default:
		return cannot(h, a, "target", e);
	}
}

int provider_workspace(struct provider_handle *h, enum job_action a, const struct workspace_job *w,
                       struct deadline d, struct err *e)
{
	const struct provider *p = h->p;
	int (*step)(void *self, const struct workspace_job *w, struct deadline d, struct err *e);

	switch (a) {
	case ACT_CREATE:
		step = p->workspace_create;
		break;
	case ACT_START:
		step = p->workspace_start;
		break;
	case ACT_STOP:
		step = p->workspace_stop;
		break;
	case ACT_RESTART:
		if (!p->workspace_stop || !p->workspace_start)
			return cannot(h, a, "workspace", e);
		if (p->workspace_stop(h->self, w, d, e) < 0)
			return -1;
		step = p->workspace_start;
		break;
	case ACT_DELETE:
	case ACT_FORCE_DELETE:
		step = p->workspace_delete;
		break;
	default:
		step = NULL;
	}
	return step ? step(h->self, w, d, e) : cannot(h, a, "workspace", e);
}

int provider_target_info(struct provider_handle *h, const struct target *t, struct buf *b,
                         struct deadline d, struct err *e)
{
	return h->p->target_info ? h->p->target_info(h->self, t, b, d, e) : 0;
}

int provider_workspace_info(struct provider_handle *h, const struct workspace_job *w, struct buf *b,
                            struct deadline d, struct err *e)
{
	return h->p->workspace_info ? h->p->workspace_info(h->self, w, b, d, e) : 0;
}

int provider_workspace_exec(struct provider_handle *h, const struct workspace_exec *exec,
                            int *status, struct deadline d, struct err *e)
{
	if (!h->p->workspace_exec)
		return err_set(e, ERR_UNSUPPORTED, 0, "%s cannot run a program in a workspace",
		               h->p->name);
	return h->p->workspace_exec(h->self, exec, status, d, e);
}

int provider_workspace_usage(struct provider_handle *h, const struct workspace *ws,
                             struct provider_usage *u, struct deadline d, struct err *e)
{
	*u = (struct provider_usage){ NULL, -1, -1, -1, -1 };
	return h->p->workspace_usage ? h->p->workspace_usage(h->self, ws, u, d, e) : 0;
}

int provider_build(struct provider_handle *h, enum job_action a, const struct build_job *b,
                   struct deadline d, struct err *e)
{
	const struct provider *p = h->p;

	if (a == ACT_RUN && p->build_run)
		return p->build_run(h->self, b, d, e);
	if ((a == ACT_DELETE || a == ACT_FORCE_DELETE) && p->build_delete)
		return p->build_delete(h->self, b, a == ACT_FORCE_DELETE, d, e);
	return cannot(h, a, "build", e);
}
