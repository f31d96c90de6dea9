/* SPDX-License-Identifier: Apache-2.0 */
/* key: API keys of clients, each of which may do everything. */
#include "applets/applets.h"
#include "applets/verbs.h"
#include "base/mask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int create(struct verbs *v, struct err *e)
{
	struct buf key = { 0 };
	int rc = 0;

	if (!*v->operands[0])
		return err_set(e, ERR_USAGE, 0, "the name is empty");
	rc = api_key_create(v->admin.link.api, v->operands[0], &key, deadline_in_ms(CLI_CALL_MS),
	                    e);
	if (rc == 0) {
		cli_put(buf_cstr(&key));
		putchar('\n');
		fflush(stdout);
		fputs("It is not shown again, and may do everything on the Server.\n", stderr);
	}
	buf_wipe(&key);
	return rc;
}

static int revoke_one(struct verbs *v, struct json it, struct err *e)
{
	char *name = json_dup_or_empty(json_get(it, "name"));
	struct buf question = { 0 };
	int rc;

	buf_addf(&question, "Revoke the key %s?", name);
	rc = verbs_confirm(v, buf_cstr(&question), e);
	if (rc == 0)
		rc = api_remove(v->admin.link.api, v->noun->kind->path, name, false,
		                deadline_in_ms(CLI_CALL_MS), e);
	if (rc < 0 && api_verdict(e) == API_MISSING)
		err_set(e, ERR_NOT_FOUND, e->code,
		        "there is no key %s any more; key list shows those that are there", name);
	else if (rc < 0 && api_verdict(e) == API_TROUBLE && e->code == 403)
		err_wrap(e, "a key does not revoke itself: give another by --api-key-file");
	if (rc == 0) {
		fputs("Key ", stdout);
		cli_put(name);
		puts(" is revoked.");
	}
	buf_free(&question);
	free(name);
	return rc;
}

static int revoke(struct verbs *v, struct err *e)
{
	return verbs_each(v, revoke_one, e);
}

static const struct verb verbs[] = {
	{ "create", "new", "key create NAME\nMakes a key and prints it, this one time.", 0, 1, 1,
	  create },
	{ "list", "ls", "key list [-f json|yaml]\nLists the keys' names.", HAS_FORMAT, 0, 0,
	  verbs_list },
	{ "revoke", "delete", "key revoke [NAME...] [-y]\nTakes keys back.", HAS_YES, 0, -1,
	  revoke },
};

static const struct noun noun = {
	.name = "key",
	.summary = "API keys of the Server's clients.",
	.kind = &api_key_kind,
	.none = "There are no keys.",
	.verbs = verbs,
	.n = ARRAY_LEN(verbs),
};

static int key_run(int argc, char **argv)
{
	return verbs_main(&noun, argc, argv);
}

const struct applet key_applet = { .name = "key",
	                           .summary = "make, list and revoke API keys of the Server",
	                           .run = key_run,
	                           .aliases = "api-key" };
