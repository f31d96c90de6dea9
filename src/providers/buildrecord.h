/* SPDX-License-Identifier: Apache-2.0 */
/* Which image a build made, since the Server keeps none (protocol 12.24): <state_dir>/builds/images/<id>. */
#ifndef PROVIDERS_BUILDRECORD_H
#define PROVIDERS_BUILDRECORD_H

#include "base/err.h"

#include <stdbool.h>

/* The directory of a build lies beside that of the records. */
bool build_id_ok(const char *id);
int build_record_write(const char *state_dir, const char *id, const char *image, struct err *e);
/* NULL if there is none. Caller frees. */
char *build_record_image(const char *state_dir, const char *id);
/* Another build that came to the same image still needs it. */
bool build_record_shared(const char *state_dir, const char *id, const char *image);
int build_record_remove(const char *state_dir, const char *id, struct err *e);

#endif
