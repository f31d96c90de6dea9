/* SPDX-License-Identifier: Apache-2.0 */
/* See pause.h. */
#include "runner/pause.h"

#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/control.h"
#include "host/paths.h"
#include "runner/channel.h"
#include "runner/health.h"
#include "runner/sdnotify.h"
#include "runner/tasks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 4096
#define LOOK_MS 30000 /* a clock that was set is noticed so soon */

struct pause {
	bool on;
	int64_t since_ms, until_ms; /* wall clock; until 0: without an end */
	char note[CONTROL_NOTE_MAX];
};

bool pause_is_on(const struct sup *s)
{
	return s->pause->on;
}

void pause_status(const struct sup *s, struct buf *b)
{
	const struct pause *p = s->pause;

	if (!p->on) {
		jw_null(b);
		return;
	}
	jw_obj(b);
	jw_kint(b, "since_ms", p->since_ms);
	jw_kint(b, "until_ms", p->until_ms);
	jw_kstr(b, "note", p->note);
	jw_obj_end(b);
}

static void set_note(struct pause *p, struct str note)
{
	struct buf b = { 0 };

	buf_add_printable(&b, note, false);
	if (b.n >= sizeof(p->note)) {
		b.n = sizeof(p->note) - 1;
		while (((unsigned char)b.p[b.n] & 0xC0) == 0x80)
			b.n--; /* no half characters */
	}
	memcpy(p->note, b.n ? b.p : "", b.n);
	p->note[b.n] = '\0';
	buf_free(&b);
}

static void take_effect(struct sup *s)
{
	channels_stop_polling(s);
	tasks_drop_unclaimed(s);
	health_changed(s);
	sdnotify("STATUS=Paused: no jobs are taken");
}

void pause_load(struct sup *s)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	struct json_doc *doc = NULL;
	char *path, *note;

	s->pause = mem_alloc(sizeof(*s->pause));
	if (!s->state_ok)
		return;
	path = paths_paused(s->c->state_dir);
	if (file_read(path, FILE_MAX, &text, &e) == 0)
		doc = json_parse(buf_str(&text), FILE_MAX, &e);
	if (doc) {
		note = json_dup_or_empty(json_get(json_root(doc), "note"));
		set_note(s->pause, str_of(note));
		free(note);
		json_i64(json_get(json_root(doc), "since_ms"), 0, INT64_MAX, &s->pause->since_ms);
		json_i64(json_get(json_root(doc), "until_ms"), 0, INT64_MAX, &s->pause->until_ms);
	}
	/* One that cannot be read is one all the same: who paused it counts on that. */
	s->pause->on = doc || e.kind != ERR_NOT_FOUND;
	if (s->pause->on)
		log_warn("paused%s%s: no jobs are taken until daytona-runner resume",
		         s->pause->note[0] ? ", " : "", s->pause->note);
	json_doc_free(doc);
	buf_free(&text);
	free(path);
}

int pause_begin(struct sup *s, int64_t for_ms, struct str note, const char *by, struct err *e)
{
	struct buf text = { 0 };
	char *path = paths_paused(s->c->state_dir);
	int rc;

	*s->pause = (struct pause){ .on = true, .since_ms = clock_wall_ms() };
	s->pause->until_ms = for_ms ? s->pause->since_ms + for_ms : 0;
	set_note(s->pause, note);
	log_info("paused by %s%s%s; %zu jobs go on to their end, none are taken", by,
	         s->pause->note[0] ? ": " : "", s->pause->note, tasks_counts(s).running);
	pause_status(s, &text);
	buf_addc(&text, '\n');
	rc = s->state_ok ? file_replace(path, 0600, buf_str(&text), e)
	                 : err_set(e, ERR_SYS, 0, "the state directory cannot be written");
	if (rc < 0)
		log_warn("a restart will not know of the pause: %s", e->msg);
	take_effect(s);
	buf_free(&text);
	free(path);
	return rc;
}

void pause_end(struct sup *s, const char *why)
{
	char *path = paths_paused(s->c->state_dir);

	if (s->state_ok)
		unlink(path);
	free(path);
	if (!s->pause->on)
		return;
	*s->pause = (struct pause){ 0 };
	log_info("resumed: %s", why);
	sdnotify("STATUS=Running");
	health_changed(s);
}

void pause_poll(const struct sup *s, struct pollset *ps)
{
	int64_t left;

	if (!s->pause->on || !s->pause->until_ms)
		return;
	left = s->pause->until_ms - clock_wall_ms();
	pollset_until(ps, deadline_in_ms(left < LOOK_MS ? left : LOOK_MS));
}

void pause_step(struct sup *s)
{
	if (s->pause->on && s->pause->until_ms && clock_wall_ms() >= s->pause->until_ms)
		pause_end(s, "its time is over");
}

void pause_free(struct sup *s)
{
	free(s->pause);
	s->pause = NULL;
}
