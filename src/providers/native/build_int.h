/* SPDX-License-Identifier: Apache-2.0 */
/* What build.c, build_step.c and build_copy.c share. */
#ifndef PROVIDERS_NATIVE_BUILD_INT_H
#define PROVIDERS_NATIVE_BUILD_INT_H

#include "oci/dockerfile.h"
#include "oci/dockerignore.h"
#include "providers/native/build.h"

struct building {
	struct native_call *c;
	const struct dc_build *b;
	struct deadline d;
	struct imgstore *s;
	struct dockerfile f;
	struct dockerignore ignore;
	int context; /* directory of the checkout: one for the whole build, whatever its name leads to meanwhile */
	char *dir; /* scratch: what is written, and where it is mounted */
	struct native_boxed box;
	struct stage {
		char *name;
		struct digest manifest;
	} * stages;
	size_t n_stages;
	size_t spent;        /* of WORDS_MAX */
	enum native_net net; /* that was asked for */
	uint64_t made;       /* bytes of layers */
	struct kv logins;    /* of all images that it has taken something of */
	struct kv global;    /* ARG before the first FROM, and the platform */

	/* The stage at hand. */
	bool in_stage, has_cmd;
	char *name;
	struct image_config config;
	struct blob_ref *layers; /* as many as config has */
	struct kv args;
	const struct kv *env; /* before all other variables; or NULL */
	/* What RUN finds as its owners' instead of the files of the n lowest layers, with MAP_TOOLS; each above the one before. */
	struct given {
		char *dir, *upper;
		size_t n;
	} * given;
	size_t n_given;
	size_t n_asked; /* layers that were asked for such files */
};

/* What is written goes to upper; layers are below it. */
struct nb_root {
	struct sandbox s;
	char *upper, *work, *point;
	char **lower;
};
/* name: of its directory. ids: lowest first. given: whether with what was given to its owners, which is of the stage at hand. */
void nb_root_open(const struct building *building, const char *name, const struct digest *ids,
                  size_t n, bool given, struct nb_root *r);
void nb_root_close(struct nb_root *r);
int nb_root_empty(const struct building *building, const struct nb_root *r, struct err *e);

/* A stage by its name, or its number where numbers are meant, or else an image, which is brought; the logins that it needs
 * are those of the build from then on. */
int nb_find(struct building *building, const char *name, bool numbers, struct digest *manifest,
            struct err *e);
/* -1 when it was canceled, or its time is over. */
int nb_go_on(const struct building *building, struct err *e);
/* The next word of rest with values filled in. 1, 0, -1. */
int nb_word(struct building *building, struct str *rest, bool whole, struct buf *word,
            struct err *e);
/* The strings of a JSON list; NULL: it is none. */
char **nb_list(const char *text);

/* build_step.c. */

/* Whether overlays can be had; sets whether ids can be shifted. */
int nb_try(struct building *building, struct err *e);
/* A part of what a layer is made of, told apart from the next whatever is in it. */
void nb_text(struct buf *b, const char *text);
/* The layer that this makes of those that are there, taken if it was made before: 1. */
int nb_known(struct building *building, struct str text, struct digest *key, struct err *e);
/* What was written becomes one. */
int nb_commit(struct building *building, const struct nb_root *r, bool of_sandbox,
              const struct digest *key, struct err *e);
int nb_run(struct building *building, const char *const *argv, struct err *e);
/* The end of a stage: what was given to owners goes. */
void nb_forget_given(struct building *building);

/* build_copy.c. */

int nb_copy(struct building *building, const struct instruction *i, struct err *e);
int nb_workdir(struct building *building, const char *path, struct err *e);

#endif
