/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trusted certificates, looked up by subject when a chain asks for one: a bundle file or directory
 * is read as a stream, so memory does not depend on its size (field cases 88, 89).
 */
#include "net/tls_int.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/unpack.h"
#include "net/ca_roots.h"

#include <crt_parse.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536
#define CERT_MAX_BYTES 65536
#define KEPT_MAX_BYTES 16384
#define FOUND_MAX 16 /* certificates of one subject */

/* der.n == 0: a certificate that cannot be decoded. Non-zero ends the scan. */
typedef int root_fn(void *arg, struct str der);

struct pem {
	bool inside;
	struct buf line;
	struct buf text; /* base64 so far */
	root_fn *each;
	void *arg;
};

static int pem_end(struct pem *p)
{
	struct buf der = { 0 };
	int rc;

	if (p->text.n > CERT_MAX_BYTES * 4 / 3 || !buf_add_unbase64(&der, buf_str(&p->text)))
		buf_reset(&der);
	rc = p->each(p->arg, buf_str(&der));
	buf_free(&der);
	buf_reset(&p->text);
	p->inside = false;
	return rc;
}

static int pem_line(struct pem *p)
{
	struct str line = str_trim(buf_str(&p->line));
	int rc = 0;

	if (str_eq(line, "-----BEGIN CERTIFICATE-----")) {
		if (p->inside)
			rc = p->each(p->arg, (struct str){ 0 });
		p->inside = true;
		buf_reset(&p->text);
	} else if (p->inside && str_starts(line, "-----")) {
		rc = pem_end(p);
	} else if (p->inside && p->text.n <= CERT_MAX_BYTES * 4 / 3) {
		buf_add_str(&p->text, line);
	}
	buf_reset(&p->line);
	return rc;
}

static int pem_feed(struct pem *p, const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (at[i] != '\n') {
			if (p->line.n < LINE_MAX_BYTES)
				buf_addc(&p->line, at[i]);
			continue;
		}
		if (pem_line(p))
			return 1;
	}
	return 0;
}

/* PEM, or one DER certificate. 1: the callback ended it, 0: at the end, -1: cannot be read. */
static int scan_file(const char *path, root_fn *each, void *arg, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct pem pem = { .each = each, .arg = arg };
	struct stat st;
	struct buf der = { 0 };
	char piece[4096];
	bool first = true;
	int rc = 0;

	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_CONFIG, 0, "%s: is no regular file", path);
	}
	for (ssize_t n; rc == 0 && (n = read(fd, piece, sizeof(piece))) != 0; first = false) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, errno, "%s", path);
		else if (der.n || (first && piece[0] == 0x30))
			rc = buf_add_max(&der, piece, (size_t)n, CERT_MAX_BYTES, e);
		else
			rc = pem_feed(&pem, piece, (size_t)n);
	}
	close(fd);
	if (rc == 0 && der.n)
		rc = each(arg, buf_str(&der));
	else if (rc == 0)
		rc = pem_line(&pem);
	if (rc == 0 && pem.inside)
		rc = each(arg, (struct str){ 0 });
	buf_free(&der);
	buf_free(&pem.line);
	buf_free(&pem.text);
	return rc;
}

/* Files that are none or cannot be read are passed over: a directory may hold anything. */
static int scan_dir(const char *path, root_fn *each, void *arg, struct err *e)
{
	DIR *dir = opendir(path);
	struct err ignored = { 0 };
	int rc = 0;

	if (!dir)
		return err_sys(e, errno, "%s", path);
	for (struct dirent *d; rc <= 0 && (d = readdir(dir)) != NULL;) {
		char *name;

		if (d->d_name[0] == '.')
			continue;
		name = path_join(path, d->d_name);
		rc = scan_file(name, each, arg, &ignored);
		free(name);
	}
	closedir(dir);
	return rc > 0;
}

/* Certificates one after another, each of a length that takes two bytes. */
static int scan_der(struct str all, root_fn *each, void *arg)
{
	int rc = 0;

	while (rc == 0 && all.n >= 4) {
		const unsigned char *at = (const unsigned char *)all.p;
		size_t n = 4 + ((size_t)at[2] << 8 | at[3]);

		if (n > all.n)
			break;
		rc = each(arg, (struct str){ all.p, n });
		all.p += n;
		all.n -= n;
	}
	return rc;
}

