/* SPDX-License-Identifier: Apache-2.0 */
/* The Server's copy of a log over its WebSocket (protocol 5.2). See logs.h. */
#include "applets/logs.h"

#include "api/logentry.h"
#include "base/mem.h"
#include "net/ws.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 15000
#define SETTLE_MS 300 /* with follow: so long nothing new means that the past has been shown */
#define RECONNECT_MS 1000
#define NORMAL_CLOSE 1000

struct remote {
	struct logs *l;
	struct buf out;
	char **kept; /* ring of the last lines, while only these are wanted */
	size_t n_kept;
	bool keeping;
	uint64_t seen, skip; /* entries shown, and to be passed over after a new connection */
	struct deadline settle;
};

static void show(struct remote *r, struct str payload)
{
	logview_add(&r->l->view, payload, &r->out);
}

static void flush_kept(struct remote *r)
{
	for (size_t i = 0; i < r->n_kept; i++) {
		show(r, str_of(r->kept[i]));
		free(r->kept[i]);
	}
	r->n_kept = 0;
	r->keeping = false;
}

static void on_message(void *arg, struct str payload)
{
	struct remote *r = arg;
	struct log_entry en = { 0 };

	/* The end of the log, and lines that the Server could not read, come as empty entries. */
	if (!log_entry_parse(payload, &en))
		return;
	log_entry_free(&en);
	r->settle = deadline_in_ms(SETTLE_MS);
	if (r->skip > 0) {
		r->skip--;
		return;
	}
	r->seen++;
	if (!r->keeping) {
		show(r, payload);
	} else if (r->l->lines > 0) {
		if (r->n_kept == (size_t)r->l->lines) {
			free(r->kept[0]);
			memmove(r->kept, r->kept + 1, --r->n_kept * sizeof(*r->kept));
		}
		r->kept[r->n_kept++] = mem_dupn(payload.p, payload.n);
	}
}

/* One connection. 0: the log is at its end; 1: it broke off; -1 failed. */
static int session(struct remote *r, const struct api *a, const char *path, struct err *e)
{
	struct ws_client *ws = api_log_socket(a, path, deadline_in_ms(CONNECT_MS));
	struct pollset ps = { 0 };
	bool opened = false;
	int rc = 2;

	while (rc == 2) {
		enum ws_status status = ws_client_step(ws, on_message, r, e);

		opened = opened || status == WS_OPEN;
		if (status == WS_OPEN && r->l->follow && r->keeping && deadline_passed(r->settle))
			flush_kept(r);
		if (logs_write(&r->out, e) < 0)
			rc = -1;
		else if (status == WS_CLOSED)
			rc = ws_client_close_code(ws) == NORMAL_CLOSE ? 0 : opened ? 1 : -1;
		if (rc != 2)
			break;
		pollset_reset(&ps);
		ws_client_poll(ws, &ps);
		pollset_add(&ps, STDOUT_FILENO, 0);
		if (r->l->follow && r->keeping)
			pollset_until(&ps, opened ? r->settle : deadline_in_ms(CONNECT_MS));
		if (pollset_wait(&ps, e) < 0)
			rc = -1;
		else if (pollset_revents(&ps, STDOUT_FILENO) & (POLLERR | POLLHUP))
			rc = err_set(e, ERR_CANCELED, SIGPIPE, "nobody reads the output");
	}
	pollset_free(&ps);
	ws_client_free(ws);
	return rc;
}

int logs_remote(struct logs *l, const struct api *a, const char *kind, const char *id,
                struct err *e)
{
	struct remote r = { .l = l, .keeping = l->lines >= 0 };
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/log/%s/%s?retry=false%s", kind, id, l->follow ? "&follow=true" : "");
	if (l->lines > 0)
		r.kept = mem_array((size_t)l->lines, sizeof(*r.kept));
	r.settle = deadline_in_ms(CONNECT_MS);
	do {
		rc = session(&r, a, buf_cstr(&path), e);
		if (rc != 1 || !l->follow)
			break;
		r.skip = r.seen; /* a new connection tells everything again */
		poll(NULL, 0, RECONNECT_MS);
	} while (true);
	if (rc >= 0) {
		flush_kept(&r);
		if (logs_write(&r.out, e) < 0)
			rc = -1;
		else if (rc == 1)
			rc = err_wrap(e, "the log broke off");
	}
	for (size_t i = 0; i < r.n_kept; i++)
		free(r.kept[i]);
	free(r.kept);
	buf_free(&r.out);
	buf_free(&path);
	return rc;
}
