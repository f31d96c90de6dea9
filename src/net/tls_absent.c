/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library refers to but never calls here: encryption with RSA, which TLS 1.3 and the suites of 1.2
 * that daytona_mbedtls_config.h allows do without. third_party/mbedtls/CMakeLists.txt hides the library's own.
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
