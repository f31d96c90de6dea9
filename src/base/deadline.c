/* SPDX-License-Identifier: Apache-2.0 */
/* See deadline.h. */
#include "base/deadline.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

struct deadline deadline_in_ms(int64_t ms)
{
	int64_t now = clock_mono_ms();

	if (ms > INT64_MAX - now - 1)
		return DEADLINE_NEVER;
	return (struct deadline){ now + (ms < 0 ? 0 : ms) };
}

struct deadline deadline_min(struct deadline a, struct deadline b)
{
	return a.at_ms < b.at_ms ? a : b;
}

bool deadline_passed(struct deadline d)
{
	return d.at_ms != INT64_MAX && clock_mono_ms() >= d.at_ms;
}

int64_t deadline_left_ms(struct deadline d)
{
	int64_t left;

	if (d.at_ms == INT64_MAX)
		return INT64_MAX;
	left = d.at_ms - clock_mono_ms();
	return left > 0 ? left : 0;
}

int deadline_poll_ms(struct deadline d)
{
	int64_t left = deadline_left_ms(d);

	if (d.at_ms == INT64_MAX)
		return -1;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void time_rfc3339(int64_t wall_ms, bool utc, bool millis, char out[TIME_TEXT_SIZE])
{
	int ms = (int)((wall_ms % 1000 + 1000) % 1000);
	time_t sec = (time_t)((wall_ms - ms) / 1000);
	struct tm tm = { 0 };
	char frac[8] = "";
	size_t n;

	if (utc)
		gmtime_r(&sec, &tm);
	else
		localtime_r(&sec, &tm);
	n = (size_t)snprintf(out, TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d",
	                     (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	                     tm.tm_min, tm.tm_sec);
	if (millis)
		snprintf(frac, sizeof(frac), ".%03d", ms);
	if (utc || tm.tm_gmtoff == 0) {
		snprintf(out + n, TIME_TEXT_SIZE - n, "%sZ", frac);
	} else {
		long off = tm.tm_gmtoff / 60;
		long mag = off < 0 ? -off : off;

		snprintf(out + n, TIME_TEXT_SIZE - n, "%s%c%02ld:%02ld", frac, off < 0 ? '-' : '+',
		         mag / 60 % 100, mag % 60);
	}
}

static bool digits(const char **s, int n, int max, int *out)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*out = v;
	return v <= max;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

bool time_parse_rfc3339(const char *s, int64_t *wall_ms)
{
	struct tm tm = { 0 };
	int ms = 0, scale = 100, oh = 0, om = 0;
	int64_t t;

	if (!digits(&s, 4, 9999, &tm.tm_year) || !skip(&s, '-') || !digits(&s, 2, 12, &tm.tm_mon) ||
	    !skip(&s, '-') || !digits(&s, 2, 31, &tm.tm_mday) ||
	    (*s != 'T' && *s != 't' && *s != ' '))
		return false;
	s++;
	if (!digits(&s, 2, 23, &tm.tm_hour) || !skip(&s, ':') || !digits(&s, 2, 59, &tm.tm_min) ||
	    !skip(&s, ':') || !digits(&s, 2, 60, &tm.tm_sec))
		return false;
	if (skip(&s, '.')) {
		if (*s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
			ms += (*s - '0') * scale;
	}
	if (tm.tm_mon == 0 || tm.tm_mday == 0)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	t = (int64_t)timegm(&tm) * 1000 + ms;
	if (*s == 'Z' || *s == 'z') {
		s++;
	} else if (*s == '+' || *s == '-') {
		int sign = *s++ == '-' ? 1 : -1;

		if (!digits(&s, 2, 23, &oh) || !skip(&s, ':') || !digits(&s, 2, 59, &om))
			return false;
		t += (int64_t)sign * (oh * 60 + om) * 60000;
	} else {
		return false;
	}
	if (*s)
		return false;
	*wall_ms = t;
	return true;
}
