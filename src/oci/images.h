/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as a whole: found by a name, made complete (blobs and unpacked layers), and handed out as the lower directories
 * of an overlay together with what a process in it begins with (images_get of pull.h brings the image first):
 *
 *	struct rootfs r;
 *	if (images_rootfs(store, "debian:12", "workspace-7", until, &r, &e) < 0) …
 *	mount("overlay", …, "lowerdir=" r.lower[0] ":" r.lower[1] …)
 *	… r.config.env, r.config.user, r.config.entrypoint …
 *	rootfs_free(&r);
 *	images_release(store, "workspace-7", &e)    when the workspace is gone
 */
#ifndef OCI_IMAGES_H
#define OCI_IMAGES_H

#include "oci/imgstore.h"
#include "oci/manifest.h"

struct rootfs {
	char **lower; /* n directories, the uppermost first, as overlayfs's lowerdir takes them */
	size_t n;
	struct image_config config;
	struct digest manifest;
	char *name;       /* in full */
	struct kv logins; /* as in struct stored, of the name that it was found by */
};

/* ref: a name ("debian:12", "host/path@sha256:…") or an id. The image must be here (pull.h brings it): ERR_NOT_FOUND.
 * Layers that are not unpacked yet, or for other owners, are unpacked from their blobs. holder (an id) holds it until
 * images_release; it may be called again for the same holder, also with another image. */
int images_rootfs(struct imgstore *s, const char *ref, const char *holder, struct deadline until,
                  struct rootfs *r, struct err *e);
/* The same of what was found before, whatever the name has by now. Takes i. */
int images_rootfs_found(struct imgstore *s, struct stored *i, const char *holder,
                        struct deadline until, struct rootfs *r, struct err *e);
/* The same of the image that r->manifest was, though no name leads to it any more: for who still holds it. */
int images_rootfs_of(struct imgstore *s, const struct digest *manifest, const char *holder,
                     struct deadline until, struct rootfs *r, struct err *e);
void rootfs_free(struct rootfs *r);
/* The layers merged into dir, an empty directory, where there is no overlayfs for us: files share their blocks with the
 * layers where the file system can do that (FICLONE), else they are copied. */
int images_flatten(const struct rootfs *r, const char *dir, struct deadline until, struct err *e);
int images_release(struct imgstore *s, const char *holder, struct err *e); /* twice is fine */

/* "docker.io/library/debian:12" of "debian:12"; with a digest, without the tag. Appends. */
int images_full_name(const char *ref, struct buf *full, struct err *e);
/* Shortened again, as people write it. Appends. */
void images_short_name(const char *full, struct buf *b);
/* By name, or by at least 6 digits of an id, which must be those of one image. */
int images_find(struct imgstore *s, const char *ref, struct stored *i, struct err *e);
int images_config(struct imgstore *s, const struct stored *i, struct image_config *c,
                  struct err *e);

/* All blobs of a manifest are here: its layers are unpacked and the name given to it. index: the one it was chosen from,
 * or NULL. An empty name gives its id for one. logins: see struct stored; NULL: everybody's. */
int images_complete(struct imgstore *s, const struct digest *manifest, const struct digest *index,
                    const char *name, const struct kv *logins, struct deadline until,
                    struct err *e);
/* Adds the logins that are needed for the image with that manifest: what is made of it needs them too. None when it is
 * everybody's under one of its names. ERR_NOT_FOUND: it has none any more, so nobody can tell. */
int images_logins(struct imgstore *s, const struct digest *manifest, struct kv *logins,
                  struct err *e);
/* The manifest for p behind a digest that may be an index's; both blobs are here. */
int images_choose(struct imgstore *s, const struct digest *from, const char *media_type,
                  const struct platform *p, struct digest *manifest, struct err *e);

/* Archives. */

/* From fd: what `docker save` writes, or an OCI layout in a tar archive, either also compressed. base: the name of an
 * image of which the archive says only a tag; may be NULL. loaded is told each name. */
int images_load(struct imgstore *s, int fd, const char *base, const struct platform *p,
                void (*loaded)(void *arg, const char *name), void *arg, struct deadline until,
                struct err *e);
/* The same from a directory. */
int images_load_dir(struct imgstore *s, const char *dir, const char *base, const struct platform *p,
                    void (*loaded)(void *arg, const char *name), void *arg, struct deadline until,
                    struct err *e);
/* To fd: an archive that `docker load` and images_load read, the same bytes for the same images. */
int images_save(struct imgstore *s, const struct stored *list, size_t n, int fd, struct err *e);

#endif
