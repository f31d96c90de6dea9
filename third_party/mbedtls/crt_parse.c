/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library refuses a certificate with a critical extension that it does not know. Name constraints are checked
 * by us (src/net/tls_limits.c) and may therefore be there; CMakeLists.txt makes the library call this in place of
 * its own.
 */
#include "crt_parse.h"

#include <mbedtls/oid.h>
#include <string.h>

#define OID_NAME_CONSTRAINTS MBEDTLS_OID_ID_CE "\x1E"

static int known(void *unused, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                 int critical, const unsigned char *p, const unsigned char *end)
{
	(void)unused, (void)crt, (void)critical, (void)p, (void)end;
	return MBEDTLS_OID_CMP(OID_NAME_CONSTRAINTS, oid) == 0
	               ? 0
	               : MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG;
}

int dr_crt_parse(mbedtls_x509_crt *chain, const unsigned char *der, size_t n)
{
	return mbedtls_x509_crt_parse_der_with_ext_cb(chain, der, n, 1, known, NULL);
}
