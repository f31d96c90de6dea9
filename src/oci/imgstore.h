/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images on this machine, by digest, in one directory that belongs to one user:
 *
 *	lock           shared while a store is open; exclusive while something is removed
 *	blobs/sha256/  manifests, configurations and packed layers, as they came
 *	layers/ID/fs   unpacked layers, each once, whoever uses it; ID is the layer's diff_id, and for owners that are not as
 *	               the image has them some more letters
 *	refs/          one file for each name of an image: which blobs and layers it needs
 *	uses/          the same for whoever holds an image
 *	brought/       who has brought which blob, until a name says whose it is: empty files
 *	made/          links from the digests of what went into a build's steps to those of their layers
 *	tmp/           what is not whole yet, with a lock for each
 *
 * Everything becomes visible by one rename when it is whole, so a process that is killed, or two at once, leave no half
 * things. Blobs are synced before that. Layers are not, since their many files would take longer than all the rest: each
 * says in which boot it was made until a later sync, and after a reboot one that still does is made anew from its blob. What a name or a holder needs is never removed.
 */
#ifndef OCI_IMGSTORE_H
#define OCI_IMGSTORE_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/kv.h"
#include "oci/digest.h"
#include "oci/unpack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct imgstore;

/* Makes the directory (0700) if it is missing. Waits for a removal that is under way. o is copied. */
int imgstore_open(struct imgstore **out, const char *dir, const struct unpack_owner *o,
                  struct deadline d, struct err *e);
void imgstore_close(struct imgstore *s); /* NULL is fine */

/* Blobs. */

bool imgstore_has_blob(const struct imgstore *s, const struct digest *d);
/* Descriptor to read; ERR_NOT_FOUND. */
int imgstore_open_blob(const struct imgstore *s, const struct digest *d, struct err *e);
/* Appends a small one, its digest checked. */
int imgstore_read_blob(const struct imgstore *s, const struct digest *d, size_t max, struct buf *b,
                       struct err *e);
/* Adds one that is at hand. */
int imgstore_put_blob(struct imgstore *s, struct str bytes, struct digest *d, struct deadline until,
                      struct err *e);

/* One that arrives in pieces. */
struct blob_in;
/*
 * The one way to bytes that are here for somebody who names their digest. whose: a mark of him, "" for what everybody may
 * have. What is here is his if he, or everybody, has brought all of it: 0 and *out NULL; what he has brought of it is kept,
 * and blob_have says how much. Else it comes from its beginning: who has no more than a digest gets nothing by it. NULL: what
 * is here may be taken. Waits for whoever of the same mark brings the same one. size: -1 if not known.
 */
int blob_begin(struct imgstore *s, const struct digest *d, int64_t size, const char *whose,
               struct blob_in **out, struct deadline until, struct err *e);
/* One whose digest is only known at its end: blob_digest, after the commit. */
int blob_begin_new(struct imgstore *s, struct blob_in **out, struct err *e);
struct digest blob_digest(const struct blob_in *b);
uint64_t blob_have(const struct blob_in *b);
/* Forgets what it has: the other side begins anew. */
int blob_restart(struct blob_in *b, struct err *e);
int blob_add(struct blob_in *b, struct str bytes, struct err *e); /* ERR_LIMIT beyond its size */
/* Checks size and digest; a wrong one is removed: ERR_PARSE. ERR_CLOSED: not all is there. */
int blob_commit(struct blob_in *b, struct err *e);
void blob_free(struct blob_in *b); /* NULL is fine; what came stays for the next attempt */

/* Layers. */

/* Path of the tree ("…/fs"); the caller frees. It need not be there. */
char *imgstore_layer_path(const struct imgstore *s, const struct digest *diff_id);
/* A layer that was unpacked shortly before the machine went down is not believed: it counts as missing. */
bool imgstore_has_layer(const struct imgstore *s, const struct digest *diff_id);
/* Unpacks blob unless it is there; the unpacked bytes must have that diff_id. Waits for whoever does the same. prove: that
 * is so also where the layer is there already, maybe of another blob. */
struct imgstore_layer {
	const struct digest *blob, *diff_id;
	bool prove;
	unsigned window_log; /* see decode_limit_window; 0: that of decode_new */
};
int imgstore_unpack(struct imgstore *s, const struct imgstore_layer *l, struct deadline until,
                    struct err *e);
/* Bytes of its files; 0 if it is not there. */
uint64_t imgstore_layer_size(const struct imgstore *s, const struct digest *diff_id);

/* What a step of a build made, by a digest of all that it was made of; "" if it made nothing. False: it is not known, or
 * not here any more. Forgotten with the blob. */
bool imgstore_made(const struct imgstore *s, const struct digest *of, struct digest *layer);
/* What imgstore_made has found is used again. */
void imgstore_made_used(struct imgstore *s, const struct digest *of);
int imgstore_note_made(struct imgstore *s, const struct digest *of, const struct digest *layer,
                       struct err *e);

/* Names and holders. */

struct stored {
	char *name; /* in full: "docker.io/library/debian:12" */
	struct digest manifest, config;
	struct digest *blobs; /* all that belong to it, these two too */
	size_t n_blobs;
	struct digest *layers; /* diff_ids, lowest first */
	size_t n_layers;
	/* Whose logins brought it, or what it was made of: by the full name that each was given for, told apart and no
	 * more. None: it is everybody's. */
	struct kv logins;
	int64_t added_ms; /* wall clock */
	int64_t used_ms;  /* read only: when it was last added or held */
};

void stored_free(struct stored *i);
/* All that i needs must be there. Replaces what had the name. */
int imgstore_put_name(struct imgstore *s, const struct stored *i, struct err *e);
int imgstore_find(const struct imgstore *s, const char *name, struct stored *i, struct err *e);
int imgstore_remove_name(struct imgstore *s, const char *name, struct err *e);
/* All, sorted by name; damaged records are left out and counted. */
int imgstore_list(const struct imgstore *s, struct stored **list, size_t *n, size_t *damaged,
                  struct err *e);
void stored_list_free(struct stored *list, size_t n);
/* holder is an id (str_is_id). It holds one image at a time: until released, nothing that the image needs is removed. */
int imgstore_hold(struct imgstore *s, const char *holder, const struct stored *i, struct err *e);
int imgstore_release(struct imgstore *s, const char *holder, struct err *e); /* twice is fine */

/* Removal. */

struct imgstore_keep {
	int64_t age_ms; /* names that nobody used for that long go; 0: by age none */
	bool made; /* what builds have made (imgstore_note_made) is kept as well, until it is as old, or room is wanted */
	uint64_t
		free_bytes; /* names go, those unused longest first, until so much is free; 0: none */
};
struct imgstore_swept {
	size_t names, blobs, layers;
};

/* Removes what no name and no holder needs, and what was begun and not finished. Not while a store is open in any process,
 * this one's too: ERR_BUSY when the deadline passes. */
int imgstore_sweep(const char *dir, const struct imgstore_keep *keep, struct deadline until,
                   struct imgstore_swept *swept, struct err *e);

#endif
