/* SPDX-License-Identifier: Apache-2.0 */
/* See checkup.h: the rows, and the way to the Server. What this host has to offer is in checkup_host.c. */
#include "base/attr.h"
#include "base/mask.h"
#include "base/version.h"
#include "host/checkup_int.h"
#include "host/setup.h"
#include "net/dial.h"
#include "net/http_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_MS 15000
#define CLOCK_OFF_MAX_S 60

static struct deadline step_limit(const struct look *l)
{
	return deadline_min(l->d, deadline_in_ms(STEP_MS));
}

static enum check_state configuration(struct look *l, struct buf *said, struct err *e)
{
	const struct config *c = l->c;
	struct str rest = buf_str(&c->left_out), line;
	const char *proxy;

	buf_addf(said, "%s%s", c->file,
	         c->file_exists ? config_place_note(c) : " is not there, and not needed");
	if (str_next(&rest, '\n', &line)) {
		err_set(e, ERR_CONFIG, 0, "%.*s; correct it", STR_ARG(line));
		return CHECK_WRONG;
	}
	if (config_require(c, e) < 0) {
		err_hint(e, CONFIG_REMEDY);
		return CHECK_WRONG;
	}
	if (server_link_open(&l->link, c, e) < 0)
		return CHECK_WRONG;
	proxy = proxy_for(&l->link.url, c->proxy, c->no_proxy);
	l->far = &l->link.url;
	if (proxy && proxy_parse(proxy, &l->proxy, e) == 0)
		l->far = &l->proxy;
	return CHECK_OK;
}

static enum check_state name(struct look *l, struct buf *said, struct err *e)
{
	struct resolver *r = resolve_start(l->far->host, l->far->port, step_limit(l));
	struct pollset ps = { 0 };
	enum resolve_status st;
	char text[NET_ADDR_TEXT];

	while ((st = resolve_step(r, &l->addrs, e)) == RESOLVE_PENDING) {
		pollset_reset(&ps);
		resolve_poll(r, &ps);
		if (pollset_wait(&ps, e) < 0) {
			st = RESOLVE_FAILED;
			break;
		}
	}
	pollset_free(&ps);
	resolve_free(r);
	if (st == RESOLVE_FAILED) {
		err_hint(e, "see the URL's spelling, /etc/resolv.conf and /etc/hosts");
		return CHECK_WRONG;
	}
	net_addr_text(&l->addrs.a[0], text);
	buf_addf(said, "%s%s is %s", l->far == &l->proxy ? "the proxy " : "", l->far->host, text);
	return CHECK_OK;
}

static enum check_state route(struct look *l, struct buf *said, struct err *e)
{
	struct dial *dial = dial_start(&l->addrs, step_limit(l));
	struct pollset ps = { 0 };
	union net_addr who;
	char text[NET_ADDR_TEXT];
	int fd = -1, rc;

	while ((rc = dial_step(dial, &fd, &who, e)) == 0) {
		pollset_reset(&ps);
		dial_poll(dial, &ps);
		if (pollset_wait(&ps, e) < 0) {
			rc = -1;
			break;
		}
	}
	pollset_free(&ps);
	dial_free(dial);
	if (rc < 0) {
		err_hint(e,
		         "see that the Server runs there, the URL's port, and firewalls between");
		return CHECK_WRONG;
	}
	close(fd);
	net_addr_text(&who, text);
	buf_addf(said, "%s accepts connections", text);
	return CHECK_OK;
}

static enum check_state tls(struct look *l, struct buf *said, struct err *e)
{
	const struct url *u = &l->link.url;
	struct api_request req = { 0 };

	api_prepare(l->link.api, &req, "GET", "/health", (struct str){ 0 }, true);
	(void)http_do(api_http(l->link.api), &req.http, &l->hello, step_limit(l), &l->hello_err);
	api_request_free(&req);
	if (l->hello_err.kind == ERR_TLS) {
		*e = l->hello_err;
		return CHECK_WRONG;
	}
	if (!url_is_tls(u)) {
		buf_adds(said, url_is_loopback(u)
		                       ? "not needed on this host"
		                       : "not used; the key goes over the network in clear");
		return url_is_loopback(u) ? CHECK_OK : CHECK_NOTE;
	}
	if (l->c->insecure) {
		buf_adds(said, "the certificate is not verified (insecure = true)");
		return CHECK_NOTE;
	}
	buf_addf(said, "the certificate of %s is good (CA certificates: %s)", u->host,
	         tls_ctx_ca_source(l->link.tls));
	return CHECK_OK;
}

static enum check_state server(struct look *l, struct buf *said, struct err *e)
{
	struct str version = http_head_get(&l->hello.h, "X-Server-Version");

	*e = l->hello_err;
	if (!e->kind && api_health(l->link.api, step_limit(l), e) == 0) {
		buf_addf(said, "a Daytona Server %.*s answers", STR_ARG(version));
		return CHECK_OK;
	}
	err_hint(e, "is the URL that of a Daytona Server's API?");
	return CHECK_WRONG;
}

