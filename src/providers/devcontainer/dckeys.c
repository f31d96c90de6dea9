/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a dev container file that have no effect here, or that nobody knows: none is dropped without a word.
 * Names: the specification's devcontainer.json reference (containers.dev).
 */
#include "providers/devcontainer/devcontainer.h"

#include "base/attr.h"
#include "base/spell.h"

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
};

static const struct {
	const char *key, *instead;
} without_effect[] = {
	{ "appPort", "name the ports in forwardPorts" },
	{ "devPort", "name the ports in forwardPorts" },
	{ "hostRequirements",
	  "the target's options CPUs, Memory, Pids and Disk are limits, GPUs gives devices" },
	{ "secrets", "give them as variables of the workspace" },
	{ "entrypoint", "only features have one" },
};

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
	for (size_t i = 0; !*where && i < ARRAY_LEN(without_effect); i++) {
		if (strcmp(key, without_effect[i].key) == 0) {
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

void dc_name_unknown(const struct devcontainer *dc, const struct policy *p)
{
	struct json build = json_get(dc->root, "build");
	struct buf key = { 0 };

	for (struct json member = json_first(dc->root); json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		look(p, "", buf_cstr(&key), done, ARRAY_LEN(done));
	}
	for (struct json member = json_first(build); json_is_object(build) && json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		look(p, "build.", buf_cstr(&key), build_done, ARRAY_LEN(build_done));
	}
	buf_free(&key);
}
