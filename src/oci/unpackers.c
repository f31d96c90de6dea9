/* SPDX-License-Identifier: Apache-2.0 */
/* See unpackers.h. */
#include "oci/unpackers.h"

#include "base/file.h"
#include "oci/decode.h"
#include "oci/imgstore_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEEDS_MORE 3 /* exit status: a window that is larger than was said */
#define WINDOWS_MAX (8u << 20)

struct work {
	const struct imgstore *s;
	struct deadline until;
	struct imgstore_layer layer;
};

/* Where several such layers are more than the machine has, nobody else's process ends for it. */
static void die_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "1000", 4);
	fd_close(&fd);
}

/* In the child. It has none of our descriptors, so it opens the store for itself. */
static void work(void *arg)
{
	const struct work *w = arg;
	struct imgstore *s = NULL;
	struct err e = { 0 };
	int rc;

	if (w->layer.window_log > DECODE_WINDOW_LOG_DEFAULT)
		die_first();
	rc = imgstore_open(&s, w->s->dir, &w->s->owner, w->until, &e);

	if (rc == 0)
		rc = imgstore_unpack(s, &w->layer, w->until, &e);
	imgstore_close(s);
	if (rc == 0)
		return;
	if (e.kind == ERR_LIMIT && e.code == DECODE_WINDOW_CODE &&
	    w->layer.window_log < DECODE_WINDOW_LOG_MAX)
		_exit(NEEDS_MORE);
	(void)!write(STDOUT_FILENO, e.msg, strlen(e.msg));
	_exit(1);
}

static int add(struct unpackers *u, const struct imgstore_layer *l, struct err *e);

/* The oldest. */
static int reap(struct unpackers *u, struct err *e)
{
	struct unpacker r = u->run[0];
	struct buf said = { 0 };
	struct err ignored = { 0 };
	int status = 0, rc = 0;

	memmove(&u->run[0], &u->run[1], --u->n_run * sizeof(u->run[0]));
	(void)file_read_fd(r.said, "pipe", sizeof(e->msg), &said, &ignored);
	if (!spawn_collect(&r.process, &status) || !WIFEXITED(status))
		rc = -1;
	else if (WEXITSTATUS(status) == NEEDS_MORE && !u->ending)
		rc = add(u,
		         &(struct imgstore_layer){ &r.blob, &r.diff_id, r.prove,
		                                   DECODE_WINDOW_LOG_MAX },
		         e);
	else if (WEXITSTATUS(status) != 0)
		rc = -1;
	if (rc < 0 && !e->kind)
		err_set(e, ERR_OTHER, 0, "%s",
		        said.n ? buf_cstr(&said) : "a process that unpacked a layer ended early");
	fd_close(&r.said);
	buf_free(&said);
	return rc;
}

static void count_places(struct unpackers *u)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	u->n = n < 1 ? 1 : n > UNPACKERS_MAX ? UNPACKERS_MAX : (size_t)n;
}

static int make_place(struct unpackers *u, unsigned window_log, struct err *e)
{
	if (!u->n)
		count_places(u);
	for (;;) {
		unsigned taken = 1u << window_log;

		for (size_t i = 0; i < u->n_run; i++)
			taken += 1u << u->run[i].window_log;
		if (!u->n_run || (u->n_run < u->n && taken <= WINDOWS_MAX))
			return 0;
		if (reap(u, e) < 0)
			return -1;
	}
}

static int add(struct unpackers *u, const struct imgstore_layer *l, struct err *e)
{
	struct work w = { u->s, u->until, *l };
	struct unpacker r = { .blob = *l->blob,
		              .diff_id = *l->diff_id,
		              .prove = l->prove,
		              .window_log = l->window_log };
	int ends[2], rc;
	struct spawn how = { .work = work,
		             .arg = &w,
		             .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
		             .death_signal = SIGKILL };

	if (make_place(u, l->window_log, e) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	how.std[1] = ends[1];
	rc = spawn_start(&how, u->until, &r.process, e);
	close(ends[1]);
	r.said = ends[0];
	if (rc == 0)
		u->run[u->n_run++] = r;
	else
		fd_close(&r.said);
	return rc;
}

/* As its beginning says. Where that is not all of it, it turns out. */
static unsigned window_log(const struct imgstore *s, const struct digest *blob)
{
	char head[DECODE_HEAD];
	struct err ignored = { 0 };
	int fd = imgstore_open_blob(s, blob, &ignored);
	ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof(head));
	uint64_t window = n > 0 ? decode_window((struct str){ head, (size_t)n }) : 0;
	unsigned log = DECODE_WINDOW_LOG_USUAL;

	fd_close(&fd);
	while (log < DECODE_WINDOW_LOG_MAX && window > UINT64_C(1) << log)
		log++;
	return log;
}

int unpackers_add(struct unpackers *u, const struct digest *blob, const struct digest *diff_id,
                  bool prove, struct err *e)
{
	if (!prove && imgstore_has_layer(u->s, diff_id))
		return 0;
	return add(u, &(struct imgstore_layer){ blob, diff_id, prove, window_log(u->s, blob) }, e);
}

int unpackers_wait(struct unpackers *u, struct err *e)
{
	int rc = 0;

	while (u->n_run) {
		struct err why = { 0 };

		if (reap(u, &why) == 0)
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

	u->ending = true;
	for (size_t i = 0; i < u->n_run; i++)
		spawn_signal(&u->run[i].process, SIGKILL);
	(void)unpackers_wait(u, &ignored);
}
