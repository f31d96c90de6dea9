/* SPDX-License-Identifier: Apache-2.0 */
/* Figures in the text format of Prometheus, 0.0.4; and those that every process of ours has. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"

#include <stdint.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics {
	struct buf b;
	const char *prefix; /* of every name: "daytona_runner_" */
};

void metrics_one(struct metrics *metrics, const char *name, const char *type, const char *help,
                 int64_t value);
/* A name whose values differ by one label: the head, then each. No quotes in label and value. */
void metrics_head(struct metrics *metrics, const char *name, const char *type, const char *help);
void metrics_each(struct metrics *metrics, const char *name, const char *label, const char *of,
                  int64_t value);
/* Build, uptime, processor time, memory, descriptors. start_ms: monotonic. */
void metrics_process(struct metrics *metrics, int64_t start_ms);

#endif
