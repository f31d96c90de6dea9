/* SPDX-License-Identifier: Apache-2.0 */
/* See quantity.h. */
#include "base/quantity.h"

#include <string.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Decimal number with up to 9 places after the point, times 10^9. */
static bool parse_nano(struct str s, int64_t max, int64_t *out)
{
	int64_t v = 0;
	int places = -1;

	if (!s.n || s.n > 20)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && places < 0 && i > 0 && i + 1 < s.n) {
			places = 0;
			continue;
		}
		if (s.p[i] < '0' || s.p[i] > '9' || places >= 9)
			return false;
		v = v * 10 + (s.p[i] - '0');
		if (v > INT64_MAX / 20)
			return false;
		places += places >= 0;
	}
	for (int i = places < 0 ? 0 : places; i < 9; i++) {
		if (v > INT64_MAX / 10)
			return false;
		v *= 10;
	}
	*out = v;
	return v <= max;
}

bool quantity_cpus(struct str s, int64_t *nano)
{
	int64_t v;

	if (!parse_nano(s, 100000 * INT64_C(1000000000), &v) || v < 1000000)
		return false;
	*nano = v;
	return true;
}

bool quantity_bytes(struct str s, int64_t *out)
{
	static const char units[] = "kmgt";
	const char *unit;
	int64_t v;
	int shift = 0;

	if (s.n > 1 && (s.p[s.n - 1] == 'b' || s.p[s.n - 1] == 'B'))
		s.n--;
	if (s.n > 1 && s.p[s.n - 1] == 'i')
		s.n--;
	unit = s.n ? strchr(units, lower(s.p[s.n - 1])) : NULL;
	if (unit && *unit) {
		shift = 10 * (int)(unit - units + 1);
		s.n--;
	}
	if (!shift)
		return str_to_i64(s, 1, INT64_MAX, out);
	if (!parse_nano(s, INT64_MAX, &v) || v / 1000000000 > INT64_MAX >> shift)
		return false;
	*out = ((v / 1000000000) << shift) +
	       (int64_t)((double)(v % 1000000000) / 1e9 * (double)(INT64_C(1) << shift));
	return *out > 0;
}
