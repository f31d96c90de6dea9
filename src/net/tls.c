/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection over a non-blocking descriptor; see tls.h. */
#include "net/tls_int.h"

#include "base/mem.h"
#include "net/ip.h"

#include <mbedtls/error.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define SESSION_MAX_BYTES 16384

static int on_send(void *conn, const unsigned char *p, size_t n)
{
	struct tls_conn *t = conn;
	ssize_t put = send(t->fd, p, n, MSG_NOSIGNAL);

	if (put >= 0)
		return (int)put;
	if (errno == EAGAIN || errno == EINTR)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	t->code = errno;
	return MBEDTLS_ERR_ERROR_GENERIC_ERROR;
}

static int on_recv(void *conn, unsigned char *p, size_t n)
{
	struct tls_conn *t = conn;
	ssize_t got;

	do
		got = recv(t->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (got < 0) {
		t->code = errno;
		return MBEDTLS_ERR_ERROR_GENERIC_ERROR;
	}
	for (ssize_t i = 0; i < got && t->n_first < sizeof(t->first); i++)
		t->first[t->n_first++] = p[i];
	return (int)got;
}

static struct tls_session *session_find(struct tls_conn *t)
{
	for (size_t i = 0; i < TLS_SESSIONS_MAX; i++)
		if (t->ctx->sessions[i].peer && strcmp(t->ctx->sessions[i].peer, t->peer) == 0)
			return &t->ctx->sessions[i];
	return NULL;
}

/* The place to remember t's peer in: its own, or the oldest one's. */
static struct tls_session *session_place(struct tls_conn *t)
{
	struct tls_session *s = session_find(t);

	if (s)
		return s;
	s = &t->ctx->sessions[t->ctx->next_session++ % TLS_SESSIONS_MAX];
	free(s->peer);
	buf_wipe(&s->blob);
	*s = (struct tls_session){ .peer = mem_dup(t->peer) };
	return s;
}

/* Failing to remember or to offer a session costs a longer handshake, nothing else. */
static void session_save(struct tls_conn *t)
{
	struct buf blob = { 0 };
	mbedtls_ssl_session s;
	size_t n = 0;

	mbedtls_ssl_session_init(&s);
	if (mbedtls_ssl_get_session(&t->ssl, &s) == 0 &&
	    mbedtls_ssl_session_save(&s, NULL, 0, &n) == MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL &&
	    n <= SESSION_MAX_BYTES &&
	    mbedtls_ssl_session_save(&s, (unsigned char *)buf_reserve(&blob, n), n, &n) == 0) {
		blob.n = n;
		buf_wipe(&session_place(t)->blob);
		session_place(t)->blob = blob;
	} else {
		buf_wipe(&blob);
	}
	mbedtls_ssl_session_free(&s);
}

static void session_offer(struct tls_conn *t)
{
	struct tls_session *from = session_find(t);
	mbedtls_ssl_session s;

	if (!from || from->blob.n == 0)
		return;
	mbedtls_ssl_session_init(&s);
	t->offered = mbedtls_ssl_session_load(&s, (const unsigned char *)from->blob.p,
	                                      from->blob.n) == 0 &&
	             mbedtls_ssl_set_session(&t->ssl, &s) == 0;
	mbedtls_ssl_session_free(&s);
}

static void set_peer(struct tls_conn *t, const char *host, unsigned port)
{
	struct buf b = { 0 };
	unsigned char ip[IP_MAX_BYTES];
	size_t n = strlen(host);

	buf_addf(&b, "%s:%u", host, port);
	t->peer = buf_take(&b);
	/* A name's final dot is for the resolver alone (RFC 6066 3). */
	t->host = mem_dupn(host, n && host[n - 1] == '.' ? n - 1 : n);
	t->host_is_ip = ip_parse(str_of(t->host), ip) > 0;
}

int tls_conn_new(struct tls_conn **out, struct tls_ctx *ctx, int fd, const char *host,
                 unsigned port, struct err *e)
{
	struct tls_conn *t = mem_alloc(sizeof(*t));
	unsigned char probe[1];
	int rc;

	*out = NULL;
	t->ctx = ctx;
	t->fd = fd;
	mbedtls_ssl_init(&t->ssl);
	/* Asked first, since the library would only say that something went wrong inside. */
	if (crypto_random(probe, sizeof(probe), e) < 0) {
		tls_conn_free(t);
		return -1;
	}
	if (!ctx->server)
		set_peer(t, host, port);
	rc = mbedtls_ssl_setup(&t->ssl, &ctx->conf);
	/* A name arms the library's check and is sent as SNI; an address is checked by verify_one. */
	if (rc != 0 || (!ctx->server &&
	                mbedtls_ssl_set_hostname(&t->ssl, t->host_is_ip ? NULL : t->host) != 0)) {
		err_set(e, ERR_TLS, 0, "TLS cannot be set up for %s", host ? host : "a client");
		tls_conn_free(t);
		return -1;
	}
	mbedtls_ssl_set_bio(&t->ssl, t, on_send, on_recv, NULL);
	if (!ctx->server) {
		mbedtls_ssl_set_verify(&t->ssl, verify_one, t);
		session_offer(t);
	}
	*out = t;
	return 0;
}

void tls_conn_free(struct tls_conn *t)
{
	if (!t)
		return;
	if (t->done && !t->failed)
		(void)mbedtls_ssl_close_notify(&t->ssl);
	mbedtls_ssl_free(&t->ssl);
	buf_free(&t->verdict.why);
	free(t->host);
	free(t->peer);
	free(t);
}

int tls_shutdown_write(struct tls_conn *t)
{
	return mbedtls_ssl_close_notify(&t->ssl) == 0 ? 0 : -1;
}

static const char *alert_text(int alert)
{
	switch (alert) {
	case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
		return "no cipher, key or client certificate in common";
	case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
		return "no TLS version in common (1.2 or 1.3 is needed)";
	case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
	case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
	case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
	case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
	case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
	case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
	case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
		return "it does not accept our client certificate";
	case 116: /* certificate_required, RFC 8446 6.2 */
		return "it wants a client certificate";
	case MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME:
		return "it does not know the host name";
	default:
		return NULL;
	}
}

static const char *code_text(int rc)
{
	switch (rc) {
	case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
		return "no TLS version in common (1.2 or 1.3 is needed)";
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
		return "nothing in common to agree on";
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		return "a record was damaged on its way";
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
		return "out of memory";
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
		return "a message came that does not belong there";
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		return "the client sent no certificate";
	default:
		/* The whole range of x509.h, with a finer code added. */
		return rc <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE &&
		                       rc > MBEDTLS_ERR_X509_FATAL_ERROR
		               ? "its certificate cannot be read"
		               : NULL;
	}
}

/* Content types of TLS records: RFC 8446 5.1. */
static bool speaks_tls(const struct tls_conn *t)
{
	return t->n_first == 0 || (t->first[0] >= 20 && t->first[0] <= 23);
}

static int failed(struct tls_conn *t, int rc, struct err *e)
{
	const char *text;

	t->failed = true;
	if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || rc == MBEDTLS_ERR_SSL_BAD_CERTIFICATE ||
	    rc == MBEDTLS_ERR_X509_FATAL_ERROR)
		return t->ctx->server
		               ? err_set(e, ERR_TLS, 0, "the client's certificate is refused")
		               : verify_failed(t, e);
	if (t->code)
		return err_set(e, t->code == ETIMEDOUT ? ERR_TIMEOUT : ERR_CLOSED, t->code,
		               "connection lost: %s", strerror(t->code));
	if (!speaks_tls(t))
		return err_set(e, ERR_TLS, 0, "the peer does not speak TLS%s",
		               t->first[0] == 'H'
		                       ? " but plain HTTP: is it http:// instead of https://?"
		                       : "");
	if (rc == MBEDTLS_ERR_SSL_CONN_EOF || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || rc == 0)
		return err_set(e, ERR_CLOSED, 0, "the peer closed the connection");
	if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		int alert = t->ssl.MBEDTLS_PRIVATE(in_msg) ? t->ssl.MBEDTLS_PRIVATE(in_msg)[1] : -1;

		text = alert_text(alert);
		return err_set(e, ERR_TLS, alert, "the peer refuses: %s%s(alert %d)",
		               text ? text : "", text ? " " : "", alert);
	}
	text = code_text(rc);
	return err_set(e, ERR_TLS, 0, "%s%s(TLS error -0x%04x)", text ? text : "", text ? " " : "",
	               (unsigned)-rc);
}

