/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of native-provider: a private directory each, nothing that runs. */
#include "providers/native/target.h"

#include "base/file.h"
#include "base/mem.h"
#include "providers/native/options.h"

/* Directory of a target: <state_dir>/targets/<id>. */
static char *target_dir(const struct provider_env *env, const struct target *t, struct err *e)
{
	struct buf b = { 0 };

	if (!str_is_id(str_of(t->id))) {
		err_set(e, ERR_PARSE, 0, "the target id \"%s\" is not usable", t->id);
		return NULL;
	}
	buf_addf(&b, "%s/targets/%s", env->state_dir, t->id);
	return buf_take(&b);
}

int native_target_create(void *self, const struct target *t, struct deadline d, struct err *e)
{
	const struct provider_env *env = self;
	struct native_options o;
	char *dir = target_dir(env, t, e), *parent = path_join(env->state_dir, "targets");
	int rc = -1;

	(void)d;
	/* A wrong option is told now, not at the first workspace. */
	if (dir && native_options_parse(&o, t->config.options, env->options, e) == 0) {
		if (file_mkdirs(parent, 0700, e) == 0)
			rc = file_mkdirs(dir, 0700, e);
		native_options_free(&o);
	}
	free(parent);
	free(dir);
	return rc;
}

/* A directory neither runs nor rests. */
int native_target_rest(void *self, const struct target *t, struct deadline d, struct err *e)
{
	char *dir = target_dir(self, t, e);
	int rc = dir ? 0 : -1;

	(void)d;
	free(dir);
	return rc;
}

int native_target_delete(void *self, const struct target *t, bool force, struct deadline d,
                         struct err *e)
{
	const struct provider_env *env = self;
	char *dir = target_dir(env, t, e);
	int rc = dir ? file_remove_tree(dir, e) : -1;

	(void)d;
	if (rc < 0 && dir && force) {
		provider_logf(env, "warning: left behind: %s", e->msg);
		rc = 0;
	}
	free(dir);
	return rc;
}
