/* SPDX-License-Identifier: Apache-2.0 */
/* See buildrecord.h. */
#include "providers/buildrecord.h"

#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 65536
#define RECORDS "images"

static char *record_path(const char *state_dir, const char *id)
{
	char *dir = path_join(state_dir, "builds/" RECORDS), *path = path_join(dir, id);

	free(dir);
	return path;
}

bool build_id_ok(const char *id)
{
	return str_is_id(str_of(id)) && strcmp(id, RECORDS) != 0;
}

int build_record_write(const char *state_dir, const char *id, const char *image, struct err *e)
{
	char *dir = path_join(state_dir, "builds/" RECORDS), *path = record_path(state_dir, id);
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "image", image);
	jw_obj_end(&b);
	rc = file_mkdirs(dir, 0700, e);
	if (rc == 0)
		rc = file_replace(path, 0600, buf_str(&b), e);
	buf_free(&b);
	free(dir);
	free(path);
	return rc;
}

char *build_record_image(const char *state_dir, const char *id)
{
	char *path = record_path(state_dir, id), *image;
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct json_doc *doc = NULL;

	if (file_read(path, RECORD_MAX, &text, &ignored) == 0)
		doc = json_parse(buf_str(&text), RECORD_MAX, &ignored);
	image = json_dup(json_get(json_root(doc), "image"));
	json_doc_free(doc);
	buf_free(&text);
	free(path);
	return image;
}

bool build_record_shared(const char *state_dir, const char *id, const char *image)
{
	char *dir = path_join(state_dir, "builds/" RECORDS);
	DIR *list = opendir(dir);
	struct dirent *en;
	bool used = false;

	while (list && !used && (en = readdir(list))) {
		char *other;

		if (strcmp(en->d_name, id) == 0 || !str_is_id(str_of(en->d_name)))
			continue;
		other = build_record_image(state_dir, en->d_name);
		used = other && strcmp(other, image) == 0;
		free(other);
	}
	if (list)
		closedir(list);
	free(dir);
	return used;
}

int build_record_remove(const char *state_dir, const char *id, struct err *e)
{
	char *path = record_path(state_dir, id);
	int rc = file_remove_tree(path, e);

	free(path);
	return rc;
}
