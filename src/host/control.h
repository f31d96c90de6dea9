/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the runner that lives on a state directory: HTTP over state_dir/control, a Unix socket of mode 0600 that
 * src/runner/control.c answers.
 *   GET  /status          what status.json says, as of now
 *   POST /pause           {"for_ms": N, "note": TEXT}, both optional; answers {"kept": BOOL}
 *   POST /resume
 *   GET  /jobs/ID         {"stage": …}, of one that is over also {"result": …, "error": …}
 *   POST /jobs/ID/cancel  {"by": TEXT}
 */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/json.h"

#define CONTROL_CALL_MS 5000
#define CONTROL_NOTE_MAX 256 /* bytes of a note */

/* A path for the socket that bind and connect take, however long state_dir is: the caller frees it, and keeps *dir_fd, which may
 * become a descriptor, open as long as it is used. NULL: state_dir cannot be opened. */
char *control_path(const char *state_dir, int *dir_fd, struct err *e);
/* One call. body NULL: none. 0: answer is the document (freed by the caller); -1: ERR_NOT_FOUND when no runner lives there or it
 * has no such job, ERR_DENIED, ERR_BUSY when the job is over, else what went wrong, in the runner's words if it has some. */
int control_call(const char *state_dir, const char *method, const char *target, const char *body,
                 struct json_doc **answer, struct deadline d, struct err *e);

#endif
