/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h. */
#include "server/store.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4u << 20)

/* Directory of each kind, and the field that names the file. */
static const struct {
	const char *dir, *id;
} kinds[K_N] = {
	[K_KEY] = { "keys", "hash" },     [K_RUNNER] = { "runners", "id" },
	[K_JOB] = { "jobs", "id" },       [K_CONFIG] = { "target-configs", "id" },
	[K_TARGET] = { "targets", "id" }, [K_WORKSPACE] = { "workspaces", "id" },
	[K_BUILD] = { "builds", "id" },   [K_TEMPLATE] = { "templates", "name" },
	[K_GIT] = { "git", "id" },        [K_ENV] = { "env", "key" },
};

char *store_path(const struct store *s, const char *name)
{
	return path_join(s->dir, name);
}

/* Ids are any text (protocol 1.4): one that is no plain name is stored under its hash. */
static char *rec_path(const struct store *s, const struct rec *r)
{
	const char *id = rec_text(r, kinds[r->kind].id);
	struct buf b = { 0 };

	buf_addf(&b, "%s/%s/", s->dir, kinds[r->kind].dir);
	if (str_is_id(str_of(id)) && id[0] != '.' && strlen(id) <= 100) {
		buf_adds(&b, id);
	} else {
		unsigned char hash[32];

		crypto_sha256(id, strlen(id), hash);
		buf_addc(&b, '=');
		buf_add_hex(&b, hash, sizeof(hash));
	}
	buf_adds(&b, ".json");
	return buf_take(&b);
}

struct rec *store_add(struct store *s, enum kind kind)
{
	struct rec *r = rec_new((int)kind);
	struct rec **at = &s->first[kind];

	r->seq = s->next_seq++;
	while (*at)
		at = &(*at)->next;
	*at = r;
	return r;
}

static void drop(struct store *s, struct rec *r)
{
	struct rec **at = &s->first[r->kind];

	while (*at && *at != r)
		at = &(*at)->next;
	if (*at)
		*at = r->next;
	rec_free(r);
}

struct rec *store_find(const struct store *s, enum kind kind, const char *field, const char *value)
{
	for (struct rec *r = s->first[kind]; r; r = r->next)
		if (rec_is(r, field, value))
			return r;
	return NULL;
}

struct rec *store_find_any(const struct store *s, enum kind kind, const char *id_or_name)
{
	struct rec *r = store_find(s, kind, "id", id_or_name);

	return r ? r : store_find(s, kind, "name", id_or_name);
}

static bool load_rec(struct rec *r, const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	bool ok = false;

	if (file_read(path, FILE_MAX, &text, e) == 0)
		doc = json_parse(buf_str(&text), FILE_MAX, e);
	if (doc) {
		ok = rec_read_file(r, json_root(doc)) && rec_get(r, kinds[r->kind].id);
		if (!ok)
			err_set(e, ERR_PARSE, 0, "%s: no stored resource", path);
	}
	json_doc_free(doc);
	buf_wipe(&text);
	return ok;
}

int store_save(struct store *s, struct rec *r, struct err *e)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	char *path = rec_path(s, r);
	int rc;

	rec_write_file(r, &text);
	rc = file_replace(path, 0600, buf_str(&text), e);
	if (rc == 0)
		r->unsaved = false;
	else if (!file_exists(path) || !load_rec(r, path, &ignored))
		drop(s, r);
	buf_wipe(&text);
	free(path);
	return rc;
}

int store_remove(struct store *s, struct rec *r, struct err *e)
{
	char *path = rec_path(s, r);
	char *dir = store_path(s, kinds[r->kind].dir);
	int rc = 0;

	if (unlink(path) < 0 && errno != ENOENT)
		rc = err_sys(e, errno, "remove %s", path);
	else
		rc = file_fsync_dir(dir, e);
	if (rc == 0)
		drop(s, r);
	free(dir);
	free(path);
	return rc;
}

static void set_aside(const char *path, const struct err *why)
{
	struct buf to = { 0 };

	buf_addf(&to, "%s.bad", path);
	if (rename(path, buf_cstr(&to)) < 0)
		log_warn("server: %s; it is ignored", why->msg);
	else
		log_warn("server: %s; set aside as %s", why->msg, buf_cstr(&to));
	buf_free(&to);
}

static void load_file(struct store *s, enum kind kind, const char *path)
{
	struct rec *r = rec_new((int)kind);
	struct err e = { 0 };
	struct rec **at = &s->first[kind];

	if (!load_rec(r, path, &e)) {
		set_aside(path, &e);
		rec_free(r);
		return;
	}
	while (*at && (*at)->seq < r->seq)
		at = &(*at)->next;
	r->next = *at;
	*at = r;
	if (r->seq >= s->next_seq)
		s->next_seq = r->seq + 1;
	if (rec_int(r, "linked") >= s->next_seq)
		s->next_seq = rec_int(r, "linked") + 1;
}

