/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: replay, damage at every byte, refusal on a full disk, rewriting. */
#include "runner/journal.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char dir[TEST_PATH_SIZE];
static char *path;
static unsigned notes;

/* ---- a disk that fails: what a failed sync was for is gone, though a reader still finds it in the cache ---- */

static bool data_fails, sync_fails, dirs_fail;
static unsigned syncs;
static time_t skew_s;
static off_t gone_from; /* where the bytes began that a failed sync dropped */

int fdatasync(int fd)
{
	static const char zeros[512];

	syncs++;
	if (!data_fails)
		return (int)syscall(SYS_fdatasync, fd);
	/* As after a power cut: the kernel has it no more, and another sync of it succeeds. */
	data_fails = false;
	CHECK(pwrite(fd, zeros, sizeof(zeros), gone_from) == sizeof(zeros));
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	struct stat st;

	syncs++;
	if (!sync_fails && !(dirs_fail && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)))
		return (int)syscall(SYS_fsync, fd);
	errno = EIO;
	return -1;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += skew_s;
	return rc;
}

static void note(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	notes++;
}

static struct journal *reopen(void)
{
	struct err e = { 0 };
	struct journal *j = journal_open(path, note, NULL, &e);

	if (!j)
		fprintf(stderr, "open: %s\n", e.msg);
	return j;
}

static void make_job(struct job *j, const char *id)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	buf_addf(
		&b,
		"{\"id\":\"%s\",\"resourceId\":\"r1\",\"resourceType\":\"workspace\",\"state\":\"pending\",\"action\":\"create\"}",
		id);
	doc = json_parse(buf_str(&b), b.n, &e);
	CHECK(job_parse(json_root(doc), j, &e) == 0);
	json_doc_free(doc);
	buf_free(&b);
}

static void claim(struct journal *j, const char *id)
{
	struct job job = { 0 };
	struct err e = { 0 };

	make_job(&job, id);
	CHECK(journal_claim(j, &job, &e) == 0);
	job_free(&job);
}

static void fresh(void)
{
	unlink(path);
	notes = 0;
}

static void claims_and_results_survive(void)
{
	struct proc_id me = { 0 };
	struct err e = { 0 };
	const struct journal_entry *en;
	struct journal *j;
	size_t n;

	fresh();
	proc_identify(getpid(), &me);
	j = reopen();
	claim(j, "a");
	claim(j, "b");
	claim(j, "c");
	CHECK(journal_run(j, "a", me, &e) == 0);
	CHECK(journal_result(j, "b", JOB_ERROR, "no \"space\"\n", &e) == 0);
	CHECK(journal_result(j, "c", JOB_SUCCESS, NULL, &e) == 0);
	CHECK(journal_done(j, "c", &e) == 0);
	journal_close(j);
	j = reopen();
	en = journal_entries(j, &n);
	CHECK_INT((long long)n, 2);
	CHECK_STR(en[0].job.id, "a");
	CHECK(!en[0].has_result && en[0].process.pid == getpid() &&
	      en[0].process.start == me.start);
	CHECK_STR(en[1].job.id, "b");
	CHECK(en[1].has_result && en[1].result == JOB_ERROR);
	CHECK_STR(en[1].text, "no \"space\"\n");
	CHECK_INT(notes, 0);
	journal_close(j);
}

/* However the file is cut, what comes before the cut is found, and the start is never refused. */
static void truncation_at_every_byte(void)
{
	struct buf whole = { 0 };
	struct err e = { 0 };
	struct journal *j;
	size_t n, end;

	fresh();
	j = reopen();
	claim(j, "a");
	claim(j, "b");
	CHECK(journal_result(j, "a", JOB_SUCCESS, NULL, &e) == 0);
	journal_close(j);
	CHECK(file_read(path, 1 << 20, &whole, &e) == 0);
	end = whole.n;
	while (end && whole.p[end - 1] == '\0')
		end--;
	for (size_t cut = 0; cut <= end; cut++) {
		const struct journal_entry *en;
		size_t had;

		unlink(path);
		CHECK(file_replace(path, 0600, (struct str){ whole.p, cut }, &e) == 0);
		j = reopen();
		CHECK(j != NULL);
		en = journal_entries(j, &had);
		CHECK(had <= 2);
		if (cut == end)
			CHECK(had == 2 && en[0].has_result);
		claim(j, "z"); /* and it can be gone on with */
		journal_close(j);
		j = reopen();
		journal_entries(j, &n);
		CHECK(n == had + 1);
		journal_close(j);
	}
	buf_free(&whole);
}

