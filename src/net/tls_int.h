/* SPDX-License-Identifier: Apache-2.0 */
/* What the tls_*.c files share; included by no other. */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include "net/tls.h"

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#define TLS_PINS_MAX 8
#define TLS_SESSIONS_MAX 4

/* Where trusted certificates are looked up. */
struct roots {
	const char *file; /* borrowed; NULL: none */
	const char *dir;
	struct buf kept; /* DER, one after another: small sets need no second reading */
	bool builtin;
	bool chosen; /* the system's place was looked for */
	unsigned loaded, skipped;
	char label[192];
};

/* Reads and counts what is configured; nothing configured: the system's, when first needed. */
int roots_open(struct roots *r, const char *file, const char *dir, struct err *e);
void roots_free(struct roots *r);
const char *roots_label(struct roots *r);
/* Certificates whose subject is name (raw DER), parsed and chained: NULL if there is none. The caller
 * frees the chain and its head. */
mbedtls_x509_crt *roots_find(struct roots *r, struct str name);

/* What the check of a peer's chain found. */
struct verdict {
	bool ran;
	const mbedtls_x509_crt *leaf; /* the library's; NULL until it asked for roots */
	uint32_t upper;               /* flags of the certificates above the leaf */
	struct buf why;               /* in words */
};

/* What is remembered of a peer. */
struct tls_session {
	char *peer; /* "host:port" */
	struct buf blob;
};

struct tls_ctx {
	bool server, insecure;
	size_t refs; /* besides the first */
	mbedtls_ssl_config conf;
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
	mbedtls_ssl_ticket_context tickets;
	struct roots roots;
	unsigned char pins[TLS_PINS_MAX][32];
	size_t n_pins;
	struct tls_session sessions[TLS_SESSIONS_MAX];
	size_t next_session;
	struct tls_conn *handshaking; /* whose chain the library asks roots for */
};

struct tls_conn {
	mbedtls_ssl_context ssl;
	struct tls_ctx *ctx;
	int fd;
	char *host; /* NULL on the server's side */
	char *peer;
	bool host_is_ip;
	bool done, failed, offered, again;
	size_t unsent;          /* bytes of a write that was taken but not sent whole */
	int code;               /* errno of the descriptor, 0 if none */
	unsigned char first[8]; /* the peer's first bytes: shows who does not speak TLS */
	size_t n_first;
	struct verdict verdict;
};

/* Callbacks of the library, on struct tls_ctx and struct tls_conn. */
int verify_roots(void *ctx, const mbedtls_x509_crt *child, mbedtls_x509_crt **found);
int verify_one(void *conn, mbedtls_x509_crt *crt, int depth, uint32_t *flags);
/* ERR_TLS with the verdict in words. Returns -1. */
int verify_failed(struct tls_conn *t, struct err *e);
/* Whether ca, which stands above leaf, may sign for host and all names of leaf; else why, appended. */
bool ca_may_sign(const mbedtls_x509_crt *ca, const mbedtls_x509_crt *leaf, const char *host,
                 struct buf *why);
/* Pieces of a verdict in words: "; " between two, the name of a certificate, one alternative name. */
void verdict_next(struct buf *why);
void verdict_name(struct buf *why, const mbedtls_x509_name *name);
void verdict_san(struct buf *why, int tag, struct str san);

#define DER_SEQUENCE 0x30
/* Cuts the next element off *in if it has that tag; *content is what it holds (X.690 8.1). */
bool der_next(struct str *in, unsigned char tag, struct str *content);

/* For the library: 0, or its error code when the kernel has no randomness yet. */
int tls_rng(void *unused, unsigned char *p, size_t n);

#endif
