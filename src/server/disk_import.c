/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of single records, one folder a kind, and a `journal` that goes before them: what earlier
 * versions had. They are read into a scratch store; what the log has not is added to it, synced, and
 * then they are removed. A start that is cut off begins anew: what is in the log already counts.
 */
#include "server/change.h"
#include "server/replay.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (16u << 20)
#define JOURNAL_FILE "journal"
#define JOURNAL_READ_MAX (256u << 20)
#define AT_ONCE_BYTES (1u << 20)

/* Is what is wrong with a file in its bytes? Then it stays wrong. */
static bool is_damage(const struct err *e)
{
	return e->kind == ERR_PARSE || e->kind == ERR_LIMIT ||
	       (e->kind == ERR_SYS && (e->code == EIO || e->code == EISDIR || e->code == ELOOP));
}

static int read_rec(struct rec *r, const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	int rc = file_read(path, FILE_MAX, &text, e);

	if (rc == 0 && !(doc = json_parse(buf_str(&text), FILE_MAX, e)))
		rc = err_wrap(e, "%s", path);
	if (doc && (!rec_read_all(r, json_raw(json_root(doc))) ||
	            !rec_get(r, kind_id((enum kind)r->kind))))
		rc = err_set(e, ERR_PARSE, 0, "%s: no stored resource", path);
	json_doc_free(doc);
	buf_wipe(&text);
	return rc;
}

static int take_file(struct store *s, struct store *scratch, enum kind kind, const char *path,
                     struct err *e)
{
	struct rec *r = rec_new((int)kind);

	if (read_rec(r, path, e) == 0) {
		replay_put(scratch, r, 1, 0);
		return 0;
	}
	rec_free(r);
	if (!is_damage(e))
		return -1;
	disk_set_aside(s, path, e);
	err_clear(e);
	return 0;
}

static int remove_file(const char *path, struct err *e)
{
	return unlink(path) < 0 && errno != ENOENT ? err_sys(e, errno, "remove %s", path) : 0;
}

/* Reads the files of a kind; without scratch, removes them. */
static int each_file(struct store *s, struct store *scratch, enum kind kind, struct err *e)
{
	char *dir = store_path(s, kind_dir(kind));
	DIR *d = opendir(dir);
	int rc = d || errno == ENOENT ? 0 : err_sys(e, errno, "read %s", dir);

	for (struct dirent *f = d ? readdir(d) : NULL; rc == 0 && f; f = readdir(d)) {
		char *path = path_join(dir, f->d_name);

		if (f->d_name[0] != '.' && str_ends(str_of(f->d_name), ".json"))
			rc = scratch ? take_file(s, scratch, kind, path, e) : remove_file(path, e);
		else if (!scratch && str_find(str_of(f->d_name), ".json.tmp-"))
			rc = remove_file(path, e);
		free(path);
	}
	if (d)
		closedir(d);
	if (d && !scratch)
		rmdir(dir); /* it stays when something was set aside in it */
	free(dir);
	return rc;
}

static int take_journal(struct store *s, struct store *scratch, const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct str rest, line;
	struct err why = { 0 };
	int rc = file_read(path, JOURNAL_READ_MAX, &text, e);

	while (text.n && text.p[text.n - 1] != '\n')
		text.n--;
	rest = buf_str(&text);
	while (rc == 0 && str_next(&rest, '\n', &line))
		if (line.n && !replay_line(scratch, line, 1) && !why.kind)
			err_set(&why, ERR_PARSE, 0, "%s has damaged lines, they are lost", path);
	if (why.kind)
		disk_set_aside(s, path, &why);
	buf_wipe(&text);
	return rc;
}

static int commit(struct change **ch, struct err *e)
{
	struct change *done = *ch;

	*ch = NULL;
	return done ? change_commit(done, e) : 0;
}

static int add_missing(struct store *s, struct store *scratch, struct err *e)
{
	struct change *ch = NULL;
	struct buf text = { 0 };
	int rc = 0;

	for (int k = 0; k < K_N; k++) {
		for (struct rec *r = scratch->index->first[k]; rc == 0 && r; r = r->next) {
			const char *field = kind_id((enum kind)k);

			if (index_find(s->index, (enum kind)k, field, rec_text(r, field)))
				continue;
			rec_write_all(r, &text);
			if (!ch)
				ch = change_begin(s);
			struct rec *draft = change_add(ch, (enum kind)k);

			draft->seq = r->seq;
			rec_swap(draft, r);
			if (text.n > AT_ONCE_BYTES) {
				buf_reset(&text);
				rc = commit(&ch, e);
			}
		}
	}
	if (rc == 0)
		rc = commit(&ch, e);
	change_drop(ch);
	buf_wipe(&text);
	return rc;
}

static bool is_needed(const struct store *s, const char *journal)
{
	bool any = file_exists(journal);

	for (int k = 0; k < K_N; k++) {
		char *dir = store_path(s, kind_dir((enum kind)k));

		any = any || file_is_dir(dir);
		free(dir);
	}
	return any;
}

int disk_import(struct store *s, struct err *e)
{
	char *journal = store_path(s, JOURNAL_FILE);
	struct store scratch = { .index = index_new(e) };
	int rc = scratch.index ? 0 : -1;

	if (rc == 0 && is_needed(s, journal)) {
		scratch.disk = mem_alloc(sizeof(*scratch.disk));
		scratch.index->loading = true;
		for (int k = 0; rc == 0 && k < K_N; k++)
			rc = each_file(s, &scratch, (enum kind)k, e);
		if (rc == 0 && file_exists(journal))
			rc = take_journal(s, &scratch, journal, e);
		index_sort(scratch.index);
		if (rc == 0)
			rc = add_missing(s, &scratch, e);
		if (rc == 0)
			rc = remove_file(journal, e);
		for (int k = 0; rc == 0 && k < K_N; k++)
			rc = each_file(s, NULL, (enum kind)k, e);
		free(scratch.disk);
	}
	index_free(scratch.index);
	free(journal);
	return rc;
}
