/* SPDX-License-Identifier: Apache-2.0 */
/* The output of git log as the API's GitCommitInfo. */
#ifndef AGENT_TOOLBOX_HISTORY_H
#define AGENT_TOOLBOX_HISTORY_H

#include "base/buf.h"

/* Of `git log --format=`: five fields, each with a NUL behind it. */
#define HISTORY_FORMAT "%H%x00%an%x00%ae%x00%aI%x00%B%x00"

/* Appends the array. What is malformed or cut is left out. */
void history_parse(struct str log, struct buf *json);

#endif
