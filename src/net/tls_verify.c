/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of the peer's chain: which roots the library may use, what it cannot know (addresses, pins,
 * a certificate trusted by itself), and its flags in words (field cases 85 to 90).
 */
#include "net/tls_int.h"

#include "base/deadline.h"
#include "base/mem.h"
#include "base/version.h"
#include "net/ip.h"

#include <mbedtls/oid.h>

#include <arpa/inet.h>
#include <string.h>

#define NAMES_SHOWN 6

static struct str raw_name(const mbedtls_x509_buf *b)
{
	return (struct str){ (const char *)b->p, b->len };
}

/* A clock before the build is wrong: this program did not exist yet. */
static bool clock_is_wrong(void)
{
	return clock_wall_ms() / 1000 < dr_build_epoch;
}

/* Common name, else organisation, else the serial number would be no help either. */
void verdict_name(struct buf *b, const mbedtls_x509_name *name)
{
	const mbedtls_x509_name *found = NULL;

	for (const mbedtls_x509_name *n = name; n; n = n->next) {
		if (n->oid.p && MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0)
			found = n;
		else if (n->oid.p && !found &&
		         MBEDTLS_OID_CMP(MBEDTLS_OID_AT_ORGANIZATION, &n->oid) == 0)
			found = n;
	}
	buf_addc(b, '"');
	if (found)
		buf_add_printable(b, raw_name(&found->val), false);
	buf_addc(b, '"');
}

static void add_date(struct buf *b, const mbedtls_x509_time *t)
{
	buf_addf(b, "%04d-%02d-%02d", t->year, t->mon, t->day);
}

void verdict_next(struct buf *b)
{
	if (b->n)
		buf_adds(b, "; ");
}

static bool issued(const mbedtls_x509_crt *issuer, const mbedtls_x509_crt *crt)
{
	return issuer->subject_raw.len == crt->issuer_raw.len &&
	       memcmp(issuer->subject_raw.p, crt->issuer_raw.p, crt->issuer_raw.len) == 0;
}

/* Brings the sent chain into the order the library expects; servers are often set up with another one, which
 * RFC 8446 4.4.2 asks clients to take. */
static void sort_chain(mbedtls_x509_crt *leaf)
{
	for (mbedtls_x509_crt *at = leaf; at && at->next; at = at->next) {
		mbedtls_x509_crt *before = at;

		while (before->next && !issued(before->next, at))
			before = before->next;
		if (before != at && before->next) {
			mbedtls_x509_crt *issuer = before->next;

			before->next = issuer->next;
			issuer->next = at->next;
			at->next = issuer;
		}
	}
}

/* An expired root is left out, so that the library goes on along the chain sent, where the same key may be
 * signed by a root that still lives (field case 90). It is only noted. */
int verify_roots(void *ctx, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
	struct tls_ctx *c = ctx;
	const union {
		const mbedtls_x509_crt *theirs;
		mbedtls_x509_crt *ours;
	} leaf = { .theirs = child };
	mbedtls_x509_crt *head, *kept = NULL, **tail = &kept;
	struct verdict *v = &c->handshaking->verdict;
	struct buf *why = &v->why;

	/* The first question is about the leaf, the head of what was sent. Its list is ours to order. */
	if (!v->leaf)
		sort_chain(leaf.ours);
	v->leaf = v->leaf ? v->leaf : child;
	*found = NULL;
	if (c->insecure)
		return 0;
	head = roots_find(&c->roots, raw_name(&child->issuer_raw));
	while (head) {
		mbedtls_x509_crt *crt = head;

		head = crt->next;
		crt->next = NULL;
		if (!mbedtls_x509_time_is_past(&crt->valid_to)) {
			*tail = crt;
			tail = &crt->next;
			continue;
		}
		verdict_next(why);
		buf_adds(why, "the trusted root ");
		verdict_name(why, &crt->subject);
		buf_adds(why, " expired on ");
		add_date(why, &crt->valid_to);
		mbedtls_x509_crt_free(crt);
		free(crt);
	}
	*found = kept;
	return 0;
}

static bool is_trusted_itself(struct tls_ctx *c, const mbedtls_x509_crt *crt)
{
	mbedtls_x509_crt *head = roots_find(&c->roots, raw_name(&crt->subject_raw));
	bool same = false;

	for (mbedtls_x509_crt *r = head; r && !same; r = r->next)
		same = r->raw.len == crt->raw.len && memcmp(r->raw.p, crt->raw.p, r->raw.len) == 0;
	if (head) {
		mbedtls_x509_crt_free(head);
		free(head);
	}
	return same;
}

/* An address is only good if the certificate carries it as one: never as text (field case 85). */
static bool has_address(const mbedtls_x509_crt *crt, const char *host)
{
	unsigned char ip[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), ip);

	if (n == 0 || !mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		return false;
	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s; s = s->next)
		if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    s->buf.len == n && memcmp(s->buf.p, ip, n) == 0)
			return true;
	return false;
}

void verdict_san(struct buf *b, int tag, struct str san)
{
	char text[INET6_ADDRSTRLEN];

	switch (tag & MBEDTLS_ASN1_TAG_VALUE_MASK) {
	case MBEDTLS_X509_SAN_DNS_NAME:
		buf_add_printable(b, san, false);
		break;
	case MBEDTLS_X509_SAN_IP_ADDRESS:
		if ((san.n == 4 || san.n == 16) &&
		    inet_ntop(san.n == 4 ? AF_INET : AF_INET6, san.p, text, sizeof(text)))
			buf_addf(b, "IP %s", text);
		break;
	default:
		buf_adds(b, "another kind of name");
	}
}

