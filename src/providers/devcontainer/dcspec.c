/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a dev container configuration to a spec: user, environment, mounts and runArgs, as they are asked for; what
 * of it is done the provider decides. What we do not know is named in the log.
 */
#include "providers/devcontainer/devcontainer.h"

#include "base/mem.h"
#include "base/quantity.h"
#include "providers/labels.h"

#include <stdlib.h>
#include <string.h>

static void set_text(char **at, struct str value)
{
	free(*at);
	*at = mem_dupn(value.p, value.n);
}

/* "type=bind,source=/a,target=/b,readonly" or an object with these members. */
static void parse_mount(const struct devcontainer *dc, struct json v, struct mount_spec *mount)
{
	char *text = dc_text(dc, v);
	struct str rest = str_of(text), piece, key;

	while (text && str_next(&rest, ',', &piece)) {
		(void)str_next(&piece, '=', &key);
		if (str_eq(key, "type"))
			set_text(&mount->type, piece);
		else if (str_eq(key, "source") || str_eq(key, "src"))
			set_text(&mount->source, piece);
		else if (str_eq(key, "target") || str_eq(key, "dst") || str_eq(key, "destination"))
			set_text(&mount->target, piece);
		else if (str_eq(key, "readonly") || str_eq(key, "ro"))
			mount->read_only = !str_eq(piece, "false");
	}
	free(text);
	if (json_is_object(v)) {
		mount->type = dc_text(dc, json_get(v, "type"));
		mount->source = dc_text(dc, json_get(v, "source"));
		mount->target = dc_text(dc, json_get(v, "target"));
		mount->read_only = json_bool(json_get(v, "readonly"), false);
	}
	if (!mount->type)
		mount->type = mem_dup("volume");
}

static void add_mount(const struct devcontainer *dc, const struct asker *asker, struct json v,
                      struct spec *s)
{
	struct mount_spec mount = { 0 };

	parse_mount(dc, v, &mount);
	if (mount.target)
		spec_ask_mount(s, &mount);
	else
		asker_refuse(asker, "mount of", mount.source ? mount.source : "nothing");
	mount_spec_free(&mount);
}

/* The checkout at the workspace folder, or where workspaceMount puts it (or a part of it). */
static void add_workspace_mount(const struct devcontainer *dc, const struct asker *asker,
                                struct spec *s)
{
	struct json v = json_get(dc->root, "workspaceMount");
	struct mount_spec mount = { 0 };
	struct asker_seen seen;

	if (json_is_string(v))
		parse_mount(dc, v, &mount);
	if (mount.source && mount.target && *mount.target == '/' &&
	    asker_may_bind(asker, mount.source, &seen)) {
		spec_mount(s, "bind", mount.source, mount.target, false);
	} else {
		if (mount.source)
			asker_refuse(asker, "workspaceMount of", mount.source);
		spec_mount(s, "bind", dc->host_dir, dc->folder, false);
	}
	mount_spec_free(&mount);
}

static void add_cap(const char *cap, struct spec *s)
{
	strlist_add(&s->cap_add, cap);
}

static void add_security_opt(const char *opt, struct spec *s)
{
	strlist_add(&s->security_opt, opt);
}

static void add_pair(struct kv *to, const char *text)
{
	const char *eq = strchr(text, '=');
	char *key = mem_dupn(text, eq ? (size_t)(eq - text) : strlen(text));

	if (eq || to->n == 0 || !kv_get(to, key))
		kv_set(to, key, eq ? eq + 1 : "");
	free(key);
}

/* "NAME" alone is this host's variable, if it may be read. */
static bool add_env(const struct devcontainer *dc, const char *text, struct spec *s)
{
	struct buf value = { 0 };
	bool ok = strchr(text, '=') || dc_local_env(dc, text, &value);

	if (ok && value.n)
		kv_set(&s->env, text, buf_cstr(&value));
	else if (ok)
		add_pair(&s->env, text);
	buf_wipe(&value);
	return ok;
}

static bool add_gpus(const char *value, struct spec *s)
{
	if (!spec_gpus_ok(str_of(value)))
		return false;
	set_text(&s->gpus_asked, str_of(value));
	s->gpus_optional = false;
	return true;
}

/* Which GPU it is to be ("cores", "memory") no engine can be told. */
static void add_required_gpu(struct json gpu, struct spec *s)
{
	struct buf word = { 0 };
	bool optional = json_string(gpu, &word) && str_eq(buf_str(&word), "optional");

	if (optional && !s->gpus_asked)
		s->gpus_optional = add_gpus("all", s);
	else if (!s->gpus_asked && (json_is_object(gpu) || json_bool(gpu, false)))
		add_gpus("all", s);
	else if (json_is_object(gpu) || json_bool(gpu, false))
		s->gpus_optional = false;
	buf_free(&word);
}

