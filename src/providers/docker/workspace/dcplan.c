/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image the container of a dev container is made of, for workspaces and builds alike: named, built from a Dockerfile, and
 * with features put on top. The container itself is always ours to create, through the policy.
 */
#include "base/file.h"
#include "base/mem.h"
#include "providers/devcontainer/features.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>

static int build_dockerfile(struct docker *docker, const struct devcontainer *dc,
                            const struct dc_build *b, const struct dc_plan *p, const char *tag,
                            struct deadline d, struct err *e)
{
	struct strlist from = { 0 };
	int rc;

	for (size_t i = 0; i < b->cache_from.n; i++)
		strlist_add(&from, b->cache_from.p[i]);
	if (p->cached_image && *p->cached_image) {
		struct err missing = { 0 };

		if (image_ensure(&docker->engine, &docker->opt, p->cached_image, p->registries,
		                 NULL, d, &missing) == 0)
			strlist_add(&from, p->cached_image);
		else
			provider_logf(docker->env, "The cached build is not used: %s", missing.msg);
	}
	rc = build_image(docker, dc->checkout, b, tag, &from, p->registries, d, e);
	strlist_free(&from);
	return rc;
}

/* The image before features. */
static int plan_base(struct docker *docker, const struct devcontainer *dc, const struct dc_plan *p,
                     const char *tag, char **image, bool *made, struct deadline d, struct err *e)
{
	struct dc_build b = { 0 };
	int rc = dc_build(dc, p->from, &b, made, e);

	*image = NULL;
	if (rc == 0 && *made)
		rc = dc_build_check(&b, dc->checkout, e);
	if (rc == 0 && *made) {
		rc = build_dockerfile(docker, dc, &b, p, tag, d, e);
		*image = mem_dup(tag);
	} else if (rc == 0) {
		*image = dc_text(dc, json_get(dc->root, "image"));
		if (!*image || !**image)
			rc = err_set(e, ERR_CONFIG, 0,
			             "%s: names neither \"image\" nor \"build.dockerfile\"",
			             dc->path);
	}
	dc_build_free(&b);
	return rc;
}

/* One that was made here is asked of nobody else, whatever the policy for pulls. */
static int look_at(struct docker *docker, const struct dc_plan *p, const char *image, bool made,
                   struct image *info, struct deadline d, struct err *e)
{
	return made ? image_inspect(&docker->engine, image, info, d, e)
	            : image_ensure(&docker->engine, &docker->opt, image, p->registries, info, d, e);
}

/* p->tag is base, which *info describes, with the features on it. */
static int add_features(struct docker *docker, const struct devcontainer *dc,
                        const struct dc_plan *p, const char *base, const struct image *info,
                        struct deadline d, struct err *e)
{
	char *dir = path_join(p->work_dir, ".features"), *context = NULL;
	struct feature_source from = {
		.env = docker->env, .dc = dc, .registries = p->registries, .work_dir = dir, .d = d
	};
	struct dc_build b = { 0 };
	struct strlist none = { 0 };
	struct err ignored = { 0 };
	int rc = features_prepare(&from, &(struct feature_base){ base, info->user, info->metadata },
	                          &b, &context, e);

	if (rc == 0)
		rc = build_image(docker, context, &b, p->tag, &none, p->registries, d, e);
	(void)file_remove_tree(dir, &ignored);
	dc_build_free(&b);
	free(context);
	free(dir);
	return rc < 0 ? err_wrap(e, "%s", dc->path) : 0;
}

int dc_plan_image(struct docker *docker, struct devcontainer *dc, const struct dc_plan *p,
                  char **image, bool *made, struct image *info, struct deadline d, struct err *e)
{
	bool features = dc_has_features(dc), base_made = false;
	char *base = NULL;
	int rc;

	*info = (struct image){ 0 };
	*image = NULL;
	*made = false;
	rc = plan_base(docker, dc, p, features ? p->base : p->tag, &base, &base_made, d, e);
	if (rc == 0 && features) {
		rc = look_at(docker, p, base, base_made, info, d, e);
		if (rc == 0) {
			dc_set_metadata(dc, info->metadata);
			rc = add_features(docker, dc, p, base, info, d, e);
		}
		image_free(info);
		if (base_made) { /* its layers are the other's */
			struct err ignored = { 0 };

			(void)image_remove(&docker->engine, base, false, d, &ignored);
		}
		free(base);
		base = mem_dup(p->tag);
		base_made = true;
	}
	if (rc == 0)
		rc = look_at(docker, p, base, base_made, info, d, e);
	if (rc == 0)
		dc_set_metadata(dc, info->metadata);
	*image = base;
	*made = base_made;
	return rc;
}
