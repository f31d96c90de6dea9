/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the store's directory. A file that is damaged is set aside and said; nothing is concluded
 * from what is not there. A file that merely cannot be read now ends the start: it may be whole.
 */
#include "server/disk.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (16u << 20)
#define JOURNAL_FILE "journal"
#define JOURNAL_READ_MAX (256u << 20)

/* Records of one kind as they are read, in the folder's order. */
struct list {
	struct rec **p;
	size_t n, cap;
};

void disk_set_aside(struct store *s, const char *path, const struct err *why)
{
	struct buf to = { 0 };

	for (unsigned i = 1; !to.n || file_exists(buf_cstr(&to)); i++) {
		buf_reset(&to);
		buf_addf(&to, "%s.bad-%u", path, i);
	}
	s->disk->bad_files++;
	if (rename(path, buf_cstr(&to)) < 0)
		log_warn("server: %s; it is ignored", why->msg);
	else
		log_warn("server: %s; set aside as %s: repair it and give it its name back, or "
		         "remove it",
		         why->msg, buf_cstr(&to));
	buf_free(&to);
}

/* Is what is wrong with a file in its bytes? Then it stays wrong. */
static bool is_damage(const struct err *e)
{
	return e->kind == ERR_PARSE || e->kind == ERR_LIMIT ||
	       (e->kind == ERR_SYS && (e->code == EIO || e->code == EISDIR || e->code == ELOOP));
}

static int check_rec(const struct rec *r, const char *name, struct err *e)
{
	struct buf path = { 0 };
	const char *id = rec_get(r, kind_id((enum kind)r->kind)), *slash;
	int rc = 0;

	if (!id)
		return err_set(e, ERR_PARSE, 0, "no stored resource");
	disk_rec_path(&path, (enum kind)r->kind, id);
	slash = strchr(buf_cstr(&path), '/');
	/* A copy under another name would be a second record with the same id. */
	if (strcmp(slash + 1, name) != 0)
		rc = err_set(e, ERR_PARSE, 0, "the file of that id is %s", slash + 1);
	buf_free(&path);
	return rc;
}

static int read_rec(struct rec *r, const char *path, const char *name, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	int rc = file_read(path, FILE_MAX, &text, e);

	if (rc == 0 && !(doc = json_parse(buf_str(&text), FILE_MAX, e)))
		rc = err_wrap(e, "%s", path);
	if (doc) {
		rc = rec_read_all(r, json_root(doc))
		             ? check_rec(r, name, e)
		             : err_set(e, ERR_PARSE, 0, "no stored resource");
		if (rc < 0)
			err_wrap(e, "%s", path);
	}
	json_doc_free(doc);
	buf_wipe(&text);
	return rc;
}

static int load_file(struct store *s, enum kind kind, const char *path, const char *name,
                     struct list *list, struct err *e)
{
	struct rec *r = rec_new((int)kind);

	if (read_rec(r, path, name, e) < 0) {
		rec_free(r);
		if (!is_damage(e))
			return -1;
		disk_set_aside(s, path, e);
		err_clear(e);
		return 0;
	}
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 64;
		list->p = mem_realloc(list->p, list->cap * sizeof(struct rec *));
	}
	list->p[list->n++] = r;
	return 0;
}

/* "x.json.tmp-123", of a write that was cut short and has another line in the journal. */
static bool is_rest(const char *name)
{
	const char *at = str_find(str_of(name), ".json.tmp-");

	if (!at)
		return false;
	for (at += strlen(".json.tmp-"); isdigit((unsigned char)*at); at++)
		;
	return *at == '\0';
}

