/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getrandom(2), which needs no file; /dev/urandom only where that call is missing or forbidden. Nothing is
 * seeded, so a forked child never repeats its parent's stream.
 */
#include "kernel_random.h"

#include <psa/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int from_device(unsigned char *p, size_t n)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int code = 0;

	if (fd < 0)
		return errno;
	/* Anything else under that name is no source of keys. */
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != 1 ||
	    minor(st.st_rdev) != 9)
		code = ENODEV;
	while (code == 0 && n) {
		ssize_t got = read(fd, p, n);

		if (got > 0) {
			p += got;
			n -= (size_t)got;
		} else if (got == 0 || errno != EINTR) {
			code = got < 0 ? errno : EIO;
		}
	}
	close(fd);
	return code;
}

int kernel_random(void *p, size_t n)
{
	unsigned char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n > 256 ? 256 : n, GRND_NONBLOCK);

		if (got > 0) {
			at += got;
			n -= (size_t)got;
		} else if (got < 0 && errno == EAGAIN) {
			return EAGAIN;
		} else if (got < 0 && errno != EINTR) {
			return from_device(at, n);
		}
	}
	return 0;
}

/* The source that the configuration names (MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG). */
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
	(void)context;
	if (kernel_random(output, output_size) != 0)
		return PSA_ERROR_INSUFFICIENT_ENTROPY;
	*output_length = output_size;
	return PSA_SUCCESS;
}
