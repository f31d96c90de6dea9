/* SPDX-License-Identifier: Apache-2.0 */
/* How often a provider is looked at again. */
#include "runner/provset.h"
#include "tests/test.h"

static void what_is_missing_is_looked_for_soon(void)
{
	for (unsigned unmet = 1; unmet <= 1000; unmet++)
		CHECK(provset_recheck_ms(unmet, true) == 10000);
	for (unsigned unmet = 1; unmet <= 6; unmet++)
		CHECK(provset_recheck_ms(unmet, false) == 10000);
}

static void and_less_often_when_nobody_waits_for_it(void)
{
	CHECK(provset_recheck_ms(7, false) == 60000);
	CHECK(provset_recheck_ms(100000, false) == 60000);
}

static void what_is_there_is_seldom_looked_at(void)
{
	CHECK(provset_recheck_ms(0, false) == 300000);
	CHECK(provset_recheck_ms(0, true) == 300000);
}

TEST_MAIN(TEST(what_is_missing_is_looked_for_soon), TEST(and_less_often_when_nobody_waits_for_it),
          TEST(what_is_there_is_seldom_looked_at))
