/* SPDX-License-Identifier: Apache-2.0 */
/* See journal.h. A record is "crc32 length json\n"; the first NUL at a record's place ends the file. */
#include "runner/journal_internal.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPACE_STEP 65536 /* zeros written ahead */
#define SPACE_MIN 16384  /* extend when less is left */
#define FILE_MAX_BYTES (64 << 20)
#define TIDY_BYTES 262144
#define TEXT_MAX 8192
#define RESULT_SPACE 6144  /* kept free for each unfinished job's result */
#define METADATA_MAX 65536 /* no job of ours uses more */
#define AGAIN_MS 5000      /* between tries to write what a sync has failed for */

/* ---- writing ---- */

static int write_at(int fd, struct str s, off_t at, const char *path, struct err *e)
{
	while (s.n) {
		ssize_t n = pwrite(fd, s.p, s.n, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write %s", path);
		s.p += n;
		s.n -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Zeros from the end of the allocated space on, so that need bytes fit behind the records. */
static int extend(struct journal *j, off_t need, struct err *e)
{
	char zeros[4096] = { 0 };

	while (j->size < j->end + need) {
		if (write_at(j->fd, (struct str){ zeros, sizeof(zeros) }, j->size, j->path, e) <
		    0) {
			/* Give back what a partial write took: the space must stay a multiple of whole steps. */
			if (ftruncate(j->fd, j->size) < 0)
				return -1;
			return -1;
		}
		j->size += (off_t)sizeof(zeros);
	}
	return 0;
}

static void record_add(struct buf *out, struct str json)
{
	buf_addf(out, "%08x %08zx ", (unsigned)journal_crc(json), json.n);
	buf_add_str(out, json);
	buf_addc(out, '\n');
}

static int append(struct journal *j, struct str json, bool sync, struct err *e)
{
	struct buf rec = { 0 };
	int rc = -1;

	if (json.n > JOURNAL_RECORD_MAX)
		return err_set(e, ERR_LIMIT, 0,
		               "a record of %zu bytes is more than the journal takes", json.n);
	if (j->fd < 0) {
		journal_apply(j, json);
		return 0;
	}
	record_add(&rec, json);
	if (extend(j, (off_t)rec.n, e) < 0)
		;
	else if (write_at(j->fd, buf_str(&rec), j->end, j->path, e) < 0)
		;
	else
		rc = 0;
	if (rc == 0) {
		j->end += (off_t)rec.n;
		j->unsynced |= sync;
		journal_apply(j, json);
	} else {
		struct err ignored;

		/* The record did not happen: no later replay may find it. */
		memset(rec.p, 0, rec.n);
		if (j->size >= j->end + (off_t)rec.n)
			write_at(j->fd, buf_str(&rec), j->end, j->path, &ignored);
	}
	buf_wipe(&rec);
	return rc;
}

static size_t results_to_come(const struct journal *j)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n; i++)
		n += !j->entries[i].has_result;
	return n;
}

int journal_claim(struct journal *j, const struct job *job, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	struct job kept = *job; /* a view */

	if (kept.metadata && strlen(kept.metadata) > METADATA_MAX)
		kept.metadata = NULL;
	jw_obj(&b);
	jw_kstr(&b, "t", "claim");
	jw_key(&b, "job");
	job_write(&kept, &b);
	jw_kstr(&b, "boot", j->boot);
	jw_obj_end(&b);
	if (j->fd >= 0 &&
	    extend(j, (off_t)(b.n + SPACE_MIN + (results_to_come(j) + 1) * RESULT_SPACE), e) < 0)
		rc = -1;
	else
		rc = append(j, buf_str(&b), true, e);
	buf_free(&b);
	return rc < 0 ? err_wrap(e, "record the claim of job %s", job->id) : 0;
}

int journal_run(struct journal *j, const char *job_id, struct proc_id process, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "t", "run");
	jw_kstr(&b, "id", job_id);
	jw_kint(&b, "pid", process.pid);
	jw_kint(&b, "start", (int64_t)process.start);
	jw_kstr(&b, "boot", j->boot);
	jw_obj_end(&b);
	rc = append(j, buf_str(&b), false, e);
	buf_free(&b);
	return rc;
}

int journal_result(struct journal *j, const char *job_id, enum job_state state, const char *text,
                   struct err *e)
{
	struct buf b = { 0 };
	size_t n = text ? strlen(text) : 0;
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "t", "result");
	jw_kstr(&b, "id", job_id);
	jw_kstr(&b, "state", job_state_name(state));
	if (text) {
		jw_key(&b, "text");
		jw_str(&b, (struct str){ text, n < TEXT_MAX ? n : TEXT_MAX });
	}
	jw_obj_end(&b);
	rc = append(j, buf_str(&b), true, e);
	buf_free(&b);
	return rc;
}

