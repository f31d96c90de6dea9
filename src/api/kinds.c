/* SPDX-License-Identifier: Apache-2.0 */
/* See kinds.h; the shapes are those of protocol 11. */
#include "api/kinds.h"

#include "base/mem.h"

#define CONFIG "targetConfig."
#define PROVIDER CONFIG "providerInfo."

static const struct api_field workspace_fields[] = {
	{ "name", "name", 1, SHOW_TEXT },
	{ "id", "id", 4, SHOW_TEXT },
	{ "state", "state.name", 2, SHOW_STATE },
	{ "error", "state.error", 0, SHOW_TEXT },
	{ "since", "state.updatedAt", 6, SHOW_AGE },
	{ "target", "target.name", 5, SHOW_TEXT },
	{ "runner", "target." PROVIDER "runnerName", 0, SHOW_TEXT },
	{ "provider", "target." PROVIDER "name", 0, SHOW_TEXT },
	{ "repository", "repository.url", 3, SHOW_TEXT },
	{ "branch", "repository.branch", 7, SHOW_TEXT },
	{ "commit", "repository.sha", 0, SHOW_TEXT },
	{ "image", "image", 0, SHOW_TEXT },
	{ "user", "user", 0, SHOW_TEXT },
	{ "labels", "labels", 0, SHOW_TEXT },
};

static const struct api_field target_fields[] = {
	{ "name", "name", 1, SHOW_TEXT },
	{ "id", "id", 3, SHOW_TEXT },
	{ "state", "state.name", 2, SHOW_STATE },
	{ "error", "state.error", 0, SHOW_TEXT },
	{ "runner", PROVIDER "runnerName", 5, SHOW_TEXT },
	{ "provider", PROVIDER "name", 4, SHOW_TEXT },
	{ "config", CONFIG "name", 0, SHOW_TEXT },
	{ "default", "default", 7, SHOW_TEXT },
	{ "workspaces", "workspaces", 6, SHOW_COUNT },
};

static const struct api_field target_config_fields[] = {
	{ "name", "name", 1, SHOW_TEXT },
	{ "id", "id", 0, SHOW_TEXT },
	{ "provider", "providerInfo.name", 2, SHOW_TEXT },
	{ "runner", "providerInfo.runnerName", 3, SHOW_TEXT },
};

static const struct api_field job_fields[] = {
	{ "id", "id", 1, SHOW_TEXT },
	{ "resourceType", "resourceType", 3, SHOW_TEXT },
	{ "resourceId", "resourceId", 4, SHOW_TEXT },
	{ "action", "action", 2, SHOW_TEXT },
	{ "state", "state", 1, SHOW_STATE },
	{ "created", "createdAt", 5, SHOW_AGE },
	{ "updated", "updatedAt", 0, SHOW_AGE },
	{ "runnerId", "runnerId", 6, SHOW_TEXT },
	{ "error", "error", 0, SHOW_TEXT },
};

static const struct api_field key_fields[] = {
	{ "name", "name", 1, SHOW_TEXT },
	{ "type", "type", 2, SHOW_TEXT },
	{ "current", "current", 3, SHOW_TEXT },
};

static const struct api_field env_fields[] = {
	{ "key", "key", 1, SHOW_TEXT },
	{ "value", "value", 2, SHOW_TEXT },
};

#define FIELDS(list) .fields = (list), .n = ARRAY_LEN(list)

const struct api_kind api_workspace_kind = { .name = "workspace",
	                                     .path = "/workspace",
	                                     .one = true,
	                                     .id = "id",
	                                     .called = "name",
	                                     .note = "state.name",
	                                     .runner = "target." PROVIDER "runnerName",
	                                     .runner_id = "target." PROVIDER "runnerId",
	                                     FIELDS(workspace_fields) };
const struct api_kind api_target_kind = { .name = "target",
	                                  .path = "/target",
	                                  .id = "id",
	                                  .called = "name",
	                                  .note = PROVIDER "name",
	                                  .runner = PROVIDER "runnerName",
	                                  .runner_id = PROVIDER "runnerId",
	                                  FIELDS(target_fields) };
const struct api_kind api_target_config_kind = { .name = "target configuration",
	                                         .path = "/target-config",
	                                         .id = "id",
	                                         .called = "name",
	                                         .note = "providerInfo.name",
	                                         .runner = "providerInfo.runnerName",
	                                         .runner_id = "providerInfo.runnerId",
	                                         FIELDS(target_config_fields) };
const struct api_kind api_job_kind = { .name = "job",
	                               .path = "/job",
	                               .id = "id",
	                               .called = "id",
	                               .note = "state",
	                               .runner = "",
	                               .runner_id = "",
	                               FIELDS(job_fields) };
const struct api_kind api_key_kind = { .name = "key",
	                               .path = "/apikey",
	                               .id = "name",
	                               .called = "name",
	                               .note = "type",
	                               .runner = "",
	                               .runner_id = "",
	                               FIELDS(key_fields) };
const struct api_kind api_env_kind = { .name = "variable",
	                               .path = "/env",
	                               .id = "key",
	                               .called = "key",
	                               .note = "",
	                               .runner = "",
	                               .runner_id = "",
	                               FIELDS(env_fields) };

struct json api_kind_get(struct json element, const char *path)
{
	struct str rest = str_of(path), piece;

	while (str_next(&rest, '.', &piece)) {
		struct buf key = { 0 };

		buf_add_str(&key, piece);
		element = json_get(element, buf_cstr(&key));
		buf_free(&key);
	}
	return element;
}
