/* SPDX-License-Identifier: Apache-2.0 */
/* See journal.h: results that the Server would not have, for a person: one JSON object a line. */
#include "runner/journal.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "host/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1 << 20) /* then the file moves to ".old", in place of an older one */

int refused_keep(const char *state_dir, const struct job *j, enum job_state result,
                 const char *text, const char *why, struct err *e)
{
	char *path = paths_refused(state_dir);
	struct buf b = { 0 }, old = { 0 };
	struct stat st;
	int fd, rc = -1;

	jw_obj(&b);
	jw_kint(&b, "wall_ms", clock_wall_ms());
	jw_kstr(&b, "result", job_state_name(result));
	jw_kstr(&b, "text", text);
	jw_kstr(&b, "refused", why);
	jw_key(&b, "job");
	job_write(j, &b);
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	buf_addf(&old, "%s.old", path);
	if (stat(path, &st) == 0 && st.st_size > FILE_MAX_BYTES)
		rename(path, buf_cstr(&old));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		err_sys(e, errno, "open %s", path);
	else if (file_write_all(fd, buf_str(&b), path, e) == 0)
		rc = fsync(fd) < 0 ? err_sys(e, errno, "sync %s", path) : 0;
	fd_close(&fd);
	buf_free(&old);
	buf_wipe(&b);
	free(path);
	return rc;
}
