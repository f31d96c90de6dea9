/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the CAs of a chain may sign and the library does not look at: extended key usage above the leaf, and name
 * constraints (RFC 5280 4.2.1.10). Names and addresses are checked; constraints of another kind that could mean
 * a server, those of directory names, are refused.
 */
#include "net/tls_int.h"

#include "net/ip.h"

#include <mbedtls/oid.h>

#include <string.h>

#define TAG_PERMITTED 0xa0
#define TAG_EXCLUDED 0xa1
#define OID_NAME_CONSTRAINTS MBEDTLS_OID_ID_CE "\x1e"

/* GeneralName (RFC 5280 4.2.1.6) as the kinds matter here. */
enum {
	NAME_OTHER = 0xa0,
	NAME_EMAIL = 0x81,
	NAME_DNS = 0x82,
	NAME_URI = 0x86,
	NAME_IP = 0x87,
	NAME_ID = 0x88
};

/* One name to be checked: a DNS name, or the bytes of an address. */
struct subject {
	unsigned char kind;
	struct str bytes;
};

static struct str raw(const mbedtls_x509_buf *b)
{
	return (struct str){ (const char *)b->p, b->len };
}

static bool ip_is_within(struct str ip, struct str net)
{
	if (net.n != 2 * ip.n)
		return false;
	for (size_t i = 0; i < ip.n; i++)
		if ((ip.p[i] ^ net.p[i]) & net.p[ip.n + i])
			return false;
	return true;
}

static bool dns_is_within(struct str name, struct str base)
{
	if (base.n && base.p[0] == '.')
		return name.n >= base.n &&
		       host_is_within(name, (struct str){ base.p + 1, base.n - 1 });
	return base.n == 0 || host_is_within(name, base);
}

/* One GeneralSubtree: its kind and base; false if it means more than that or is damaged. */
static bool read_subtree(struct str subtree, unsigned char *kind, struct str *base)
{
	*kind = subtree.n ? (unsigned char)subtree.p[0] : 0;
	/* minimum and maximum are not for this use of them. */
	if (!der_next(&subtree, *kind, base) || subtree.n)
		return false;
	switch (*kind) {
	case NAME_IP:
		return base->n == 8 || base->n == 32;
	case NAME_DNS:
	case NAME_EMAIL:
	case NAME_URI:
	case NAME_OTHER:
	case NAME_ID:
		return true;
	default:
		return false;
	}
}

enum answer { WITHIN, OUTSIDE, UNSUPPORTED };

static enum answer check_list(struct str list, bool permitted, const struct subject *s)
{
	struct str subtree, base;
	unsigned char kind;
	bool any = false, hit = false;

	while (der_next(&list, DER_SEQUENCE, &subtree)) {
		if (!read_subtree(subtree, &kind, &base))
			return UNSUPPORTED;
		if (kind != s->kind)
			continue;
		any = true;
		hit = hit || (kind == NAME_IP ? ip_is_within(s->bytes, base)
		                              : dns_is_within(s->bytes, base));
	}
	if (list.n)
		return UNSUPPORTED;
	return (permitted ? any && !hit : hit) ? OUTSIDE : WITHIN;
}

static enum answer check_constraints(struct str value, const struct subject *s)
{
	struct str in, permitted = { 0 }, excluded = { 0 };
	enum answer answer;

	if (!der_next(&value, DER_SEQUENCE, &in) || value.n)
		return UNSUPPORTED;
	(void)der_next(&in, TAG_PERMITTED, &permitted);
	(void)der_next(&in, TAG_EXCLUDED, &excluded);
	if (in.n)
		return UNSUPPORTED;
	answer = check_list(permitted, true, s);
	return answer == WITHIN ? check_list(excluded, false, s) : answer;
}

/* All extensions of that name: the library lets none twice that it knows, but this one it does not. */
static enum answer check_name(const mbedtls_x509_crt *ca, const struct subject *s)
{
	struct str in = raw(&ca->v3_ext), list, extension, oid, critical, value;
	enum answer answer = WITHIN;

	if (!der_next(&in, DER_SEQUENCE, &list))
		return WITHIN;
	while (answer == WITHIN && der_next(&list, DER_SEQUENCE, &extension)) {
		if (!der_next(&extension, MBEDTLS_ASN1_OID, &oid) ||
		    !str_eq(oid, OID_NAME_CONSTRAINTS))
			continue;
		(void)der_next(&extension, MBEDTLS_ASN1_BOOLEAN, &critical);
		answer = der_next(&extension, MBEDTLS_ASN1_OCTET_STRING, &value)
		                 ? check_constraints(value, s)
		                 : UNSUPPORTED;
	}
	return answer;
}

static void add_refusal(struct buf *why, const mbedtls_x509_crt *ca, const char *text)
{
	verdict_next(why);
	buf_adds(why, "the CA ");
	verdict_name(why, &ca->subject);
	buf_adds(why, text);
}

static bool name_allowed(const mbedtls_x509_crt *ca, struct subject s, struct buf *why)
{
	enum answer answer = check_name(ca, &s);

	if (answer == WITHIN)
		return true;
	if (answer == UNSUPPORTED) {
		add_refusal(why, ca, " has name constraints of a kind that is not supported");
		return false;
	}
	add_refusal(why, ca, " may not sign for ");
	verdict_san(why, s.kind, s.bytes);
	buf_adds(why, " (name constraints)");
	return false;
}

bool ca_may_sign(const mbedtls_x509_crt *ca, const mbedtls_x509_crt *leaf, const char *host,
                 struct buf *why)
{
	unsigned char ip[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), ip);
	struct subject asked = { NAME_DNS, str_of(host) };

	if (mbedtls_x509_crt_check_extended_key_usage(
		    ca, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0) {
		add_refusal(why, ca, " may not sign for TLS servers (extended key usage)");
		return false;
	}
	if (n)
		asked = (struct subject){ NAME_IP, { (const char *)ip, n } };
	/* What is asked for as well: a wildcard may reach into what is excluded. */
	if (!name_allowed(ca, asked, why))
		return false;
	if (!mbedtls_x509_crt_has_ext_type(leaf, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		return true;
	for (const mbedtls_x509_sequence *s = &leaf->subject_alt_names; s; s = s->next) {
		struct subject name = { (unsigned char)s->buf.tag, raw(&s->buf) };

		if ((name.kind == NAME_DNS || name.kind == NAME_IP) && !name_allowed(ca, name, why))
			return false;
	}
	return true;
}
