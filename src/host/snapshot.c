/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot.h. */
#include "host/snapshot.h"

#include "base/file.h"
#include "host/paths.h"

#include <stdlib.h>
#include <sys/stat.h>

#define STATUS_MAX (16u << 20)
#define RESPONSIVE_MS 30000 /* the Server's limit for heartbeats */

void snapshot_load(struct snapshot *s, const char *state_dir)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct stat st = { 0 };
	char *path = paths_status(state_dir);
	int64_t pid = 0;

	if (stat(path, &st) == 0 && file_read(path, STATUS_MAX, &text, &ignored) == 0)
		s->doc = json_parse(buf_str(&text), STATUS_MAX, &ignored);
	s->beat_wall_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	s->fresh = json_i64(snapshot_get(s, "pid"), 1, INT32_MAX, &pid) && pid == s->who.pid;
	buf_free(&text);
	free(path);
}

void snapshot_free(struct snapshot *s)
{
	json_doc_free(s->doc);
	*s = (struct snapshot){ 0 };
}

struct json snapshot_get(const struct snapshot *s, const char *key)
{
	return s->doc ? json_get(json_root(s->doc), key) : (struct json){ 0 };
}

bool snapshot_is(const struct snapshot *s, const char *key)
{
	return s->fresh && json_bool(snapshot_get(s, key), false);
}

bool snapshot_server_ok(const struct snapshot *s, int64_t heartbeat_ms)
{
	/* A clock set back is no failure. */
	return snapshot_is(s, "server_ok") &&
	       clock_wall_ms() - s->beat_wall_ms < RESPONSIVE_MS + heartbeat_ms;
}

bool snapshot_idle(const struct snapshot *s)
{
	return s->fresh && !snapshot_is(s, "draining") &&
	       !json_present(json_first(snapshot_get(s, "jobs")));
}

bool snapshot_has_provider(const struct snapshot *s)
{
	for (struct json p = json_first(snapshot_get(s, "providers")); json_present(p);
	     p = json_next(p)) {
		if (json_bool(json_get(p, "enabled"), false) &&
		    (json_bool(json_get(p, "usable"), false) ||
		     !json_is_string(json_get(p, "why"))))
			return true;
	}
	return !s->fresh;
}
