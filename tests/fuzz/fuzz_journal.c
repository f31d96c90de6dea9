/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a journal: it opens, takes a claim, and opens again with that claim in it. */
#include "base/file.h"
#include "base/json.h"
#include "runner/journal.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static void claim(struct journal *j)
{
	static const char text[] =
		"{\"id\":\"fuzz-claim\",\"resourceType\":\"target\",\"action\":\"create\"}";
	struct job job = { 0 };
	struct err e = { 0 };
	struct json_doc *doc = json_parse(STR_LIT(text), sizeof(text), &e);

	if (job_parse(json_root(doc), &job, &e) < 0 || journal_claim(j, &job, &e) < 0)
		abort();
	job_free(&job);
	json_doc_free(doc);
}

static bool holds_claim(const struct journal *j)
{
	size_t n;
	const struct journal_entry *list = journal_entries(j, &n);

	for (size_t i = 0; i < n; i++) {
		if (str_eq(str_of(list[i].job.id), "fuzz-claim"))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/dev/shm/fuzz-journal-XXXXXX"; /* in memory: a sync costs nothing there */
	struct err e = { 0 };
	struct journal *j;
	char *path;

	if (!mkdtemp(dir))
		abort();
	path = path_join(dir, "journal");
	if (file_replace(path, 0600, (struct str){ (const char *)data, size }, &e) < 0)
		abort();
	j = journal_open(path, note, NULL, &e);
	if (!j)
		abort(); /* content is never a reason not to start */
	claim(j);
	journal_close(j);
	j = journal_open(path, note, NULL, &e);
	if (!j || !holds_claim(j))
		abort();
	journal_close(j);
	free(path);
	if (file_remove_tree(dir, &e) < 0)
		abort();
	return 0;
}
