/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a dev container configuration to a container: user, environment, mounts, and of runArgs what a
 * repository may ask for without getting at the host. Whatever is not taken is named in the log.
 */
#include "providers/docker/devcontainer/devcontainer.h"

#include "base/beneath.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void refuse(const struct dc_policy *p, const char *key, const char *value)
{
	struct buf b = { 0 };

	buf_addf(&b, "dev container: %s%s%s is not taken over", key, *value ? " " : "", value);
	p->say(p->arg, buf_cstr(&b));
	buf_free(&b);
}

/* What path is below dir, "" for dir itself; NULL when it lies elsewhere. */
static const char *below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/') || strstr(path, "/.."))
		return NULL;
	for (path += n; *path == '/'; path++)
		;
	return path;
}

/*
 * Whether source, as the engine is handed it, is in the checkout and stays there: no link on the way, whoever made it,
 * and a directory or a file. The one place that decides it, for workspaces and builds, for the file and an image's
 * label. What is missing is left to the engine, which mounts nothing that is not there; what another host has below
 * its copy cannot be looked at, so that only the whole is mounted there.
 */
static bool is_of_checkout(const struct devcontainer *dc, const char *source)
{
	const char *rest = below(source, dc->host_dir);
	struct err e = { 0 };
	struct stat st;
	int root, fd;
	bool ok;

	if (!rest || strcmp(dc->host_dir, dc->checkout) != 0)
		return rest && !*rest;
	root = beneath_root(dc->checkout, &e);
	fd = root < 0 ? -1 : beneath_look(root, rest, &st, &e);
	ok = fd < 0 ? e.kind == ERR_NOT_FOUND : S_ISDIR(st.st_mode) || S_ISREG(st.st_mode);
	fd_close(&fd);
	fd_close(&root);
	return ok;
}

struct mount_text {
	char *type, *source, *target;
	bool read_only;
};

static void mount_text_free(struct mount_text *m)
{
	free(m->type);
	free(m->source);
	free(m->target);
}

static void set_text(char **at, struct str value)
{
	free(*at);
	*at = mem_dupn(value.p, value.n);
}

/* "type=bind,source=/a,target=/b,readonly" or an object with these members. */
static void parse_mount(const struct devcontainer *dc, struct json v, struct mount_text *m)
{
	char *text = dc_text(dc, v);
	struct str rest = str_of(text), piece, key;

	while (text && str_next(&rest, ',', &piece)) {
		(void)str_next(&piece, '=', &key);
		if (str_eq(key, "type"))
			set_text(&m->type, piece);
		else if (str_eq(key, "source") || str_eq(key, "src"))
			set_text(&m->source, piece);
		else if (str_eq(key, "target") || str_eq(key, "dst") || str_eq(key, "destination"))
			set_text(&m->target, piece);
		else if (str_eq(key, "readonly") || str_eq(key, "ro"))
			m->read_only = !str_eq(piece, "false");
	}
	free(text);
	if (json_is_object(v)) {
		m->type = dc_text(dc, json_get(v, "type"));
		m->source = dc_text(dc, json_get(v, "source"));
		m->target = dc_text(dc, json_get(v, "target"));
	}
	if (!m->type)
		m->type = mem_dup("volume");
}

static void add_mount(const struct devcontainer *dc, const struct dc_policy *p, struct json v,
                      struct spec *s)
{
	struct mount_text m = { 0 };
	bool bind, ok;

	parse_mount(dc, v, &m);
	bind = strcmp(m.type, "bind") == 0;
	ok = m.target && *m.target == '/' &&
	     (bind || strcmp(m.type, "volume") == 0 || strcmp(m.type, "tmpfs") == 0);
	if (ok && bind)
		ok = m.source && (p->privileged || p->host_mounts || is_of_checkout(dc, m.source));
	if (ok)
		spec_mount(s, m.type, m.source, m.target, m.read_only);
	else
		refuse(p, "mount of", m.source ? m.source : m.target ? m.target : "nothing");
	mount_text_free(&m);
}

