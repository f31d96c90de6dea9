/* SPDX-License-Identifier: Apache-2.0 */
/* See conn_parts.h. */
#include "net/conn_parts.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int explain(const char *path, int code, struct err *e)
{
	struct stat st;

	if (code == EACCES && stat(path, &st) == 0)
		return err_set(
			e, ERR_CONNECT, code,
			"%s: permission denied to uid %u: it belongs to uid %u, gid %u, mode %04o; join its group",
			path, (unsigned)geteuid(), (unsigned)st.st_uid, (unsigned)st.st_gid,
			(unsigned)(st.st_mode & 07777));
	if (code == EACCES)
		return err_set(e, ERR_CONNECT, code,
		               "%s: permission denied to uid %u on the way to it", path,
		               (unsigned)geteuid());
	if (code == ENOENT)
		return err_set(e, ERR_CONNECT, code,
		               "%s: there is no such socket; is the service running?", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(
			e, ERR_CONNECT, code,
			"%s: is a directory, not a socket; remove it and restart its service",
			path);
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(e, ERR_CONNECT, code, "%s: is no socket", path);
	if (code == ECONNREFUSED)
		return err_set(e, ERR_CONNECT, code,
		               "%s: nobody listens on the socket; is the service running?", path);
	return err_set(e, ERR_CONNECT, code, "%s: %s", path, strerror(code));
}

int unix_connect(int *fd, const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int code;

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(e, ERR_CONNECT, ENAMETOOLONG,
		               "%s: a socket's path has at most %zu bytes", path,
		               sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path));
	if (*fd < 0)
		*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return err_sys(e, errno, "%s: socket", path);
	if (connect(*fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return 1;
	code = errno;
	if (code == EAGAIN || code == EINTR || code == EINPROGRESS)
		return 0;
	fd_close(fd);
	return explain(path, code, e);
}
