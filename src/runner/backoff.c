/* SPDX-License-Identifier: Apache-2.0 */
/* See sup.h: how long to wait before something is tried again. */
#include "runner/sup.h"

#include "base/deadline.h"

int64_t backoff_ms(unsigned n, int64_t cap_ms)
{
	struct err e = { 0 };
	uint32_t r = 0;
	int64_t window = n < 16 ? (int64_t)500 << n : cap_ms;

	if (window > cap_ms)
		window = cap_ms;
	if (crypto_random(&r, sizeof(r), &e) < 0)
		r = (uint32_t)clock_wall_ms();
	return 50 + (int64_t)(r % (uint64_t)(window + 1));
}
