/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a dev container file that have no effect here, have the wrong form, or that nobody knows: none is dropped
 * without a word. Names: the specification's devcontainer.json reference (containers.dev).
 */
#include "providers/devcontainer/devcontainer.h"

#include "base/attr.h"
#include "base/spell.h"

#include <string.h>

/* What a setting may be: anything else would have no effect. */
enum kind { ANY, TEXT, SWITCH, OBJECT, LIST, TEXT_OR_LIST, TEXTS /* an object of plain values */ };

static const char *const kind_names[] = { "",          "a text", "true or false",
	                                  "an object", "a list", "a text or a list",
	                                  "an object" };

struct known {
	const char *key;
	enum kind kind;
};

static const struct known done[] = {
	{ "$schema", TEXT },
	{ "name", TEXT },
	{ "image", TEXT },
	{ "build", OBJECT },
	{ "dockerFile", TEXT },
	{ "context", TEXT },
	{ "dockerComposeFile", TEXT_OR_LIST },
	{ "service", TEXT },
	{ "runServices", LIST },
	{ "features", OBJECT },
	{ "overrideFeatureInstallOrder", LIST },
	{ "containerEnv", TEXTS },
	{ "remoteEnv", TEXTS },
	{ "containerUser", TEXT },
	{ "remoteUser", TEXT },
	{ "updateRemoteUserUID", SWITCH },
	{ "userEnvProbe", TEXT },
	{ "workspaceFolder", TEXT },
	{ "workspaceMount", TEXT },
	{ "mounts", LIST },
	{ "runArgs", LIST },
	{ "init", SWITCH },
	{ "privileged", SWITCH },
	{ "capAdd", LIST },
	{ "securityOpt", LIST },
	{ "overrideCommand", SWITCH },
	{ "forwardPorts", LIST },
	{ "portsAttributes", OBJECT },
	{ "otherPortsAttributes", OBJECT },
	{ "customizations", OBJECT },
	{ "settings", OBJECT },
	{ "extensions", LIST },
	{ "initializeCommand", ANY },
	{ "onCreateCommand", ANY },
	{ "updateContentCommand", ANY },
	{ "postCreateCommand", ANY },
	{ "postStartCommand", ANY },
	{ "postAttachCommand", ANY },
	/* An agent waits for all commands. */
	{ "waitFor", TEXT },
	{ "hostRequirements", OBJECT },
};

#define HOST "hostRequirements."

static const struct {
	const char *key, *instead; /* with where it is */
} without_effect[] = {
	{ "appPort", "name the ports in forwardPorts" },
	{ "devPort", "name the ports in forwardPorts" },
	{ HOST "cpus", "the target's option CPUs is a limit" },
	{ HOST "memory", "the target's option Memory is a limit" },
	{ HOST "storage", "the target's option Disk is a limit" },
	{ HOST "gpu.cores", "no engine can be told" },
	{ HOST "gpu.memory", "no engine can be told" },
	{ "shutdownAction", "a workspace runs until somebody stops it on the Server" },
	{ "secrets", "give them as variables of the workspace" },
	{ "entrypoint", "only features have one" },
};

static const struct known host_done[] = { { "gpu", ANY } };
static const struct known build_done[] = {
	{ "dockerfile", TEXT }, { "context", TEXT },           { "args", TEXTS },
	{ "target", TEXT },     { "cacheFrom", TEXT_OR_LIST }, { "options", LIST },
};

static void say(const struct asker *asker, const char *where, const char *key, const char *text)
{
	struct buf b = { 0 };

	buf_addf(&b, "dev container: \"%s", where);
	buf_add_printable(&b, str_of(key), false);
	buf_addf(&b, "\" %s", text);
	if (asker->say)
		asker->say(asker->arg, buf_cstr(&b));
	buf_free(&b);
}

static bool is_kind(struct json v, enum kind kind)
{
	switch (kind) {
	case TEXT:
		return json_is_string(v);
	case SWITCH:
		return json_is_bool(v);
	case OBJECT:
	case TEXTS:
		return json_is_object(v);
	case LIST:
		return json_is_array(v);
	case TEXT_OR_LIST:
		return json_is_string(v) || json_is_array(v);
	case ANY:
		break;
	}
	return true;
}

static bool is_probe(struct json v)
{
	static const char *const words[] = { "none", "interactiveShell", "loginShell",
		                             "loginInteractiveShell" };
	struct buf b = { 0 };
	bool is = false;

	json_string(v, &b);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		is |= str_eq(buf_str(&b), words[i]);
	buf_free(&b);
	return is;
}

/* A known setting: its form. */
static void look_at_form(const struct asker *asker, const char *where, const struct known *known,
                         struct json v)
{
	struct buf text = { 0 }, below = { 0 }, key = { 0 };

	if (!json_is_null(v) && !is_kind(v, known->kind)) {
		buf_addf(&text, "has no effect here: it is not %s", kind_names[known->kind]);
		say(asker, where, known->key, buf_cstr(&text));
	}
	if (strcmp(known->key, "userEnvProbe") == 0 && json_is_string(v) && !is_probe(v))
		say(asker, where, known->key,
		    "has no effect here: it is not none, interactiveShell, loginShell or loginInteractiveShell");
	buf_addf(&below, "%s%s.", where, known->key);
	for (struct json member = json_first(v);
	     known->kind == TEXTS && json_is_object(v) && json_present(member);
	     member = json_next(member)) {
		if (!json_is_object(member) && !json_is_array(member))
			continue;
		buf_reset(&key);
		json_key(member, &key);
		say(asker, buf_cstr(&below), buf_cstr(&key),
		    "has no effect here: it is not a text");
	}
	buf_free(&text);
	buf_free(&below);
	buf_free(&key);
}

/* known: n settings. */
static void look(const struct asker *asker, const char *where, const char *key, struct json v,
                 const struct known *known, size_t n)
{
	struct spell s = { .word = str_of(key) };
	struct buf text = { 0 };
	char hint[96];

	for (size_t i = 0; i < n; i++) {
		if (strcmp(key, known[i].key) == 0) {
			look_at_form(asker, where, &known[i], v);
			return;
		}
		(void)spell_try(&s, known[i].key);
	}
	for (size_t i = 0; i < ARRAY_LEN(without_effect); i++) {
		const char *row = without_effect[i].key;

		if (str_starts(str_of(row), where) && strcmp(key, row + strlen(where)) == 0) {
			buf_addf(&text, "has no effect here: %s", without_effect[i].instead);
			say(asker, where, key, buf_cstr(&text));
			buf_free(&text);
			return;
		}
	}
	buf_addf(&text, "is no setting that is known%s", spell_hint(&s, "", hint));
	say(asker, where, key, buf_cstr(&text));
	buf_free(&text);
}

static void look_below(const struct asker *asker, struct json v, const char *where,
                       const struct known *known, size_t n)
{
	struct buf key = { 0 };

	for (struct json member = json_first(v); json_is_object(v) && json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		look(asker, where, buf_cstr(&key), member, known, n);
	}
	buf_free(&key);
}

void dc_name_unknown(const struct devcontainer *dc, const struct asker *asker)
{
	struct json host = json_get(dc->root, "hostRequirements");

	look_below(asker, dc->root, "", done, ARRAY_LEN(done));
	look_below(asker, json_get(dc->root, "build"), "build.", build_done, ARRAY_LEN(build_done));
	look_below(asker, host, HOST, host_done, ARRAY_LEN(host_done));
	look_below(asker, json_get(host, "gpu"), HOST "gpu.", NULL, 0);
}
