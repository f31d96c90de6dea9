/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of an image, see manifest.h. */
#include "base/json.h"
#include "base/mem.h"
#include "oci/manifest.h"

#include <stdlib.h>

#define LIST_MAX 10000

static char **list_new(size_t n)
{
	return mem_array(n + 1, sizeof(char *));
}

static void list_free(char **l)
{
	for (size_t i = 0; l && l[i]; i++)
		free(l[i]);
	free(l);
}

/* 0 and NULL for what is absent or null. */
static int strings(struct json v, const char *key, char ***out, struct err *e)
{
	size_t n = json_len(v);
	char **l;

	if (json_is_null(v))
		return 0;
	if (!json_is_array(v) || n > LIST_MAX)
		return err_set(e, ERR_PARSE, 0, "configuration: %s is no list of strings", key);
	*out = l = list_new(n);
	for (struct json j = json_first(v); json_present(j); j = json_next(j)) {
		*l = json_dup(j);
		if (!*l++)
			return err_set(e, ERR_PARSE, 0, "configuration: %s has no strings in it",
			               key);
	}
	return 0;
}

/* The keys of an object, with "=VALUE" if values is set. */
static int members(struct json v, const char *key, bool values, char ***out, struct err *e)
{
	size_t n = json_len(v), i = 0;

	if (json_is_null(v))
		return 0;
	if (!json_is_object(v) || n > LIST_MAX)
		return err_set(e, ERR_PARSE, 0, "configuration: %s is no object", key);
	*out = list_new(n);
	for (struct json j = json_first(v); json_present(j); j = json_next(j)) {
		struct buf b = { 0 };

		json_key(j, &b);
		if (values) {
			buf_addc(&b, '=');
			(void)json_string(j, &b);
		}
		if (memchr(buf_cstr(&b), '\0', b.n)) {
			buf_free(&b);
			return err_set(e, ERR_PARSE, 0, "configuration: a NUL in %s", key);
		}
		(*out)[i++] = buf_take(&b);
	}
	return 0;
}

static int diff_ids(struct json v, struct image_config *c, struct err *e)
{
	size_t n = json_len(v);

	if (!json_is_array(v) || n > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_PARSE, 0, "configuration: no list of layers (diff_ids)");
	c->diff_ids = mem_array(n, sizeof(*c->diff_ids));
	for (struct json j = json_first(v); json_present(j); j = json_next(j)) {
		char *s = json_dup_or_empty(j);
		bool ok = digest_parse(str_of(s), &c->diff_ids[c->n_diff_ids++]);

		free(s);
		if (!ok)
			return err_set(e, ERR_PARSE, 0,
			               "configuration: a layer's id is no sha256 digest");
	}
	return 0;
}

static int read_config(struct json root, struct image_config *c, struct err *e)
{
	struct json v = json_get(root, "config");

	c->os = json_dup_or_empty(json_get(root, "os"));
	c->arch = json_dup_or_empty(json_get(root, "architecture"));
	c->created = json_dup_or_empty(json_get(root, "created"));
	c->user = json_dup_or_empty(json_get(v, "User"));
	c->workdir = json_dup_or_empty(json_get(v, "WorkingDir"));
	c->stop_signal = json_dup_or_empty(json_get(v, "StopSignal"));
	if (strings(json_get(v, "Env"), "Env", &c->env, e) < 0 ||
	    strings(json_get(v, "Entrypoint"), "Entrypoint", &c->entrypoint, e) < 0 ||
	    strings(json_get(v, "Cmd"), "Cmd", &c->cmd, e) < 0 ||
	    strings(json_get(v, "Shell"), "Shell", &c->shell, e) < 0 ||
	    members(json_get(v, "Volumes"), "Volumes", false, &c->volumes, e) < 0 ||
	    members(json_get(v, "ExposedPorts"), "ExposedPorts", false, &c->ports, e) < 0 ||
	    members(json_get(v, "Labels"), "Labels", true, &c->labels, e) < 0)
		return -1;
	return diff_ids(json_get(json_get(root, "rootfs"), "diff_ids"), c, e);
}

int image_config_parse(struct str text, struct image_config *c, struct err *e)
{
	struct json_doc *doc = json_parse(text, CONFIG_MAX, e);
	int rc;

	*c = (struct image_config){ 0 };
	if (!doc)
		return err_wrap(e, "configuration of the image");
	rc = read_config(json_root(doc), c, e);
	json_doc_free(doc);
	if (rc < 0)
		image_config_free(c);
	return rc;
}

void image_config_free(struct image_config *c)
{
	list_free(c->env);
	list_free(c->entrypoint);
	list_free(c->cmd);
	list_free(c->shell);
	list_free(c->volumes);
	list_free(c->ports);
	list_free(c->labels);
	free(c->user);
	free(c->workdir);
	free(c->stop_signal);
	free(c->os);
	free(c->arch);
	free(c->created);
	free(c->diff_ids);
	*c = (struct image_config){ 0 };
}
