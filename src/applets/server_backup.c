/* SPDX-License-Identifier: Apache-2.0 */
/* See server_backup.h. */
#include "applets/server_backup.h"

#include "applets/applets.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opts.h"
#include "server/backup.h"
#include "server/srv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_and_name(int fd, const char *tmp, const char *path, struct err *e)
{
	if (fsync(fd) < 0)
		return err_sys(e, errno, "sync %s", tmp);
	if (rename(tmp, path) < 0)
		return err_sys(e, errno, "rename %s to %s", tmp, path);
	return 0;
}

/* Under its own name only when it is whole. */
static int to_file(const char *data, const char *path, uint64_t *bytes, struct err *e)
{
	struct buf tmp = { 0 };
	int fd, rc;

	buf_addf(&tmp, "%s.tmp-%ld", path, (long)getpid());
	unlink(buf_cstr(&tmp)); /* of a process that had our number */
	fd = open(buf_cstr(&tmp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = err_sys(e, errno, "create %s", buf_cstr(&tmp));
	} else {
		rc = backup_write(data, fd, bytes, e);
		if (rc == 0)
			rc = sync_and_name(fd, buf_cstr(&tmp), path, e);
		if (rc < 0)
			unlink(buf_cstr(&tmp));
	}
	fd_close(&fd);
	buf_free(&tmp);
	return rc;
}

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void say(const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	log_say("server", buf_cstr(&text));
	buf_free(&text);
}

int server_backup(int argc, char **argv)
{
	static const char usage[] =
		"server backup [--data DIR] FILE\n"
		"Writes the store as it is at one moment to FILE, or to standard output for \"-\", "
		"whether the server runs or not. It holds keys and tokens: FILE is the owner's alone. "
		"Logs are not in it.";
	const char *dir = NULL;
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR('d', "data", "DIR", &dir, "the server's directory"),
		OPT_END,
	};
	uint64_t bytes = 0;

	opts_parse(opts, usage, argc, argv, 1, 1);
	bool out = strcmp(argv[1], "-") == 0;

	if (out && isatty(STDOUT_FILENO))
		opts_misuse(usage, "a backup is no text: give a FILE, or send it elsewhere");
	signal(SIGXFSZ, SIG_IGN);
	char *data = dir ? mem_dup(dir) : server_default_data(&e);
	int rc = !data ? -1
	         : out ? backup_write(data, STDOUT_FILENO, &bytes, &e)
	               : to_file(data, argv[1], &bytes, &e);

	if (rc == 0)
		say("backed up %s: %llu bytes", data, (unsigned long long)bytes);
	free(data);
	return rc < 0 ? applet_fail("server backup", &e) : 0;
}

int server_restore(int argc, char **argv)
{
	static const char usage[] =
		"server restore [--data DIR] FILE\n"
		"Makes the server's directory, which must be empty or new, from a backup; \"-\" reads "
		"standard input. All of FILE is checked before any of it is in place.";
	const char *dir = NULL;
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR('d', "data", "DIR", &dir, "the server's directory"),
		OPT_END,
	};
	size_t records = 0;
	int fd = STDIN_FILENO;

	opts_parse(opts, usage, argc, argv, 1, 1);
	signal(SIGXFSZ, SIG_IGN);
	char *data = dir ? mem_dup(dir) : server_default_data(&e);
	int rc = data ? 0 : -1;

	if (rc == 0 && strcmp(argv[1], "-") != 0)
		fd = open(argv[1], O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (rc == 0 && fd < 0)
		rc = err_sys(&e, errno, "open %s", argv[1]);
	if (rc == 0)
		rc = backup_restore(data, fd, &records, &e);
	if (rc == 0)
		say("restored %zu records; start it with: daytona-runner server --data %s", records,
		    data);
	if (fd != STDIN_FILENO)
		fd_close(&fd);
	free(data);
	return rc < 0 ? applet_fail("server restore", &e) : 0;
}
