/* SPDX-License-Identifier: Apache-2.0 */
/* Between logs.c (options), logs_local.c (files) and logs_remote.c (the Server's copy). */
#ifndef APPLETS_LOGS_H
#define APPLETS_LOGS_H

#include "api/client.h"
#include "base/err.h"
#include "host/logview.h"

struct logs {
	struct logview view;
	bool follow, all; /* all: rotated files too */
	int64_t lines;    /* the last n alone; -1: no limit */
};

/* Writes to stdout. 0; -1 with an error that logs_reader_gone() knows when the reader of stdout has gone. */
int logs_write(struct buf *out, struct err *e);
bool logs_reader_gone(const struct err *e);
/* Shows the file at path and with follow what comes behind it, across rotation, truncation and
 * removal. */
int logs_local(struct logs *l, const char *path, struct err *e);
/* Shows the Server's log of a resource. With follow, reconnects. */
int logs_remote(struct logs *l, const struct api *a, const char *kind, const char *id,
                struct err *e);

#endif
