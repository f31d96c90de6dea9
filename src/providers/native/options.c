/* SPDX-License-Identifier: Apache-2.0 */
/* Options and their manifest; see options.h. */
#include "providers/native/options.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "base/spell.h"

#define OPTIONS_MAX (256 << 10)
#define GRACE_S_DEFAULT 10
#define GRACE_S_MAX 3600
#define CPU_MILLI_MIN 10
#define PIDS_MAX 4194304

struct source {
	struct json config;
	const struct kv *section;
};

/* The value as text: the target config's if it has one that is not empty, else the section's, else
 * "". Caller frees. */
static char *text(const struct source *s, const char *key, const char *section_key)
{
	struct json v = json_get(s->config, key);
	struct str raw = json_raw(v);
	const char *value;
	char *p;

	if (json_is_string(v)) {
		p = json_dup_or_empty(v);
		if (*p)
			return p;
		free(p);
	} else if (json_present(v) && !json_is_null(v)) {
		return mem_dupn(raw.p, raw.n);
	}
	value = s->section ? kv_get(s->section, section_key) : NULL;
	return mem_dup(value ? value : "");
}

static int wrong(struct err *e, const char *key, const char *value, const char *valid)
{
	return err_set(e, ERR_CONFIG, 0, "native-provider: option \"%s\" is \"%s\"; %s", key, value,
	               valid);
}

static int take_agent(struct native_options *o, const char *v, struct err *e)
{
	if (strcmp(v, "daytona") == 0)
		return wrong(
			e, "Agent", v,
			"Daytona's agent needs a container of its own; use auto, builtin or none");
	o->agent = strcmp(v, "none") != 0;
	if (*v && o->agent && strcmp(v, "auto") != 0 && strcmp(v, "builtin") != 0)
		return wrong(e, "Agent", v, "use auto, builtin or none");
	return 0;
}

static int take_isolation(struct native_options *o, const char *v, struct err *e)
{
	o->strict = strcmp(v, "strict") == 0;
	o->best_effort = strcmp(v, "none") != 0;
	if (*v && o->best_effort && !o->strict && strcmp(v, "best-effort") != 0)
		return wrong(e, "Isolation", v, "use strict, best-effort or none");
	return 0;
}

static bool is_below(const char *path, struct str dir)
{
	while (dir.n > 1 && dir.p[dir.n - 1] == '/')
		dir.n--;
	return dir.n > 0 && dir.p[0] == '/' && strncmp(path, dir.p, dir.n) == 0 &&
	       (path[dir.n] == '/' || !path[dir.n]);
}

bool native_root_allowed(const struct native_options *o, const char *path)
{
	struct str rest = str_of(o->roots), dir;

	while (str_next(&rest, ':', &dir))
		if (is_below(path, str_trim(dir)))
			return true;
	return false;
}

/* What is read of this host is the operator's to decide. */
static int take_root(struct native_options *o, struct err *e)
{
	if (!o->root[0] || strcmp(o->root, "/") == 0)
		return 0;
	if (o->root[0] != '/' || strstr(o->root, "/.."))
		return wrong(e, "Root", o->root, "use an absolute path without \"..\", or /");
	if (native_root_allowed(o, o->root))
		return 0;
	return wrong(e, "Root", o->root,
	             "the operator of this runner has to allow it: roots = DIRECTORY under "
	             "[provider \"native-provider\"]");
}

static int take_box(struct native_options *o, const char *net, struct err *e)
{
	static const char *const nets[] = { "", "private", "host", "none" };
	size_t i = 0;

	while (i < ARRAY_LEN(nets) && strcmp(net, nets[i]) != 0)
		i++;
	if (i == ARRAY_LEN(nets) && strcmp(net, "auto") != 0)
		return wrong(e, "Network", net, "use auto, private, host or none");
	o->net = i == ARRAY_LEN(nets) ? NATIVE_NET_AUTO : (enum native_net)i;
	o->of_workspace = strcmp(o->image, NATIVE_WORKSPACE_IMAGE) == 0;
	if (o->of_workspace)
		o->image[0] = '\0'; /* until the workspace is known */
	if (o->image[0] && o->root[0])
		return wrong(e, "Root", o->root, "there is an Image as well; use one of them");
	if (!o->best_effort && (o->image[0] || o->root[0]))
		return wrong(e, "Isolation", "none", "Image and Root need best-effort or strict");
	return take_root(o, e);
}

static int take_grace(struct native_options *o, const char *v, struct err *e)
{
	int64_t s = GRACE_S_DEFAULT;

	if (*v && !str_to_i64(str_of(v), 0, GRACE_S_MAX, &s))
		return wrong(e, "Grace Seconds", v, "use a whole number from 0 to 3600");
	o->grace_ms = s * 1000;
	return 0;
}

static bool cpus(struct str s, int64_t *milli)
{
	int64_t nano;

	if (!quantity_cpus(s, &nano) || nano < CPU_MILLI_MIN * 1000000)
		return false;
	*milli = nano / 1000000;
	return true;
}

static bool pids(struct str s, int64_t *out)
{
	return str_to_i64(s, 1, PIDS_MAX, out);
}

