/* SPDX-License-Identifier: Apache-2.0 */
/* See logentry.h. */
#include "api/logentry.h"

#include "base/deadline.h"
#include "base/jsonw.h"
#include "base/mask.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 16384
#define ENTRY_MAX (1u << 20)

void log_entry_add(struct buf *b, const char *source, const char *label, struct str msg)
{
	char time[TIME_TEXT_SIZE];

	time_rfc3339(clock_wall_ms(), false, false, time);
	jw_obj(b);
	jw_kstr(b, "source", source);
	jw_kstr(b, "label", label);
	jw_key(b, "msg");
	jw_str(b, msg);
	jw_kstr(b, "level", "");
	jw_kstr(b, "time", time);
	jw_obj_end(b);
	buf_adds(b, LOG_DELIMITER);
}

void log_entries_send(struct buf *queue, struct ws_client *ws, size_t max)
{
	struct str rest = buf_str(queue);
	const char *end;

	while ((end = str_find(rest, LOG_DELIMITER)) != NULL) {
		size_t n = (size_t)(end - rest.p) + sizeof(LOG_DELIMITER) - 1;

		if (!ws_client_send(ws, (struct str){ rest.p, n }, max))
			break;
		rest.p += n;
		rest.n -= n;
	}
	buf_drop(queue, queue->n - rest.n);
}

bool log_entry_parse(struct str line, struct log_entry *out)
{
	struct json_doc *doc;
	struct json root;
	struct err e;
	bool ok;

	line = str_trim(line);
	if (str_ends(line, "!-#_^*|"))
		line.n -= sizeof(LOG_DELIMITER) - 2;
	doc = json_parse(line, ENTRY_MAX, &e);
	root = json_root(doc);
	*out = (struct log_entry){ 0 };
	ok = json_is_object(root) && json_is_string(json_get(root, "msg"));
	if (ok) {
		struct buf msg = { 0 };

		json_string(json_get(root, "msg"), &msg); /* NUL bytes and all */
		out->source = json_dup_or_empty(json_get(root, "source"));
		out->label = json_dup_or_empty(json_get(root, "label"));
		out->level = json_dup_or_empty(json_get(root, "level"));
		out->time = json_dup_or_empty(json_get(root, "time"));
		out->msg = buf_take(&msg);
		ok = *out->msg || *out->source || *out->time;
		if (!ok)
			log_entry_free(out);
	}
	json_doc_free(doc);
	return ok;
}

void log_entry_free(struct log_entry *en)
{
	free(en->source);
	free(en->label);
	free(en->msg);
	free(en->level);
	free(en->time);
	*en = (struct log_entry){ 0 };
}

struct log_cutter {
	void (*emit)(void *arg, struct str msg);
	void *arg;
	struct mask_stream mask;
	struct buf line; /* masked bytes that are not emitted yet */
};

struct log_cutter *log_cutter_new(void (*emit)(void *arg, struct str msg), void *arg)
{
	struct log_cutter *c = mem_alloc(sizeof(*c));

	c->emit = emit;
	c->arg = arg;
	return c;
}

/* How many bytes at the end of s are the beginning of a character that is not complete. */
static size_t cut_character(struct str s)
{
	for (size_t back = 1; back <= 3 && back <= s.n; back++) {
		if (str_utf8_len(s.p + s.n - back, back) == -1)
			return back;
	}
	return 0;
}

/* Emits n bytes from the front, less an incomplete character at their end unless all is true. */
static size_t emit_front(struct log_cutter *c, struct str front, bool all)
{
	if (!all)
		front.n -= cut_character(front);
	if (front.n)
		c->emit(c->arg, front);
	return front.n;
}

/* Whole lines are emitted together up to the limit: fewer entries for a talkative program. */
static void emit_lines(struct log_cutter *c)
{
	size_t at = 0;

	while (at < c->line.n) {
		struct str rest = { c->line.p + at, c->line.n - at };
		size_t n = rest.n < LINE_MAX_BYTES ? rest.n : LINE_MAX_BYTES;
		const char *nl = n ? memrchr(rest.p, '\n', n) : NULL;
		size_t took;

		if (nl)
			took = emit_front(c, (struct str){ rest.p, (size_t)(nl - rest.p) + 1 },
			                  true);
		else if (rest.n >= LINE_MAX_BYTES)
			took = emit_front(c, (struct str){ rest.p, n }, false);
		else
			break;
		at += took;
	}
	if (at)
		buf_drop(&c->line, at);
}

void log_cutter_feed(struct log_cutter *c, struct str bytes)
{
	while (bytes.n) { /* in pieces, so that 100 MB at once do not become one buffer */
		size_t n = bytes.n < LINE_MAX_BYTES ? bytes.n : LINE_MAX_BYTES;

		mask_stream_feed(&c->mask, &c->line, (struct str){ bytes.p, n });
		emit_lines(c);
		bytes.p += n;
		bytes.n -= n;
	}
}

void log_cutter_flush(struct log_cutter *c)
{
	buf_drop(&c->line, emit_front(c, buf_str(&c->line), false));
}

void log_cutter_free(struct log_cutter *c)
{
	if (!c)
		return;
	mask_stream_end(&c->mask, &c->line);
	emit_lines(c);
	if (c->line.n)
		emit_front(c, buf_str(&c->line), true);
	buf_free(&c->line);
	free(c);
}
