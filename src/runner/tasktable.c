/* SPDX-License-Identifier: Apache-2.0 */
/* See tasktable.h. */
#include "runner/tasktable.h"

#define STEP(from, event, to) [TASK_##from][TASK_EV_##event] = TASK_##to + 1,

static const unsigned char steps[TASK_STAGES][TASK_EVENTS] = { TASK_STEPS(STEP) };

bool task_step(enum task_stage *stage, enum task_event event)
{
	unsigned char next = steps[*stage][event];

	if (next)
		*stage = (enum task_stage)(next - 1);
	return next != 0;
}

const char *task_stage_name(enum task_stage stage)
{
	static const char *const names[] = { "over", "wait",    "claim",   "claim",  "running",
		                             "held", "unknown", "unknown", "report", "report" };

	return names[stage];
}
