/* SPDX-License-Identifier: Apache-2.0 */
/* Features of a dev container, put on an image by the builder: see build.h and devcontainer/features.h. */
#include "base/file.h"
#include "base/mem.h"
#include "providers/devcontainer/features.h"
#include "providers/native/build_int.h"

#include <stdlib.h>
#include <string.h>

/* What the image says of its user and of dev containers. */
static int look_at(struct native_call *c, const struct digest *base, struct rootfs *r,
                   struct deadline d, struct err *e)
{
	struct unpack_owner owner = native_box_owner(&c->state.box);
	struct imgstore *s = NULL;
	int rc = imgstore_open(&s, c->paths.images, &owner, d, e);

	if (rc == 0)
		rc = images_rootfs_of(s, base, c->ws->id, d, r, e);
	imgstore_close(s);
	return rc;
}

int native_features(struct native_call *c, struct devcontainer *dc, const struct digest *base,
                    struct digest *manifest, struct deadline d, struct err *e)
{
	char *dir = path_join(c->paths.box, "features"), *context = NULL;
	struct feature_source from = {
		.env = c->env, .dc = dc, .registries = c->w->registries, .work_dir = dir, .d = d
	};
	struct feature_base on = { .name = NATIVE_BASE };
	struct dc_build b = { 0 };
	struct rootfs r = { 0 };
	struct err ignored = { 0 };
	const char *label;
	int rc = look_at(c, base, &r, d, e);

	if (rc == 0) {
		label = image_list_get(r.config.labels, DC_METADATA_LABEL);
		on.metadata = label ? label : "";
		on.user = r.config.user ? r.config.user : "";
		dc_set_metadata(dc, on.metadata);
		rc = features_prepare(&from, &on, &b, &context, e);
	}
	if (rc == 0)
		rc = native_build(c, context, &b, base, manifest, d, e);
	(void)file_remove_tree(dir, &ignored);
	rootfs_free(&r);
	dc_build_free(&b);
	free(context);
	free(dir);
	return rc < 0 ? err_wrap(e, "%s", dc->path) : 0;
}
