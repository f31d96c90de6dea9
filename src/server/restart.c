/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of connections when another process takes over: long polls end, streams and log sockets are told
 * to connect again, requests under way are finished. New connections wait until somebody accepts them. See srv.h.
 */
#include "server/audit.h"
#include "server/polls.h"
#include "server/tunnels.h"

#define UNDER_WAY_MS 5000

static void gone(struct httpd_req *r)
{
	struct srv *s = r->user;

	s->restart = NULL;
}

void h_server_restart(struct call *c)
{
	struct srv *s = c->s;

	if (s->restarting) {
		reply_error(c, 503, "a restart is under way");
		return;
	}
	audit_committed(s, STR_LIT("[\"restart\"]"));
	s->restarting = true;
	s->restart_by = deadline_in_ms(UNDER_WAY_MS);
	s->restart = c->r;
	c->r->user = s;
	c->r->gone = gone;
	polls_release(s->polls);
	tunnels_part(s->tunnels);
	logs_part(s);
}

bool restart_ready(struct srv *s)
{
	httpd_step(s->httpd, NULL); /* what came in the meantime */
	size_t left = httpd_drain(s->httpd);

	if (left > (s->restart != NULL) && !deadline_passed(s->restart_by))
		return false;
	httpd_drop_others(s->httpd, s->restart);
	return true;
}

void restart_answer(struct srv *s, const char *why)
{
	struct call c = { .s = s, .r = s->restart };

	s->restart = NULL;
	s->restarting = false;
	if (c.r && why)
		reply_error(&c, 500, "failed to restart, the old process goes on: %s", why);
	else if (c.r)
		reply_empty(&c, 200);
}
