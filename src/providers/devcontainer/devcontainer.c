/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of dev container configurations, see devcontainer.h. */
#include "providers/devcontainer/devcontainer.h"

#include "base/beneath.h"
#include "base/file.h"
#include "base/mem.h"
#include "providers/labels.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Joins and normalises relative paths below the checkout; NULL when the result leaves it. */
static char *dc_path(const char *base, const char *path)
{
	struct buf b = { 0 };
	bool inside = *path == '/' || path_add(&b, str_of(base));

	if (!path_add(&b, str_of(path)) || !inside) {
		buf_free(&b);
		return NULL;
	}
	return buf_take(&b);
}

char *dc_resolve(const char *checkout, const char *path)
{
	char *full = path_join(checkout, path), *inside = NULL;
	char root[PATH_MAX], real[PATH_MAX];

	if (realpath(checkout, root) && realpath(full, real)) {
		size_t n = strlen(root);

		if (strncmp(root, real, n) == 0 && (real[n] == '/' || !real[n]))
			inside = mem_dup(real[n] ? real + n + 1 : "");
	}
	free(full);
	return inside;
}

static bool is_inside(const char *checkout, const char *path)
{
	char *inside = dc_resolve(checkout, path);

	free(inside);
	return inside != NULL;
}

/* A link is something: who put it there means it to count. */
static void no_file(const char *checkout, const char *path, struct err *e)
{
	char *full = path_join(checkout, path);
	struct stat st;

	if (lstat(full, &st) == 0)
		err_set(e, ERR_DENIED, 0,
		        "\"%.200s\" is a link that leads nowhere in the repository", path);
	else
		err_set(e, ERR_NOT_FOUND, 0, "the repository has no file \"%.200s\"", path);
	free(full);
}

/* A link that is put there after the look is not followed. */
int dc_read(const char *checkout, const char *path, struct buf *text, struct err *e)
{
	char *inside = dc_resolve(checkout, path);
	int root = -1, rc = -1;

	if (!inside)
		no_file(checkout, path, e);
	else if ((root = beneath_root(checkout, e)) >= 0)
		rc = beneath_read(root, inside, DC_FILE_MAX, text, e);
	fd_close(&root);
	free(inside);
	return rc;
}

