/* SPDX-License-Identifier: Apache-2.0 */
/* See metrics.h. */
#include "base/metrics.h"

#include "base/deadline.h"
#include "base/file.h"
#include "base/version.h"

#include <dirent.h>
#include <sys/auxv.h>
#include <time.h>

void metrics_head(struct metrics *metrics, const char *name, const char *type, const char *help)
{
	buf_addf(&metrics->b, "# HELP %s%s %s\n# TYPE %s%s %s\n", metrics->prefix, name, help,
	         metrics->prefix, name, type);
}

void metrics_each(struct metrics *metrics, const char *name, const char *label, const char *of,
                  int64_t value)
{
	buf_addf(&metrics->b, "%s%s{%s=\"%s\"} %lld\n", metrics->prefix, name, label, of,
	         (long long)value);
}

void metrics_one(struct metrics *metrics, const char *name, const char *type, const char *help,
                 int64_t value)
{
	metrics_head(metrics, name, type, help);
	buf_addf(&metrics->b, "%s%s %lld\n", metrics->prefix, name, (long long)value);
}

static int64_t resident_bytes(void)
{
	struct buf b = { 0 };
	struct err e;
	struct str rest, piece;
	int64_t pages = 0;

	if (file_read("/proc/self/statm", 256, &b, &e) == 0) {
		rest = buf_str(&b);
		str_next(&rest, ' ', &piece);
		if (str_next(&rest, ' ', &piece))
			str_to_i64(piece, 0, INT32_MAX, &pages);
	}
	buf_free(&b);
	return pages * (int64_t)getauxval(AT_PAGESZ);
}

static int64_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = -3; /* ".", ".." and the directory itself */

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void metrics_process(struct metrics *metrics, int64_t start_ms)
{
	struct timespec cpu = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	metrics_head(metrics, "build_info", "gauge", "1; which build this is");
	buf_addf(&metrics->b, "%sbuild_info{version=\"%s\",build=\"%s\"} 1\n", metrics->prefix,
	         DR_VERSION, dr_build_id);
	metrics_one(metrics, "uptime_seconds", "counter", "seconds since the start",
	            (clock_mono_ms() - start_ms) / 1000);
	metrics_head(metrics, "cpu_seconds_total", "counter", "processor time of this process");
	buf_addf(&metrics->b, "%scpu_seconds_total %lld.%03ld\n", metrics->prefix,
	         (long long)cpu.tv_sec, cpu.tv_nsec / 1000000);
	metrics_one(metrics, "resident_bytes", "gauge", "resident memory", resident_bytes());
	metrics_one(metrics, "open_descriptors", "gauge", "open file descriptors",
	            open_descriptors());
}
