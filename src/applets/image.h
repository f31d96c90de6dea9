/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the image applet share. */
#ifndef APPLETS_IMAGE_H
#define APPLETS_IMAGE_H

#include "applets/cli.h"
#include "oci/images.h"

#define IMAGE_LOCK_MS 30000 /* a removal of images is over by then */

struct image {
	const char *config_dir, *platform, *output, *plain_http, *ca_file, *mirror;
	bool quiet;
	bool looks;                /* changes nothing: a wrong setting is left out */
	struct imgstore_keep keep; /* of prune */
	enum cli_format format;
	struct config config;
	char *dir; /* of the store */
	struct imgstore *store;
	struct buf platform_text;
	struct platform p;
};

int image_open(struct image *i, struct err *e);
void image_close(struct image *i);
void image_sweep(const struct image *i);
int image_pull(struct image *i, const char *ref, struct err *e);
void image_size_text(uint64_t n, char text[24]);

#endif
