/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time on the monotonic clock. Pass one down instead of a timeout. */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadline {
	int64_t at_ms; /* CLOCK_MONOTONIC; zero is already past */
};

#define DEADLINE_NEVER ((struct deadline){ INT64_MAX })
#define DEADLINE_PAST ((struct deadline){ 0 })

int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* for stamps and certificate dates only */
struct deadline deadline_in_ms(int64_t ms);
struct deadline deadline_min(struct deadline a, struct deadline b);
bool deadline_passed(struct deadline d);
int64_t deadline_left_ms(struct deadline d); /* 0 when past */
/* For poll(2): -1 for never, else rounded so that the wait does not end early. */
int deadline_poll_ms(struct deadline d);
/* RFC 3339 with the local offset, whole seconds ("2026-01-02T03:04:05+01:00", "…Z"). */
#define TIME_TEXT_SIZE 40
void time_rfc3339(int64_t wall_ms, bool utc, bool millis, char out[TIME_TEXT_SIZE]);
/* Parses RFC 3339 with any fraction; false if malformed. */
bool time_parse_rfc3339(const char *s, int64_t *wall_ms);

#endif
