/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing this host's files of a runner (field case 129): only what is known to be ours, only in a
 * directory that carries our marker, never through a symbolic link.
 */
#ifndef HOST_WIPE_H
#define HOST_WIPE_H

#include "base/buf.h"
#include "base/err.h"
#include "host/config.h"

#include <stdbool.h>

/* Workspaces' directories below state_dir that hold something: users' data. */
size_t wipe_count_data(const char *state_dir);
/* 0 if the directory may be emptied: absolute, real, not "/", not HOME or above it, with our
 * marker in it. A missing one is ERR_NOT_FOUND. */
int wipe_check_state_dir(const char *state_dir, struct err *e);
/* Removes our files in it; with data the workspaces too. Then the directory itself, if nothing
 * is left. Goes on past failures: each is a line in left; -1 if there is one. */
int wipe_state_dir(const char *state_dir, bool data, struct buf *left, struct err *e);
/* Removes runner.ini and what `ssh` keeps beside it, and the directory if that is empty then. */
int wipe_config(const struct config *c, struct err *e);

#endif