/* One option of "docker run" with its value; false if it is not taken. */
static bool run_arg(const struct devcontainer *dc, const char *name, const char *value,
                    struct spec *s)
{
	if (strcmp(name, "--cap-add") == 0)
		add_cap(value, s);
	else if (strcmp(name, "--cap-drop") == 0)
		strlist_add(&s->cap_drop, value);
	else if (strcmp(name, "--security-opt") == 0)
		add_security_opt(value, s);
	else if (strcmp(name, "--add-host") == 0)
		strlist_add(&s->extra_hosts, value);
	else if (strcmp(name, "--dns") == 0)
		strlist_add(&s->dns, value);
	else if (strcmp(name, "--tmpfs") == 0)
		strlist_add(&s->tmpfs, value);
	else if (strcmp(name, "--env") == 0 || strcmp(name, "-e") == 0)
		return add_env(dc, value, s);
	else if (strcmp(name, "--label") == 0 || strcmp(name, "-l") == 0)
		add_pair(&s->labels, value);
	else if (strcmp(name, "--hostname") == 0 || strcmp(name, "-h") == 0)
		set_text(&s->hostname, str_of(value));
	else if (strcmp(name, "--user") == 0 || strcmp(name, "-u") == 0)
		set_text(&s->user, str_of(value));
	else if (strcmp(name, "--workdir") == 0 || strcmp(name, "-w") == 0)
		set_text(&s->workdir, str_of(value));
	else if (strcmp(name, "--memory") == 0 || strcmp(name, "-m") == 0)
		return s->memory_bytes || quantity_bytes(str_of(value), &s->memory_bytes);
	else if (strcmp(name, "--cpus") == 0)
		return s->nano_cpus || quantity_cpus(str_of(value), &s->nano_cpus);
	else if (strcmp(name, "--pids-limit") == 0)
		return s->pids || str_to_i64(str_of(value), 1, INT32_MAX, &s->pids);
	else if (strcmp(name, "--gpus") == 0)
		return add_gpus(value, s);
	else if (strcmp(name, "--shm-size") == 0)
		return quantity_bytes(str_of(value), &s->shm_bytes);
	else if (strcmp(name, "--network") == 0 || strcmp(name, "--net") == 0)
		set_text(&s->network, str_of(value));
	else
		return false;
	return true;
}

static bool run_flag(const char *name, struct spec *s)
{
	if (strcmp(name, "--init") == 0)
		s->init = true;
	else if (strcmp(name, "--privileged") == 0)
		s->privileged = true;
	else
		return strcmp(name, "--rm") == 0 || strcmp(name, "-it") == 0 ||
		       strcmp(name, "-d") == 0 || strcmp(name, "--detach") == 0;
	return true;
}

static bool is_run_flag(const char *name)
{
	static const char *const flags[] = { "--init", "--read-only", "--privileged", "--rm",
		                             "-it",    "-d",          "--detach",     "-i",
		                             "-t",     "-P",          "--publish-all" };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (strcmp(name, flags[i]) == 0)
			return true;
	return false;
}

static void add_run_args(const struct devcontainer *dc, const struct asker *asker, struct spec *s)
{
	struct json args = json_get(dc->root, "runArgs");

	for (struct json member = json_first(args); json_is_array(args) && json_present(member);
	     member = json_next(member)) {
		char *name = dc_text(dc, member);
		char *eq = name ? strchr(name, '=') : NULL;
		char *value = NULL;

		if (!name)
			continue;
		if (is_run_flag(name)) {
			if (!run_flag(name, s))
				asker_refuse(asker, "runArgs", name);
			free(name);
			continue;
		}
		if (eq && name[0] == '-' && name[1] == '-') {
			*eq = '\0';
			value = mem_dup(eq + 1);
		} else if (json_present(json_next(member))) {
			value = dc_text(dc, json_next(member));
			if (value &&
			    *value ==
			            '-') { /* the next option: what we do not know may have no value */
				free(value);
				value = NULL;
			} else {
				member = json_next(member);
			}
		}
		if (!value || !run_arg(dc, name, value, s)) {
			struct buf what = { 0 };

			buf_addf(&what, "%s%s%s", name, value ? " " : "", value ? value : "");
			asker_refuse(asker, "runArgs", buf_cstr(&what));
			buf_free(&what);
		}
		free(value);
		free(name);
	}
}

static void add_ports(const struct devcontainer *dc, struct spec *s)
{
	struct json ports = json_get(dc->root, "forwardPorts");

	if (json_len(ports) > 0 && json_is_array(ports)) {
		struct buf b = { 0 };

		for (struct json member = json_first(ports); json_present(member);
		     member = json_next(member)) {
			if (b.n)
				buf_addc(&b, ',');
			if (!json_string(member, &b))
				buf_add_str(&b, json_raw(member));
		}
		kv_set(&s->labels, LABEL_PORTS, buf_cstr(&b));
		buf_free(&b);
	}
}

static void add_strings(const struct devcontainer *dc, struct json list,
                        void (*add)(const char *, struct spec *), struct spec *s)
{
	for (struct json member = json_first(list); json_is_array(list) && json_present(member);
	     member = json_next(member)) {
		char *text = dc_text(dc, member);

		if (text)
			add(text, s);
		free(text);
	}
}

void dc_fill_spec(const struct devcontainer *dc, const struct asker *asker, struct spec *s)
{
	char *user = dc_last(dc, "containerUser");

	if (user)
		set_text(&s->user, str_of(user));
	free(user);
	dc_env(dc, "containerEnv", &s->env);
	add_workspace_mount(dc, asker, s);
	for (size_t i = 0; i < dc->n_layers; i++) {
		struct json layer = dc->layers[i], mounts = json_get(layer, "mounts");

		for (struct json member = json_first(mounts);
		     json_is_array(mounts) && json_present(member); member = json_next(member))
			add_mount(dc, asker, member, s);
		add_strings(dc, json_get(layer, "capAdd"), add_cap, s);
		add_strings(dc, json_get(layer, "securityOpt"), add_security_opt, s);
		s->init |= json_bool(json_get(layer, "init"), false);
		s->privileged |= json_bool(json_get(layer, "privileged"), false);
	}
	add_run_args(dc, asker, s);
	for (size_t i = 0; i < dc->n_layers; i++)
		add_required_gpu(json_get(json_get(dc->layers[i], "hostRequirements"), "gpu"), s);
	add_ports(dc, s);
	if (!json_bool(json_get(dc->root, "overrideCommand"), true))
		s->entry = ENTRY_IMAGE;
}
