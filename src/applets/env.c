/* SPDX-License-Identifier: Apache-2.0 */
/* env: variables that the Server gives to every workspace, credentials of registries among them. */
#include "applets/applets.h"
#include "applets/verbs.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX (64u << 10)

/* A value that shall not stand in a command line: typed unseen, or from standard input. */
static int read_value(const char *key, char **value, struct err *e)
{
	struct buf b = { 0 }, label = { 0 };
	struct prompt p;
	int rc;

	if (prompt_open(&p)) {
		buf_addf(&label, "Value of %s", key);
		rc = prompt_secret(&p, buf_cstr(&label), false, value, e);
		prompt_close(&p);
		buf_free(&label);
		return rc;
	}
	rc = file_read_fd(STDIN_FILENO, "standard input", VALUE_MAX, &b, e);
	if (rc == 0 && b.n && b.p[b.n - 1] == '\n')
		buf_cut(&b, b.n - 1);
	*value = rc == 0 ? mem_dup(buf_cstr(&b)) : NULL;
	buf_wipe(&b);
	return rc;
}

static int set_one(struct verbs *v, const char *pair, struct err *e)
{
	const char *equals = strchr(pair, '=');
	char *key = equals ? mem_dupn(pair, (size_t)(equals - pair)) : mem_dup(pair);
	char *value = equals ? mem_dup(equals + 1) : NULL;
	int rc = 0;

	if (!*key)
		rc = err_set(e, ERR_USAGE, 0, "\"%s\" is no KEY=VALUE", pair);
	if (rc == 0 && !equals)
		rc = read_value(key, &value, e);
	if (rc == 0 && !(value && *value))
		rc = err_set(e, ERR_USAGE, 0, "the value of %s is empty", key);
	if (rc == 0)
		rc = api_env_set(v->admin.link.api, key, value, deadline_in_ms(CLI_CALL_MS), e);
	if (rc == 0) {
		fputs("Variable ", stdout);
		cli_put(key);
		puts(" is set; workspaces have it from their next start on.");
	}
	mem_free_secret(value);
	free(key);
	return rc;
}

static int set(struct verbs *v, struct err *e)
{
	for (int i = 0; i < v->n; i++)
		if (set_one(v, v->operands[i], e) < 0)
			return -1;
	return 0;
}

static int delete_one(struct verbs *v, struct json it, struct err *e)
{
	char *key = json_dup_or_empty(json_get(it, v->noun->kind->id));
	int rc = api_remove(v->admin.link.api, v->noun->kind->path, key, false,
	                    deadline_in_ms(CLI_CALL_MS), e);

	if (rc == 0) {
		fputs("Variable ", stdout);
		cli_put(key);
		puts(" is deleted.");
	}
	free(key);
	return rc;
}

static int delete_keys(struct verbs *v, struct err *e)
{
	return verbs_each(v, delete_one, e);
}

static const struct verb verbs[] = {
	{ "list", "ls", "env list [-f json|yaml]\nLists the variables and their values.",
	  HAS_FORMAT, 0, 0, verbs_list },
	{ "set", NULL,
	  "env set KEY=VALUE...\nSets variables. KEY alone reads the value from standard input, so that it is in "
	  "no command line.",
	  0, 1, -1, set },
	{ "delete", "rm", "env delete [KEY...]\nDeletes variables.", 0, 0, -1, delete_keys },
};

static const struct noun noun = {
	.name = "env",
	.summary = "Variables that the Server gives to every workspace.",
	.kind = &api_env_kind,
	.none = "There are no variables. Set one with: daytona-runner env set KEY=VALUE",
	.verbs = verbs,
	.n = ARRAY_LEN(verbs),
};

static int env_run(int argc, char **argv)
{
	return verbs_main(&noun, argc, argv);
}

const struct applet env_applet = { .name = "env",
	                           .summary = "list, set and delete the Server's variables",
	                           .run = env_run };