char *dc_detect(const char *checkout, const char *given, struct err *e)
{
	static const char *const usual[] = { ".devcontainer/devcontainer.json",
		                             ".devcontainer.json" };
	char *path = NULL;

	if (given && *given) {
		path = *given == '/' ? NULL : dc_path("", given);
		if (path && is_inside(checkout, path))
			return path;
		free(path);
		err_set(e, ERR_NOT_FOUND, 0, "the repository has no dev container file \"%.200s\"",
		        given);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (is_inside(checkout, usual[i]))
			return mem_dup(usual[i]);
	return NULL;
}

/* Editors have long lists; nothing here takes them over. */
static bool is_for_tools(const char *key)
{
	return strcmp(key, "settings") == 0 || strcmp(key, "extensions") == 0 ||
	       strcmp(key, "customizations") == 0;
}

/* Lists are taken over member by member, so none may be long: e names the one that is. */
static bool lists_are_short(struct json v, struct err *e)
{
	struct buf key = { 0 };
	bool ok = true;

	for (struct json member = json_first(v); ok && json_present(member);
	     member = json_next(member)) {
		if (json_len(member) <= DC_LIST_MAX)
			continue;
		buf_reset(&key);
		json_key(member, &key);
		ok = is_for_tools(buf_cstr(&key));
		if (!ok)
			err_set(e, ERR_LIMIT, 0, "\"%.100s\" has %zu members, %d are allowed",
			        buf_cstr(&key), json_len(member), DC_LIST_MAX);
	}
	buf_free(&key);
	return ok;
}

/* "build" has lists of its own. */
static bool is_bounded(struct json layer, struct err *e)
{
	return lists_are_short(layer, e) && lists_are_short(json_get(layer, "build"), e);
}

int dc_parse(struct devcontainer *dc, struct str text, const char *path, const char *host_dir,
             const char *name, const char *id, struct err *e)
{
	struct buf folder = { 0 };

	*dc = (struct devcontainer){ .path = mem_dup(path),
		                     .checkout = mem_dup(host_dir),
		                     .host_dir = mem_dup(host_dir),
		                     .id = mem_dup(id) };
	dc->doc = json_parse_jsonc(text, DC_FILE_MAX, e);
	if (!dc->doc) {
		dc_free(dc);
		return err_wrap(e, "%s", path);
	}
	dc->root = json_root(dc->doc);
	if (!json_is_object(dc->root)) {
		dc_free(dc);
		return err_set(e, ERR_PARSE, 0, "%s: is no JSON object", path);
	}
	if (!is_bounded(dc->root, e)) {
		dc_free(dc);
		return err_wrap(e, "%s", path);
	}
	dc->layers[dc->n_layers++] = dc->root;
	buf_addf(&folder, "/workspaces/%s", name);
	dc->folder = buf_take(&folder); /* what the next line may expand */
	if (json_is_string(json_get(dc->root, "workspaceFolder"))) {
		char *own = dc_text(dc, json_get(dc->root, "workspaceFolder"));

		if (own && *own == '/') {
			free(dc->folder);
			dc->folder = own;
		} else {
			free(own);
		}
	}
	return 0;
}

int dc_load(struct devcontainer *dc, const char *checkout, const char *path, const char *host_dir,
            const char *name, const char *id, struct err *e)
{
	struct buf text = { 0 };
	int rc = -1;

	*dc = (struct devcontainer){ 0 };
	if (dc_read(checkout, path, &text, e) == 0)
		rc = dc_parse(dc, buf_str(&text), path, host_dir, name, id, e);
	if (rc == 0) {
		free(dc->checkout);
		dc->checkout = mem_dup(checkout);
	}
	buf_free(&text);
	return rc;
}

void dc_free(struct devcontainer *dc)
{
	json_doc_free(dc->doc);
	json_doc_free(dc->metadata);
	free(dc->path);
	free(dc->checkout);
	free(dc->host_dir);
	free(dc->folder);
	free(dc->id);
	kv_free(&dc->probed);
	*dc = (struct devcontainer){ 0 };
}

void dc_set_metadata(struct devcontainer *dc, const char *label)
{
	struct err ignored = { 0 };
	struct json root;

	json_doc_free(dc->metadata);
	dc->metadata = label && *label ? json_parse(str_of(label), DC_FILE_MAX, &ignored) : NULL;
	dc->n_layers = 0;
	root = json_root(dc->metadata);
	if (json_is_object(root) && is_bounded(root, &ignored))
		dc->layers[dc->n_layers++] = root;
	for (struct json member = json_first(root); json_is_array(root) && json_present(member);
	     member = json_next(member))
		if (json_is_object(member) && dc->n_layers < DC_LAYERS_MAX - 1 &&
		    is_bounded(member, &ignored))
			dc->layers[dc->n_layers++] = member;
	dc->layers[dc->n_layers++] = dc->root;
}

bool dc_is_compose(const struct devcontainer *dc)
{
	return json_present(json_get(dc->root, "dockerComposeFile"));
}

bool dc_has_features(const struct devcontainer *dc)
{
	return json_len(json_get(dc->root, "features")) > 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *local_env(const struct devcontainer *dc, const char *name)
{
	struct str list = str_of(dc->env_allow), piece;
	bool allowed = false;

	while (dc->env_allow && str_next(&list, ',', &piece))
		allowed |= str_eq(str_trim(piece), name);
	return allowed ? getenv(name) : NULL;
}

bool dc_local_env(const struct devcontainer *dc, const char *name, struct buf *out)
{
	const char *value = local_env(dc, name);

	if (value)
		buf_adds(out, value);
	return value != NULL;
}

/* NAME or NAME:default out of our environment; only what is on the list. */
static void expand_env(const struct devcontainer *dc, struct str spec, bool local, struct buf *out)
{
	struct str name;
	const char *value = NULL;
	char *key;

	(void)str_next(&spec, ':', &name);
	key = mem_dupn(name.p, name.n);
	if (local)
		value = local_env(dc, key);
	else if (dc->container_env)
		value = kv_get(dc->container_env, key);
	free(key);
	if (value)
		buf_adds(out, value);
	else
		buf_add_str(out, spec);
}

static bool expand_one(const struct devcontainer *dc, struct str name, struct buf *out)
{
	if (str_eq(name, "localWorkspaceFolder"))
		buf_adds(out, dc->host_dir);
	else if (str_eq(name, "localWorkspaceFolderBasename"))
		buf_adds(out, base_name(dc->host_dir));
	else if (str_eq(name, "containerWorkspaceFolder"))
		buf_adds(out, dc->folder ? dc->folder : "");
	else if (str_eq(name, "containerWorkspaceFolderBasename"))
		buf_adds(out, base_name(dc->folder ? dc->folder : ""));
	else if (str_eq(name, "devcontainerId"))
		buf_adds(out, dc->id);
	else if (str_starts(name, "localEnv:"))
		expand_env(dc, (struct str){ name.p + 9, name.n - 9 }, true, out);
	else if (str_starts(name, "env:"))
		expand_env(dc, (struct str){ name.p + 4, name.n - 4 }, true, out);
	else if (str_starts(name, "containerEnv:") && dc->container_env)
		expand_env(dc, (struct str){ name.p + 13, name.n - 13 }, false, out);
	else
		return false;
	return true;
}

void dc_expand(const struct devcontainer *dc, struct str s, struct buf *out)
{
	while (s.n) {
		const char *at = str_find(s, "${");
		const char *end = at ? memchr(at, '}', s.n - (size_t)(at - s.p)) : NULL;
		size_t plain = end ? (size_t)(at - s.p) : s.n, used;

		buf_add(out, s.p, plain);
		if (!end)
			return;
		used = (size_t)(end + 1 - s.p);
		if (!expand_one(dc, (struct str){ at + 2, (size_t)(end - at) - 2 }, out))
			buf_add(out, at, (size_t)(end + 1 - at));
		s.p += used;
		s.n -= used;
	}
}

char *dc_text(const struct devcontainer *dc, struct json v)
{
	char *raw = json_dup(v);
	struct buf out = { 0 };

	if (!raw)
		return NULL;
	dc_expand(dc, str_of(raw), &out);
	free(raw);
	return buf_take(&out);
}

char *dc_last(const struct devcontainer *dc, const char *key)
{
	for (size_t i = dc->n_layers; i-- > 0;) {
		char *text = dc_text(dc, json_get(dc->layers[i], key));

		if (text && *text)
			return text;
		free(text);
	}
	return NULL;
}

/* Expanded string, or a number or boolean as it is written; NULL: none of these. Caller frees. */
static char *plain_text(const struct devcontainer *dc, struct json v)
{
	struct str raw = json_raw(v);

	return json_is_number(v) || json_is_bool(v) ? mem_dupn(raw.p, raw.n) : dc_text(dc, v);
}

void dc_env(const struct devcontainer *dc, const char *key, struct kv *out)
{
	for (size_t i = 0; i < dc->n_layers; i++) {
		struct json env = json_get(dc->layers[i], key);

		for (struct json member = json_first(env);
		     json_is_object(env) && json_present(member); member = json_next(member)) {
			struct buf name = { 0 };
			char *value = plain_text(dc, member);

			json_key(member, &name);
			if (value)
				kv_set(out, buf_cstr(&name), value);
			else if (json_is_null(member))
				(void)kv_del(out, buf_cstr(&name));
			free(value);
			buf_free(&name);
		}
	}
}

bool dc_updates_uid(const struct devcontainer *dc)
{
	bool does = true;

	for (size_t i = 0; i < dc->n_layers; i++)
		does = json_bool(json_get(dc->layers[i], "updateRemoteUserUID"), does);
	return does;
}

char *dc_remote_user(const struct devcontainer *dc, const char *image_user)
{
	char *user = dc_last(dc, "remoteUser");

	if (!user)
		user = dc_last(dc, "containerUser");
	if (!user)
		user = mem_dup(image_user && *image_user ? image_user : "root");
	return user;
}

/* A path of the configuration is relative to its file's directory. */
static char *build_path(const struct devcontainer *dc, const char *key, struct json v,
                        const char *fallback, struct err *e)
{
	const char *slash = strrchr(dc->path, '/');
	char *dir = mem_dupn(dc->path, slash ? (size_t)(slash - dc->path) : 0);
	char *text = dc_text(dc, v);
	char *path = NULL;

	if (text || fallback)
		path = dc_path(dir, text ? text : fallback);
	if (!path || (text && *text == '/')) {
		free(path);
		path = NULL;
		err_set(e, ERR_CONFIG, 0, "%s: \"%s\": \"%.200s\" leads out of the repository",
		        dc->path, key, text ? text : "");
	}
	free(text);
	free(dir);
	return path;
}

/* One option of "docker build" with its value. False: it is not done. Networks and secrets of the host are not for builds. */
static bool build_option(const char *name, const char *value, struct dc_build *b)
{
	const char *eq = strchr(value, '=');
	char *key = mem_dupn(value, eq ? (size_t)(eq - value) : strlen(value));
	bool ok = true;

	if (strcmp(name, "--build-arg") == 0 && eq)
		kv_set(&b->args, key, eq + 1);
	else if (strcmp(name, "--label") == 0 && eq && !label_is_reserved(key))
		kv_set(&b->labels, key, eq + 1);
	else if (strcmp(name, "--add-host") == 0)
		strlist_add(&b->extra_hosts, value);
	else if (strcmp(name, "--cache-from") == 0)
		strlist_add(&b->cache_from, value);
	else if (strcmp(name, "--target") == 0 && !b->target)
		b->target = mem_dup(value);
	else if (strcmp(name, "--platform") == 0 && !b->platform)
		b->platform = mem_dup(value);
	else
		ok = strcmp(name, "--progress") == 0 || strcmp(name, "--target") == 0;
	free(key);
	return ok;
}

static void build_options(const struct devcontainer *dc, const struct asker *asker,
                          struct json list, struct dc_build *b)
{
	for (struct json member = json_first(list); json_is_array(list) && json_present(member);
	     member = json_next(member)) {
		char *name = dc_text(dc, member), *value = NULL, *eq;

		if (!name)
			continue;
		eq = strchr(name, '=');
		if (strcmp(name, "--pull") == 0) {
			b->pull = true;
		} else if (strcmp(name, "--no-cache") == 0) {
			b->no_cache = true;
		} else if (strcmp(name, "--quiet") != 0 && strcmp(name, "-q") != 0) {
			if (eq) {
				value = mem_dup(eq + 1);
				*eq = '\0';
			} else if (json_is_string(json_next(member))) {
				value = dc_text(dc, json_next(member));
				if (value && *value == '-') {
					free(value); /* the next option: this one has none */
					value = NULL;
				} else {
					member = json_next(member);
				}
			}
			if (!value || !build_option(name, value, b))
				asker_refuse(asker, "build.options", name);
		}
		free(value);
		free(name);
	}
}

int dc_build(const struct devcontainer *dc, const struct asker *asker, struct dc_build *b,
             bool *has_build, struct err *e)
{
	struct json build = json_get(dc->root, "build"), args = json_get(build, "args");
	struct json file = json_get(build, "dockerfile"), from = json_get(build, "cacheFrom");
	struct json context = json_get(build, "context");

	*b = (struct dc_build){ 0 };
	if (!json_is_string(file))
		file = json_get(dc->root, "dockerFile");
	if (!json_is_string(context))
		context = json_get(dc->root, "context");
	*has_build = json_is_string(file);
	if (!*has_build)
		return 0;
	b->dockerfile = build_path(dc, "build.dockerfile", file, NULL, e);
	b->context = b->dockerfile ? build_path(dc, "build.context", context, ".", e) : NULL;
	if (!b->context) {
		dc_build_free(b);
		return -1;
	}
	b->target = dc_text(dc, json_get(build, "target"));
	for (struct json member = json_first(args); json_is_object(args) && json_present(member);
	     member = json_next(member)) {
		struct buf name = { 0 };
		char *value = plain_text(dc, member);

		json_key(member, &name);
		if (value)
			kv_set(&b->args, buf_cstr(&name), value);
		free(value);
		buf_free(&name);
	}
	build_options(dc, asker, json_get(build, "options"), b);
	for (struct json member = json_first(from); json_is_array(from) && json_present(member);
	     member = json_next(member)) {
		char *value = dc_text(dc, member);

		if (value)
			strlist_add(&b->cache_from, value);
		free(value);
	}
	if (json_is_string(from)) {
		char *value = dc_text(dc, from);

		strlist_add(&b->cache_from, value);
		free(value);
	}
	return 0;
}

int dc_build_check(const struct dc_build *b, const char *checkout, struct err *e)
{
	if (!is_inside(checkout, b->context))
		return err_set(e, ERR_CONFIG, 0,
		               "build context \"%.200s\" is not a directory of the repository",
		               b->context);
	if (!is_inside(checkout, b->dockerfile))
		return err_set(e, ERR_CONFIG, 0,
		               "Dockerfile \"%.200s\" is not a file of the repository",
		               b->dockerfile);
	return 0;
}

int dc_read_ignore(const char *checkout, const char *context, const char *dockerfile,
                   struct dockerignore *ignore, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	int rc;

	buf_addf(&path, "%s.dockerignore", dockerfile);
	rc = dc_read(checkout, buf_cstr(&path), &text, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		buf_reset(&path);
		buf_addf(&path, "%s%s.dockerignore", context, *context ? "/" : "");
		rc = dc_read(checkout, buf_cstr(&path), &text, e);
	}
	if (rc == 0 && dockerignore_parse(ignore, buf_str(&text), e) < 0)
		rc = -1;
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = 0;
	}
	buf_free(&text);
	if (rc < 0)
		err_wrap(e, "%s", buf_cstr(&path));
	buf_free(&path);
	return rc;
}

void dc_build_free(struct dc_build *b)
{
	free(b->dockerfile);
	free(b->context);
	free(b->target);
	free(b->platform);
	kv_free(&b->args);
	kv_free(&b->labels);
	strlist_free(&b->cache_from);
	strlist_free(&b->extra_hosts);
	*b = (struct dc_build){ 0 };
}
