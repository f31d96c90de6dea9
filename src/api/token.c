/* SPDX-License-Identifier: Apache-2.0 */
/* See token.h. */
#include "api/token.h"

#include "base/attr.h"
#include "base/json.h"

#include <string.h>

#define TOKEN_MAX 65536

static const char *const names[] = {
	"server.url", "server.key",  "server.pin_sha256", "server.allow_http",
	"runner.id",  "runner.name", TOKEN_JOIN,          TOKEN_CA,
};

static bool may_hold(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

bool token_is(struct str text)
{
	return str_starts(text, TOKEN_MARK);
}

/* Nothing of its text is shown: there is a secret in it. */
int token_read(struct str text, struct kv *out, struct err *e)
{
	struct buf json = { 0 };
	struct err why = { 0 };
	struct json_doc *doc = NULL;
	bool ok = token_is(text) && text.n < TOKEN_MAX &&
	          buf_add_unbase64(&json, (struct str){ text.p + strlen(TOKEN_MARK),
	                                                text.n - strlen(TOKEN_MARK) });

	if (ok)
		doc = json_parse(buf_str(&json), TOKEN_MAX, &why);
	ok = doc && json_is_object(json_root(doc));
	if (ok)
		kv_from_json(out, json_root(doc));
	for (size_t i = 0; ok && i < out->n; i++)
		ok = may_hold(out->pairs[i].key);
	json_doc_free(doc);
	buf_wipe(&json);
	if (ok && out->n)
		return 0;
	return err_set(e, ERR_USAGE, 0, "the token is cut or damaged; paste it whole");
}

void token_write(const struct kv *settings, struct buf *out)
{
	struct kv held = { 0 };
	struct buf json = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = kv_get(settings, names[i]);

		if (value && *value)
			kv_set(&held, names[i], value);
	}
	kv_to_json(&held, &json);
	buf_adds(out, TOKEN_MARK);
	buf_add_base64(out, json.p, json.n, true, false);
	buf_wipe(&json);
	kv_free(&held);
}
