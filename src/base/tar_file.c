/* SPDX-License-Identifier: Apache-2.0 */
/* One file as part of an archive, read piece by piece; see tar.h. */
#include "base/file.h"
#include "base/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 32768

int tar_file_open(struct tar_file *f, const char *file, struct err *e)
{
	struct stat st;

	*f = (struct tar_file){ .file = file, .fd = open(file, O_RDONLY | O_CLOEXEC) };
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		int err = errno;

		fd_close(&f->fd);
		return err_sys(e, err, "%s", file);
	}
	if (!S_ISREG(st.st_mode)) {
		fd_close(&f->fd);
		return err_set(e, ERR_OTHER, 0, "%s is no file", file);
	}
	f->size = f->left = (uint64_t)st.st_size;
	f->mtime = (int64_t)st.st_mtime;
	return 0;
}

void tar_file_close(struct tar_file *f)
{
	fd_close(&f->fd);
}

void tar_file_rewind(struct tar_file *f)
{
	(void)lseek(f->fd, 0, SEEK_SET);
	f->left = f->size;
	f->started = false;
}

int tar_file_fill(void *file, struct buf *b, struct err *e)
{
	struct tar_file *f = file;
	ssize_t n;

	if (!f->started) {
		f->started = true;
		buf_add_str(b, f->before);
	}
	n = read(f->fd, buf_reserve(b, PIECE_BYTES),
	         f->left < PIECE_BYTES ? (size_t)f->left : PIECE_BYTES);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return err_sys(e, errno, "%s", f->file);
	if (n == 0 && f->left)
		return err_set(e, ERR_OTHER, 0, "%s: became shorter while it was read", f->file);
	b->n += (size_t)n;
	f->left -= (uint64_t)n;
	if (f->left)
		return 1;
	buf_add_str(b, f->after);
	return 0;
}