static void one_bad_byte_costs_one_record(void)
{
	struct buf whole = { 0 };
	struct err e = { 0 };
	struct journal *j;
	size_t n, end;

	fresh();
	j = reopen();
	claim(j, "a");
	claim(j, "b");
	claim(j, "c");
	journal_close(j);
	CHECK(file_read(path, 1 << 20, &whole, &e) == 0);
	end = whole.n;
	while (end && whole.p[end - 1] == '\0')
		end--;
	for (size_t at = 0; at < end; at++) {
		char was = whole.p[at];

		whole.p[at] = (char)(was ^ 0x15);
		unlink(path);
		CHECK(file_replace(path, 0600, buf_str(&whole), &e) == 0);
		j = reopen();
		journal_entries(j, &n);
		CHECK(n >= 1 && n <= 2);
		journal_close(j);
		whole.p[at] = was;
	}
	CHECK(notes >= end); /* each one was told */
	buf_free(&whole);
	file_remove_tree(path, &e);
}

static size_t write_results(struct journal *j, const char *text)
{
	struct err e = { 0 };
	size_t n, failed = 0;

	journal_entries(j, &n);
	for (size_t i = 0; i < n; i++) {
		char *id = mem_dup(journal_entries(j, &n)[i].job.id);

		failed += journal_result(j, id, JOB_ERROR, text, &e) < 0;
		free(id);
	}
	return failed;
}

/* A limit on the file's size stands for a full disk: the claim fails, the result still fits. */
static void full_disk_refuses_claims_but_keeps_results(void)
{
	struct rlimit old, small;
	struct job job = { 0 };
	struct err e = { 0 };
	struct journal *j;
	const struct journal_entry *en;
	struct stat st;
	char text[4001];
	size_t n;
	int rc = 0;

	fresh();
	signal(SIGXFSZ, SIG_IGN);
	j = reopen();
	claim(j, "a");
	stat(path, &st);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ (rlim_t)st.st_size, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 2000 && rc == 0; i++) {
		char id[16];

		snprintf(id, sizeof(id), "x%d", i);
		make_job(&job, id);
		rc = journal_claim(j, &job, &e);
		job_free(&job);
	}
	CHECK(rc < 0);
	CHECK(strstr(e.msg, "File too large") != NULL);
	err_clear(&e);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK(journal_result(j, "a", JOB_ERROR, text, &e) == 0);
	/* The longest of results for every job whose claim was taken. */
	CHECK_INT((long long)write_results(j, text), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	journal_close(j);
	j = reopen();
	en = journal_entries(j, &n);
	CHECK(n > 1 && en[0].has_result);
	claim(j, "later");
	journal_close(j);
}

static void file_stays_small(void)
{
	struct err e = { 0 };
	struct journal *j;
	struct stat st;
	size_t n;

	fresh();
	j = reopen();
	claim(j, "stays");
	for (int i = 0; i < 3000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "j%d", i);
		claim(j, id);
		journal_result(j, id, JOB_SUCCESS, NULL, &e);
		journal_done(j, id, &e);
		journal_tidy(j);
	}
	CHECK(stat(path, &st) == 0 && st.st_size < 1 << 20);
	journal_close(j);
	j = reopen();
	CHECK_STR(journal_entries(j, &n)->job.id, "stays");
	CHECK_INT((long long)n, 1);
	journal_close(j);
}

/* The claim is in a damaged place, the result is not: it can still be reported. */
static void result_outlives_its_claim(void)
{
	struct buf whole = { 0 };
	struct err e = { 0 };
	const struct journal_entry *en;
	struct journal *j;
	size_t n;

	fresh();
	j = reopen();
	claim(j, "a");
	CHECK(journal_result(j, "a", JOB_ERROR, "why", &e) == 0);
	journal_close(j);
	CHECK(file_read(path, 1 << 20, &whole, &e) == 0);
	whole.p[20] ^= 0x15;
	CHECK(file_replace(path, 0600, buf_str(&whole), &e) == 0);
	for (int again = 0; again < 2; again++) { /* and so it is in the rewritten file */
		j = reopen();
		en = journal_entries(j, &n);
		CHECK_INT((long long)n, 1);
		CHECK_STR(en[0].job.id, "a");
		CHECK(en[0].has_result && en[0].result == JOB_ERROR);
		CHECK_STR(en[0].text, "why");
		journal_close(j);
	}
	j = reopen();
	CHECK(journal_drop(j, "a", &e) == 0);
	journal_close(j);
	j = reopen();
	journal_entries(j, &n);
	CHECK_INT((long long)n, 0);
	journal_close(j);
	buf_free(&whole);
}