/* The checkout at the workspace folder, or where workspaceMount puts it (or a part of it). */
static void add_workspace_mount(const struct devcontainer *dc, const struct dc_policy *p,
                                struct spec *s)
{
	struct json v = json_get(dc->root, "workspaceMount");
	struct mount_text m = { 0 };

	if (json_is_string(v))
		parse_mount(dc, v, &m);
	if (m.source && m.target && *m.target == '/' && is_of_checkout(dc, m.source)) {
		spec_mount(s, "bind", m.source, m.target, false);
	} else {
		if (m.source)
			refuse(p, "workspaceMount of", m.source);
		spec_mount(s, "bind", dc->host_dir, dc->folder, false);
	}
	mount_text_free(&m);
}

/* Capabilities that give no way to the host. */
static bool is_safe_cap(const char *cap)
{
	static const char *const safe[] = { "SYS_PTRACE", "NET_BIND_SERVICE", "SYS_NICE", "KILL",
		                            "SETUID",     "SETGID",           "CHOWN" };

	if (strncasecmp(cap, "CAP_", 4) == 0)
		cap += 4;
	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		if (strcasecmp(cap, safe[i]) == 0)
			return true;
	return false;
}

static void add_cap(const struct dc_policy *p, const char *cap, struct spec *s)
{
	if (p->privileged || is_safe_cap(cap))
		strlist_add(&s->cap_add, cap);
	else
		refuse(p, "capability", cap);
}

static void add_security_opt(const struct dc_policy *p, const char *opt, struct spec *s)
{
	if (p->privileged || strncmp(opt, "no-new-privileges", 17) == 0)
		strlist_add(&s->security_opt, opt);
	else
		refuse(p, "security option", opt);
}

static void add_pair(struct kv *to, const char *text)
{
	const char *eq = strchr(text, '=');
	char *key = mem_dupn(text, eq ? (size_t)(eq - text) : strlen(text));

	if (eq || to->n == 0 || !kv_get(to, key))
		kv_set(to, key, eq ? eq + 1 : "");
	free(key);
}

/* One option of "docker run" with its value; false if it is not taken. */
static bool run_arg(const struct dc_policy *p, const char *name, const char *value, struct spec *s)
{
	if (strcmp(name, "--cap-add") == 0)
		add_cap(p, value, s);
	else if (strcmp(name, "--cap-drop") == 0)
		strlist_add(&s->cap_drop, value);
	else if (strcmp(name, "--security-opt") == 0)
		add_security_opt(p, value, s);
	else if (strcmp(name, "--add-host") == 0)
		strlist_add(&s->extra_hosts, value);
	else if (strcmp(name, "--dns") == 0)
		strlist_add(&s->dns, value);
	else if (strcmp(name, "--tmpfs") == 0)
		strlist_add(&s->tmpfs, value);
	else if (strcmp(name, "--env") == 0 || strcmp(name, "-e") == 0)
		add_pair(&s->env, value);
	else if ((strcmp(name, "--label") == 0 || strcmp(name, "-l") == 0) &&
	         strncmp(value, "com.docker.", 11) != 0 && strncmp(value, "daytona.", 8) != 0)
		add_pair(&s->labels, value); /* others decide what belongs to whom */
	else if (strcmp(name, "--hostname") == 0 || strcmp(name, "-h") == 0)
		set_text(&s->hostname, str_of(value));
	else if (strcmp(name, "--user") == 0 || strcmp(name, "-u") == 0)
		set_text(&s->user, str_of(value));
	else if (strcmp(name, "--workdir") == 0 || strcmp(name, "-w") == 0)
		set_text(&s->workdir, str_of(value));
	else if (strcmp(name, "--memory") == 0 || strcmp(name, "-m") == 0)
		return s->memory_bytes || docker_parse_size(str_of(value), &s->memory_bytes);
	else if (strcmp(name, "--cpus") == 0)
		return s->nano_cpus || docker_parse_cpus(str_of(value), &s->nano_cpus);
	else if (strcmp(name, "--shm-size") == 0)
		return docker_parse_size(str_of(value), &s->shm_bytes);
	else if ((strcmp(name, "--network") == 0 || strcmp(name, "--net") == 0) &&
	         (p->privileged ||
	          (strcmp(value, "host") != 0 && strncmp(value, "container:", 10) != 0)))
		set_text(&s->network, str_of(value));
	else
		return false;
	return true;
}

