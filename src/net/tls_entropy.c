/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's randomness (third_party/mbedtls/kernel_random.c) for us and for the library's older interfaces.
 * Early at boot it says so instead of blocking or going on without (field case 94).
 */
#include "net/tls_int.h"

#include <errno.h>
#include <kernel_random.h>

int crypto_random(void *p, size_t n, struct err *e)
{
	int code = kernel_random(p, n);

	if (code == EAGAIN)
		return err_set(e, ERR_BUSY, EAGAIN,
		               "waiting for entropy: the kernel's pool is not ready yet");
	if (code)
		return err_sys(
			e, code,
			"no randomness: getrandom is refused and /dev/urandom cannot be used");
	return 0;
}

int tls_rng(void *unused, unsigned char *p, size_t n)
{
	(void)unused;
	return kernel_random(p, n) == 0 ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}