static int load_kind(struct store *s, enum kind kind, struct err *e)
{
	char *dir = store_path(s, kinds[kind].dir);
	int rc = file_mkdirs(dir, 0700, e);
	DIR *d = rc == 0 ? opendir(dir) : NULL;

	if (rc == 0 && !d)
		rc = err_sys(e, errno, "read %s", dir);
	for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
		char *path = path_join(dir, f->d_name);

		if (f->d_name[0] != '.' && str_ends(str_of(f->d_name), ".json"))
			load_file(s, kind, path);
		else if (strstr(f->d_name, ".tmp-"))
			unlink(path); /* of a write that was cut short */
		free(path);
	}
	if (d)
		closedir(d);
	free(dir);
	return rc;
}

static void forget(struct store *s, struct rec *r, const char *why)
{
	struct err e = { 0 };

	log_info("server: %s %s: %s", kinds[r->kind].dir, rec_text(r, kinds[r->kind].id), why);
	if (store_remove(s, r, &e) < 0)
		log_warn("server: %s", e.msg);
}

static bool has_job(const struct store *s, const struct rec *r)
{
	/* Older ones are those of a deleted resource with the same id. */
	for (const struct rec *j = s->first[K_JOB]; j; j = j->next)
		if (j->seq > r->seq && rec_is(j, "resourceId", rec_text(r, "id")))
			return true;
	return false;
}

/* A creation or removal that was cut short by a crash was never answered: undo its first half. */
static void repair(struct store *s)
{
	static const enum kind with_job[] = { K_TARGET, K_WORKSPACE, K_BUILD };
	struct rec *r, *next;

	for (size_t i = 0; i < ARRAY_LEN(with_job); i++) {
		for (r = s->first[with_job[i]]; r; r = next) {
			next = r->next;
			if (!has_job(s, r))
				forget(s, r, "was created without a job; removed");
		}
	}
	for (r = s->first[K_KEY]; r; r = next) {
		const char *type = rec_text(r, "type"), *name = rec_text(r, "name");
		enum kind owner = strcmp(type, "runner") == 0   ? K_RUNNER
		                  : strcmp(type, "target") == 0 ? K_TARGET
		                                                : K_WORKSPACE;

		next = r->next;
		if (strcmp(type, "client") != 0 && !store_find(s, owner, "id", name))
			forget(s, r, "a key without its owner; removed");
	}
}

/* The lock file is what marks a directory as ours. */
static int take_dir(struct store *s, struct err *e)
{
	char *lock = store_path(s, STORE_LOCK_FILE);
	struct stat st;
	int rc = file_mkdirs(s->dir, 0700, e);

	if (rc == 0 && !file_exists(lock)) {
		DIR *d = opendir(s->dir);
		int entries = 0;

		while (d && readdir(d))
			entries++;
		if (d)
			closedir(d);
		if (entries > 2)
			rc = err_set(e, ERR_CONFIG, 0,
			             "%s is not empty and holds no server's data; "
			             "choose another directory with --data",
			             s->dir);
	}
	if (rc == 0 && stat(s->dir, &st) == 0 && (st.st_mode & 077) && chmod(s->dir, 0700) < 0)
		rc = err_sys(e, errno, "%s is open to others; chmod 0700", s->dir);
	if (rc == 0) {
		s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->lock_fd < 0)
			rc = err_sys(e, errno, "open %s", lock);
		else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
			rc = err_set(e, ERR_BUSY, errno, "another server uses %s", s->dir);
	}
	free(lock);
	return rc;
}

int store_note(struct store *s, struct str text, struct err *e)
{
	if (ftruncate(s->lock_fd, 0) < 0 || lseek(s->lock_fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "write %s/%s", s->dir, STORE_LOCK_FILE);
	return file_write_all(s->lock_fd, text, STORE_LOCK_FILE, e);
}

int store_open(struct store *s, const char *dir, struct err *e)
{
	*s = (struct store){ .dir = mem_dup(dir), .lock_fd = -1, .next_seq = 1 };
	int rc = take_dir(s, e);

	for (int k = 0; rc == 0 && k < K_N; k++)
		rc = load_kind(s, (enum kind)k, e);
	if (rc == 0)
		repair(s);
	else
		store_close(s);
	return rc;
}

void store_close(struct store *s)
{
	for (int k = 0; k < K_N; k++) {
		while (s->first[k]) {
			struct rec *r = s->first[k];
			struct err e = { 0 };

			if (r->unsaved && store_save(s, r, &e) < 0)
				log_warn("server: %s", e.msg);
			if (s->first[k] == r)
				drop(s, r);
		}
	}
	if (s->dir)
		fd_close(&s->lock_fd);
	free(s->dir);
	*s = (struct store){ .lock_fd = -1 };
}
