/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Randomness from the kernel: getrandom(2), which needs no file; /dev/urandom only where that call
 * is missing or forbidden. Early at boot it says so instead of blocking or going on without
 * (field case 94).
 */
#include "net/tls_int.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <psa/crypto.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int from_device(unsigned char *p, size_t n, struct err *e)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return err_sys(
			e, errno,
			"no randomness: getrandom is refused and /dev/urandom cannot be opened");
	/* Anything else under that name is no source of keys. */
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != 1 ||
	    minor(st.st_rdev) != 9)
		rc = err_set(e, ERR_OTHER, 0,
		             "no randomness: /dev/urandom is not the kernel's device");
	while (rc == 0 && n) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			rc = err_sys(e, got < 0 ? errno : EIO, "no randomness: read /dev/urandom");
			break;
		}
		p += got;
		n -= (size_t)got;
	}
	close(fd);
	return rc;
}

int crypto_random(void *p, size_t n, struct err *e)
{
	unsigned char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n > 256 ? 256 : n, GRND_NONBLOCK);

		if (got > 0) {
			at += got;
			n -= (size_t)got;
		} else if (got < 0 && errno == EAGAIN) {
			return err_set(e, ERR_BUSY, EAGAIN,
			               "waiting for entropy: the kernel's pool is not ready yet");
		} else if (got < 0 && errno != EINTR) {
			return from_device(at, n, e);
		}
	}
	return 0;
}

int tls_rng(void *unused, unsigned char *p, size_t n)
{
	struct err ignored = { 0 };

	(void)unused;
	return crypto_random(p, n, &ignored) == 0 ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* The source our configuration of the library names (MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG). */
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
	struct err ignored = { 0 };

	(void)context;
	if (crypto_random(output, output_size, &ignored) < 0)
		return PSA_ERROR_INSUFFICIENT_ENTROPY;
	*output_length = output_size;
	return PSA_SUCCESS;
}
