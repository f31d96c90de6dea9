/* SPDX-License-Identifier: Apache-2.0 */
/* A layer out of what an overlay has written: its upper directory as a tar archive with whiteouts (OCI image specification). */
#ifndef OCI_LAYER_H
#define OCI_LAYER_H

#include "oci/imgstore.h"

/* Layers of a sandbox's programs: where it has mounted and written itself is not theirs. */
#define LAYER_OF_SANDBOX true

/* Into the store as a blob, which is not packed: *d is its digest and its diff_id; "" when nothing was written. o: whose ids
 * those of the files are. max: bytes of files, holes included, since they take no room in an overlay and all of it in a layer. */
int layer_add(struct imgstore *s, const char *upper, const struct unpack_owner *o, bool of_sandbox,
              uint64_t max, struct deadline until, struct digest *d, struct err *e);

/* ERR_UNSUPPORTED for a name that would take others away: those of whiteouts. */
int layer_check_name(const char *name, struct err *e);
struct tar_entry;
struct stat;
/* What UNPACK_RECORD says of the file at: en's uid, gid and mode. False: nothing. */
bool layer_recorded(const char *at, struct tar_entry *en);
/* Whose the file at is in the image. Where files are not given away that is written down, until somebody gives them away
 * after all. */
void layer_owner(const struct unpack_owner *o, const char *at, const struct stat *st,
                 struct tar_entry *en);

#endif
