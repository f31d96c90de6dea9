/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's calls of server.h (protocol 4). */
#include "api/server.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>

static int call_runner(struct api *a, const char *method, const char *path, struct str body,
                       struct runner_info *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, method, path, body, &doc, d, e);

	if (rc == 0 && !doc)
		rc = err_set(e, ERR_PARSE, 0, "%s %s: the answer is empty", method, path);
	if (rc == 0)
		rc = runner_info_parse(json_root(doc), out, e);
	json_doc_free(doc);
	return rc;
}

int api_runner_create(struct api *a, const char *id, const char *name, struct runner_info *out,
                      struct deadline d, struct err *e)
{
	struct buf body = { 0 };
	int rc;

	jw_obj(&body);
	jw_kstr(&body, "id", id);
	jw_kstr(&body, "name", name);
	jw_obj_end(&body);
	rc = call_runner(a, "POST", "/runner", buf_str(&body), out, d, e);
	if (rc == 0 && !(out->api_key && *out->api_key))
		rc = err_set(e, ERR_PARSE, 0, "POST /runner: the answer holds no API key");
	buf_free(&body);
	return rc;
}

int api_runner(struct api *a, const char *id_or_name, struct runner_info *out, struct deadline d,
               struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/runner/");
	buf_add_urlenc(&path, str_of(id_or_name));
	rc = call_runner(a, "GET", buf_cstr(&path), (struct str){ 0 }, out, d, e);
	buf_free(&path);
	return rc;
}

int api_runner_delete(struct api *a, const char *id, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/runner/");
	buf_add_urlenc(&path, str_of(id));
	rc = api_call(a, "DELETE", buf_cstr(&path), (struct str){ 0 }, NULL, d, e);
	buf_free(&path);
	return rc;
}

/* GET of a list: n structs of size bytes filled by parse; an element that cannot be read fails the call. */
static int get_list(struct api *a, const char *path, size_t size,
                    int (*parse)(struct json v, void *out, struct err *e), void **out, size_t *n,
                    struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, "GET", path, (struct str){ 0 }, &doc, d, e);
	struct json root = json_root(doc);
	char *list = mem_array(json_len(root), size);

	*n = 0;
	for (struct json m = json_first(root); rc == 0 && json_present(m); m = json_next(m)) {
		rc = parse(m, list + *n * size, e);
		if (rc == 0)
			++*n;
	}
	json_doc_free(doc);
	*out = list;
	return rc;
}

static int parse_runner(struct json v, void *out, struct err *e)
{
	return runner_info_parse(v, out, e);
}

static int parse_config(struct json v, void *out, struct err *e)
{
	return target_config_parse(v, out, e);
}

static int parse_target(struct json v, void *out, struct err *e)
{
	return target_parse(v, out, e);
}

static int parse_workspace(struct json v, void *out, struct err *e)
{
	return workspace_parse(v, out, e);
}

int api_runners(struct api *a, struct runner_info **out, size_t *n, struct deadline d,
                struct err *e)
{
	void *list;
	int rc = get_list(a, "/runner", sizeof(**out), parse_runner, &list, n, d, e);

	*out = list;
	return rc;
}

int api_target_configs(struct api *a, struct target_config **out, size_t *n, struct deadline d,
                       struct err *e)
{
	void *list;
	int rc = get_list(a, "/target-config", sizeof(**out), parse_config, &list, n, d, e);

	*out = list;
	return rc;
}

int api_targets(struct api *a, struct target **out, size_t *n, struct deadline d, struct err *e)
{
	void *list;
	int rc = get_list(a, "/target", sizeof(**out), parse_target, &list, n, d, e);

	*out = list;
	return rc;
}

int api_workspaces(struct api *a, struct workspace **out, size_t *n, struct deadline d,
                   struct err *e)
{
	void *list;
	int rc = get_list(a, "/workspace", sizeof(**out), parse_workspace, &list, n, d, e);

	*out = list;
	return rc;
}