static bool run_flag(const struct dc_policy *p, const char *name, struct spec *s)
{
	if (strcmp(name, "--init") == 0)
		s->init = true;
	else if (strcmp(name, "--privileged") == 0 && p->privileged)
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

static void add_run_args(const struct devcontainer *dc, const struct dc_policy *p, struct spec *s)
{
	struct json args = json_get(dc->root, "runArgs");

	for (struct json m = json_first(args); json_is_array(args) && json_present(m);
	     m = json_next(m)) {
		char *name = dc_text(dc, m);
		char *eq = name ? strchr(name, '=') : NULL;
		char *value = NULL;

		if (!name)
			continue;
		if (is_run_flag(name)) {
			if (!run_flag(p, name, s))
				refuse(p, "runArgs", name);
			free(name);
			continue;
		}
		if (eq && name[0] == '-' && name[1] == '-') {
			*eq = '\0';
			value = mem_dup(eq + 1);
		} else if (json_present(json_next(m))) {
			m = json_next(m);
			value = dc_text(dc, m);
		}
		if (!value || !run_arg(p, name, value, s))
			refuse(p, "runArgs", name);
		free(value);
		free(name);
	}
}

static void add_ports(const struct devcontainer *dc, struct spec *s)
{
	struct json ports = json_get(dc->root, "forwardPorts");

	if (json_len(ports) > 0 && json_is_array(ports)) {
		struct buf b = { 0 };

		for (struct json m = json_first(ports); json_present(m); m = json_next(m)) {
			if (b.n)
				buf_addc(&b, ',');
			if (!json_string(m, &b))
				buf_add_str(&b, json_raw(m));
		}
		kv_set(&s->labels, "daytona.devcontainer.forwardPorts", buf_cstr(&b));
		buf_free(&b);
	}
}

static void add_strings(const struct devcontainer *dc, const struct dc_policy *p, struct json list,
                        void (*add)(const struct dc_policy *, const char *, struct spec *),
                        struct spec *s)
{
	for (struct json m = json_first(list); json_is_array(list) && json_present(m);
	     m = json_next(m)) {
		char *text = dc_text(dc, m);

		if (text)
			add(p, text, s);
		free(text);
	}
}

void dc_fill_spec(const struct devcontainer *dc, const struct dc_policy *p, struct spec *s)
{
	char *user = dc_last(dc, "containerUser");

	if (user)
		set_text(&s->user, str_of(user));
	free(user);
	dc_env(dc, "containerEnv", &s->env);
	add_workspace_mount(dc, p, s);
	for (size_t i = 0; i < dc->n_layers; i++) {
		struct json layer = dc->layers[i], mounts = json_get(layer, "mounts");

		for (struct json m = json_first(mounts); json_is_array(mounts) && json_present(m);
		     m = json_next(m))
			add_mount(dc, p, m, s);
		add_strings(dc, p, json_get(layer, "capAdd"), add_cap, s);
		add_strings(dc, p, json_get(layer, "securityOpt"), add_security_opt, s);
		s->init |= json_bool(json_get(layer, "init"), false);
		if (json_bool(json_get(layer, "privileged"), false)) {
			if (p->privileged)
				s->privileged = true;
			else
				refuse(p, "privileged", "");
		}
	}
	add_run_args(dc, p, s);
	add_ports(dc, s);
	if (!json_bool(json_get(dc->root, "overrideCommand"), true))
		s->entry = ENTRY_IMAGE;
}
