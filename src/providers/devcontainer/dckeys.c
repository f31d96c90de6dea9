/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a dev container file that have no effect here, or that nobody knows: none is dropped without a word.
 * Names: the specification's devcontainer.json reference (containers.dev).
 */
#include "providers/devcontainer/devcontainer.h"

#include "base/attr.h"
#include "base/spell.h"

#include <string.h>

static const char *const done[] = {
	"$schema",
	"name",
	"image",
	"build",
	"dockerFile",
	"context",
	"dockerComposeFile",
	"service",
	"runServices",
	"features",
	"overrideFeatureInstallOrder",
	"containerEnv",
	"remoteEnv",
	"containerUser",
	"remoteUser",
	"updateRemoteUserUID",
	"userEnvProbe",
	"workspaceFolder",
	"workspaceMount",
	"mounts",
	"runArgs",
	"init",
	"privileged",
	"capAdd",
	"securityOpt",
	"overrideCommand",
	"forwardPorts",
	"portsAttributes",
	"otherPortsAttributes",
	"customizations",
	"settings",
	"extensions",
	"initializeCommand",
	"onCreateCommand",
	"updateContentCommand",
	"postCreateCommand",
	"postStartCommand",
	"postAttachCommand",
	/* An agent waits for all commands, and a stop is a person's or the Server's. */
	"waitFor",
	"shutdownAction",
	"hostRequirements",
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
	{ "secrets", "give them as variables of the workspace" },
	{ "entrypoint", "only features have one" },
};

static const char *const host_done[] = { "gpu" };
static const char *const build_done[] = { "dockerfile", "context",   "args",
	                                  "target",     "cacheFrom", "options" };

static void say(const struct policy *p, const char *where, const char *key, const char *text)
{
	struct buf b = { 0 };

	buf_addf(&b, "dev container: \"%s", where);
	buf_add_printable(&b, str_of(key), false);
	buf_addf(&b, "\" %s", text);
	if (p->say)
		p->say(p->arg, buf_cstr(&b));
	buf_free(&b);
}

/* known: n words. */
static void look(const struct policy *p, const char *where, const char *key,
                 const char *const *known, size_t n)
{
	struct spell s = { .word = str_of(key) };
	struct buf text = { 0 };
	char hint[96];

	for (size_t i = 0; i < n; i++) {
		if (strcmp(key, known[i]) == 0)
			return;
		(void)spell_try(&s, known[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(without_effect); i++) {
		const char *row = without_effect[i].key;

		if (str_starts(str_of(row), where) && strcmp(key, row + strlen(where)) == 0) {
			buf_addf(&text, "has no effect here: %s", without_effect[i].instead);
			say(p, where, key, buf_cstr(&text));
			buf_free(&text);
			return;
		}
	}
	buf_addf(&text, "is no setting that is known%s", spell_hint(&s, "", hint));
	say(p, where, key, buf_cstr(&text));
	buf_free(&text);
}

static void look_below(const struct policy *p, struct json v, const char *where,
                       const char *const *known, size_t n)
{
	struct buf key = { 0 };

	for (struct json member = json_first(v); json_is_object(v) && json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		look(p, where, buf_cstr(&key), known, n);
	}
	buf_free(&key);
}

void dc_name_unknown(const struct devcontainer *dc, const struct policy *p)
{
	look_below(p, dc->root, "", done, ARRAY_LEN(done));
	look_below(p, json_get(dc->root, "build"), "build.", build_done, ARRAY_LEN(build_done));
	look_below(p, json_get(dc->root, "hostRequirements"), HOST, host_done,
	           ARRAY_LEN(host_done));
}
