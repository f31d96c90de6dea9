/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that the runner makes for itself, see helper.h. */
#include "providers/docker/workspace/helper.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

#define NAME_PREFIX "daytona-helper-"
#define RANDOM_BYTES 16
#define NAME_LEN (sizeof(NAME_PREFIX) - 1 + 2 * RANDOM_BYTES)

static char *record_path(const char *records)
{
	return path_join(records, ".docker-helper");
}

/* The record is a path of a call. */
static bool is_name(struct str s)
{
	return s.n == NAME_LEN && str_starts(s, NAME_PREFIX) && str_is_id(s);
}

int helper_end(struct docker *docker, const char *records, struct deadline d, struct err *e)
{
	char *path = record_path(records);
	struct buf name = { 0 };
	struct err none = { 0 };
	int rc = 0;

	if (file_read(path, NAME_LEN, &name, &none) == 0 && is_name(buf_str(&name)))
		rc = container_remove(&docker->engine, buf_cstr(&name), d, e);
	if (rc == 0)
		rc = file_remove_tree(path, e);
	buf_free(&name);
	free(path);
	return rc;
}

static int record(const char *records, struct buf *name, struct err *e)
{
	unsigned char random[RANDOM_BYTES];
	char *path = record_path(records);
	int rc = crypto_random(random, sizeof(random), e);

	buf_adds(name, NAME_PREFIX);
	buf_add_hex(name, random, sizeof(random));
	if (rc == 0)
		rc = file_mkdirs(records, 0755, e);
	if (rc == 0)
		rc = file_replace(path, 0600, buf_str(name), e);
	free(path);
	return rc;
}

/* Labels and the health check are the policy's. */
static struct admitted *admit(struct docker *docker, const struct helper_job *h, struct spec *s)
{
	s->entry = ENTRY_GIVEN;
	s->read_only = s->auto_remove = true;
	strlist_add(&s->cap_drop, "ALL");
	strlist_add(&s->security_opt, "no-new-privileges");
	spec_mount(s, "bind", h->dir, HELPER_DIR, false);
	return docker_admit_helper(docker, h->resource, s);
}

int helper_create(struct docker *docker, const struct helper_job *h, struct spec *s, char **id,
                  struct deadline d, struct err *e)
{
	struct buf name = { 0 };
	struct admitted *a = NULL;
	int rc = helper_end(docker, h->records, d, e);

	*id = NULL;
	if (rc == 0)
		rc = record(h->records, &name, e);
	if (rc == 0) {
		a = admit(docker, h, s);
		rc = container_create(&docker->engine, buf_cstr(&name), a, id, d, e);
	}
	admitted_free(a);
	buf_free(&name);
	return rc < 0 ? err_wrap(e, "make a helper container") : 0;
}