static int scan(const struct roots *r, root_fn *each, void *arg, struct err *e)
{
	int rc = 0;

	if (r->kept.n)
		return scan_der(buf_str(&r->kept), each, arg);
	if (r->file)
		rc = scan_file(r->file, each, arg, e);
	if (rc == 0 && r->dir)
		rc = scan_dir(r->dir, each, arg, e);
	return rc;
}

#define DER_INTEGER 0x02
#define DER_VERSION 0xa0 /* [0], explicit */

bool der_next(struct str *in, unsigned char tag, struct str *content)
{
	const unsigned char *p = (const unsigned char *)in->p;
	size_t n, width = 0;

	if (in->n < 2 || p[0] != tag)
		return false;
	n = p[1];
	if (n >= 0x80) {
		width = n & 0x7f;
		if (width == 0 || width > 3 || in->n < 2 + width)
			return false;
		n = 0;
		for (size_t i = 0; i < width; i++)
			n = n << 8 | p[2 + i];
	}
	if (n > in->n - 2 - width)
		return false;
	*content = (struct str){ in->p + 2 + width, n };
	in->p += 2 + width + n;
	in->n -= 2 + width + n;
	return true;
}

/* Raw subject of a certificate (RFC 5280 4.1); .p == NULL if it is none. */
static struct str subject_of(struct str der)
{
	struct str cert, in, skipped;
	const char *subject;

	if (!der_next(&der, DER_SEQUENCE, &cert) || !der_next(&cert, DER_SEQUENCE, &in))
		return (struct str){ 0 };
	(void)der_next(&in, DER_VERSION, &skipped);
	/* serial, algorithm, issuer, dates */
	if (!der_next(&in, DER_INTEGER, &skipped) || !der_next(&in, DER_SEQUENCE, &skipped) ||
	    !der_next(&in, DER_SEQUENCE, &skipped) || !der_next(&in, DER_SEQUENCE, &skipped))
		return (struct str){ 0 };
	subject = in.p;
	if (!der_next(&in, DER_SEQUENCE, &skipped))
		return (struct str){ 0 };
	return (struct str){ subject, (size_t)(in.p - subject) };
}

/* Of a name (raw DER), whatever the case of its letters and the type of its strings: they may differ between a root and what
 * it has signed. */
static uint32_t name_hash(struct str name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++) {
		unsigned c = (unsigned char)name.p[i];

		if (c == MBEDTLS_ASN1_PRINTABLE_STRING)
			c = MBEDTLS_ASN1_UTF8_STRING;
		else if (c - 'A' <= 'Z' - 'A')
			c |= 0x20;
		h = (h ^ c) * 16777619u;
	}
	return h;
}

static unsigned number16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void add_head(struct buf *b, size_t content)
{
	buf_addc(b, 0x30);
	buf_addc(b, (char)0x82);
	buf_addc(b, (char)(content >> 8));
	buf_addc(b, (char)content);
}

/* Those whose name may be this one, as certificates that have it: whether the key is right is for the signature to
 * say. All are unpacked: less work than the handshake's smallest signature, and no index to keep. */
static int scan_builtin(struct str name, root_fn *each, void *arg)
{
	/* Algorithm and an empty signature, whose last byte is the literal's own. */
	static const char unsigned_end[] =
		"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x01";
	struct buf all = { 0 }, crt = { 0 };
	uint32_t hash = name_hash(name);
	const unsigned char *at, *noise;
	int rc = 0;

	unpack(&all, ca_roots, ca_roots_size);
	at = (const unsigned char *)all.p;
	noise = at + all.n;
	while (rc == 0 && at < noise) {
		size_t before = number16(at), head = number16(at + 2), rest = number16(at + 4),
		       n = number16(at + 6);
		size_t tbs = before + name.n + head + n + rest;

		at += 8;
		noise -= 4 + n;
		if (((uint32_t)number16(noise) << 16 | number16(noise + 2)) == hash) {
			buf_reset(&crt);
			add_head(&crt, 4 + tbs + sizeof(unsigned_end));
			add_head(&crt, tbs);
			buf_add(&crt, at, before);
			buf_add_str(&crt, name);
			buf_add(&crt, at + before, head);
			buf_add(&crt, noise + 4, n);
			buf_add(&crt, at + before + head, rest);
			buf_add(&crt, unsigned_end, sizeof(unsigned_end));
			rc = each(arg, buf_str(&crt));
		}
		at += before + head + rest;
	}
	buf_free(&crt);
	buf_free(&all);
	return rc;
}

