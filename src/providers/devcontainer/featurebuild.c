/* SPDX-License-Identifier: Apache-2.0 */
/* See features.h: the build context of the features on an image, whoever builds it. */
#include "base/file.h"
#include "base/mem.h"
#include "providers/devcontainer/features.h"

#include <stdlib.h>

/* Their archives are there; what each finds in its environment, and the Dockerfile. */
static int write_context(const struct features *fs, const struct devcontainer *dc,
                         const struct feature_base *base, const char *dir, const size_t *order,
                         struct err *e)
{
	char *remote = dc_remote_user(dc, base->user), *container = dc_last(dc, "containerUser");
	struct buf path = { 0 }, text = { 0 };
	int rc = features_dockerfile(fs, order, base->name, base->user, &text, e);

	if (!container)
		container = mem_dup(*base->user ? base->user : "root");
	buf_addf(&path, "%s/Dockerfile", dir);
	if (rc == 0)
		rc = file_replace(buf_cstr(&path), 0600, buf_str(&text), e);
	for (size_t i = 0; rc == 0 && i < fs->n; i++) {
		buf_reset(&path);
		buf_reset(&text);
		buf_addf(&path, "%s/%zu.env", dir, i);
		feature_env(&fs->list[i], remote, container, &text);
		rc = file_replace(buf_cstr(&path), 0600, buf_str(&text), e);
	}
	buf_wipe(&text);
	buf_free(&path);
	free(remote);
	free(container);
	return rc;
}

int features_prepare(struct feature_source *from, const struct feature_base *base,
                     struct dc_build *b, char **context, struct err *e)
{
	const struct devcontainer *dc = from->dc;
	struct features *fs = mem_alloc(sizeof(*fs));
	size_t order[FEATURES_MAX];
	struct buf label = { 0 };
	int rc = file_remove_tree(from->work_dir, e); /* of an attempt that was cut off */

	*context = path_join(from->work_dir, "context");
	*b = (struct dc_build){ .dockerfile = mem_dup("Dockerfile"), .context = mem_dup("") };
	if (rc == 0)
		rc = file_mkdirs(*context, 0700, e);
	if (rc == 0)
		rc = features_collect(fs, dc->root, *context, feature_fetch, from, e);
	if (rc == 0)
		rc = features_order(fs, json_get(dc->root, "overrideFeatureInstallOrder"), order,
		                    e);
	if (rc == 0)
		rc = write_context(fs, dc, base, *context, order, e);
	if (rc == 0) {
		features_metadata(fs, order, base->metadata, &label);
		kv_set(&b->labels, DC_METADATA_LABEL, buf_cstr(&label));
	}
	features_free(fs);
	free(fs);
	buf_free(&label);
	return rc;
}
