/* SPDX-License-Identifier: Apache-2.0 */
/* See provstate.h. */
#include "jobs/provstate.h"

#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define FILE_MAX 65536

static void entry_free(struct provstate_entry *en)
{
	free(en->name);
	free(en->version);
}

void provstate_free(struct provstate *s)
{
	for (size_t i = 0; i < s->n; i++)
		entry_free(&s->list[i]);
	free(s->list);
	*s = (struct provstate){ 0 };
}

const struct provstate_entry *provstate_find(const struct provstate *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->list[i].name, name) == 0)
			return &s->list[i];
	}
	return NULL;
}

static struct provstate_entry *entry_for(struct provstate *s, const char *name)
{
	const struct provstate_entry *known = provstate_find(s, name);

	if (known)
		return &s->list[known - s->list];
	s->list = mem_realloc(s->list, (s->n + 1) * sizeof(*s->list));
	s->list[s->n] = (struct provstate_entry){ .name = mem_dup(name) };
	return &s->list[s->n++];
}

int provstate_load(struct provstate *s, const char *state_dir, struct err *e)
{
	char *path = path_join(state_dir, "providers.json");
	struct buf b = { 0 };
	struct json_doc *doc = NULL;
	int rc = file_read(path, FILE_MAX, &b, e);

	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		rc = 0;
	} else if (rc == 0) {
		doc = json_parse(buf_str(&b), FILE_MAX, e);
		rc = doc ? 0 : err_wrap(e, "%s", path);
	}
	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		struct buf name = { 0 };
		struct provstate_entry *en;

		json_key(member, &name);
		en = entry_for(s, buf_cstr(&name));
		en->enabled = json_bool(json_get(member, "enabled"), true);
		free(en->version);
		en->version = json_dup(json_get(member, "version"));
		buf_free(&name);
	}
	json_doc_free(doc);
	buf_free(&b);
	free(path);
	return rc;
}

static int save(const struct provstate *s, const char *state_dir, struct err *e)
{
	char *path = path_join(state_dir, "providers.json");
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	for (size_t i = 0; i < s->n; i++) {
		jw_key(&b, s->list[i].name);
		jw_obj(&b);
		jw_kbool(&b, "enabled", s->list[i].enabled);
		if (s->list[i].version)
			jw_kstr(&b, "version", s->list[i].version);
		jw_obj_end(&b);
	}
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_replace(path, 0600, buf_str(&b), e);
	buf_free(&b);
	free(path);
	return rc;
}

/* Two jobs, or a job and the command line, may change it at the same time. -1: without a lock, then. */
static int lock(const char *state_dir)
{
	int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)flock(fd, LOCK_EX); /* held for one small file */
	return fd;
}

int provstate_set(const char *state_dir, const char *name, bool enabled, const char *version,
                  struct err *e)
{
	struct provstate s = { 0 };
	struct provstate_entry *en;
	struct err ignored = { 0 };
	int fd = lock(state_dir), rc;

	if (provstate_load(&s, state_dir, &ignored) < 0)
		provstate_free(&s); /* damaged: written anew */
	en = entry_for(&s, name);
	en->enabled = enabled;
	if (version) {
		free(en->version);
		en->version = mem_dup(version);
	}
	rc = save(&s, state_dir, e);
	fd_close(&fd);
	provstate_free(&s);
	return rc;
}

int provstate_forget(const char *state_dir, const char *name, struct err *e)
{
	struct provstate s = { 0 };
	int fd = lock(state_dir);
	int rc = provstate_load(&s, state_dir, e);

	for (size_t i = 0; rc == 0 && i < s.n; i++) {
		if (strcmp(s.list[i].name, name) != 0)
			continue;
		entry_free(&s.list[i]);
		memmove(&s.list[i], &s.list[i + 1], (s.n - i - 1) * sizeof(*s.list));
		s.n--;
		rc = save(&s, state_dir, e);
		break;
	}
	fd_close(&fd);
	provstate_free(&s);
	return rc;
}
