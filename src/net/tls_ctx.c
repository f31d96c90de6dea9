/* SPDX-License-Identifier: Apache-2.0 */
/* Settings to a TLS configuration: certificates, keys, pins, roots. See tls.h. */
#include "net/tls_int.h"

#include "base/file.h"
#include "base/mem.h"

#include <psa/crypto.h>

#include <string.h>

#define PEM_MAX_BYTES (256u << 10)
#define TICKET_LIFE_S 86400

static int pin_decode(struct str s, unsigned char out[32])
{
	struct buf b = { 0 };
	bool ok = false;

	if (str_starts(s, "sha256//"))
		s = (struct str){ s.p + 8, s.n - 8 };
	else if (str_starts(s, "sha256:"))
		s = (struct str){ s.p + 7, s.n - 7 };
	if (s.n == 64) {
		for (size_t i = 0; i < 64; i += 2) {
			const char hex[] = { '%', s.p[i], s.p[i + 1] };

			if (!buf_add_urldec(&b, (struct str){ hex, 3 }, false))
				break;
		}
		ok = b.n == 32;
	} else {
		ok = buf_add_unbase64(&b, s) && b.n == 32;
	}
	if (ok)
		memcpy(out, b.p, 32);
	buf_free(&b);
	return ok ? 0 : -1;
}

static int load_pins(struct tls_ctx *c, const char *pins, struct err *e)
{
	struct str rest = str_of(pins), item;

	while (str_next(&rest, ',', &item)) {
		item = str_trim(item);
		if (c->n_pins == TLS_PINS_MAX)
			return err_set(e, ERR_CONFIG, 0, "pin_sha256: more than %d pins",
			               TLS_PINS_MAX);
		if (pin_decode(item, c->pins[c->n_pins]) < 0)
			return err_set(
				e, ERR_CONFIG, 0,
				"pin_sha256: \"%.*s\" is no SHA-256 in hex (64 digits) or base64 (44 characters)",
				item.n > 80 ? 80 : (int)item.n, item.p);
		c->n_pins++;
	}
	return 0;
}

/* PEM wants its NUL counted in; DER does not. */
static size_t parse_len(const struct buf *b)
{
	return b->n && b->p[0] == 0x30 ? b->n : b->n + 1;
}

static int load_chain(struct tls_ctx *c, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int rc = file_read(path, PEM_MAX_BYTES, &b, e);

	if (rc == 0) {
		int failed = b.n ? mbedtls_x509_crt_parse(&c->chain, (const unsigned char *)b.p,
		                                          parse_len(&b))
		                 : -1;

		if (failed)
			rc = err_set(e, ERR_CONFIG, 0, "%s: no certificate, or a damaged one",
			             path);
	}
	buf_free(&b);
	return rc;
}

static int load_key(struct tls_ctx *c, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int rc = file_read(path, PEM_MAX_BYTES, &b, e);

	if (rc == 0) {
		int failed = b.n ? mbedtls_pk_parse_key(&c->key, (const unsigned char *)b.p,
		                                        parse_len(&b), NULL, 0, tls_rng, NULL)
		                 : -1;

		if (failed && str_find(buf_str(&b), "ENCRYPTED"))
			rc = err_set(e, ERR_CONFIG, 0,
			             "%s: the key is encrypted; store it without a pass phrase",
			             path);
		else if (failed)
			rc = err_set(e, ERR_CONFIG, 0, "%s: no private key (PEM or DER, RSA or EC)",
			             path);
	}
	buf_wipe(&b);
	return rc;
}

static int load_own(struct tls_ctx *c, const char *cert, const char *key, struct err *e)
{
	if (!cert || !key)
		return err_set(e, ERR_CONFIG, 0, "a TLS %s without its %s: set both",
		               cert ? "certificate" : "key", cert ? "key" : "certificate");
	if (load_chain(c, cert, e) < 0 || load_key(c, key, e) < 0)
		return -1;
	if (mbedtls_pk_check_pair(&c->chain.pk, &c->key, tls_rng, NULL) != 0)
		return err_set(e, ERR_CONFIG, 0, "%s does not belong to %s", key, cert);
	if (mbedtls_ssl_conf_own_cert(&c->conf, &c->chain, &c->key) != 0)
		return err_set(e, ERR_TLS, 0, "%s: cannot be used", cert);
	return 0;
}

