/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in roots against the certificates they were made from (DR_CA_DIR): each is found by its
 * subject, has the same key, dates and path limit, and verifies what that key has signed.
 */
#include "net/ca_roots.h"
#include "net/tls_int.h"

#include "base/attr.h"
#include "base/file.h"
#include "tests/test.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <psa/crypto.h>
#include <stdlib.h>

static bool same(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool same_time(const mbedtls_x509_time *a, const mbedtls_x509_time *b)
{
	return a->year == b->year && a->mon == b->mon && a->day == b->day && a->hour == b->hour &&
	       a->min == b->min && a->sec == b->sec;
}

static void release(mbedtls_x509_crt *head)
{
	mbedtls_x509_crt_free(head);
	free(head);
}

static int builtin_roots(void *roots, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
	*found = roots_find(
		roots, (struct str){ (const char *)child->issuer_raw.p, child->issuer_raw.len });
	return 0;
}

/* The original is self-signed: to the library it is a leaf whose issuer has its own name. */
static uint32_t verify(struct roots *r, mbedtls_x509_crt *crt)
{
	static const mbedtls_x509_crt_profile any = { UINT32_MAX, UINT32_MAX, UINT32_MAX, 1024 };
	uint32_t flags = UINT32_MAX;

	mbedtls_x509_crt_verify_with_ca_cb(crt, builtin_roots, r, &any, NULL, &flags, NULL, NULL);
	return flags & ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
}

static void check_root(struct roots *r, mbedtls_x509_crt *original, bool signs_by_sha1)
{
	mbedtls_x509_crt *head = roots_find(r, (struct str){ (const char *)original->subject_raw.p,
	                                                     original->subject_raw.len });
	unsigned equal = 0;

	for (mbedtls_x509_crt *c = head; c; c = c->next)
		equal += same(&c->pk_raw, &original->pk_raw) &&
		         same(&c->subject_raw, &original->subject_raw) &&
		         same_time(&c->valid_to, &original->valid_to) &&
		         same_time(&c->valid_from, &original->valid_from) &&
		         c->MBEDTLS_PRIVATE(max_pathlen) == original->MBEDTLS_PRIVATE(max_pathlen);
	CHECK_INT(equal, 1);
	for (mbedtls_x509_crt *c = head; c; c = c->next)
		CHECK(c->MBEDTLS_PRIVATE(sig).len == 0);
	if (!signs_by_sha1) {
		CHECK_INT(verify(r, original), 0);
		original->MBEDTLS_PRIVATE(sig).p[original->MBEDTLS_PRIVATE(sig).len - 1] ^= 1;
		CHECK_INT(verify(r, original), MBEDTLS_X509_BADCERT_NOT_TRUSTED);
	}
	release(head);
}

/* What a root has signed may have its name in other letters, and in strings of the other type. */
static void check_other_name(struct roots *r, const mbedtls_x509_crt *original)
{
	struct buf name = { 0 };
	mbedtls_x509_crt *head;

	buf_add(&name, original->subject_raw.p, original->subject_raw.len);
	for (size_t i = 3; i < name.n; i++) {
		if (isalpha((unsigned char)name.p[i - 1]) && strchr("Aa", name.p[i]))
			name.p[i] ^= 0x20;
		else if (memcmp(&name.p[i - 3], "\x55\x04", 2) == 0 &&
		         name.p[i] == MBEDTLS_ASN1_UTF8_STRING)
			name.p[i] = MBEDTLS_ASN1_PRINTABLE_STRING;
	}
	head = roots_find(r, buf_str(&name));
	CHECK(head && head->subject_raw.len == name.n &&
	      memcmp(head->subject_raw.p, name.p, name.n) == 0);
	if (head)
		release(head);
	buf_free(&name);
}

static void every_root_is_found_and_verifies(void)
{
	struct roots r = { .chosen = true, .builtin = true };
	DIR *dir = opendir(DR_CA_DIR);
	size_t n = 0, limited = 0;

	if (!dir && errno == ENOTDIR)
		return; /* a bundle: what came in is not there one by one */
	if (!CHECK(dir))
		return;
	CHECK_INT(psa_crypto_init(), PSA_SUCCESS);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		struct buf path = { 0 }, pem = { 0 };
		struct err e = { 0 };
		mbedtls_x509_crt crt;

		if (!str_ends(str_of(d->d_name), ".crt"))
			continue;
		mbedtls_x509_crt_init(&crt);
		buf_addf(&path, "%s/%s", DR_CA_DIR, d->d_name);
		CHECK_INT(file_read(buf_cstr(&path), 65536, &pem, &e), 0);
		CHECK_INT(mbedtls_x509_crt_parse(&crt, (const unsigned char *)pem.p, pem.n + 1), 0);
		TEST_ROW(n);
		n++;
		limited += crt.MBEDTLS_PRIVATE(max_pathlen) > 0;
		check_other_name(&r, &crt);
		check_root(&r, &crt, crt.MBEDTLS_PRIVATE(sig_md) == MBEDTLS_MD_SHA1);
		mbedtls_x509_crt_free(&crt);
		buf_free(&path);
		buf_free(&pem);
	}
	closedir(dir);
	CHECK(n >= ca_roots_n);
	CHECK(limited > 0); /* both forms of a packed root were seen */
	roots_free(&r);
}

static void unknown_names_are_not_found(void)
{
	struct roots r = { .chosen = true, .builtin = true };

	CHECK(!roots_find(&r, (struct str){ "\x30\x00", 2 }));
	CHECK(!roots_find(&r, (struct str){ "", 0 }));
	roots_free(&r);
}

TEST_MAIN(TEST(every_root_is_found_and_verifies), TEST(unknown_names_are_not_found))