static void refused_record(const char *job_id, int64_t for_ms, struct buf *b)
{
	jw_obj(b);
	jw_kstr(b, "t", "refused");
	jw_kstr(b, "id", job_id);
	jw_kint(b, "ms", for_ms);
	jw_obj_end(b);
}

int journal_refused(struct journal *j, const char *job_id, int64_t for_ms, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	refused_record(job_id, for_ms, &b);
	rc = append(j, buf_str(&b), false, e);
	buf_free(&b);
	return rc;
}

static int done(struct journal *j, const char *job_id, bool sync, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "t", "done");
	jw_kstr(&b, "id", job_id);
	jw_obj_end(&b);
	rc = append(j, buf_str(&b), sync, e);
	buf_free(&b);
	return rc;
}

int journal_done(struct journal *j, const char *job_id, struct err *e)
{
	/* Not synced: after a power cut the result is sent once more and the Server says that it has it. */
	return done(j, job_id, false, e);
}

int journal_drop(struct journal *j, const char *job_id, struct err *e)
{
	return done(j, job_id, true, e);
}

/* ---- opening ---- */

static void past_record(const struct journal_past *p, struct buf *out)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "t", "past");
	jw_kstr(&b, "id", p->id);
	jw_kstr(&b, "state", job_state_name(p->result));
	jw_kstr(&b, "text", p->text);
	jw_obj_end(&b);
	record_add(out, buf_str(&b));
	buf_free(&b);
}

static void entry_records(const struct journal *j, const struct journal_entry *en, struct buf *out)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "t", "claim");
	jw_key(&b, "job");
	job_write(&en->job, &b);
	jw_kstr(&b, "boot", j->boot);
	jw_obj_end(&b);
	record_add(out, buf_str(&b));
	buf_reset(&b);
	if (en->begun) {
		jw_obj(&b);
		jw_kstr(&b, "t", "run");
		jw_kstr(&b, "id", en->job.id);
		jw_kint(&b, "pid", en->process.pid);
		jw_kint(&b, "start", (int64_t)en->process.start);
		jw_kstr(&b, "boot", j->boot);
		jw_obj_end(&b);
		record_add(out, buf_str(&b));
		buf_reset(&b);
	}
	if (en->has_result) {
		jw_obj(&b);
		jw_kstr(&b, "t", "result");
		jw_kstr(&b, "id", en->job.id);
		jw_kstr(&b, "state", job_state_name(en->result));
		jw_kstr(&b, "text", en->text);
		jw_obj_end(&b);
		record_add(out, buf_str(&b));
		buf_reset(&b);
	}
	if (en->refused_ms) {
		refused_record(en->job.id, en->refused_ms, &b);
		record_add(out, buf_str(&b));
	}
	buf_free(&b);
}

/* Replaces the file by one that holds the unfinished entries alone, and opens it. */
static int rewrite(struct journal *j, struct err *e)
{
	struct buf b = { 0 };
	size_t used, space;
	struct stat before = { 0 }, after = { 0 };
	int fd, rc;

	for (size_t i = 0; i < JOURNAL_PAST; i++) {
		const struct journal_past *p = &j->past[(j->past_next + i) % JOURNAL_PAST];

		if (p->id)
			past_record(p, &b);
	}
	for (size_t i = 0; i < j->n; i++)
		entry_records(j, &j->entries[i], &b);
	used = b.n;
	space = SPACE_STEP + results_to_come(j) * RESULT_SPACE;
	memset(buf_reserve(&b, space), 0, space);
	b.n += space;
	rc = file_replace(j->path, 0600, buf_str(&b), e);
	fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && rc == 0)
		rc = err_sys(e, errno, "open %s", j->path);
	/* A directory that cannot be synced has the new file all the same: a record in the old one would be lost. */
	if (fd >= 0 && (rc == 0 || (j->fd >= 0 && fstat(j->fd, &before) == 0 &&
	                            fstat(fd, &after) == 0 && before.st_ino != after.st_ino))) {
		fd_close(&j->fd);
		j->fd = fd;
		j->end = j->rewritten = (off_t)used;
		j->size = (off_t)b.n;
		j->in_doubt = rc < 0;
		j->unsynced = false;
	} else {
		fd_close(&fd);
	}
	buf_wipe(&b);
	return rc;
}

int journal_sync(struct journal *j, struct err *e)
{
	bool wanted = j->unsynced || (j->in_doubt && deadline_passed(j->again));

	j->unsynced = false;
	/* After a failed sync the kernel takes its pages for written, or has dropped them: the next one would succeed
	 * without them. So all of it is written again, to another file. */
	if (!wanted || (!j->in_doubt && fdatasync(j->fd) == 0) || rewrite(j, e) == 0)
		return 0;
	j->in_doubt = true;
	j->again = deadline_in_ms(AGAIN_MS);
	return -1;
}

