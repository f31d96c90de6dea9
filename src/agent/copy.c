/* SPDX-License-Identifier: Apache-2.0 */
/* See copy.h: sending, and the two kinds of streams. Receiving is in copy_receive.c. */
#include "agent/copy.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The name under which it goes into a directory. */
static char *name_of(const char *path)
{
	char *real = realpath(path, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	char *name = mem_dup(slash && slash[1] ? slash + 1 : "root");

	free(real);
	return name;
}

/* Writes what fill makes, piece by piece. */
static int send_all(int fd, int (*fill)(void *arg, struct buf *b, struct err *e), void *arg,
                    struct copy *c, struct err *e)
{
	struct buf b = { 0 };
	int more;

	do {
		buf_reset(&b);
		more = fill(arg, &b, e);
		c->bytes += b.n;
		if (more >= 0 && file_write_all(fd, buf_str(&b), "the stream", e) < 0)
			more = -1;
		if (c->progress)
			c->progress(c->arg, c);
	} while (more > 0);
	buf_free(&b);
	return more;
}

static int send_file(int fd, const char *path, const char *name, const struct stat *st,
                     struct copy *c, struct err *e)
{
	struct tar_file f;
	struct buf head = { 0 }, tail = { 0 };
	int rc;

	if (tar_file_open(&f, path, e) < 0)
		return -1;
	tar_header(&head, &(struct tar_entry){ .name = name,
	                                       .type = '0',
	                                       .mode = st->st_mode,
	                                       .size = f.size,
	                                       .mtime = f.mtime });
	tar_pad(&tail, f.size);
	tar_finish(&tail);
	f.before = buf_str(&head);
	f.after = buf_str(&tail);
	rc = send_all(fd, tar_file_fill, &f, c, e);
	tar_file_close(&f);
	buf_free(&head);
	buf_free(&tail);
	return rc;
}

static int send_tree(int fd, const char *path, const char *name, struct copy *c, struct err *e)
{
	struct buf prefix = { 0 };
	struct tar_tree *t;
	int rc;

	buf_addf(&prefix, "%s/", name);
	t = tar_tree_new(&(struct tar_tree_options){
		.root = path, .prefix = buf_cstr(&prefix), .uid = 0, .gid = 0 });
	rc = send_all(fd, tar_tree_fill, t, c, e);
	tar_tree_free(t);
	buf_free(&prefix);
	return rc;
}

int copy_send(int fd, const char *path, struct copy *c, struct err *e)
{
	struct stat st;
	char *name;
	int rc;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	name = name_of(path);
	if (S_ISDIR(st.st_mode))
		rc = send_tree(fd, path, name, c, e);
	else
		rc = send_file(fd, path, name, &st, c, e);
	free(name);
	return rc;
}

static int in_checkout(int fd, const struct stream_request *q,
                       int (*copy)(int fd, const char *path, struct copy *c, struct err *e),
                       struct err *e)
{
	struct buf path = { 0 };
	struct copy c = { 0 };
	int rc;

	if (!stream_param(q, "path", &path) || !path.n || memchr(path.p, '\0', path.n))
		rc = err_set(e, ERR_PARSE, 0, "the request names no path");
	else
		rc = copy(fd, buf_cstr(&path), &c, e);
	buf_free(&path);
	return rc;
}

int copy_get(int fd, const struct stream_request *q, struct err *e)
{
	return in_checkout(fd, q, copy_send, e);
}

int copy_put(int fd, const struct stream_request *q, struct err *e)
{
	return in_checkout(fd, q, copy_receive, e);
}
