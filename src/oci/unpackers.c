/* SPDX-License-Identifier: Apache-2.0 */
/* See unpackers.h. */
#include "oci/unpackers.h"

#include "base/file.h"
#include "oci/imgstore_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct work {
	const struct imgstore *s;
	struct deadline until;
	struct imgstore_layer layer;
};

/* In the child. It has none of our descriptors, so it opens the store for itself. */
static void work(void *arg)
{
	const struct work *w = arg;
	struct imgstore *s = NULL;
	struct err e = { 0 };
	int rc = imgstore_open(&s, w->s->dir, &w->s->owner, w->until, &e);

	if (rc == 0)
		rc = imgstore_unpack(s, &w->layer, w->until, &e);
	imgstore_close(s);
	if (rc == 0)
		return;
	(void)!write(STDOUT_FILENO, e.msg, strlen(e.msg));
	_exit(1);
}

static int reap(struct unpacker *r, struct err *e)
{
	struct buf said = { 0 };
	struct err ignored = { 0 };
	int status = 0, rc = 0;

	(void)file_read_fd(r->said, "pipe", sizeof(e->msg), &said, &ignored);
	if (!spawn_collect(&r->process, &status) || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		rc = err_set(e, ERR_OTHER, 0, "%s",
		             said.n ? buf_cstr(&said)
		                    : "a process that unpacked a layer ended early");
	fd_close(&r->said);
	r->busy = false;
	buf_free(&said);
	return rc;
}

static void count_places(struct unpackers *u)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	u->n = n < 1 ? 1 : n > UNPACKERS_MAX ? UNPACKERS_MAX : (size_t)n;
}

/* The oldest makes room: they are started in turn. */
static struct unpacker *place(struct unpackers *u, struct err *e)
{
	struct unpacker *r = NULL;

	if (!u->n)
		count_places(u);
	for (size_t i = 0; i < u->n && !r; i++)
		if (!u->run[i].busy)
			r = &u->run[i];
	if (r)
		return r;
	if (reap(&u->run[0], e) < 0)
		return NULL;
	memmove(&u->run[0], &u->run[1], (u->n - 1) * sizeof(u->run[0]));
	u->run[u->n - 1] = (struct unpacker){ .said = -1 };
	return &u->run[u->n - 1];
}

int unpackers_add(struct unpackers *u, const struct digest *blob, const struct digest *diff_id,
                  bool prove, struct err *e)
{
	struct work w = { u->s, u->until, { blob, diff_id, prove } };
	struct unpacker *r;
	int ends[2];
	struct spawn how = { .work = work,
		             .arg = &w,
		             .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
		             .death_signal = SIGKILL };

	if (!prove && imgstore_has_layer(u->s, diff_id))
		return 0;
	r = place(u, e);
	if (!r)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	how.std[1] = ends[1];
	r->busy = spawn_start(&how, u->until, &r->process, e) == 0;
	close(ends[1]);
	r->said = ends[0];
	if (!r->busy)
		fd_close(&r->said);
	return r->busy ? 0 : -1;
}

int unpackers_wait(struct unpackers *u, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < u->n; i++) {
		struct err why = { 0 };

		if (!u->run[i].busy || reap(&u->run[i], &why) == 0)
			continue;
		if (rc == 0)
			*e = why;
		rc = -1;
	}
	return rc;
}

void unpackers_end(struct unpackers *u)
{
	struct err ignored = { 0 };

	for (size_t i = 0; i < u->n; i++)
		if (u->run[i].busy)
			spawn_signal(&u->run[i].process, SIGKILL);
	(void)unpackers_wait(u, &ignored);
}
