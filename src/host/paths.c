/* SPDX-License-Identifier: Apache-2.0 */
/* See paths.h. */
#include "host/paths.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool dir_is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *ent;
	bool empty = true;

	if (!d)
		return false;
	while (empty && (ent = readdir(d)) != NULL)
		empty = strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0 ||
		        strcmp(ent->d_name, "lost+found") == 0; /* a fresh disk */
	closedir(d);
	return empty;
}

/* What orchestrators give to a container of any user id: a file system of its own, root's and open to all. */
static bool is_volume(const char *dir, const struct stat *st)
{
	char *parent = path_join(dir, "..");
	struct stat up;
	bool volume = st->st_uid == 0 && stat(parent, &up) == 0 && up.st_dev != st->st_dev &&
	              access(dir, R_OK | W_OK | X_OK) == 0;

	free(parent);
	return volume;
}

/* Somebody else's directory is never taken over: its content could be removed by purge later. */
static int check_ours(const char *dir, const char *marker, struct err *e)
{
	struct stat st, mark;
	bool empty = dir_is_empty(dir); /* before the marker, which a start beside us makes first */
	bool marked = lstat(marker, &mark) == 0;
	bool own;

	if (stat(dir, &st) < 0)
		return err_sys(e, errno, "state directory %s", dir);
	own = st.st_uid == geteuid();
	if (!own && (!is_volume(dir, &st) || (marked && mark.st_uid != geteuid())))
		return err_set(
			e, ERR_CONFIG, 0,
			"state directory %s belongs to user id %u, we are %u; set [runner] state_dir to another one",
			dir, (unsigned)st.st_uid, (unsigned)geteuid());
	if (!marked && !empty)
		return err_set(
			e, ERR_CONFIG, 0,
			"state directory %s is not empty and not ours (no %s in it); set [runner] state_dir to an empty or new one",
			dir, STATE_MARKER);
	if (own && (st.st_mode & 0077) && chmod(dir, 0700) < 0)
		return err_sys(e, errno, "make state directory %s private", dir);
	return 0;
}

int paths_prepare(const char *state_dir, struct err *e)
{
	static const char *const subs[] = { "logs",         "logs/runners", "logs/workspaces",
		                            "logs/targets", "logs/builds",  "workspaces",
		                            "targets",      "builds",       "agents",
		                            "ssh" };
	char *marker = path_join(state_dir, STATE_MARKER);
	int rc = -1;
	int fd;

	if (file_mkdirs(state_dir, 0700, e) < 0 || check_ours(state_dir, marker, e) < 0)
		goto out;
	fd = open(marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		err_sys(e, errno, "create %s", marker);
		goto out;
	}
	close(fd);
	rc = 0;
	for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]) && rc == 0; i++) {
		char *sub = path_join(state_dir, subs[i]);

		rc = file_mkdirs(sub, 0700, e);
		free(sub);
	}
out:
	free(marker);
	return rc;
}

/* "x.tmp-123", as file_replace names them: whose it was. 0: it is none. */
static pid_t temporary_of(const char *name)
{
	const char *mark = strstr(name, ".tmp-");
	int64_t pid;

	return mark && str_to_i64(str_of(mark + 5), 1, INT_MAX, &pid) ? (pid_t)pid : 0;
}

#define SWEPT (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* In that directory, not below. What a link leads to is somebody else's. */
static void sweep(int in, const char *name, pid_t of)
{
	int dir = openat(in, name, SWEPT);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *ent;

	if (!d && dir >= 0)
		close(dir);
	while (d && (ent = readdir(d)) != NULL) {
		pid_t was = temporary_of(ent->d_name);

		if (was && (!of || was == of))
			unlinkat(dirfd(d), ent->d_name, 0);
	}
	if (d)
		closedir(d);
}

/* What belongs to a target, build or workspace: a checkout lies one level deeper than our own files about it, but for
 * those of the native provider. */
static void sweep_resource(int parent, const char *id, pid_t of)
{
	int dir = openat(parent, id, SWEPT);

	if (dir < 0)
		return;
	sweep(dir, ".", of);
	sweep(dir, ".runner", of);
	close(dir);
}

/* A record is named as what it is about, and so is one that is just written. */
static void sweep_record(int parent, const char *id, pid_t of)
{
	struct buf name = { 0 };

	buf_addf(&name, "%s.tmp-%ld", id, (long)of);
	unlinkat(parent, buf_cstr(&name), 0);
	buf_free(&name);
}

static void sweep_each(int parent, pid_t of)
{
	int copy = openat(parent, ".", SWEPT);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!d && copy >= 0)
		close(copy);
	while (d && (ent = readdir(d)) != NULL)
		if (ent->d_name[0] != '.')
			sweep_resource(parent, ent->d_name, of);
	if (d)
		closedir(d);
}

static const char *const resources[] = { "workspaces",    "targets",      "builds",
	                                 "builds/images", "logs/runners", "logs/workspaces",
	                                 "logs/targets",  "logs/builds" };
static const char *const plain[] = { ".", "agents", "logs" };

void paths_sweep(const char *state_dir, pid_t of, const char *id)
{
	int dir = open(state_dir, SWEPT);

	for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(plain); i++)
		sweep(dir, plain[i], of);
	for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(resources); i++) {
		int parent = openat(dir, resources[i], SWEPT);

		if (parent < 0)
			continue;
		if (!of) {
			sweep(parent, ".", of);
			sweep_each(parent, of);
		} else if (id && str_is_id(str_of(id))) {
			sweep_record(parent, id, of);
			sweep_resource(parent, id, of);
		}
		close(parent);
	}
	if (dir >= 0)
		close(dir);
}

void paths_sweep_config(const char *file, bool living)
{
	const char *base = strrchr(file, '/') + 1;
	char *dir = mem_dupn(file, (size_t)(base - file));
	DIR *d = opendir(dir);
	struct dirent *ent;

	while (d && (ent = readdir(d)) != NULL) {
		pid_t was = temporary_of(ent->d_name);
		struct str name = str_of(ent->d_name);

		if (was && (str_starts(name, base) || str_starts(name, CONFIG_CA_PREFIX)) &&
		    !(living && (kill(was, 0) == 0 || errno != ESRCH)))
			unlinkat(dirfd(d), ent->d_name, 0);
	}
	if (d)
		closedir(d);
	free(dir);
}

char *paths_lock(const char *state_dir)
{
	return path_join(state_dir, "lock");
}

char *paths_journal(const char *state_dir)
{
	return path_join(state_dir, "journal");
}

char *paths_refused(const char *state_dir)
{
	return path_join(state_dir, "journal.refused");
}

char *paths_status(const char *state_dir)
{
	return path_join(state_dir, "status.json");
}

char *paths_providers(const char *state_dir)
{
	return path_join(state_dir, "providers.json");
}

char *paths_control(const char *state_dir)
{
	return path_join(state_dir, PATHS_CONTROL);
}

char *paths_paused(const char *state_dir)
{
	return path_join(state_dir, "paused.json");
}