/* Only a job without the mark may be run by a later process; damage counts as the mark. */
static void begun_jobs_are_marked(void)
{
	struct buf whole = { 0 };
	struct err e = { 0 };
	const struct journal_entry *en;
	struct journal *j;
	size_t n;

	fresh();
	j = reopen();
	claim(j, "claimed");
	claim(j, "begun");
	CHECK(journal_run(j, "begun", (struct proc_id){ 0 }, &e) == 0);
	for (int i = 0; i < 3000; i++) { /* rewritten meanwhile */
		claim(j, "x");
		journal_result(j, "x", JOB_SUCCESS, NULL, &e);
		journal_done(j, "x", &e);
		journal_tidy(j);
	}
	journal_close(j);
	j = reopen();
	en = journal_entries(j, &n);
	CHECK_INT((long long)n, 2);
	CHECK(!en[0].begun);
	CHECK(en[1].begun && en[1].process.pid == 0);
	claim(j, "later");
	journal_close(j);
	CHECK(file_read(path, 4 << 20, &whole, &e) == 0);
	whole.p[30] ^= 0x15;
	CHECK(file_replace(path, 0600, buf_str(&whole), &e) == 0);
	j = reopen();
	en = journal_entries(j, &n);
	CHECK(n >= 2 && notes == 1);
	for (size_t i = 0; i < n; i++)
		CHECK(en[i].begun);
	journal_close(j);
	buf_free(&whole);
}

/* What was reported is known across restarts and rewrites, up to a limit; what was not ours is not. */
static void past_jobs_are_known(void)
{
	struct err e = { 0 };
	const struct journal_past *past;
	struct journal *j;
	size_t n;

	fresh();
	j = reopen();
	for (int i = 0; i < 3000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "j%d", i);
		claim(j, id);
		journal_result(j, id, i % 2 ? JOB_SUCCESS : JOB_ERROR, i % 2 ? NULL : "why", &e);
		journal_done(j, id, &e);
		journal_tidy(j);
	}
	claim(j, "lost");
	CHECK(journal_drop(j, "lost", &e) == 0);
	for (int again = 0; again < 2; again++) {
		CHECK(!journal_past(j, "lost"));
		CHECK(!journal_past(j, "j100"));
		past = journal_past(j, "j2999");
		CHECK(past && past->result == JOB_SUCCESS && !past->text);
		past = journal_past(j, "j2900");
		CHECK(past && past->result == JOB_ERROR);
		CHECK_STR(past->text, "why");
		journal_close(j);
		j = reopen();
	}
	journal_entries(j, &n);
	CHECK_INT((long long)n, 0);
	CHECK_INT(notes, 0);
	journal_close(j);
}

static char *long_text(size_t n)
{
	char *s = mem_alloc(n + 1);

	memset(s, 'x', n);
	return s;
}

/* What a hostile Server sends must not become a record that cannot be read again. */
static void huge_fields(void)
{
	struct job job = { 0 };
	struct err e = { 0 };
	struct journal *j;
	size_t n;

	fresh();
	j = reopen();
	make_job(&job, "a");
	free(job.metadata);
	job.metadata = long_text(10 << 20);
	CHECK(journal_claim(j, &job, &e) == 0);
	free(job.resource_id);
	free(job.id);
	job.id = mem_dup("b");
	job.resource_id = long_text(10 << 20);
	CHECK(journal_claim(j, &job, &e) < 0);
	CHECK(e.kind == ERR_LIMIT);
	job_free(&job);
	journal_close(j);
	j = reopen();
	CHECK_STR(journal_entries(j, &n)[0].job.id, "a");
	CHECK_INT((long long)n, 1);
	CHECK_INT(notes, 0);
	journal_close(j);
}

/* What another process, or the next one after a power cut, finds. */
static bool on_disk(const char *id, bool with_result)
{
	struct journal *j = reopen();
	const struct journal_entry *en;
	bool found = false;
	size_t n;

	en = journal_entries(j, &n);
	for (size_t i = 0; i < n; i++)
		found |= strcmp(en[i].job.id, id) == 0 && en[i].has_result == with_result;
	journal_close(j);
	return found;
}