enum tls_io tls_handshake(struct tls_conn *t, struct err *e)
{
	struct tls_session *s;
	int rc;

	if (t->done)
		return TLS_OK;
	t->ctx->handshaking = t;
	rc = mbedtls_ssl_handshake(&t->ssl);
	t->ctx->handshaking = NULL;
	if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
		return TLS_WANT_READ;
	if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (rc == 0) {
		t->done = true;
		buf_free(&t->verdict.why);
		/* In 1.3 the ticket comes later, see tls_read. */
		if (!t->ctx->server &&
		    mbedtls_ssl_get_version_number(&t->ssl) == MBEDTLS_SSL_VERSION_TLS1_2)
			session_save(t);
		return TLS_OK;
	}
	/* The library offers a session together with its version alone; the server may have another now. What is
	 * tried again offers more than before, never less: nobody on the way gains by a failure. */
	s = t->offered ? session_find(t) : NULL;
	if (s) {
		buf_wipe(&s->blob);
		t->again = true;
	}
	failed(t, rc, e);
	return TLS_FAILED;
}

bool tls_try_again(const struct tls_conn *t)
{
	return t->again;
}

long tls_read(struct tls_conn *t, void *p, size_t n, bool *truncated, struct err *e)
{
	int rc;

	*truncated = false;
	if (t->failed) {
		err_set(e, ERR_CLOSED, 0, "the TLS connection has failed before");
		return TLS_FAILED;
	}
	while ((rc = mbedtls_ssl_read(&t->ssl, p, n)) ==
	       MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
		session_save(t);
	if (rc > 0)
		return rc;
	if (rc == MBEDTLS_ERR_SSL_WANT_READ)
		return TLS_WANT_READ;
	if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return 0;
	if ((rc == 0 || rc == MBEDTLS_ERR_SSL_CONN_EOF) && !t->code) {
		*truncated = true;
		return 0;
	}
	failed(t, rc, e);
	return TLS_FAILED;
}

long tls_write(struct tls_conn *t, const void *p, size_t n, struct err *e)
{
	int rc;

	if (t->failed) {
		err_set(e, ERR_CLOSED, 0, "the TLS connection has failed before");
		return TLS_FAILED;
	}
	/* The library has these bytes already and counts what it is given now as sent: given more,
	 * the rest would be lost (field case 92). */
	if (t->unsent && n > t->unsent)
		n = t->unsent;
	rc = mbedtls_ssl_write(&t->ssl, p, n);
	t->unsent = rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE ? n : 0;
	if (rc > 0)
		return rc;
	if (rc == MBEDTLS_ERR_SSL_WANT_READ)
		return TLS_WANT_READ;
	if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WANT_WRITE;
	failed(t, rc, e);
	return TLS_FAILED;
}

size_t tls_pending(const struct tls_conn *t)
{
	return mbedtls_ssl_get_bytes_avail(&t->ssl);
}

bool tls_resumed(const struct tls_conn *t)
{
	return t->done && t->offered && !t->verdict.ran;
}

const char *tls_version(const struct tls_conn *t)
{
	return mbedtls_ssl_get_version(&t->ssl);
}
