/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options drives parsing, checks and the manifest; see options.h. */
#include "providers/docker/engine/options.h"

#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "providers/provider.h"
#include "providers/spec.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_TEXT_MAX 65536
#define PIDS_MAX 4194304 /* of a 64-bit kernel */

enum option_type {
	O_STR,
	O_SECRET,
	O_BOOL,
	O_PORT,
	O_CPUS,
	O_SIZE,
	O_COUNT,
	O_MS,
	O_AGENT,
	O_PULL,
	O_CAPS,
	O_VOLUMES,
	O_GPUS,
	O_RUNTIME
};

struct option {
	const char *name; /* as in the manifest; lower case: configuration only */
	enum option_type type;
	bool remote; /* hidden for local targets */
	size_t at;
	const char *kind;     /* type in the manifest */
	const char *fallback; /* default in the form */
	const char *help;
};

#define AT(member) offsetof(struct docker_options, member)

/* clang-format off */
static const struct option options[] = {
	{ "Remote Hostname", O_STR, true, AT(remote_host), "string", "", "Reached by ssh" },
	{ "Remote Port", O_PORT, true, AT(remote_port), "int", "22", "" },
	{ "Remote User", O_STR, true, AT(remote_user), "string", "", "" },
	{ "Remote Password", O_SECRET, true, AT(remote_password), "string", "", "" },
	{ "Remote Host Key", O_STR, true, AT(remote_host_key), "string", "", "Needed with a password" },
	{ "Remote Private Key Path", O_STR, true, AT(remote_key), "file-path", "~/.ssh", "On the runner's host" },
	{ "Sock Path", O_STR, false, AT(sock), "string", DOCKER_DEFAULT_SOCK, "" },
	{ "Target Data Dir", O_STR, true, AT(data_dir), "string", "/tmp/daytona-data", "" },
	{ "Privileged", O_BOOL, false, AT(privileged), "boolean", "false", "" },
	{ "Network", O_STR, false, AT(network), "string", "", "" },
	{ "CPUs", O_CPUS, false, AT(nano_cpus), "string", "", "Limit, such as 1.5" },
	{ "Memory", O_SIZE, false, AT(memory_bytes), "string", "", "Limit, such as 2g" },
	{ "Pids", O_COUNT, false, AT(pids), "string", "", "Limit of processes" },
	{ "Disk", O_SIZE, false, AT(disk_bytes), "string", "", "Limit, where the engine has quotas" },
	{ "Capabilities", O_CAPS, false, AT(capabilities), "string", "", "-NET_RAW, SYS_PTRACE, ..." },
	{ "Runtime", O_RUNTIME, false, AT(runtime), "string", "", "Of the engine, such as runsc" },
	{ "Volumes", O_VOLUMES, false, AT(volumes), "string", "", "name:/path[:ro], ..." },
	{ "GPUs", O_GPUS, false, AT(gpus), "string", "", "auto, all, a number, device=ID" },
	{ "Extra Hosts", O_STR, false, AT(extra_hosts), "string", "", "name:address, ..." },
	{ "Agent", O_AGENT, false, AT(agent), "option", "auto", "" },
	{ "pull", O_PULL, false, AT(pull), NULL, NULL, NULL },
	{ "pull stall", O_MS, false, AT(pull_stall_ms), NULL, NULL, NULL },
	{ "pull timeout", O_MS, false, AT(pull_total_ms), NULL, NULL, NULL },
	{ "call timeout", O_MS, false, AT(call_ms), NULL, NULL, NULL },
	{ "agent timeout", O_MS, false, AT(agent_ms), NULL, NULL, NULL },
	{ "agent binary", O_STR, false, AT(agent_binary), NULL, NULL, NULL },
	{ "allow initialize command", O_BOOL, false, AT(initialize), NULL, NULL, NULL },
	{ "allow file", O_BOOL, false, AT(allow_file), NULL, NULL, NULL },
	{ "git ca file", O_STR, false, AT(git_ca_file), NULL, NULL, NULL },
	{ "host state dir", O_STR, false, AT(host_state_dir), NULL, NULL, NULL },
	{ "allow host mounts", O_BOOL, false, AT(host_mounts), NULL, NULL, NULL },
};
/* clang-format on */

static const char *const agent_names[] = { "auto", "daytona", "builtin", "none", NULL };
static const char *const pull_names[] = { "missing", "always", "never", NULL };

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 32);
	return c == '_' || c == '-' ? ' ' : c;
}

