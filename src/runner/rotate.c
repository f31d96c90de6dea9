/* SPDX-License-Identifier: Apache-2.0 */
/* See rotate.h. */
#include "runner/rotate.h"

#include "base/log.h"
#include "base/mem.h"
#include "runner/child.h"
#include "runner/health.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 30000

struct rotate {
	struct child child;
	struct deadline next;
	char told[160]; /* the last failure that was told */
};

/* "K" and the key, or "E" and why there is none. */
static void work(void *arg, const volatile int *stop, struct buf *out)
{
	const struct sup *s = arg;
	struct err e = { 0 };

	buf_addc(out, 'K');
	if (config_fetch_key(s->c, stop, out, deadline_in_ms(CONFIG_KEY_MS), &e) < 0) {
		buf_cut(out, 0);
		buf_addf(out, "E%s", e.msg);
	}
}

void rotate_step(struct sup *s)
{
	struct rotate *r = s->rotate;
	struct err e = { 0 };
	bool can = strncmp(s->c->sources[config_key_index("server.key")], "file:", 5) == 0 ||
	           s->c->key_command || s->c->key_file;

	if (r)
		child_step(&r->child);
	if (!can || !health_key_refused(s) || s->phase != PHASE_RUN ||
	    (r && (r->child.id.pid || !deadline_passed(r->next))))
		return;
	if (!r) {
		r = s->rotate = mem_alloc(sizeof(*r));
		r->child.fd = -1;
	}
	r->next = deadline_in_ms(AGAIN_MS);
	if (child_start(&r->child, work, s, deadline_in_ms(CONFIG_KEY_MS + 1000), &e) < 0)
		log_warn("%s", e.msg);
}

bool rotate_reaped(struct sup *s, pid_t pid, int status)
{
	struct rotate *r = s->rotate;
	struct str out;

	if (!r || r->child.id.pid != pid)
		return false;
	child_ended(&r->child, status);
	out = buf_str(&r->child.out);
	if (out.n > 1 && out.p[0] == 'K') {
		char *key = mem_dupn(out.p + 1, out.n - 1);

		r->told[0] = '\0';
		if (!s->link->settings->key || strcmp(key, s->link->settings->key) != 0)
			sup_new_key(s, key);
		mem_free_secret(key);
	} else if (out.n > 1 && strncmp(r->told, out.p + 1, sizeof(r->told) - 1) != 0) {
		snprintf(r->told, sizeof(r->told), "%.*s", (int)out.n - 1, out.p + 1);
		log_warn("no other key: %s", r->told);
	}
	buf_wipe(&r->child.out);
	return true;
}

void rotate_poll(struct sup *s, struct pollset *ps)
{
	if (!s->rotate)
		return;
	child_poll(&s->rotate->child, ps);
	if (health_key_refused(s) && s->phase == PHASE_RUN && !s->rotate->child.id.pid)
		pollset_until(ps, s->rotate->next);
}

void rotate_free(struct sup *s)
{
	if (s->rotate)
		child_free(&s->rotate->child);
	free(s->rotate);
	s->rotate = NULL;
}
