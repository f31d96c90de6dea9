/* SPDX-License-Identifier: Apache-2.0 */
/* See wipe.h. */
#include "host/wipe.h"

#include "base/file.h"
#include "base/mem.h"
#include "host/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names below state_dir that we make (paths.h). The marker goes last: an interrupted purge can
 * be repeated. */
static const char *const ours[] = {
	"lock", "status.json", "status.json.tmp", "journal", "providers.json",
	"logs", "agents",      "daemon.err",      "ssh",     "images",
	"ids",  "paused.json", PATHS_CONTROL
};
static const char *const ours_prefix[] = { "journal.", "providers.json.tmp-", "paused.json.tmp-",
	                                   "askpass" };
static const char *const data_dirs[] = { "workspaces", "targets", "builds" };

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *ent;
	size_t n = 0;

	while (d && (ent = readdir(d)) != NULL)
		n += !is_dots(ent->d_name);
	if (d)
		closedir(d);
	return n;
}

size_t wipe_count_data(const char *state_dir)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(data_dirs); i++) {
		char *dir = path_join(state_dir, data_dirs[i]);

		n += count_entries(dir);
		free(dir);
	}
	return n;
}

/* As a wipe of a mount point leaves it. */
static bool is_empty(const char *dir)
{
	return file_is_dir(dir) && count_entries(dir) == 0;
}

/* inside is outer or lies below it. */
static bool is_within(const char *inside, const char *outer)
{
	size_t n = strlen(outer);

	return strncmp(inside, outer, n) == 0 &&
	       (inside[n] == '\0' || inside[n] == '/' || outer[n - 1] == '/');
}

static int check_real(const char *state_dir, const char *real, struct err *e)
{
	const char *home = getenv("HOME");
	char *home_real = home && *home ? realpath(home, NULL) : NULL;
	struct stat st, mark;
	char *marker;
	int rc = 0;

	if (strcmp(real, "/") == 0 || !strchr(real + 1, '/'))
		rc = err_set(e, ERR_CONFIG, 0,
		             "refuse to empty %s: that is no directory of one program", real);
	else if (home_real && is_within(home_real, real))
		rc = err_set(e, ERR_CONFIG, 0, "refuse to empty %s: your home directory is there",
		             real);
	free(home_real);
	if (rc < 0)
		return -1;
	marker = path_join(real, STATE_MARKER);
	if (lstat(marker, &mark) < 0 || !S_ISREG(mark.st_mode))
		rc = err_set(e, ERR_CONFIG, 0,
		             "refuse to empty %s: it has no file %s, so it is not ours", state_dir,
		             STATE_MARKER);
	else if (stat(real, &st) < 0 ||
	         (st.st_uid != geteuid() && mark.st_uid != geteuid() && geteuid() != 0))
		rc = err_set(e, ERR_CONFIG, 0, "refuse to empty %s: it belongs to user id %u",
		             state_dir, (unsigned)st.st_uid);
	free(marker);
	return rc;
}

static char *real_state_dir(const char *state_dir, struct err *e)
{
	char *real;

	if (!state_dir || state_dir[0] != '/') {
		err_set(e, ERR_CONFIG, 0, "refuse to empty \"%s\": it is no absolute path",
		        state_dir ? state_dir : "");
		return NULL;
	}
	real = realpath(state_dir, NULL);
	if (!real) {
		err_sys(e, errno, "state directory %s", state_dir);
		return NULL;
	}
	if (check_real(state_dir, real, e) == 0)
		return real;
	free(real);
	return NULL;
}

int wipe_check_state_dir(const char *state_dir, struct err *e)
{
	char *real;

	if (is_empty(state_dir))
		return err_set(e, ERR_NOT_FOUND, 0, "%s is empty", state_dir);
	real = real_state_dir(state_dir, e);
	if (!real)
		return -1;
	free(real);
	return 0;
}

static bool has_name(const char *name, bool data)
{
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (strcmp(name, ours[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(ours_prefix); i++) {
		if (strncmp(name, ours_prefix[i], strlen(ours_prefix[i])) == 0)
			return true;
	}
	for (size_t i = 0; data && i < ARRAY_LEN(data_dirs); i++) {
		if (strcmp(name, data_dirs[i]) == 0)
			return true;
	}
	return false;
}

static void remove_child(const char *dir, const char *name, struct buf *left)
{
	char *path = path_join(dir, name);
	struct err why = { 0 };

	if (file_remove_tree(path, &why) < 0)
		buf_addf(left, "%s: %s\n", path, why.msg);
	free(path);
}

/* Empty data directories go in any case. */
static void remove_empty(const char *dir)
{
	for (size_t i = 0; i < ARRAY_LEN(data_dirs); i++) {
		char *path = path_join(dir, data_dirs[i]);

		(void)rmdir(path);
		free(path);
	}
}

static void remove_known(const char *dir, bool data, struct buf *left)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	if (!d) {
		buf_addf(left, "%s: %s\n", dir, strerror(errno));
		return;
	}
	while ((ent = readdir(d)) != NULL) {
		if (has_name(ent->d_name, data))
			remove_child(dir, ent->d_name, left);
	}
	closedir(d);
	remove_empty(dir);
}

int wipe_state_dir(const char *state_dir, bool data, struct buf *left, struct err *e)
{
	char *real;
	int rc = 0;

	if (is_empty(state_dir))
		return 0;
	real = real_state_dir(state_dir, e);
	if (!real)
		return -1;
	remove_known(real, data, left);
	if (left->n) {
		rc = err_set(e, ERR_OTHER, 0, "not all of %s could be removed", real);
	} else if (count_entries(real) <= 1) {
		remove_child(real, STATE_MARKER, left);
		if (rmdir(real) < 0 && errno != EBUSY && errno != ENOTEMPTY && errno != ENOENT &&
		    errno != EACCES) /* a mount point, and what is above it is not ours */
			rc = err_sys(e, errno, "remove %s", real);
	}
	free(real);
	return rc;
}

/* What the applets ssh and ssh-config made (applets/ssh.h). */
static void wipe_ssh(const struct config *c)
{
	static const char *const names[] = { CONFIG_SSH_KEY, CONFIG_SSH_HOSTS, CONFIG_SSH_FILE };
	char *dir = path_join(c->dir, CONFIG_SSH);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(names); i++)
		(void)unlinkat(fd, names[i], 0);
	fd_close(&fd);
	(void)rmdir(dir);
	free(dir);
}

int wipe_config(const struct config *c, struct err *e)
{
	wipe_ssh(c);
	paths_sweep_config(c->file, false);
	if (unlink(c->file) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", c->file);
	if (c->ca_file) { /* came with a token */
		char *prefix = path_join(c->dir, CONFIG_CA_PREFIX);

		if (str_starts(str_of(c->ca_file), prefix))
			unlink(c->ca_file);
		free(prefix);
	}
	(void)rmdir(c->dir); /* others' files in it keep it */
	return 0;
}