static off_t records(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	size_t n;

	CHECK(file_read(path, 1 << 20, &b, &e) == 0);
	n = strlen(buf_cstr(&b));
	buf_free(&b);
	return (off_t)n;
}

static void what_a_failed_sync_dropped_is_written_again(void)
{
	struct err e = { 0 };
	struct journal *j;

	fresh();
	j = reopen();
	claim(j, "a");
	CHECK(journal_sync(j, &e) == 0);
	gone_from = records();
	CHECK(journal_result(j, "a", JOB_SUCCESS, NULL, &e) == 0);
	data_fails = true;
	CHECK(journal_sync(j, &e) == 0);
	CHECK(journal_is_durable(j));
	CHECK(on_disk("a", true));
	journal_close(j);
}

static void a_sync_that_goes_on_failing_is_tried_again(void)
{
	struct err e = { 0 };
	struct journal *j;
	unsigned before;

	fresh();
	j = reopen();
	claim(j, "a");
	CHECK(journal_sync(j, &e) == 0);
	gone_from = records();
	CHECK(journal_result(j, "a", JOB_SUCCESS, NULL, &e) == 0);
	data_fails = sync_fails = true;
	CHECK(journal_sync(j, &e) < 0);
	CHECK(!journal_is_durable(j));
	CHECK(!on_disk("a", true));
	/* Not with every turn of the loop … */
	before = syncs;
	sync_fails = false;
	CHECK(journal_sync(j, &e) == 0);
	CHECK(syncs == before);
	CHECK(!journal_is_durable(j));
	/* … but after a while, without anything new, */
	skew_s += 10;
	CHECK(journal_sync(j, &e) == 0);
	CHECK(journal_is_durable(j));
	CHECK(on_disk("a", true));
	/* and at once for what is to be acted on. */
	gone_from = records();
	CHECK(journal_drop(j, "a", &e) == 0);
	data_fails = sync_fails = true;
	CHECK(journal_sync(j, &e) < 0);
	claim(j, "b");
	CHECK(journal_sync(j, &e) < 0);
	sync_fails = false;
	claim(j, "c");
	CHECK(journal_sync(j, &e) == 0);
	CHECK(journal_is_durable(j));
	CHECK(on_disk("b", false) && on_disk("c", false) && !on_disk("a", true));
	journal_close(j);
}

/* The new file is in its place, though the directory could not be synced: records go there, not to the old one. */
static void directory_that_cannot_be_synced(void)
{
	struct err e = { 0 };
	struct journal *j;

	fresh();
	j = reopen();
	claim(j, "a");
	gone_from = records();
	data_fails = dirs_fail = true;
	CHECK(journal_sync(j, &e) < 0);
	CHECK(!journal_is_durable(j));
	claim(j, "b");
	CHECK(on_disk("b", false));
	dirs_fail = false;
	CHECK(journal_sync(j, &e) == 0);
	CHECK(journal_is_durable(j));
	journal_close(j);
	CHECK(on_disk("a", false) && on_disk("b", false));
}

static void memory_journal_forgets(void)
{
	struct journal *j = journal_memory();
	size_t n;

	claim(j, "a");
	CHECK(!journal_is_durable(j));
	journal_entries(j, &n);
	CHECK_INT((long long)n, 1);
	journal_close(j);
}

static void clean(void)
{
	struct err e = { 0 };

	CHECK(file_remove_tree(dir, &e) == 0);
	free(path);
}

static void prepare(void)
{
	CHECK(test_mkdtemp(dir));
	path = path_join(dir, "journal");
}

TEST_MAIN(TEST(prepare), TEST(claims_and_results_survive), TEST(truncation_at_every_byte),
          TEST(one_bad_byte_costs_one_record), TEST(full_disk_refuses_claims_but_keeps_results),
          TEST(file_stays_small), TEST(result_outlives_its_claim), TEST(past_jobs_are_known),
          TEST(begun_jobs_are_marked), TEST(huge_fields),
          TEST(what_a_failed_sync_dropped_is_written_again),
          TEST(a_sync_that_goes_on_failing_is_tried_again), TEST(directory_that_cannot_be_synced),
          TEST(memory_journal_forgets), TEST(clean))
