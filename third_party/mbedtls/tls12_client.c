/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's client of TLS 1.2, taught to take RSA's new padding (PSS) from a server: whoever offers 1.3 must
 * offer it, and a server of 1.2 may then sign with it (RFC 8446 4.2.3). The library can check such a signature
 * and leaves it out of one list only. Without this the way out would be a second try without 1.3, which anybody
 * on the way could provoke.
 */
#include "common.h"
#include "ssl_misc.h"

static int dr_may_sign(const mbedtls_ssl_context *ssl, uint16_t sig_alg)
{
	return mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg) ||
	       sig_alg == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256 ||
	       sig_alg == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384 ||
	       sig_alg == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512;
}

/* Its one use is for the signature of a server's key exchange; what was not offered is refused after it. */
#define mbedtls_ssl_sig_alg_is_supported dr_may_sign
#include "ssl_tls12_client.c"
