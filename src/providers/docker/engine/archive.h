/* SPDX-License-Identifier: Apache-2.0 */
/* Files into and out of containers through the engine's archive endpoint, running or not. */
#ifndef PROVIDERS_DOCKER_ENGINE_ARCHIVE_H
#define PROVIDERS_DOCKER_ENGINE_ARCHIVE_H

#include "base/tar.h"
#include "providers/docker/engine/engine.h"

#include <sys/stat.h>

/* Puts the host's file at path (absolute; its directories are made) with mode 0755, owner root. first: archive entries that
 * go with it, since each call on a container that does not run costs a mount of its files. */
int archive_put_program(struct engine *engine, const char *container, const char *path,
                        const char *file, struct str first, struct deadline d, struct err *e);
bool archive_exists(struct engine *engine, const char *container, const char *path,
                    struct deadline d);
/* Whether path is the host's file of that size and time as archive_put_program left it. Without reading what is in it:
 * somebody who works there as root may have made it look so. */
bool archive_has_program(struct engine *engine, const char *container, const char *path,
                         const struct stat *file, struct deadline d);
/* Appends size and time of a plain file, which differ when it was written anew; the same holds of them. False: there is none. */
bool archive_mark(struct engine *engine, const char *container, const char *path, struct buf *mark,
                  struct deadline d);
/* Packs the host's directory below path (absolute). uid, gid: owner of all. */
int archive_put_tree(struct engine *engine, const char *container, const char *path,
                     const char *dir, long uid, long gid, struct deadline d, struct err *e);
/* Unpacks an archive at the root. */
int archive_put_tar(struct engine *engine, const char *container, struct str tar, struct deadline d,
                    struct err *e);
/* Replaces a file's content; mode and owner as given in like. */
int archive_put_text(struct engine *engine, const char *container, const char *path,
                     struct str text, const struct tar_entry *like, struct deadline d,
                     struct err *e);
/* Reads a file of at most max bytes, through up to 5 symbolic links; entry (may be NULL) receives mode and owner.
 * ERR_NOT_FOUND if it is missing. */
int archive_get(struct engine *engine, const char *container, const char *path, size_t max,
                struct buf *out, struct tar_entry *entry, struct deadline d, struct err *e);

#endif