/* Keeps a damaged file under the first free name path.bad-N (N up to 9, then the last is replaced). */
static void set_aside(const char *path, struct str all, struct buf *name)
{
	struct err e;

	for (int i = 1; i <= 9; i++) {
		buf_reset(name);
		buf_addf(name, "%s.bad-%d", path, i);
		if (!file_exists(buf_cstr(name)))
			break;
	}
	if (file_replace(buf_cstr(name), 0600, all, &e) < 0)
		buf_addf(name, " (which failed: %s)", e.msg);
}

static bool all_zero(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i])
			return false;
	}
	return true;
}

/* An undamaged file is gone on with: a rewrite would cost two syncs at each start. */
static int keep(struct journal *j, off_t good, struct err *e)
{
	struct stat st;

	j->fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0)
		return err_sys(e, errno, "open %s", j->path);
	if (fstat(j->fd, &st) < 0)
		return err_sys(e, errno, "stat %s", j->path);
	j->end = j->rewritten = good;
	j->size = st.st_size;
	return 0;
}

static int load(struct journal *j, void (*note)(void *arg, const char *text), void *arg,
                struct err *e)
{
	struct buf all = { 0 }, text = { 0 }, name = { 0 };
	struct journal_replay r = { 0 };
	int rc = file_read(j->path, FILE_MAX_BYTES, &all, e);

	if (rc < 0 && e->kind == ERR_NOT_FOUND)
		rc = 0;
	else if (rc < 0 && e->kind == ERR_LIMIT)
		rc = 0; /* what was read still counts; the rest is set aside with it */
	if (rc == 0) {
		journal_replay(j, buf_str(&all), &r);
		if (r.skipped || (r.torn && all.n && r.good == 0 && !all_zero(buf_str(&all)))) {
			set_aside(j->path, buf_str(&all), &name);
			buf_addf(
				&text,
				"journal %s is damaged; the readable records are kept, a copy is in %s",
				j->path, buf_cstr(&name));
		} else if (r.torn) {
			buf_addf(&text, "journal %s ends in an incomplete record, which is dropped",
			         j->path);
		}
		/* The record that says so may be what is damaged. */
		for (size_t i = 0; i < j->n && text.n; i++)
			j->entries[i].begun = true;
		if (text.n)
			note(arg, buf_cstr(&text));
		else if (r.good && r.good < TIDY_BYTES)
			rc = keep(j, r.good, e);
	}
	buf_wipe(&all);
	buf_free(&text);
	buf_free(&name);
	return rc;
}

struct journal *journal_open(const char *path, void (*note)(void *arg, const char *text), void *arg,
                             struct err *e)
{
	struct journal *j = mem_alloc(sizeof(*j));
	struct buf boot = { 0 };

	j->fd = -1;
	j->path = mem_dup(path);
	proc_boot_id(&boot);
	snprintf(j->boot, sizeof(j->boot), "%s", buf_cstr(&boot));
	buf_free(&boot);
	if (load(j, note, arg, e) < 0 || (j->fd < 0 && rewrite(j, e) < 0)) {
		journal_close(j);
		return NULL;
	}
	return j;
}

struct journal *journal_memory(void)
{
	struct journal *j = mem_alloc(sizeof(*j));

	j->fd = -1;
	return j;
}

void journal_close(struct journal *j)
{
	struct err none = { 0 };

	if (!j)
		return;
	(void)journal_sync(j, &none);
	for (size_t i = 0; i < j->n; i++)
		journal_entry_free(&j->entries[i]);
	free(j->entries);
	for (size_t i = 0; i < JOURNAL_PAST; i++) {
		free(j->past[i].id);
		free(j->past[i].text);
	}
	fd_close(&j->fd);
	free(j->path);
	free(j);
}

bool journal_is_durable(const struct journal *j)
{
	return j->fd >= 0 && !j->in_doubt;
}

const struct journal_entry *journal_entries(const struct journal *j, size_t *n)
{
	*n = j->n;
	return j->entries;
}

const struct journal_past *journal_past(const struct journal *j, const char *job_id)
{
	for (size_t i = 0; i < JOURNAL_PAST; i++) {
		if (j->past[i].id && strcmp(j->past[i].id, job_id) == 0)
			return &j->past[i];
	}
	return NULL;
}

void journal_tidy(struct journal *j)
{
	struct err e;

	/* A rewrite that fails leaves the old file in place, which is as good, or the new one in doubt. */
	if (j->fd >= 0 && j->end > 2 * j->rewritten + TIDY_BYTES && rewrite(j, &e) < 0)
		j->rewritten = j->end;
}
