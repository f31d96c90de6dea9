/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.2 and 1.3 over a non-blocking descriptor; the only file that knows Mbed TLS. The peer's
 * certificate is always verified against the name or address asked for, unless the settings say
 * insecure. Roots are looked up lazily: only a certificate whose subject is the issuer wanted is
 * ever parsed, from (in this order, first source that is configured) ca_file, ca_dir, the system's
 * known bundle files and directories, the set compiled in (ca_roots.h).
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* All strings borrowed for the life of the tls_ctx. NULL: not set. */
struct tls_settings {
	const char *ca_file; /* PEM or DER bundle */
	const char *ca_dir;
	/* SHA-256 of the leaf's SubjectPublicKeyInfo, hex or base64; several are separated by ','. */
	const char *pin_sha256;
	const char *client_cert; /* PEM file: chain */
	const char *client_key;
	bool insecure; /* no verification; the caller says so loudly */
	/* Server side. */
	const char *server_cert;
	const char *server_key;
};

struct tls_ctx;  /* settings loaded once, session cache; shared by connections */
struct tls_conn; /* one connection */

/* Reads what the settings name; ERR_CONFIG names the file, how many certificates were loaded and skipped
 * (field cases 88, 89). Costs nothing for the system store until a handshake. */
int tls_ctx_new(struct tls_ctx **out, const struct tls_settings *s, bool server, struct err *e);
/* One more that frees it: the last one does. NULL is fine for both. */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_free(struct tls_ctx *c);
/* "3 loaded, 1 skipped", "/etc/ssl/certs/ca-certificates.crt", "compiled-in set (142)". Borrowed. */
const char *tls_ctx_ca_source(struct tls_ctx *c);

/* host: name or IP literal that the certificate must carry (SNI only for names). Takes no ownership of fd. Client
 * sessions (tickets) are remembered in ctx by host:port and offered again. */
int tls_conn_new(struct tls_conn **out, struct tls_ctx *ctx, int fd, const char *host,
                 unsigned port, struct err *e);
void tls_conn_free(struct tls_conn *t); /* sends close_notify if it can without blocking */

enum tls_io { TLS_OK = 0, TLS_WANT_READ = -1, TLS_WANT_WRITE = -2, TLS_FAILED = -3 };
/* TLS_OK when the handshake is done; certificate problems are put into words: which name, expired
 * on, not valid before (and "the clock is wrong" when it is before the build), unknown CA and the issuer's name, pin. */
enum tls_io tls_handshake(struct tls_conn *t, struct err *e);
/* After TLS_FAILED: the same peer may succeed on a new connection, since this one offered a session that it forgot.
 * The new one offers every version; at most once in a row. */
bool tls_try_again(const struct tls_conn *t);
/* > 0 bytes; 0: the peer closed with close_notify, or without (then *truncated = true); else an enum tls_io. */
long tls_read(struct tls_conn *t, void *p, size_t n, bool *truncated, struct err *e);
/* > 0 bytes taken (may be fewer), else an enum tls_io. After WANT the same bytes must be given again, first
 * in what is given then. */
long tls_write(struct tls_conn *t, const void *p, size_t n, struct err *e);
/* close_notify, the other direction stays open; 0 or -1. */
int tls_shutdown_write(struct tls_conn *t);
size_t tls_pending(const struct tls_conn *t); /* bytes decrypted and not yet read */
bool tls_resumed(const struct tls_conn *t);
const char *tls_version(const struct tls_conn *t); /* "TLSv1.3" */

/* Digests and randomness come from the same library. */
void crypto_sha256(const void *p, size_t n, unsigned char out[32]);
void crypto_sha1(const void *p, size_t n, unsigned char out[20]);
int crypto_random(void *p, size_t n, struct err *e);
/* Incremental SHA-256 for files and streams. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, unsigned char out[32]); /* frees h */

#endif