static int take_limits(struct native_options *o, const struct source *s, struct err *e)
{
	const struct {
		const char *key, *section_key, *valid;
		bool (*parse)(struct str, int64_t *);
		int64_t *to;
	} rows[] = {
		{ "CPUs", "cpus", "use a number such as 2 or 0.5", cpus, &o->limits.cpu_milli },
		{ "Memory", "memory", "use a size such as 512m or 2g", quantity_bytes,
		  &o->limits.memory_bytes },
		{ "Pids", "pids", "use a number such as 512", pids, &o->limits.pids },
		{ "Disk", "disk", "use a size such as 20g", quantity_bytes, &o->disk_bytes },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *v = text(s, rows[i].key, rows[i].section_key);
		int rc = 0;

		if (*v && !rows[i].parse(str_trim(str_of(v)), rows[i].to))
			rc = wrong(e, rows[i].key, v, rows[i].valid);
		free(v);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int take_allow_file(struct native_options *o, const struct kv *section, struct err *e)
{
	const char *v = section ? kv_get(section, "allow_file") : NULL;

	o->allow_file = true;
	if (v && *v && !str_to_bool(str_of(v), &o->allow_file))
		return wrong(e, "allow_file", v, "use yes or no");
	return 0;
}

/* A word that is written wrongly must not leave, say, the isolation as it is. */
static int check_section(const struct kv *section, struct err *e)
{
	static const char *const known[] = {
		"agent",         "isolation",  "image",       "root",   "network",
		"grace_seconds", "command",    "cpus",        "memory", "pids",
		"disk",          "allow_file", "git_ca_file", "roots",  "plain_http",
	};

	for (size_t i = 0; section && i < section->n; i++) {
		const char *key = section->pairs[i].key;
		struct spell s = { .word = str_of(key) };
		bool is = false;
		char hint[96];

		for (size_t k = 0; k < ARRAY_LEN(known) && !is; k++) {
			is = strcmp(key, known[k]) == 0;
			(void)spell_try(&s, known[k]);
		}
		if (!is)
			return err_set(e, ERR_CONFIG, 0,
			               "[provider \"native-provider\"]: unknown key \"%.100s\"%s",
			               key, spell_hint(&s, "", hint));
	}
	return 0;
}

int native_options_parse(struct native_options *o, const char *config, const struct kv *section,
                         struct err *e)
{
	struct json_doc *doc = NULL;
	struct source s = { .section = section };
	char *agent, *isolation, *grace, *net;
	int rc = -1;

	*o = (struct native_options){ 0 };
	if (check_section(section, e) < 0)
		return -1;
	if (config && str_trim(str_of(config)).n > 0) {
		doc = json_parse(str_of(config), OPTIONS_MAX, e);
		if (!doc)
			return err_wrap(e, "native-provider: options of the target config");
		s.config = json_root(doc);
	}
	agent = text(&s, "Agent", "agent");
	isolation = text(&s, "Isolation", "isolation");
	grace = text(&s, "Grace Seconds", "grace_seconds");
	net = text(&s, "Network", "network");
	o->command = text(&s, "Command", "command");
	o->image = text(&s, "Image", "image");
	o->root = text(&s, "Root", "root");
	o->roots = section ? kv_get(section, "roots") : NULL;
	o->plain_http = section ? kv_get(section, "plain_http") : NULL;
	o->git_ca_file = section ? kv_get(section, "git_ca_file") : NULL;
	if (take_agent(o, agent, e) == 0 && take_isolation(o, isolation, e) == 0 &&
	    take_box(o, net, e) == 0 && take_limits(o, &s, e) == 0 && take_grace(o, grace, e) == 0)
		rc = take_allow_file(o, section, e);
	free(agent);
	free(isolation);
	free(grace);
	free(net);
	json_doc_free(doc);
	if (rc < 0)
		native_options_free(o);
	return rc;
}

bool native_options_boxed(const struct native_options *o)
{
	return o->strict || (o->image && o->image[0]) || (o->root && o->root[0]);
}

void native_options_free(struct native_options *o)
{
	free(o->command);
	free(o->image);
	free(o->root);
	*o = (struct native_options){ 0 };
}

struct property {
	const char *name, *type, *fallback, *description,
		*options; /* options: comma separated or NULL */
};

static const struct property properties[] = {
	{ "Agent", "option", "auto", "What reports the workspace's state", "auto,builtin,none" },
	{ "Isolation", "option", "best-effort", "Isolation from the host",
	  "strict,best-effort,none" },
	{ "Image", "string", "", "Container image, without an engine", NULL },
	{ "Root", "string", "", "Directory or tar archive in place of an image; / is the host's",
	  NULL },
	{ "Network", "option", "auto", "With Image, Root or strict isolation",
	  "auto,private,host,none" },
	{ "CPUs", "string", "", "Limit, such as 1.5", NULL },
	{ "Memory", "string", "", "Limit, such as 2g", NULL },
	{ "Pids", "string", "", "Limit of processes", NULL },
	{ "Disk", "string", "", "Limit, such as 20g", NULL },
	{ "Grace Seconds", "int", "10", "Between SIGTERM and SIGKILL", NULL },
	{ "Command", "string", "", "Shell command in the checkout, beside the agent", NULL },
};

void native_manifest(struct buf *b)
{
	jw_obj(b);
	for (size_t i = 0; i < ARRAY_LEN(properties); i++) {
		const struct property *p = &properties[i];
		struct str rest = str_of(p->options), option;

		jw_key(b, p->name);
		jw_obj(b);
		jw_kstr(b, "type", p->type);
		provider_manifest_text(b, "defaultValue", p->fallback);
		provider_manifest_text(b, "description", p->description);
		if (p->options) {
			jw_key(b, "options");
			jw_arr(b);
			while (str_next(&rest, ',', &option))
				jw_str(b, option);
			jw_arr_end(b);
		}
		jw_obj_end(b);
	}
	jw_obj_end(b);
}
