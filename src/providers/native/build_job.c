/* SPDX-License-Identifier: Apache-2.0 */
/* Build jobs (protocol 8.5, 10.9): the dev container of a repository as an image, made as a workspace's is; see build.h. */
#include "base/file.h"
#include "base/mem.h"
#include "git/clone.h"
#include "providers/buildname.h"
#include "providers/buildrecord.h"
#include "providers/native/box_dev.h"
#include "providers/native/build.h"
#include "providers/native/process.h"

#include <stdlib.h>
#include <string.h>

struct native_job {
	const struct build_job *b;
	struct workspace ws; /* what a workspace of it would be; borrowed */
	struct workspace_job w;
	struct native_call c;
	char *image;
};

static int job_open(struct native_job *j, void *self, const struct build_job *b, struct err *e)
{
	*j = (struct native_job){ .b = b };
	j->ws.id = b->build->id;
	j->ws.name = b->build->id;
	j->ws.repo = b->build->repo;
	j->ws.devcontainer_path = b->build->devcontainer_path;
	j->w = (struct workspace_job){
		.ws = &j->ws, .env = &b->build->env, .registries = b->registries, .git = b->git
	};
	j->c = (struct native_call){ .env = self, .w = &j->w, .ws = &j->ws };
	if (!build_id_ok(b->build->id))
		return err_set(e, ERR_PARSE, 0, "build id \"%.100s\" is no id", b->build->id);
	if (native_build_paths(&j->c.paths, j->c.env->state_dir, b->build->id, e) < 0 ||
	    native_options_parse(&j->c.options, NULL, j->c.env->options, e) < 0)
		return -1;
	free(j->c.options.image);
	j->c.options.image = mem_dup(NATIVE_DEV_IMAGE);
	j->c.options.of_workspace = false;
	j->c.state.dir = git_dir_name(&j->ws.repo);
	j->c.state.id = mem_dup(j->ws.id);
	j->c.state.target_id = mem_dup("");
	j->c.state.url = mem_dup("");
	return 0;
}

static void job_close(struct native_job *j)
{
	native_paths_free(&j->c.paths);
	native_options_free(&j->c.options);
	native_state_free(&j->c.state);
	free(j->image);
}

/* Also what an earlier attempt has left. */
static int clear(struct native_job *j, struct deadline d, struct err *e)
{
	struct native_state s = { 0 };
	struct err none = { 0 };
	size_t n;
	int rc = native_end(&j->c.paths, 0, &n, d, e);

	(void)native_state_read(&s, &j->c.paths, &none);
	if (rc == 0)
		rc = native_box_remove(&j->c.paths, j->c.state.box.kind ? &j->c.state : &s, d, e);
	native_state_free(&s);
	return rc;
}

static int prepare(struct native_job *j, struct deadline d, struct err *e)
{
	struct native_call *c = &j->c;
	struct buf name = { 0 };
	char *checkout, *path;

	if (clear(j, d, e) < 0 || file_mkdirs(c->paths.root, 0700, e) < 0 ||
	    (c->options.disk_bytes && native_bounds_disk(c, e) < 0) ||
	    file_mkdirs(c->paths.own, 0700, e) < 0 || native_checkout(c, d, e) < 0)
		return -1;
	checkout = path_join(c->paths.root, c->state.dir);
	path = dc_detect(checkout, j->ws.devcontainer_path, e);
	free(checkout);
	if (!path)
		return err_set(e, ERR_NOT_FOUND, 0, "failed to detect devcontainer config: %s",
		               e->kind ? e->msg : "the repository has none");
	build_image_name(j->b->build, path, j->b->registry_host, j->b->namespace_, &name);
	free(path);
	/* Without a registry it is a name of this machine alone. */
	if (*buf_cstr(&name) == '/') {
		struct buf local = { 0 };

		buf_addf(&local, "localhost%s", buf_cstr(&name));
		buf_free(&name);
		name = local;
	}
	j->image = buf_take(&name);
	return 0;
}

static int give_name(struct native_job *j, const struct digest *manifest, struct deadline d,
                     struct err *e)
{
	struct unpack_owner owner = native_box_owner(&j->c.state.box);
	struct imgstore *s = NULL;
	struct buf full = { 0 };
	struct kv logins = { 0 };
	int rc = imgstore_open(&s, j->c.paths.images, &owner, d, e);

	if (rc == 0)
		rc = images_full_name(j->image, &full, e);
	if (rc == 0)
		rc = images_logins(s, manifest, &logins, e);
	if (rc == 0)
		rc = images_complete(s, manifest, NULL, buf_cstr(&full), &logins, d, e);
	kv_free(&logins);
	imgstore_close(s);
	buf_free(&full);
	return rc;
}

static int make(struct native_job *j, struct deadline d, struct err *e)
{
	struct digest manifest;
	int rc = native_box_make(&j->c, d, e);

	/* In it are ids that a removal has to know of, whoever does it. */
	if (rc == 0)
		rc = native_state_write(&j->c.state, &j->c.paths, e);
	if (rc == 0 && !digest_parse(str_of(j->c.state.box.manifest), &manifest))
		rc = err_set(e, ERR_PARSE, 0, "the image has no digest");
	if (rc == 0)
		rc = native_dev_prebuild(&j->c, &manifest, d, e);
	if (rc == 0)
		rc = build_record_write(j->c.env->state_dir, j->ws.id, j->image, e);
	return rc < 0 ? -1 : give_name(j, &manifest, d, e);
}

int native_build_run(void *self, const struct build_job *b, struct deadline d, struct err *e)
{
	struct native_job j;
	struct err left = { 0 };
	int rc = job_open(&j, self, b, e);

	if (rc == 0)
		rc = prepare(&j, d, e);
	if (rc == 0)
		rc = make(&j, d, e);
	if (rc == 0 && b->registry_host && *b->registry_host)
		rc = native_box_push(&j.c, j.image, d, e);
	if (j.c.paths.root && clear(&j, deadline_in_ms(60000), &left) < 0)
		provider_logf(j.c.env, "warning: left behind: %s", left.msg);
	job_close(&j);
	return rc;
}

int native_build_delete(void *self, const struct build_job *b, bool force, struct deadline d,
                        struct err *e)
{
	struct unpack_owner owner = { 0 };
	struct imgstore *s = NULL;
	struct buf full = { 0 };
	struct native_job j;
	int rc = job_open(&j, self, b, e);

	if (rc == 0) {
		j.image = b->build->image && *b->build->image
		                  ? mem_dup(b->build->image)
		                  : build_record_image(j.c.env->state_dir, j.ws.id);
		rc = clear(&j, d, e);
	}
	if (rc == 0 && j.image && !build_record_shared(j.c.env->state_dir, j.ws.id, j.image)) {
		provider_logf(j.c.env, "removing image %s", j.image);
		rc = imgstore_open(&s, j.c.paths.images, &owner, d, e);
		if (rc == 0)
			rc = images_full_name(j.image, &full, e);
		if (rc == 0 && imgstore_remove_name(s, buf_cstr(&full), e) < 0) {
			rc = e->kind == ERR_NOT_FOUND ? 0 : -1;
			err_clear(e);
		}
		imgstore_close(s);
	}
	if (rc < 0 && force && e->kind != ERR_CANCELED) {
		provider_logf(j.c.env, "warning: left behind: %s", e->msg);
		err_clear(e);
		rc = 0;
	}
	if (rc == 0)
		rc = build_record_remove(j.c.env->state_dir, j.ws.id, e);
	buf_free(&full);
	job_close(&j);
	return rc;
}
