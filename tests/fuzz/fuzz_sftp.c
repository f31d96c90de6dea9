/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of an sftp client: what comes out lies within the packet and is fit for a system call. Nothing is done. */
#include "agent/sftp.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str s, const char *p, size_t n, bool is_path)
{
	if (s.n == 0)
		return;
	if (s.p < p || s.n > n || (size_t)(s.p - p) > n - s.n)
		abort();
	if (is_path && (s.n >= PATH_MAX || memchr(s.p, 0, s.n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* of its exact size, for the sanitizer */
	struct sftp_request r;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (sftp_parse((struct str){ copy, size }, &r)) {
		check_within(r.path, copy, size, true);
		check_within(r.path2, copy, size, true);
		check_within(r.data, copy, size, false);
		if (r.offset > INT64_MAX)
			abort();
	}
	free(copy);
	return 0;
}