static enum check_state wall_clock(struct look *l, struct buf *said, struct err *e)
{
	int64_t now = clock_wall_ms() / 1000, then = dr_build_epoch;
	bool told = http_date_parse(http_head_get(&l->hello.h, "Date"), &then);
	int64_t off = now - then;

	if ((told && llabs(off) > CLOCK_OFF_MAX_S) || off < -CLOCK_OFF_MAX_S) {
		err_set(e, ERR_OTHER, 0,
		        "this host's clock is %lld s %s %s; set it, for example: timedatectl set-ntp true",
		        llabs(off), off < 0 ? "behind" : "ahead of",
		        told ? "the Server's" : "the time when this program was built");
		return CHECK_WRONG;
	}
	if (told)
		buf_addf(said, "%lld s from the Server's", llabs(off));
	else
		buf_adds(said, "the Server sends no Date to compare with");
	return told ? CHECK_OK : CHECK_NOTE;
}

/* Its own record is what the Server refuses to tell a runner when the id is wrong, not the key. */
static bool is_about_id(const struct err *e)
{
	return e->kind == ERR_NOT_FOUND || e->kind == ERR_CONFIG;
}

static enum check_state key(struct look *l, struct buf *said, struct err *e)
{
	(void)setup_check_server(l->c, &l->notes, l->d, &l->key_err);
	if (l->key_err.kind && !is_about_id(&l->key_err)) {
		*e = l->key_err;
		return CHECK_WRONG;
	}
	buf_adds(said, "the Server accepts it");
	return CHECK_OK;
}

static enum check_state id(struct look *l, struct buf *said, struct err *e)
{
	struct str notes = str_trim(buf_str(&l->notes));

	*e = l->key_err;
	if (e->kind)
		return CHECK_WRONG;
	buf_addf(said, "runner %s (%s)", l->c->id, l->c->name);
	if (notes.n)
		buf_addf(said, "; %.*s", STR_ARG(notes));
	return notes.n ? CHECK_NOTE : CHECK_OK;
}

enum {
	CONFIGURATION,
	NAME,
	ROUTE,
	TLS,
	SERVER,
	CLOCK,
	KEY,
	ID,
	DISK,
	PROVIDERS,
	RUNNER,
	SERVICE,
	PORT
};
#define NEEDS(row) (1u << (row))
static const struct {
	const char *name;
	checkup_fn *look;
	unsigned needs;
} rows[CHECKUP_ROWS] = {
	[CONFIGURATION] = { "configuration", configuration, 0 },
	[NAME] = { "name", name, NEEDS(CONFIGURATION) },
	[ROUTE] = { "route", route, NEEDS(NAME) },
	[TLS] = { "tls", tls, NEEDS(ROUTE) },
	[SERVER] = { "server", server, NEEDS(TLS) },
	[CLOCK] = { "clock", wall_clock, NEEDS(SERVER) },
	[KEY] = { "key", key, NEEDS(SERVER) },
	[ID] = { "id", id, NEEDS(KEY) },
	[DISK] = { "disk", checkup_disk, 0 },
	[PROVIDERS] = { "providers", checkup_providers, 0 },
	[RUNNER] = { "runner", checkup_runner, 0 },
	[SERVICE] = { "service", checkup_service, 0 },
	[PORT] = { "port", checkup_port, 0 },
};

const char *check_state_name(enum check_state s)
{
	static const char *const names[] = { "ok", "note", "wrong", "skipped" };

	return names[s];
}

void checkup_run(struct checkup *checkup, const struct config *c, const char *self_exe,
                 struct deadline d)
{
	struct look l = { .c = c, .self_exe = self_exe, .d = d };
	unsigned good = 0;

	for (size_t i = 0; i < CHECKUP_ROWS; i++) {
		struct check_row *r = &checkup->rows[i];
		struct buf said = { 0 };
		struct err e = { 0 };

		r->name = rows[i].name;
		r->state = CHECK_SKIPPED;
		if ((good & rows[i].needs) == rows[i].needs)
			r->state = rows[i].look(&l, &said, &e);
		else
			buf_adds(&said, "waits for what is wrong above");
		if (r->state < CHECK_WRONG)
			good |= 1u << i;
		checkup->wrong += r->state == CHECK_WRONG;
		mask_text(&r->text, r->state == CHECK_WRONG ? str_of(e.msg) : buf_str(&said));
		buf_free(&said);
	}
	http_reply_free(&l.hello);
	server_link_close(&l.link);
	url_free(&l.proxy);
	snapshot_free(&l.s);
	buf_free(&l.notes);
}

void checkup_free(struct checkup *checkup)
{
	for (size_t i = 0; i < CHECKUP_ROWS; i++)
		buf_free(&checkup->rows[i].text);
}