static void add_mismatch(struct buf *b, const mbedtls_x509_crt *crt, const char *host)
{
	size_t n = 0;

	verdict_next(b);
	if (!mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
		buf_adds(b, "it has no subject alternative name (its common name ");
		verdict_name(b, &crt->subject);
		buf_addf(b, " does not count), so it is not for %s", host);
		return;
	}
	buf_addf(b, "it is not for %s but for ", host);
	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s && n < NAMES_SHOWN;
	     s = s->next) {
		if (n++)
			buf_adds(b, ", ");
		verdict_san(b, s->buf.tag, raw_name(&s->buf));
	}
	if (n == NAMES_SHOWN)
		buf_adds(b, ", ...");
}

static int pin_check(struct tls_conn *t, const mbedtls_x509_crt *crt)
{
	const struct tls_ctx *c = t->ctx;
	struct buf *why = &t->verdict.why;
	unsigned char digest[32];

	crypto_sha256(crt->pk_raw.p, crt->pk_raw.len, digest);
	for (size_t i = 0; i < c->n_pins; i++)
		if (memcmp(c->pins[i], digest, sizeof(digest)) == 0)
			return 0;
	if (c->n_pins == 0)
		return 0;
	verdict_next(why);
	buf_adds(why, "its key is not the pinned one but sha256 ");
	buf_add_base64(why, digest, sizeof(digest), false, true);
	return -1;
}

static void explain(struct tls_conn *t, const mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
	struct buf *why = &t->verdict.why;
	const char *self = depth == 0 ? "it" : NULL;
	const uint32_t weak = MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
	                      MBEDTLS_X509_BADCERT_BAD_KEY;
	const struct {
		uint32_t flag;
		const char *text;
		const mbedtls_x509_time *date;
	} rows[] = {
		{ flags & MBEDTLS_X509_BADCERT_EXPIRED, " expired on ", &crt->valid_to },
		{ flags & MBEDTLS_X509_BADCERT_FUTURE, " is not valid before ", &crt->valid_from },
		{ flags & weak, " has a weak key or signature", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].flag)
			continue;
		verdict_next(why);
		if (self)
			buf_adds(why, self);
		else
			verdict_name(why, &crt->subject);
		buf_adds(why, rows[i].text);
		if (rows[i].date)
			add_date(why, rows[i].date);
	}
	if (!(flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED))
		return;
	verdict_next(why);
	if (depth == 0 && crt->issuer_raw.len == crt->subject_raw.len &&
	    memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->issuer_raw.len) == 0) {
		buf_adds(why, "it is self-signed and not among the trusted ones");
	} else {
		buf_adds(why, "unknown CA ");
		verdict_name(why, &crt->issuer);
	}
	buf_addf(why, " (roots: %s)", roots_label(&t->ctx->roots));
}

static void verify_leaf(struct tls_conn *t, mbedtls_x509_crt *crt, uint32_t *flags)
{
	struct verdict *v = &t->verdict;

	if ((*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED || v->upper) &&
	    is_trusted_itself(t->ctx, crt)) {
		v->upper = 0;
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
		buf_reset(&v->why);
	}
	explain(t, crt, 0, *flags);
	/* The library would take a common name for a name (RFC 9525 2). */
	if (t->host_is_ip ? !has_address(crt, t->host)
	                  : !mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (*flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		add_mismatch(&v->why, crt, t->host);
}

/* From the top down to the leaf, depth 0, which alone has pins. The flags left there decide. */
int verify_one(void *conn, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls_conn *t = conn;
	struct verdict *v = &t->verdict;

	v->ran = true;
	if (depth > 0) {
		if (!t->ctx->insecure) {
			explain(t, crt, depth, *flags);
			v->upper |= *flags;
			if (!v->leaf || !ca_may_sign(crt, v->leaf, t->host, &v->why))
				v->upper |= MBEDTLS_X509_BADCERT_OTHER;
		}
		*flags = 0;
		return 0;
	}
	if (t->ctx->insecure)
		*flags = 0;
	else
		verify_leaf(t, crt, flags);
	if (pin_check(t, crt) < 0)
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	*flags |= v->upper;
	return 0;
}

int verify_failed(struct tls_conn *t, struct err *e)
{
	struct buf b = { 0 };
	uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
	char now[TIME_TEXT_SIZE];

	if (t->verdict.why.n)
		buf_add_str(&b, buf_str(&t->verdict.why));
	if (flags != UINT32_MAX &&
	    flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE)) {
		verdict_next(&b);
		buf_adds(&b, "it is not made for a TLS server (key usage)");
	}
	if (clock_is_wrong()) {
		time_rfc3339(clock_wall_ms(), true, false, now);
		verdict_next(&b);
		buf_addf(&b, "the clock is wrong (%.10s): set it", now);
	}
	err_set(e, ERR_TLS, 0, "certificate refused: %s",
	        b.n ? buf_cstr(&b) : "the chain cannot be checked");
	buf_free(&b);
	return -1;
}
