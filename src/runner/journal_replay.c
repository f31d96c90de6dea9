/* SPDX-License-Identifier: Apache-2.0 */
/* See journal.h: from records to unfinished jobs. A record is "crc32 length json\n"; a bad one costs itself alone. */
#include "runner/journal_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PAST_TEXT_MAX 200
#define PREFIX 18 /* "xxxxxxxx nnnnnnnn " */

uint32_t journal_crc(struct str s)
{
	uint32_t crc = 0xFFFFFFFFu;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
	}
	return ~crc;
}

void journal_entry_free(struct journal_entry *en)
{
	job_free(&en->job);
	free(en->text);
	*en = (struct journal_entry){ 0 };
}

static struct journal_entry *find(struct journal *j, struct json rec)
{
	char *id = json_dup(json_get(rec, "id"));
	struct journal_entry *found = NULL;

	for (size_t i = 0; id && i < j->n; i++) {
		if (strcmp(j->entries[i].job.id, id) == 0)
			found = &j->entries[i];
	}
	free(id);
	return found;
}

static struct journal_entry *add_entry(struct journal *j, const struct job *job)
{
	j->entries = mem_realloc(j->entries, (j->n + 1) * sizeof(*j->entries));
	j->entries[j->n] = (struct journal_entry){ .job = *job };
	return &j->entries[j->n++];
}

static void replay_claim(struct journal *j, struct json rec)
{
	struct job job = { 0 };
	struct err e;

	if (job_parse(json_get(rec, "job"), &job, &e) < 0)
		return;
	for (size_t i = 0; i < j->n; i++) {
		if (strcmp(j->entries[i].job.id, job.id) == 0) { /* its work could not be begun */
			j->entries[i].begun = !j->boot[0] ||
			                      !json_str_is(json_get(rec, "boot"), j->boot);
			j->entries[i].process = (struct proc_id){ 0 };
			job_free(&job);
			return;
		}
	}
	/* After another boot the mark that it has begun may be lost: only its result is synced. */
	add_entry(j, &job)->begun = !j->boot[0] || !json_str_is(json_get(rec, "boot"), j->boot);
}

static void replay_result(struct journal_entry *en, struct json rec)
{
	char *state = json_dup_or_empty(json_get(rec, "state"));

	en->result = job_state_of(state);
	if (en->result != JOB_SUCCESS)
		en->result = JOB_ERROR;
	en->has_result = true;
	free(en->text);
	en->text = json_dup(json_get(rec, "text"));
	free(state);
}

/* A result whose claim was in a damaged place: the id is enough to report it. */
static struct journal_entry *orphan(struct journal *j, struct json rec)
{
	struct job job = { 0 };
	struct err e;

	if (job_parse(rec, &job, &e) < 0)
		return NULL;
	return add_entry(j, &job);
}

static void replay_run(struct journal *j, struct journal_entry *en, struct json rec)
{
	int64_t pid, start;

	en->begun = true;
	if (!json_str_is(json_get(rec, "boot"), j->boot) ||
	    !json_i64(json_get(rec, "pid"), 2, INT32_MAX, &pid) ||
	    !json_i64(json_get(rec, "start"), 0, INT64_MAX, &start))
		return;
	en->process = (struct proc_id){ (pid_t)pid, (uint64_t)start };
}

static void add_past(struct journal *j, const char *id, enum job_state result, const char *text)
{
	struct journal_past *p = &j->past[j->past_next++ % JOURNAL_PAST];
	size_t n = text ? strlen(text) : 0;

	free(p->id);
	free(p->text);
	if (n > PAST_TEXT_MAX) {
		n = PAST_TEXT_MAX;
		while (((unsigned char)text[n] & 0xC0) == 0x80)
			n--;
	}
	*p = (struct journal_past){ mem_dup(id), result, text ? mem_dupn(text, n) : NULL };
}

static void replay_past(struct journal *j, struct json rec)
{
	char *id = json_dup(json_get(rec, "id"));
	char *state = json_dup_or_empty(json_get(rec, "state"));
	char *text = json_dup(json_get(rec, "text"));

	if (id)
		add_past(j, id, job_state_of(state) == JOB_SUCCESS ? JOB_SUCCESS : JOB_ERROR, text);
	free(id);
	free(state);
	free(text);
}

static void replay_done(struct journal *j, struct journal_entry *en)
{
	size_t at = (size_t)(en - j->entries);

	if (en->has_result)
		add_past(j, en->job.id, en->result, en->text);
	journal_entry_free(en);
	memmove(en, en + 1, (j->n - at - 1) * sizeof(*en));
	j->n--;
}

bool journal_apply(struct journal *j, struct str json)
{
	struct err e;
	struct json_doc *doc = json_parse(json, JOURNAL_RECORD_MAX, &e);
	struct json rec = json_root(doc);
	struct json type = json_get(rec, "t");
	struct journal_entry *en = find(j, rec);
	bool ok = json_is_object(rec);

	if (json_str_is(type, "claim"))
		replay_claim(j, rec);
	else if (en && json_str_is(type, "run"))
		replay_run(j, en, rec);
	else if (json_str_is(type, "result") && (en || (en = orphan(j, rec))))
		replay_result(en, rec);
	else if (en && json_str_is(type, "refused"))
		json_i64(json_get(rec, "ms"), 0, INT64_MAX, &en->refused_ms);
	else if (en && json_str_is(type, "done"))
		replay_done(j, en);
	else if (json_str_is(type, "past"))
		replay_past(j, rec);
	json_doc_free(doc);
	return ok;
}

/* The record at the start of s: its whole length, or 0 if there is no valid one. */
static size_t record_at(struct str s, struct str *json)
{
	char head[PREFIX + 1];
	unsigned long crc, len;
	char *end;

	if (s.n < PREFIX + 1)
		return 0;
	memcpy(head, s.p, PREFIX);
	head[PREFIX] = '\0';
	if (head[8] != ' ' || head[17] != ' ')
		return 0;
	crc = strtoul(head, &end, 16);
	if (end != head + 8)
		return 0;
	len = strtoul(head + 9, &end, 16);
	if (end != head + 17 || len > JOURNAL_RECORD_MAX || s.n - PREFIX < len + 1 ||
	    s.p[PREFIX + len] != '\n')
		return 0;
	*json = (struct str){ s.p + PREFIX, len };
	return journal_crc(*json) == crc ? PREFIX + len + 1 : 0;
}

void journal_replay(struct journal *j, struct str all, struct journal_replay *r)
{
	size_t at = 0;
	bool damaged = false;

	while (at < all.n) {
		struct str rest = { all.p + at, all.n - at };
		struct str json = { 0 };
		size_t len = record_at(rest, &json);
		const char *nl;

		if (len && journal_apply(j, json)) {
			r->skipped += damaged;
			damaged = false;
			at += len;
			r->good = (off_t)at;
			continue;
		}
		if (rest.p[0] == '\0') { /* zeros: the end, unless a power cut left a hole */
			size_t zeros = 0;

			while (zeros < rest.n && rest.p[zeros] == '\0')
				zeros++;
			at += zeros;
			if (at < all.n)
				damaged = true;
			continue;
		}
		damaged = true;
		nl = memchr(rest.p, '\n', rest.n);
		at = nl ? at + (size_t)(nl - rest.p) + 1 : all.n;
	}
	r->torn = damaged;
}
