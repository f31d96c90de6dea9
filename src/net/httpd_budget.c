/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the HTTP server keeps when not all fit. A connection is unknown until a handler vouches for
 * it; the unknown have a budget of connections and of bytes of their own, and go first. Among them
 * the address with most goes first, so that one peer crowds out itself before it crowds out others.
 */
#include "base/mem.h"
#include "net/httpd_int.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* A half of a budget is the most that one address has while others want some. */
#define SHARE_OF 2
#define SHARE_MIN 2

static void address_of(const struct sockaddr *who, unsigned char addr[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(addr, 0, 16);
	if (who->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const void *)who;

		memcpy(addr, mapped, sizeof(mapped));
		memcpy(addr + sizeof(mapped), &in4->sin_addr, 4);
	} else if (who->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)who;

		/* Whoever has one address of IPv6 has the 2^64 beside it. */
		memcpy(addr, &in6->sin6_addr, memcmp(&in6->sin6_addr, mapped, 12) == 0 ? 16 : 8);
	}
}

static struct peer *peer_get(struct httpd *h, const struct sockaddr *who)
{
	unsigned char addr[16];
	struct peer *p;

	address_of(who, addr);
	for (p = h->peers; p; p = p->next)
		if (memcmp(p->addr, addr, sizeof(addr)) == 0)
			return p;
	p = mem_alloc(sizeof(*p));
	memcpy(p->addr, addr, sizeof(addr));
	p->next = h->peers;
	h->peers = p;
	return p;
}

static void peer_release(struct httpd *h, struct peer *p)
{
	struct peer **at = &h->peers;

	if (p->conns[H_UNKNOWN] || p->conns[H_KNOWN])
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	free(p);
}

/* The books: every connection is in exactly one kind, here and at its address. */
static void enter_kind(struct hconn *c, enum hkind kind)
{
	c->kind = kind;
	c->h->kinds[kind]++;
	c->peer->conns[kind]++;
	c->h->held[kind] += c->held;
	c->peer->held[kind] += c->held;
}

static void leave_kind(struct hconn *c)
{
	c->h->kinds[c->kind]--;
	c->peer->conns[c->kind]--;
	c->h->held[c->kind] -= c->held;
	c->peer->held[c->kind] -= c->held;
}

void hconn_enter(struct hconn *c, const struct sockaddr *who)
{
	c->peer = peer_get(c->h, who);
	c->h->n_conns++;
	enter_kind(c, H_UNKNOWN);
}

void hconn_leave(struct hconn *c)
{
	leave_kind(c);
	c->h->n_conns--;
	if (c->ws)
		c->h->n_ws--;
	peer_release(c->h, c->peer);
}

void httpd_vouch(struct httpd_req *r)
{
	struct hconn *c = hconn_of(r);

	if (c->kind == H_KNOWN)
		return;
	leave_kind(c);
	enter_kind(c, H_KNOWN);
}

/* How little is lost with a connection; 0: it stays. Requests that a handler has, and their
 * answers to who is known, are never dropped. */
static int worth(const struct hconn *c)
{
	bool idle = c->state == H_HEAD && !c->in.n;

	if (c->kind == H_KNOWN)
		return idle && c->kept ? 1 : c->state == H_HEAD || c->state == H_BODY ? 2 : 0;
	if (c->state == H_SETUP || c->state == H_HEAD || c->state == H_LINGER)
		return 1;
	return c->state == H_BODY ? 2 : c->state == H_ANSWER && c->h->s.admit ? 3 : 0;
}

/* b is to be dropped rather than a. */
static bool rather(const struct hconn *a, const struct hconn *b)
{
	size_t na = a->peer->conns[a->kind], nb = b->peer->conns[b->kind];

	if (na != nb)
		return nb > na;
	if (worth(a) != worth(b))
		return worth(b) < worth(a);
	/* The list is newest first; of idle ones it is the longest idle that goes. */
	return !a->kept || !b->kept || b->until.at_ms <= a->until.at_ms;
}

/* any: the first that will do, not the best. */
static struct hconn *victim(const struct httpd *h, enum hkind kind, const struct peer *of, bool any)
{
	struct hconn *best = NULL;

	for (struct hconn *c = h->conns; c && !(any && best); c = c->next)
		if (c->state != H_DEAD && c->kind == kind && (!of || c->peer == of) && worth(c) &&
		    (!best || rather(best, c)))
			best = c;
	return best;
}

static struct hconn *whose_place(const struct httpd *h, bool any)
{
	struct hconn *c = victim(h, H_UNKNOWN, NULL, any);

	if (!c && h->kinds[H_UNKNOWN] < h->s.max_unknown)
		c = victim(h, H_KNOWN, NULL, any);
	return c;
}

bool httpd_is_open(const struct httpd *h)
{
	return h->n_conns < h->s.max_conns && h->kinds[H_UNKNOWN] < h->s.max_unknown;
}

bool httpd_has_room(const struct httpd *h)
{
	return httpd_is_open(h) || whose_place(h, true);
}

void httpd_make_room(struct httpd *h)
{
	struct hconn *c = httpd_is_open(h) ? NULL : whose_place(h, false);

	if (c)
		hconn_drop(c);
}

void hconn_keep_share(struct hconn *c)
{
	size_t share = c->h->s.max_unknown / SHARE_OF;
	struct hconn *v;

	/* Without a gate nobody is ever vouched for: there the whole is one budget. */
	if (!c->h->s.admit || c->peer->conns[H_UNKNOWN] <= (share > SHARE_MIN ? share : SHARE_MIN))
		return;
	v = victim(c->h, H_UNKNOWN, c->peer, false);
	if (v && v != c)
		hconn_drop(v);
}

static size_t holds(const struct hconn *c)
{
	return c->in.n + c->head.n + c->body.n + c->reader.raw.n + c->reader.message.n;
}

/* Who holds most of the bytes of that kind, of the address that holds most. */
static struct hconn *hoarder(const struct httpd *h, enum hkind kind)
{
	struct hconn *best = NULL;

	for (struct hconn *c = h->conns; c; c = c->next) {
		bool can = c->state == H_HEAD || c->state == H_BODY || c->state == H_WS;
		size_t of = c->peer->held[kind];

		if (!can || c->kind != kind || !c->held)
			continue;
		if (!best || of > best->peer->held[kind] ||
		    (of == best->peer->held[kind] && c->held > best->held))
			best = c;
	}
	return best;
}

void hconn_count_held(struct hconn *c)
{
	struct httpd *h = c->h;
	size_t max = c->kind == H_UNKNOWN ? h->s.max_held_unknown : h->s.max_held;
	size_t now = c->state == H_DEAD ? 0 : holds(c);
	struct hconn *v;

	h->held[c->kind] += now - c->held;
	c->peer->held[c->kind] += now - c->held;
	c->held = now;
	while (h->held[c->kind] > max && (v = hoarder(h, c->kind)) != NULL) {
		hconn_drop(v);
		h->held[v->kind] -= v->held;
		v->peer->held[v->kind] -= v->held;
		v->held = 0;
	}
}
