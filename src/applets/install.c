/* SPDX-License-Identifier: Apache-2.0 */
/* See install.h. */
#include "applets/install.h"

#include "applets/applets.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct installing {
	const char *dir, *self;
	bool symbolic;
	bool check; /* first pass: only look */
	int rc;
	unsigned made;
	struct err *e;
};

/* A link to us, or a symbolic link to some version of us. */
static bool is_ours(const char *path, const char *self)
{
	struct stat there, us;
	char to[PATH_MAX];
	const char *base;
	ssize_t n;

	if (stat(path, &there) == 0 && stat(self, &us) == 0 && there.st_ino == us.st_ino &&
	    there.st_dev == us.st_dev)
		return true;
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	base = strrchr(to, '/');
	return strncmp(base ? base + 1 : to, "daytona-runner", 14) == 0;
}

static int make_link(const struct installing *in, const char *path)
{
	struct buf tmp = { 0 };
	int rc;

	/* Beside it, then renamed: a program that is just being started finds the old one or the
	 * new one. */
	buf_addf(&tmp, "%s.tmp-%ld", path, (long)getpid());
	unlink(buf_cstr(&tmp));
	rc = in->symbolic ? symlink(in->self, buf_cstr(&tmp))
	                  : linkat(AT_FDCWD, in->self, AT_FDCWD, buf_cstr(&tmp), 0);
	if (rc < 0) {
		/* EPERM: the kernel links nothing of another owner (fs.protected_hardlinks). */
		rc = errno == EXDEV || (errno == EPERM && !in->symbolic)
		             ? err_set(in->e, ERR_SYS, errno,
		                       "%s is on another file system, or somebody else's; use "
		                       "symbolic links: --install -s",
		                       in->self)
		             : err_sys(in->e, errno, "make link %s", path);
	} else if (rename(buf_cstr(&tmp), path) < 0) {
		rc = err_sys(in->e, errno, "make link %s", path);
	}
	unlink(buf_cstr(&tmp)); /* rename does nothing when both are the same file already */
	buf_free(&tmp);
	return rc;
}

static void install_one(struct installing *in, const char *name)
{
	struct buf path = { 0 };
	struct stat st;

	if (in->rc < 0)
		return;
	buf_addf(&path, "%s/%s", in->dir, name);
	if (strcmp(buf_cstr(&path), in->self) == 0)
		; /* the program itself */
	else if (in->check && lstat(buf_cstr(&path), &st) == 0 &&
	         !is_ours(buf_cstr(&path), in->self))
		in->rc = err_set(in->e, ERR_EXISTS, 0,
		                 "%s exists and is not ours; nothing was installed",
		                 buf_cstr(&path));
	else if (!in->check) {
		in->rc = make_link(in, buf_cstr(&path));
		in->made += in->rc == 0;
	}
	buf_free(&path);
}

static void install_applet(void *arg, const struct applet *a)
{
	struct buf name = { 0 };

	if (!a->hidden) {
		buf_addf(&name, "daytona-runner-%s", a->name);
		install_one(arg, buf_cstr(&name));
	}
	buf_free(&name);
}

static void install_all(struct installing *in)
{
	install_one(in, "daytona-runner");
	applet_list(install_applet, in);
}

int install_links(const char *dir, bool symbolic, struct err *e)
{
	char *real = realpath(dir, NULL);
	struct installing in = {
		.dir = real, .self = applet_self_exe(), .symbolic = symbolic, .check = true, .e = e
	};

	if (!real)
		return err_sys(e, errno, "directory %s", dir);
	if (!file_is_dir(real))
		in.rc = err_set(e, ERR_SYS, ENOTDIR, "%s is no directory", real);
	else if (access(real, W_OK) < 0)
		in.rc = err_sys(e, errno, "write into %s", real);
	if (in.rc == 0)
		install_all(&in);
	in.check = false;
	if (in.rc == 0)
		install_all(&in);
	if (in.rc == 0)
		printf("%u links in %s\n", in.made, real);
	free(real);
	return in.rc;
}
