/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything between this host and a job, looked at in the order in which it is needed: what is wrong is said with
 * its remedy, and what cannot be known because of that is left out. Reads only.
 */
#ifndef HOST_CHECKUP_H
#define HOST_CHECKUP_H

#include "base/buf.h"
#include "base/deadline.h"
#include "host/config.h"

#define CHECKUP_ROWS 13

/* CHECK_NOTE: worth knowing, not needed. CHECK_SKIPPED: waits for what is wrong above. */
enum check_state { CHECK_OK, CHECK_NOTE, CHECK_WRONG, CHECK_SKIPPED };
struct check_row {
	const char *name;
	enum check_state state;
	struct buf text; /* one line, without secrets */
};
struct checkup {
	struct check_row rows[CHECKUP_ROWS];
	unsigned wrong;
};

const char *check_state_name(enum check_state s);
/* c: of config_look, so that what is wrong in it is a row too. */
void checkup_run(struct checkup *checkup, const struct config *c, const char *self_exe,
                 struct deadline d);
void checkup_free(struct checkup *checkup);

#endif