static const struct option *find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		size_t n = 0;

		while (n < name.n && options[i].name[n] &&
		       fold(name.p[n]) == fold(options[i].name[n]))
			n++;
		if (n == name.n && !options[i].name[n])
			return &options[i];
	}
	return NULL;
}

static bool set_word(const char *const *words, struct str value, int *out)
{
	for (int i = 0; words[i]; i++)
		if (str_ieq(value, words[i])) {
			*out = i;
			return true;
		}
	return false;
}

static const char *string_form(enum option_type type, struct str value)
{
	if (memchr(value.p, '\n', value.n) || memchr(value.p, '\0', value.n))
		return "one line";
	if (type == O_CAPS && !docker_capabilities_ok(value))
		return "names of capabilities such as \"-NET_RAW, SYS_PTRACE\"";
	if (type == O_VOLUMES && !docker_volumes_ok(value))
		return "mounts such as \"cache:/cache, /data:/data:ro\"";
	if (type == O_GPUS && !str_eq(value, DOCKER_GPUS_AUTO) && !spec_gpus_ok(value))
		return "auto, all, a number of GPUs or device=ID";
	if (type == O_RUNTIME && !str_is_id(value))
		return "the name of a runtime such as runsc";
	return NULL;
}

static void set_string(char **at, struct str value)
{
	mem_free_secret(*at);
	*at = mem_dupn(value.p, value.n);
}

static int set(struct docker_options *o, const struct option *opt, struct str value, struct err *e)
{
	char *at = (char *)o + opt->at;
	const char *want = NULL;

	value = value.n ? str_trim(value) : STR_LIT("");
	if (opt->type != O_STR && opt->type != O_SECRET && !value.n)
		return 0; /* forms send empty fields */
	switch (opt->type) {
	case O_STR:
	case O_SECRET:
	case O_CAPS:
	case O_VOLUMES:
	case O_GPUS:
	case O_RUNTIME:
		want = string_form(opt->type, value);
		if (!want)
			set_string((char **)(void *)at, value);
		break;
	case O_COUNT:
		if (!str_to_i64(value, 1, PIDS_MAX, (int64_t *)(void *)at))
			want = "a number of processes such as 512";
		break;
	case O_BOOL:
		if (!str_to_bool(value, (bool *)at))
			want = "true or false";
		break;
	case O_PORT:
		if (!str_to_i64(value, 1, 65535, (int64_t *)(void *)at))
			want = "a port from 1 to 65535";
		break;
	case O_CPUS:
		if (!quantity_cpus(value, (int64_t *)(void *)at))
			want = "a number of CPUs such as 2 or 1.5";
		break;
	case O_SIZE:
		if (!quantity_bytes(value, (int64_t *)(void *)at))
			want = "a size such as 512m or 2g";
		break;
	case O_MS:
		if (!str_to_ms(value, 1000, 0, INT64_C(7) * 86400000, (int64_t *)(void *)at))
			want = "a time such as 90 or 5m";
		break;
	case O_AGENT:
		if (!set_word(agent_names, value, (int *)(void *)at))
			want = "auto, daytona, builtin or none";
		break;
	case O_PULL:
		if (!set_word(pull_names, value, (int *)(void *)at))
			want = "missing, always or never";
		break;
	}
	if (!want)
		return 0;
	if (opt->type == O_SECRET)
		value = STR_LIT("***");
	return err_set(e, ERR_CONFIG, 0, "option \"%s\": \"%.*s\" is wrong; it takes %s", opt->name,
	               (int)(value.n < 100 ? value.n : 100), value.p, want);
}

static int take_config(struct docker_options *o, const struct kv *config, struct err *e)
{
	for (size_t i = 0; config && i < config->n; i++) {
		const struct option *opt = find(str_of(config->pairs[i].key));

		if (!opt)
			return err_set(e, ERR_CONFIG, 0,
			               "[provider \"docker-provider\"]: unknown key \"%.100s\"",
			               config->pairs[i].key);
		if (set(o, opt, str_of(config->pairs[i].value), e) < 0)
			return err_wrap(e, "[provider \"docker-provider\"]");
	}
	return 0;
}

static int take_member(struct docker_options *o, struct json member, struct err *e)
{
	struct buf key = { 0 }, value = { 0 };
	const struct option *opt;
	int rc = 0;

	json_key(member, &key);
	opt = find(buf_str(&key));
	/* Unknown ones belong to other versions of the provider. */
	if (opt && opt->kind && !json_is_null(member)) {
		if (!json_string(member, &value))
			buf_add_str(&value, json_raw(member));
		rc = set(o, opt, buf_str(&value), e);
	}
	buf_free(&key);
	buf_wipe(&value);
	return rc;
}