static int by_seq(const void *a, const void *b)
{
	const struct rec *x = *(struct rec *const *)a, *y = *(struct rec *const *)b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static int load_kind(struct store *s, enum kind kind, struct err *e)
{
	char *dir = store_path(s, kind_dir(kind));
	struct list list = { 0 };
	int rc = file_mkdirs(dir, 0700, e);
	DIR *d = rc == 0 ? opendir(dir) : NULL;

	if (rc == 0 && !d)
		rc = err_sys(e, errno, "read %s", dir);
	for (struct dirent *f = d ? readdir(d) : NULL; rc == 0 && f; f = readdir(d)) {
		char *path = path_join(dir, f->d_name);

		if (f->d_name[0] != '.' && str_ends(str_of(f->d_name), ".json"))
			rc = load_file(s, kind, path, f->d_name, &list, e);
		else if (is_rest(f->d_name))
			unlink(path);
		free(path);
	}
	if (d)
		closedir(d);
	if (list.n)
		qsort(list.p, list.n, sizeof(struct rec *), by_seq);
	for (size_t i = 0; i < list.n; i++)
		index_insert(s->index, list.p[i]);
	free(list.p);
	free(dir);
	return rc;
}

static void replay_remove(struct store *s, enum kind kind, const char *id)
{
	struct rec *r = index_find(s->index, kind, kind_id(kind), id);

	if (!r)
		return;
	disk_stale(s, r);
	index_remove(s->index, r);
	rec_free(r);
}

static bool replay_put(struct store *s, enum kind kind, struct json obj)
{
	struct rec *draft = rec_new((int)kind), *r = NULL;
	const char *id = rec_read_all(draft, obj) ? rec_get(draft, kind_id(kind)) : NULL;

	if (!id) {
		rec_free(draft);
		return false;
	}
	disk_stale(s, draft);
	r = index_find(s->index, kind, kind_id(kind), id);
	if (r && r->seq == draft->seq) {
		index_update(s->index, r, draft);
		rec_free(draft);
		return true;
	}
	replay_remove(s, kind, id);
	index_insert(s->index, draft);
	return true;
}

static bool replay_op(struct store *s, struct json op)
{
	char *put = json_dup(json_get(op, "put")), *remove = json_dup(json_get(op, "remove"));
	char *id = json_dup(json_get(op, "id"));
	enum kind kind;
	bool ok = false;

	if (put && kind_of_dir(str_of(put), &kind)) {
		ok = replay_put(s, kind, json_get(op, "rec"));
	} else if (remove && id && kind_of_dir(str_of(remove), &kind)) {
		replay_remove(s, kind, id);
		ok = true;
	}
	free(put);
	free(remove);
	free(id);
	return ok;
}

static bool is_whole(struct str line)
{
	unsigned char hash[32];
	struct buf hex = { 0 };
	bool ok = false;

	if (line.n > 17 && line.p[16] == ' ') {
		crypto_sha256(line.p + 17, line.n - 17, hash);
		buf_add_hex(&hex, hash, 8);
		ok = memcmp(hex.p, line.p, 16) == 0;
		buf_free(&hex);
	}
	return ok;
}

static bool replay_line(struct store *s, struct str line)
{
	struct err e = { 0 };
	struct json_doc *doc = NULL;
	bool ok = is_whole(line);

	if (ok)
		doc = json_parse((struct str){ line.p + 17, line.n - 17 }, SIZE_MAX, &e);
	ok = json_is_array(json_root(doc));
	for (struct json op = json_first(json_root(doc)); json_present(op); op = json_next(op))
		ok = replay_op(s, op) && ok;
	json_doc_free(doc);
	return ok;
}

/* Keeps a copy of a journal with a damaged line: its other lines count. */
static void keep_copy(struct store *s, const char *path, struct str text)
{
	struct err why = { 0 }, e = { 0 };
	struct buf copy = { 0 };

	buf_addf(&copy, "%s.copy", path);
	err_set(&why, ERR_PARSE, 0, "%s has damaged lines, the changes in them are lost", path);
	if (file_replace(buf_cstr(&copy), 0600, text, &e) < 0)
		log_warn("server: %s", e.msg);
	disk_set_aside(s, buf_cstr(&copy), &why);
	buf_free(&copy);
}

static int replay(struct store *s, struct err *e)
{
	struct disk *d = s->disk;
	char *path = store_path(s, JOURNAL_FILE);
	struct buf text = { 0 };
	struct str rest, line;
	bool damaged = false;
	int rc = 0;

	if (!file_exists(path))
		rc = file_replace(path, 0600, (struct str){ NULL, 0 }, e);
	if (rc == 0)
		rc = file_read(path, JOURNAL_READ_MAX, &text, e);
	/* What has no end was not answered: the write was cut short. */
	while (text.n && text.p[text.n - 1] != '\n')
		text.n--;
	rest = buf_str(&text);
	while (rc == 0 && str_next(&rest, '\n', &line))
		damaged = (line.n && !replay_line(s, line)) || damaged;
	if (damaged)
		keep_copy(s, path, buf_str(&text));
	if (rc == 0) {
		d->journal_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (d->journal_fd < 0)
			rc = err_sys(e, errno, "open %s", path);
		else if (ftruncate(d->journal_fd, (off_t)text.n) < 0)
			rc = err_sys(e, errno, "cut %s", path);
		d->journal_size = (off_t)text.n;
	}
	buf_wipe(&text);
	free(path);
	return rc;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	int entries = 0;

	while (d && readdir(d))
		entries++;
	if (d)
		closedir(d);
	return entries <= 2;
}

/* The lock file is what marks a directory as ours. */
static int take_dir(struct store *s, struct err *e)
{
	char *lock = store_path(s, STORE_LOCK_FILE);
	struct stat st;
	int rc = file_mkdirs(s->dir, 0700, e);

	if (rc == 0 && !file_exists(lock) && !is_empty(s->dir))
		rc = err_set(e, ERR_CONFIG, 0,
		             "%s is not empty and holds no server's data; "
		             "choose another directory with --data",
		             s->dir);
	if (rc == 0 && stat(s->dir, &st) == 0 && (st.st_mode & 077) && chmod(s->dir, 0700) < 0)
		rc = err_sys(e, errno, "%s is open to others; chmod 0700", s->dir);
	if (rc == 0) {
		s->disk->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->disk->lock_fd < 0)
			rc = err_sys(e, errno, "open %s", lock);
		else if (flock(s->disk->lock_fd, LOCK_EX | LOCK_NB) < 0)
			rc = err_set(e, ERR_BUSY, errno, "another server uses %s", s->dir);
	}
	free(lock);
	return rc;
}

int disk_open(struct store *s, struct err *e)
{
	struct err later = { 0 };
	int rc;

	s->disk = mem_alloc(sizeof(*s->disk));
	s->disk->lock_fd = s->disk->journal_fd = s->disk->spare_fd = -1;
	rc = take_dir(s, e);
	for (int k = 0; rc == 0 && k < K_N; k++)
		rc = load_kind(s, (enum kind)k, e);
	if (rc == 0)
		rc = replay(s, e);
	if (rc == 0) {
		s->disk->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		/* A full disk must not keep the server from showing what there is. */
		if (disk_checkpoint(s, &later) < 0)
			log_warn("server: %s; the journal keeps the changes", later.msg);
	}
	return rc;
}
