/* SPDX-License-Identifier: Apache-2.0 */
#include "base/deadline.h"

#include "tests/test.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

static void zero_is_past_and_never_never_is(void)
{
	struct deadline zero = { 0 };

	CHECK(deadline_passed(zero));
	CHECK_INT(deadline_left_ms(zero), 0);
	CHECK_INT(deadline_poll_ms(zero), 0);
	CHECK(!deadline_passed(DEADLINE_NEVER));
	CHECK_INT(deadline_poll_ms(DEADLINE_NEVER), -1);
	CHECK_INT(deadline_left_ms(DEADLINE_NEVER), INT64_MAX);
}

static void far_and_near(void)
{
	struct deadline d = deadline_in_ms(60000);

	CHECK(!deadline_passed(d));
	CHECK(deadline_left_ms(d) > 50000 && deadline_left_ms(d) <= 60000);
	CHECK(deadline_passed(deadline_in_ms(0)));
	CHECK(deadline_passed(deadline_in_ms(-5)));
	CHECK_INT(deadline_in_ms(INT64_MAX).at_ms, INT64_MAX);
	CHECK_INT(deadline_poll_ms(deadline_in_ms(INT64_C(1) << 40)), INT_MAX);
	CHECK_INT(deadline_min(d, DEADLINE_NEVER).at_ms, d.at_ms);
	CHECK_INT(deadline_min(DEADLINE_NEVER, d).at_ms, d.at_ms);
}

static void writes_rfc3339(void)
{
	char s[TIME_TEXT_SIZE];

	setenv("TZ", "AAA-1:30", 1);
	tzset();
	time_rfc3339(1767323045678, true, false, s);
	CHECK_STR(s, "2026-01-02T03:04:05Z");
	time_rfc3339(1767323045678, true, true, s);
	CHECK_STR(s, "2026-01-02T03:04:05.678Z");
	time_rfc3339(1767323045678, false, false, s);
	CHECK_STR(s, "2026-01-02T04:34:05+01:30");
	setenv("TZ", "AAA5", 1);
	tzset();
	time_rfc3339(1767323045008, false, true, s);
	CHECK_STR(s, "2026-01-01T22:04:05.008-05:00");
	time_rfc3339(-1, true, true, s);
	CHECK_STR(s, "1969-12-31T23:59:59.999Z");
}

static void reads_rfc3339(void)
{
	static const struct {
		const char *in;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "2026-01-02T03:04:05Z", 1767323045000 },
		{ "2026-01-02T03:04:05.6Z", 1767323045600 },
		{ "2026-01-02T03:04:05.678901234Z", 1767323045678 },
		{ "2026-01-02T04:34:05+01:30", 1767323045000 },
		{ "2026-01-01t22:04:05-05:00", 1767323045000 },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-01-02T03:04:05", -1 },
		{ "2026-01-02T03:04:05.Z", -1 },
		{ "2026-01-02T03:04:05Zx", -1 },
		{ "2026-00-02T03:04:05Z", -1 },
		{ "2026-01-00T03:04:05Z", -1 },
		{ "2026-13-02T03:04:05Z", -1 },
		{ "2026-01-02T24:04:05Z", -1 },
		{ "2026-1-02T03:04:05Z", -1 },
		{ "", -1 },
		{ "2026", -1 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		int64_t ms = -2;

		TEST_ROW(i);
		CHECK_INT(time_parse_rfc3339(rows[i].in, &ms), rows[i].ms >= 0);
		CHECK_INT(ms, rows[i].ms >= 0 ? rows[i].ms : -2);
	}
}

static void zero_time_of_go_is_read(void)
{
	int64_t ms = 0;

	CHECK(time_parse_rfc3339("0001-01-01T00:00:00Z", &ms));
	CHECK(ms < 0);
}

TEST_MAIN(TEST(zero_is_past_and_never_never_is), TEST(far_and_near), TEST(writes_rfc3339),
          TEST(reads_rfc3339), TEST(zero_time_of_go_is_read))
