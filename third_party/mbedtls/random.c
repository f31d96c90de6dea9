/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The random source that our mbedTLS configuration names (MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG): getrandom(2).
 * It blocks only before the kernel's pool is ready at boot, and needs no file, so it works in a chroot.
 */
#include <errno.h>
#include <sys/random.h>

#include <psa/crypto.h>

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
	size_t n = 0;

	(void)context;
	while (n < output_size) {
		ssize_t r = getrandom(output + n, output_size - n, 0);

		if (r > 0)
			n += (size_t)r;
		else if (r < 0 && errno != EINTR)
			return PSA_ERROR_INSUFFICIENT_ENTROPY;
	}
	*output_length = n;
	return PSA_SUCCESS;
}