static int configure_server(struct tls_ctx *c, const struct tls_settings *s, struct err *e)
{
	if (load_own(c, s->server_cert, s->server_key, e) < 0)
		return -1;
	if (mbedtls_ssl_ticket_setup(&c->tickets, tls_rng, NULL, MBEDTLS_CIPHER_AES_256_GCM,
	                             TICKET_LIFE_S) == 0)
		mbedtls_ssl_conf_session_tickets_cb(&c->conf, mbedtls_ssl_ticket_write,
		                                    mbedtls_ssl_ticket_parse, &c->tickets);
	return 0;
}

/* The first is the one a key is sent of before the server has said what it wants. Every server has P-256,
 * and it costs a quarter less time here than X25519, the library's own first. */
static const uint16_t groups[] = {
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

static int configure_client(struct tls_ctx *c, const struct tls_settings *s, struct err *e)
{
	c->insecure = s->insecure;
	mbedtls_ssl_conf_groups(&c->conf, groups);
	/* Insecure too goes through the check, which then forgives everything but a wrong pin. */
	mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ca_cb(&c->conf, verify_roots, c);
	mbedtls_ssl_conf_session_tickets(&c->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
		&c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (s->pin_sha256 && *s->pin_sha256 && load_pins(c, s->pin_sha256, e) < 0)
		return -1;
	if ((s->client_cert || s->client_key) && load_own(c, s->client_cert, s->client_key, e) < 0)
		return -1;
	return c->insecure ? 0 : roots_open(&c->roots, s->ca_file, s->ca_dir, e);
}

int tls_ctx_new(struct tls_ctx **out, const struct tls_settings *s, bool server, struct err *e)
{
	struct tls_ctx *c = mem_alloc(sizeof(*c));
	unsigned char probe[1];
	int rc;

	*out = NULL;
	c->server = server;
	mbedtls_ssl_config_init(&c->conf);
	mbedtls_x509_crt_init(&c->chain);
	mbedtls_pk_init(&c->key);
	mbedtls_ssl_ticket_init(&c->tickets);
	rc = crypto_random(probe, sizeof(probe), e);
	if (rc == 0 && psa_crypto_init() != PSA_SUCCESS)
		rc = err_set(e, ERR_TLS, 0, "the cryptographic library cannot start");
	if (rc == 0 && mbedtls_ssl_config_defaults(
			       &c->conf, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
			       MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
		rc = err_set(e, ERR_TLS, 0, "TLS cannot be configured");
	if (rc == 0) {
		mbedtls_ssl_conf_rng(&c->conf, tls_rng, NULL);
		rc = server ? configure_server(c, s, e) : configure_client(c, s, e);
	}
	if (rc < 0) {
		tls_ctx_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
	if (c)
		c->refs++;
	return c;
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (!c || c->refs) {
		if (c)
			c->refs--;
		return;
	}
	for (size_t i = 0; i < TLS_SESSIONS_MAX; i++) {
		free(c->sessions[i].peer);
		buf_wipe(&c->sessions[i].blob);
	}
	mbedtls_ssl_config_free(&c->conf);
	mbedtls_x509_crt_free(&c->chain);
	mbedtls_pk_free(&c->key);
	mbedtls_ssl_ticket_free(&c->tickets);
	roots_free(&c->roots);
	free(c);
}

const char *tls_ctx_ca_source(struct tls_ctx *c)
{
	if (c->insecure || c->server)
		return "none";
	/* Which of the system's places it is, is only looked for when somebody asks. */
	return roots_label(&c->roots);
}
