/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo, a NUL, and /proc/self/cgroup: no place leaves its mount. */
#include "sandbox/cgroup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const char *nul = size ? memchr(p, 0, size) : NULL;
	size_t n = nul ? (size_t)(nul - p) : size;
	struct cgroup_mount at[CGROUP_N];
	struct err e = { 0 };

	if (cgroup_locate((struct str){ p, n },
	                  (struct str){ nul ? nul + 1 : p + n, nul ? size - n - 1 : 0 }, at,
	                  &e) < 0)
		return 0;
	for (int i = 0; i < CGROUP_N; i++) {
		if (at[i].dir && (strstr(at[i].dir, "/../") || strstr(at[i].own, "/..") ||
		                  (*at[i].own && *at[i].own != '/')))
			abort();
	}
	cgroup_mounts_free(at);
	return 0;
}
