/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of request bodies in the reference's own form: all keys there, in its order and spelling
 * (protocol 9.1, 11), unknown ones gone. See srv.h.
 */
#include "server/srv.h"

#include "base/json_check.h"
#include "base/json_skim.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <ctype.h>

static void put_text(struct buf *b, const char *key, struct json obj, const char *name)
{
	char *text = json_dup_or_empty(json_get(obj, name));

	jw_kstr(b, key, text);
	mem_free_secret(text);
}

static void put_text_or_null(struct buf *b, const char *key, struct json obj, const char *name)
{
	char *text = json_dup(json_get(obj, name));

	jw_kstr(b, key, text);
	mem_free_secret(text);
}

static void put_int(struct buf *b, const char *key, struct json obj)
{
	int64_t n = 0;

	json_i64(json_get(obj, key), INT64_MIN, INT64_MAX, &n);
	jw_kint(b, key, n);
}

static void put_strings(struct buf *b, const char *key, struct json list)
{
	jw_key(b, key);
	if (!json_is_array(list)) {
		jw_null(b);
		return;
	}
	jw_arr(b);
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *text = json_dup_or_empty(member);

		jw_str(b, str_of(text));
		free(text);
	}
	jw_arr_end(b);
}

struct member {
	char *key;
	size_t at; /* place in the document */
	struct json value;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Members of an object in the order of their keys' bytes; of equal keys the last counts. */
static struct member *sorted(struct json obj, size_t *n)
{
	size_t all = 0, kept = 0;
	struct member *list = mem_array(json_len(obj) + 1, sizeof(*list));

	for (struct json member = json_first(obj); json_present(member);
	     member = json_next(member)) {
		struct buf key = { 0 };

		json_key(member, &key);
		list[all] = (struct member){ buf_take(&key), all, member };
		all++;
	}
	qsort(list, all, sizeof(*list), by_key);
	for (size_t i = 0; i < all; i++) {
		if (i + 1 < all && strcmp(list[i].key, list[i + 1].key) == 0)
			free(list[i].key);
		else
			list[kept++] = list[i];
	}
	*n = kept;
	return list;
}

static void members_free(struct member *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].key);
	free(list);
}

void normal_map(struct buf *b, struct json map)
{
	size_t n;
	struct member *list;

	if (!json_is_object(map)) {
		jw_null(b);
		return;
	}
	list = sorted(map, &n);
	jw_obj(b);
	for (size_t i = 0; i < n; i++) {
		char *text = json_dup_or_empty(list[i].value);

		jw_kstr(b, list[i].key, text);
		mem_free_secret(text);
	}
	jw_obj_end(b);
	members_free(list, n);
}

static bool is_hidden(struct str key)
{
	static const char *const hidden[] = {
		"TARGET_ID",         "WORKSPACE_ID",   "WORKSPACE_REPOSITORY_URL",
		"SERVER_API_KEY",    "SERVER_VERSION", "SERVER_URL",
		"SERVER_API_URL",    "CLIENT_ID",      "AGENT_LOG_FILE_PATH",
		"TELEMETRY_ENABLED",
	};
	struct buf plain = { 0 };
	bool is = false;

	json_unescape(key, &plain);
	key = buf_str(&plain);
	if (str_starts(key, "DAYTONA_")) {
		key = (struct str){ key.p + 8, key.n - 8 };
		for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
			is = is || str_eq(key, hidden[i]);
	}
	buf_free(&plain);
	return is;
}

void normal_map_without_daytona(struct buf *b, struct str map)
{
	struct json_skim k = json_skim(map);
	struct str key, value;

	if (!k.object) {
		jw_null(b);
		return;
	}
	jw_obj(b);
	while (json_skim_next(&k, &key, &value)) {
		if (is_hidden(key))
			continue;
		jw_raw(b, (struct str){ key.p - 1, key.n + 2 });
		buf_addc(b, ':');
		jw_raw(b, value);
	}
	jw_obj_end(b);
}

static void put_property(struct buf *b, struct json p)
{
	jw_obj(b);
	put_text(b, "Type", p, "type");
	jw_kbool(b, "InputMasked", json_bool(json_get(p, "inputMasked"), false));
	put_text(b, "DisabledPredicate", p, "disabledPredicate");
	put_text(b, "DefaultValue", p, "defaultValue");
	put_text(b, "Description", p, "description");
	put_strings(b, "Options", json_get(p, "options"));
	put_strings(b, "Suggestions", json_get(p, "suggestions"));
	jw_obj_end(b);
}

void normal_provider(struct buf *b, struct json p)
{
	struct json manifest = json_get(p, "targetConfigManifest");
	size_t n;

	jw_obj(b);
	put_text(b, "runnerId", p, "runnerId");
	put_text(b, "runnerName", p, "runnerName");
	put_text(b, "name", p, "name");
	put_text(b, "version", p, "version");
	jw_kbool(b, "agentlessTarget", json_bool(json_get(p, "agentlessTarget"), false));
	put_text_or_null(b, "label", p, "label");
	jw_key(b, "targetConfigManifest");
	if (json_is_object(manifest)) {
		struct member *list = sorted(manifest, &n);

		jw_obj(b);
		for (size_t i = 0; i < n; i++) {
			jw_key(b, list[i].key);
			put_property(b, list[i].value);
		}
		jw_obj_end(b);
		members_free(list, n);
	} else {
		jw_null(b);
	}
	jw_obj_end(b);
}

