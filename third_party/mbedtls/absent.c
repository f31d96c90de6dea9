/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library refers to but never calls here; CMakeLists.txt hides the library's own.
 * Encryption with RSA: TLS 1.3 and the suites of 1.2 that daytona_mbedtls_config.h allows do without. The primes
 * of an RSA key: no key file comes without them (RFC 8017 A.1.2).
 */
#include <mbedtls/rsa.h>

int mbedtls_rsa_pkcs1_encrypt(mbedtls_rsa_context *ctx, mbedtls_f_rng_t *f_rng, void *p_rng,
                              size_t ilen, const unsigned char *input, unsigned char *output)
{
	(void)ctx, (void)f_rng, (void)p_rng, (void)ilen, (void)input, (void)output;
	return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
}

int mbedtls_rsa_pkcs1_decrypt(mbedtls_rsa_context *ctx, mbedtls_f_rng_t *f_rng, void *p_rng,
                              size_t *olen, const unsigned char *input, unsigned char *output,
                              size_t output_max_len)
{
	(void)ctx, (void)f_rng, (void)p_rng, (void)olen, (void)input, (void)output,
		(void)output_max_len;
	return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
}

/* As the library's rsa_alt_helpers.h has it, which is not for programs. */
int mbedtls_rsa_deduce_primes(const mbedtls_mpi *N, const mbedtls_mpi *E, const mbedtls_mpi *D,
                              mbedtls_mpi *P, mbedtls_mpi *Q);

int mbedtls_rsa_deduce_primes(const mbedtls_mpi *N, const mbedtls_mpi *E, const mbedtls_mpi *D,
                              mbedtls_mpi *P, mbedtls_mpi *Q)
{
	(void)N, (void)E, (void)D, (void)P, (void)Q;
	return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
}