static int take_target(struct docker_options *o, const char *text, struct err *e)
{
	struct json_doc *doc;
	struct json root;
	int rc = 0;

	if (!text || !str_trim(str_of(text)).n)
		return 0;
	doc = json_parse(str_of(text), OPTIONS_TEXT_MAX, e);
	if (!doc)
		return err_wrap(e, "options of the target config");
	root = json_root(doc);
	if (!json_is_object(root) && !json_is_null(root))
		rc = err_set(e, ERR_CONFIG, 0, "options of the target config are no JSON object");
	for (struct json member = json_first(root); rc == 0 && json_present(member);
	     member = json_next(member))
		rc = take_member(o, member, e);
	if (rc < 0)
		err_wrap(e, "target config");
	json_doc_free(doc);
	return rc;
}

/* The preset's "Sock Path" is the default, which says no more than its absence: the configuration's goes before it. */
static int take_both(struct docker_options *o, const struct kv *config, const char *target_json,
                     struct err *e)
{
	char *own;
	int rc = take_config(o, config, e);

	own = o->sock ? mem_dup(o->sock) : NULL;
	if (rc == 0)
		rc = take_target(o, target_json, e);
	if (rc == 0 && own && !o->remote_host && strcmp(o->sock, DOCKER_DEFAULT_SOCK) == 0)
		set_string(&o->sock, str_of(own));
	free(own);
	return rc;
}

static void drop_empty(char **s)
{
	if (*s && !**s) {
		free(*s);
		*s = NULL;
	}
}

int docker_options_parse(struct docker_options *o, const struct kv *config, const char *target_json,
                         struct err *e)
{
	*o = (struct docker_options){
		.remote_port = 22,
		.pull_stall_ms = 180000,
		.call_ms = 30000,
		.agent_ms = 120000,
		.allow_file = true,
	};
	if (take_both(o, config, target_json, e) < 0) {
		docker_options_free(o);
		return -1;
	}
	drop_empty(&o->remote_user);
	drop_empty(&o->remote_password);
	drop_empty(&o->remote_key);
	drop_empty(&o->remote_host_key);
	drop_empty(&o->sock);
	drop_empty(&o->data_dir);
	drop_empty(&o->network);
	drop_empty(&o->capabilities);
	drop_empty(&o->runtime);
	drop_empty(&o->volumes);
	drop_empty(&o->gpus);
	drop_empty(&o->extra_hosts);
	drop_empty(&o->agent_binary);
	drop_empty(&o->git_ca_file);
	drop_empty(&o->host_state_dir);
	if (o->host_state_dir && *o->host_state_dir != '/') {
		docker_options_free(o);
		return err_set(e, ERR_CONFIG, 0, "host_state_dir is not an absolute path");
	}
	if (o->remote_host && !*o->remote_host) {
		docker_options_free(o);
		return err_set(
			e, ERR_CONFIG, 0,
			"target config: \"Remote Hostname\" is empty; set it, or remove the key "
			"for an engine on the runner's host");
	}
	return 0;
}

void docker_options_free(struct docker_options *o)
{
	free(o->remote_host);
	free(o->remote_user);
	mem_free_secret(o->remote_password);
	free(o->remote_key);
	free(o->remote_host_key);
	free(o->sock);
	free(o->data_dir);
	free(o->network);
	free(o->capabilities);
	free(o->runtime);
	free(o->volumes);
	free(o->gpus);
	free(o->extra_hosts);
	free(o->agent_binary);
	free(o->git_ca_file);
	free(o->host_state_dir);
	*o = (struct docker_options){ 0 };
}

void docker_options_manifest(struct buf *b)
{
	jw_obj(b);
	for (size_t i = 0; i < ARRAY_LEN(options) && options[i].kind; i++) {
		const struct option *opt = &options[i];

		jw_key(b, opt->name);
		jw_obj(b);
		jw_kstr(b, "type", opt->kind);
		if (opt->type == O_SECRET)
			jw_kbool(b, "inputMasked", true);
		provider_manifest_text(b, "disabledPredicate", opt->remote ? "^local$" : "");
		provider_manifest_text(b, "defaultValue", opt->fallback);
		provider_manifest_text(b, "description", opt->help);
		if (opt->type == O_AGENT) {
			jw_key(b, "options");
			jw_arr(b);
			for (int k = 0; agent_names[k]; k++)
				jw_str(b, str_of(agent_names[k]));
			jw_arr_end(b);
		}
		jw_obj_end(b);
	}
	jw_obj_end(b);
}