char *normal_repo_url(struct json url)
{
	char *text = json_dup_or_empty(url);
	struct str s = str_trim(str_of(text));
	char *out;

	if (str_ends(s, "/"))
		s.n--;
	out = mem_dupn(s.p, s.n);
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	free(text);
	return out;
}

void normal_repository(struct buf *b, struct json r, const char *url)
{
	jw_obj(b);
	put_text(b, "id", r, "id");
	jw_kstr(b, "url", url);
	put_text(b, "name", r, "name");
	put_text(b, "branch", r, "branch");
	put_text(b, "sha", r, "sha");
	put_text(b, "owner", r, "owner");
	if (!json_is_null(json_get(r, "prNumber")))
		put_int(b, "prNumber", r);
	put_text(b, "source", r, "source");
	if (!json_is_null(json_get(r, "path")))
		put_text(b, "path", r, "path");
	if (json_is_string(json_get(r, "cloneTarget")) &&
	    !json_str_is(json_get(r, "cloneTarget"), ""))
		put_text(b, "cloneTarget", r, "cloneTarget");
	jw_obj_end(b);
}

void normal_build_config(struct buf *b, struct json config)
{
	struct json dev = json_get(config, "devcontainer"),
		    cached = json_get(config, "cachedBuild");

	jw_obj(b);
	if (json_is_object(dev)) {
		jw_key(b, "devcontainer");
		jw_obj(b);
		put_text(b, "filePath", dev, "filePath");
		jw_obj_end(b);
	}
	if (json_is_object(cached)) {
		jw_key(b, "cachedBuild");
		jw_obj(b);
		put_text(b, "user", cached, "user");
		put_text(b, "image", cached, "image");
		jw_obj_end(b);
	}
	jw_obj_end(b);
}

void normal_git_status(struct buf *b, struct json status)
{
	struct json files = json_get(status, "fileStatus");

	if (!json_is_object(status)) {
		jw_null(b);
		return;
	}
	jw_obj(b);
	put_text(b, "currentBranch", status, "currentBranch");
	jw_key(b, "fileStatus");
	if (json_is_array(files)) {
		jw_arr(b);
		for (struct json f = json_first(files); json_present(f); f = json_next(f)) {
			jw_obj(b);
			put_text(b, "name", f, "name");
			put_text(b, "extra", f, "extra");
			put_text(b, "staging", f, "staging");
			put_text(b, "worktree", f, "worktree");
			jw_obj_end(b);
		}
		jw_arr_end(b);
	} else {
		jw_null(b);
	}
	jw_kbool(b, "branchPublished", json_bool(json_get(status, "branchPublished"), false));
	put_int(b, "ahead", status);
	put_int(b, "behind", status);
	jw_obj_end(b);
}

static void put_log_file(struct buf *b, struct json l)
{
	jw_key(b, "logFile");
	jw_obj(b);
	put_text(b, "path", l, "path");
	put_int(b, "maxSize", l);
	put_int(b, "maxBackups", l);
	put_int(b, "maxAge", l);
	jw_kbool(b, "localTime", json_bool(json_get(l, "localTime"), false));
	jw_kbool(b, "compress", json_bool(json_get(l, "compress"), false));
	jw_obj_end(b);
}

void normal_config(struct buf *b, struct json c)
{
	struct json frps = json_get(c, "frps");
	int64_t port = 0;

	jw_obj(b);
	put_text(b, "registryUrl", c, "registryUrl");
	put_text(b, "id", c, "id");
	put_text(b, "serverDownloadUrl", c, "serverDownloadUrl");
	/* Port 0 is our own answer come back: there is none. */
	if (json_i64(json_get(frps, "port"), 1, UINT32_MAX, &port)) {
		jw_key(b, "frps");
		jw_obj(b);
		put_text(b, "domain", frps, "domain");
		put_int(b, "port", frps);
		put_text(b, "protocol", frps, "protocol");
		jw_obj_end(b);
	}
	put_int(b, "apiPort", c);
	put_int(b, "headscalePort", c);
	put_text(b, "binariesPath", c, "binariesPath");
	put_log_file(b, json_get(c, "logFile"));
	put_text(b, "builderImage", c, "builderImage");
	put_text(b, "defaultWorkspaceImage", c, "defaultWorkspaceImage");
	put_text(b, "defaultWorkspaceUser", c, "defaultWorkspaceUser");
	put_int(b, "localBuilderRegistryPort", c);
	put_text(b, "localBuilderRegistryImage", c, "localBuilderRegistryImage");
	put_text(b, "builderRegistryServer", c, "builderRegistryServer");
	put_text(b, "buildImageNamespace", c, "buildImageNamespace");
	jw_kbool(b, "localRunnerDisabled", json_bool(json_get(c, "localRunnerDisabled"), false));
	put_text(b, "samplesIndexUrl", c, "samplesIndexUrl");
	jw_obj_end(b);
}