struct find {
	uint32_t hash; /* of the name */
	mbedtls_x509_crt *head;
	size_t n;
};

static int find_each(void *arg, struct str der)
{
	struct find *f = arg;

	/* A sieve before the library's own comparison, which alone decides. */
	if (name_hash(subject_of(der)) != f->hash)
		return 0;
	if (!f->head) {
		f->head = mem_alloc(sizeof(*f->head));
		mbedtls_x509_crt_init(f->head);
	}
	if (dr_crt_parse(f->head, (const unsigned char *)der.p, der.n) == 0)
		f->n++;
	return f->n >= FOUND_MAX;
}

struct count {
	struct roots *r;
	bool keep;
};

static int count_each(void *arg, struct str der)
{
	struct count *c = arg;
	mbedtls_x509_crt crt;
	int rc = -1;

	mbedtls_x509_crt_init(&crt);
	if (der.n)
		rc = dr_crt_parse(&crt, (const unsigned char *)der.p, der.n);
	mbedtls_x509_crt_free(&crt);
	if (rc != 0) {
		c->r->skipped++;
		return 0;
	}
	c->r->loaded++;
	/* Every real certificate has a two-byte length; one that has not is found by reading again. */
	if (der.p[0] != 0x30 || (unsigned char)der.p[1] != 0x82 ||
	    c->r->kept.n + der.n > KEPT_MAX_BYTES)
		c->keep = false;
	if (c->keep)
		buf_add_str(&c->r->kept, der);
	return 0;
}

static int first_each(void *arg, struct str der)
{
	(void)arg;
	return subject_of(der).p != NULL;
}

static void choose_system(struct roots *r)
{
	static const char *const files[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	};
	static const char *const dirs[] = { "/etc/ssl/certs", "/etc/pki/tls/certs" };
	const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
	struct err ignored = { 0 };

	r->chosen = true;
	if ((file && *file) || (dir && *dir)) {
		r->file = file && *file ? file : NULL;
		r->dir = dir && *dir ? dir : NULL;
	} else {
		for (size_t i = 0; i < ARRAY_LEN(files) && !r->file; i++)
			r->file = scan_file(files[i], first_each, NULL, &ignored) > 0 ? files[i]
			                                                              : NULL;
		for (size_t i = 0; i < ARRAY_LEN(dirs) && !r->file && !r->dir; i++)
			r->dir = scan_dir(dirs[i], first_each, NULL, &ignored) > 0 ? dirs[i] : NULL;
	}
	r->builtin = !r->file && !r->dir;
	if (r->builtin)
		snprintf(r->label, sizeof(r->label), "compiled-in set (%zu)", ca_roots_n);
	else
		snprintf(r->label, sizeof(r->label), "%s", r->file ? r->file : r->dir);
}

int roots_open(struct roots *r, const char *file, const char *dir, struct err *e)
{
	struct count c = { r, true };

	*r = (struct roots){ .file = file, .dir = dir };
	if (!file && !dir)
		return 0;
	r->chosen = true;
	if (scan(r, count_each, &c, e) < 0)
		return err_wrap(e, "CA certificates");
	if (!c.keep)
		buf_free(&r->kept);
	if (r->loaded == 0)
		return err_set(e, ERR_CONFIG, 0, "no CA certificates found in: %s%s%s (%u skipped)",
		               file ? file : "", file && dir ? ", " : "", dir ? dir : "",
		               r->skipped);
	snprintf(r->label, sizeof(r->label), "%u loaded, %u skipped", r->loaded, r->skipped);
	return 0;
}

void roots_free(struct roots *r)
{
	buf_free(&r->kept);
	*r = (struct roots){ 0 };
}

const char *roots_label(struct roots *r)
{
	if (!r->chosen)
		choose_system(r);
	return r->label;
}

mbedtls_x509_crt *roots_find(struct roots *r, struct str name)
{
	struct find f = { .hash = name_hash(name) };
	struct err ignored = { 0 };

	if (!r->chosen)
		choose_system(r);
	if (r->builtin)
		scan_builtin(name, find_each, &f);
	else
		scan(r, find_each, &f, &ignored);
	if (f.head && f.n == 0) {
		free(f.head);
		f.head = NULL;
	}
	return f.head;
}
