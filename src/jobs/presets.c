/* SPDX-License-Identifier: Apache-2.0 */
/* See jobs.h: the target configs that providers come with. */
#include "jobs/jobs.h"

#include "jobs/ctx.h"

#include <stdlib.h>
#include <string.h>

static void configs_free(struct target_config *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		target_config_free(&list[i]);
	free(list);
}

int job_register_preset(const struct jobs_env *env, const struct provider *p, const char *version,
                        struct err *e)
{
	struct buf name = { 0 }, info = { 0 };
	struct job none = { 0 };
	struct target_config *list = NULL;
	struct ctx c;
	size_t n = 0;
	unsigned tries = 0;
	bool there = false;
	int rc;

	if (!p->preset_name)
		return 0;
	ctx_open(&c, env, &none);
	buf_addf(&name, "%s-runner-%s", p->preset_name, env->runner_id);
	do {
		configs_free(list, n);
		rc = api_target_configs(c.api, &list, &n, ctx_call(&c), e);
	} while (rc < 0 && ctx_again(&c, &tries, e));
	for (size_t i = 0; i < n; i++)
		there = there || strcmp(list[i].name, buf_cstr(&name)) == 0;
	configs_free(list, n);
	if (rc == 0 && !there) {
		provider_info_json(p, version, env->runner_id, env->runner_name, &info);
		do
			rc = api_target_config_create(c.api, buf_cstr(&name), p->preset_options,
			                              buf_str(&info), ctx_call(&c), e);
		while (rc < 0 && ctx_again(&c, &tries, e));
	}
	if (rc < 0)
		err_wrap(e, "register target config %s", buf_cstr(&name));
	ctx_close(&c);
	buf_free(&info);
	buf_free(&name);
	return rc;
}
