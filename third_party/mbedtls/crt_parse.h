/* SPDX-License-Identifier: Apache-2.0 */
/* How each certificate of a peer and each root is parsed. */
#ifndef CRT_PARSE_H
#define CRT_PARSE_H

#include <mbedtls/x509_crt.h>

/* As mbedtls_x509_crt_parse_der; takes critical name constraints, which the caller must then check. */
int dr_crt_parse(mbedtls_x509_crt *chain, const unsigned char *der, size_t n);

#endif
