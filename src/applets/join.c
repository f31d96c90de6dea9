/* SPDX-License-Identifier: Apache-2.0 */
/* See join.h. */
#include "applets/join.h"

#include "api/token.h"
#include "applets/cli.h"
#include "base/mask.h"
#include "base/mem.h"

#include <limits.h>
#include <unistd.h>

int join_take(struct kv *settings, const char *config_dir, char **secret, struct err *e)
{
	const char *join = kv_get(settings, TOKEN_JOIN), *ca = kv_get(settings, TOKEN_CA);
	char *file = NULL;

	*secret = join ? mem_dup(join) : NULL;
	mask_add(str_of(join ? join : ""));
	(void)kv_del(settings, TOKEN_JOIN);
	if (ca)
		file = config_keep_ca(config_dir, str_of(ca), e);
	if (ca && !file)
		return -1;
	(void)kv_del(settings, TOKEN_CA);
	if (file)
		kv_set(settings, "server.ca_file", file);
	free(file);
	return 0;
}

char *join_host_name(void)
{
	char host[HOST_NAME_MAX + 1] = "";

	(void)gethostname(host, sizeof(host) - 1);
	return mem_dup(host);
}

int join_runner(struct api *api, const char *name, struct runner_info *made, struct err *e)
{
	char id[13];

	if (cli_new_id(id, e) < 0)
		return -1;
	if (api_runner_create(api, id, name, made, deadline_in_ms(CLI_CALL_MS), e) == 0) {
		mask_add(str_of(made->api_key));
		return 0;
	}
	if (api_verdict(e) == API_KEY)
		return err_set(
			e, ERR_DENIED, e->code,
			"the Server refuses the join token: it was used already, its time is "
			"up, or it is another Server's; make one there: daytona-runner "
			"server join");
	if (api_verdict(e) == API_ALREADY)
		return err_hint(e, "the token is still good: choose another --name");
	if (e->kind == ERR_CLOSED || e->kind == ERR_TIMEOUT)
		return err_hint(e,
		                "if the Server has a runner of that name now, the token is spent: "
		                "delete that runner there and make another token");
	return server_hint(e);
}
