/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a workspace's directories. Files that belong to the workspace's user are removed by our own program, as root of a container of
 * our own image that has nothing but the one directory. The directory itself, then empty, goes as it came: by the runner's
 * user or ssh's, who made it in one of theirs; their removal also shows whether all is gone.
 */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/engine/remote.h"
#include "providers/docker/workspace/helper.h"
#include "providers/docker/workspace/scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMOVE_MS 600000
#define LOOK_MS 50

/* Ended, or gone as it does by itself then. How it went the directory tells. */
static int run_to_end(struct docker *docker, const char *id, struct deadline d, struct err *e)
{
	struct container c;
	bool runs = true;
	int rc = container_start(&docker->engine, id, d, e);

	if (rc < 0 && e->kind != ERR_NOT_FOUND && e->kind != ERR_OTHER)
		return -1;
	err_clear(e);
	for (;;) {
		rc = container_inspect(&docker->engine, id, &c, d, e);
		runs = rc == 0 && c.state == CS_RUNNING;
		container_free(&c);
		if (rc < 0 && e->kind == ERR_NOT_FOUND) {
			err_clear(e);
			return 0;
		}
		if (rc < 0 || !runs)
			return rc;
		if (engine_sleep(&docker->engine, LOOK_MS, d, e) < 0)
			return -1;
	}
}

static void fill(struct spec *s, const char *image)
{
	static const char *const caps[] = { "DAC_OVERRIDE", "FOWNER" };

	s->image = mem_dup(image);
	s->user = mem_dup("0:0");
	s->workdir = mem_dup("/");
	s->network = mem_dup("none");
	strlist_add(&s->command, PROGRAM_PATH);
	strlist_add(&s->command, "container-init");
	strlist_add(&s->command, "--empty");
	strlist_add(&s->command, HELPER_DIR);
	for (size_t i = 0; i < ARRAY_LEN(caps); i++)
		strlist_add(&s->own_caps, caps[i]);
}

static int empty_by_engine(struct docker *docker, const struct wsdir *w, const char *dir,
                           struct deadline d, struct err *e)
{
	struct spec s = { 0 };
	char *image = NULL, *id = NULL;
	struct err ignored = { 0 };
	int rc;

	d = deadline_min(d, deadline_in_ms(REMOVE_MS));
	rc = scratch_image(docker, &image, d, e);
	if (rc == 0) {
		fill(&s, image);
		rc = helper_create(docker,
		                   &(struct helper_job){ .records = w->dir,
		                                         .resource = strrchr(w->dir, '/') + 1,
		                                         .dir = dir },
		                   &s, &id, d, e);
	}
	if (rc == 0)
		rc = run_to_end(docker, id, d, e);
	/* The record may be among what was removed. */
	if (id && container_remove(&docker->engine, id, d, rc < 0 ? &ignored : e) < 0)
		rc = -1;
	if (helper_end(docker, w->dir, d, rc < 0 ? &ignored : e) < 0)
		rc = -1;
	if (rc < 0)
		provider_logf(docker->env, "What the runner may not remove below %s stays: %s", dir,
		              e->msg);
	spec_free(&s);
	free(image);
	free(id);
	return rc;
}

int checkout_remove(struct docker *docker, const struct wsdir *w, const char *path,
                    struct deadline d, struct err *e)
{
	struct err why = { 0 };

	if (file_remove_tree(path, e) == 0)
		return 0;
	if (geteuid() == 0 || !docker->engine.local ||
	    empty_by_engine(docker, w, path, d, &why) < 0)
		return -1;
	err_clear(e);
	return file_remove_tree(path, e);
}

int checkout_remove_remote(struct docker *docker, const struct wsdir *w, struct deadline d,
                           struct err *e)
{
	const char *argv[] = { "rm", "-rf", "--", NULL, NULL };
	struct buf dir = { 0 };
	struct err why = { 0 };
	int rc = 0;

	if (docker->engine.remote && docker->opt.data_dir) {
		buf_addf(&dir, "%s/%s", docker->opt.data_dir, strrchr(w->dir, '/') + 1);
		argv[3] = buf_cstr(&dir);
		rc = remote_run(docker->engine.remote, argv, d, e);
		/* The user of ssh need not be root there, and the files are the workspace's user's. */
		if (rc < 0 && e->kind == ERR_OTHER &&
		    empty_by_engine(docker, w, argv[3], d, &why) == 0) {
			err_clear(e);
			rc = remote_run(docker->engine.remote, argv, d, e);
		}
	}
	buf_free(&dir);
	return rc;
}
