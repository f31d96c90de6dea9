/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of an image, see manifest.h. */
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX 10000

static char **list_new(size_t n)
{
	return mem_array(n + 1, sizeof(char *));
}

void image_list_free(char ***l)
{
	for (char **p = *l; p && *p; p++)
		free(*p);
	free(*l);
	*l = NULL;
}

void image_list_add(char ***l, const char *s)
{
	size_t n = 0;

	while (*l && (*l)[n])
		n++;
	*l = mem_realloc(*l, (n + 2) * sizeof(**l));
	(*l)[n] = mem_dup(s);
	(*l)[n + 1] = NULL;
}

void image_list_set(char ***l, const char *pair)
{
	size_t n = strcspn(pair, "=");

	for (char **p = *l; p && *p; p++)
		if (strcspn(*p, "=") == n && strncmp(*p, pair, n) == 0) {
			free(*p);
			*p = mem_dup(pair);
			return;
		}
	image_list_add(l, pair);
}

const char *image_list_get(char *const *l, const char *name)
{
	size_t n = strlen(name);

	for (; l && *l; l++)
		if (strncmp(*l, name, n) == 0 && (*l)[n] == '=')
			return *l + n + 1;
	return NULL;
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
	char ***const lists[] = { &c->env,     &c->entrypoint, &c->cmd,   &c->shell,
		                  &c->volumes, &c->ports,      &c->labels };

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		image_list_free(lists[i]);
	free(c->user);
	free(c->workdir);
	free(c->stop_signal);
	free(c->os);
	free(c->arch);
	free(c->created);
	free(c->diff_ids);
	*c = (struct image_config){ 0 };
}

static void write_list(struct buf *b, const char *key, char **l)
{
	if (!l)
		return;
	jw_key(b, key);
	jw_arr(b);
	for (; *l; l++)
		jw_str(b, str_of(*l));
	jw_arr_end(b);
}

/* Keys with the value behind their '=', or with {}. */
static void write_members(struct buf *b, const char *key, char **l, bool values)
{
	if (!l)
		return;
	jw_key(b, key);
	jw_obj(b);
	for (; *l; l++) {
		char *name = mem_dupn(*l, values ? strcspn(*l, "=") : strlen(*l));

		jw_key(b, name);
		if (values)
			jw_str(b, str_of(*l + strlen(name) + 1));
		else
			jw_raw(b, STR_LIT("{}"));
		free(name);
	}
	jw_obj_end(b);
}

static void write_text(struct buf *b, const char *key, const char *text)
{
	if (text && *text)
		jw_kstr(b, key, text);
}

void image_config_write(const struct image_config *c, struct buf *b)
{
	jw_obj(b);
	write_text(b, "created", c->created);
	jw_kstr(b, "architecture", c->arch);
	jw_kstr(b, "os", c->os);
	jw_key(b, "config");
	jw_obj(b);
	write_text(b, "User", c->user);
	write_members(b, "ExposedPorts", c->ports, false);
	write_list(b, "Env", c->env);
	write_list(b, "Entrypoint", c->entrypoint);
	write_list(b, "Cmd", c->cmd);
	write_list(b, "Shell", c->shell);
	write_members(b, "Volumes", c->volumes, false);
	write_text(b, "WorkingDir", c->workdir);
	write_members(b, "Labels", c->labels, true);
	write_text(b, "StopSignal", c->stop_signal);
	jw_obj_end(b);
	jw_key(b, "rootfs");
	jw_obj(b);
	jw_kstr(b, "type", "layers");
	jw_key(b, "diff_ids");
	jw_arr(b);
	for (size_t i = 0; i < c->n_diff_ids; i++)
		jw_str(b, str_of(c->diff_ids[i].text));
	jw_arr_end(b);
	jw_obj_end(b);
	jw_obj_end(b);
}
