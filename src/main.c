/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the applet: by the base name of argv[0] (with or without a leading "daytona-runner-", and a trailing
 * version or ".exe"), else by the first argument. "runner X" and "server runner X" are accepted
 * before it, so that lines written for the reference's command line work.
 */
#include "applets/applets.h"
#include "base/constants.h"
#include "base/err.h"
#include "base/licenses.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"
#include "base/spell.h"
#include "base/unpack.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#define APPLET_ADDRESS(name) &name##_applet,
static const struct applet *const applets[] = { APPLET_LIST(APPLET_ADDRESS) };

static bool in_list(const char *list, const char *name)
{
	struct str rest = str_of(list), piece;

	while (list && str_next(&rest, ',', &piece)) {
		if (str_eq(piece, name))
			return true;
	}
	return false;
}

const struct applet *applet_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		const struct applet *a = applets[i];

		if (strcmp(a->name, name) == 0 || in_list(a->aliases, name))
			return a;
	}
	return NULL;
}

const char *applet_hint(const char *word, char out[96])
{
	struct spell near = { .word = str_of(word) };

	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		if (!applets[i]->hidden)
			spell_try(&near, applets[i]->name);
	}
	return spell_hint(&near, "", out);
}

void applet_list(void (*each)(void *arg, const struct applet *a), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(applets); i++)
		each(arg, applets[i]);
}

const char *applet_self_exe(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	/* After an upgrade by rename the link reads "… (deleted)": the new file has the old name. */
	if (n <= 0) {
		/* A root without /proc: as we were called, if that says it. */
		const char *called = (const char *)getauxval(AT_EXECFN);

		return called && called[0] == '/' ? called : "/proc/self/exe";
	}
	path[n] = '\0';
	if (n > 10 && strcmp(path + n - 10, " (deleted)") == 0)
		path[n - 10] = '\0';
	return path;
}

int applet_fail(const char *applet, const struct err *e)
{
	log_say(applet, e->msg);
	return e->kind == ERR_USAGE ? 2 : 1;
}

/* "/x/daytona-runner-stop-1.2.3.exe" -> applet stop; NULL when the name is that of the program. */
static const struct applet *by_program_name(const char *argv0)
{
	const char *base = strrchr(argv0, '/');
	char name[64];
	size_t n;

	base = base ? base + 1 : argv0;
	if (strncmp(base, "daytona-runner-", 15) == 0)
		base += 15;
	n = strlen(base);
	if (n >= sizeof(name))
		return NULL;
	memcpy(name, base, n + 1);
	for (;;) {
		const struct applet *a = applet_find(name);
		char *cut;

		if (a)
			return a;
		cut = strrchr(name, '.');
		if (!cut)
			cut = strrchr(name, '-');
		if (!cut || cut == name)
			return NULL;
		*cut = '\0';
	}
}

static void print_name(void *arg, const struct applet *a)
{
	(void)arg;
	if (!a->hidden)
		puts(a->name);
}

static int finish(int status)
{
	int flushed = out_flush();

	return status ? status : flushed;
}

static int run(const struct applet *a, int argc, char **argv)
{
	static char name[32];

	snprintf(name, sizeof(name), "%s", a->name);
	argv[0] = name;
	return finish(a->run(argc, argv));
}

/* Descriptors 0 to 2 must be open, or the next file opened would become one of them. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	const struct applet *a;
	struct rlimit core;
	char hint[96];
	struct err e = { 0 };
	int i = 1;

	constants_unpack();
	open_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	/* Keys are in memory; workspaces may raise it again. */
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = 0;
		prlimit(0, RLIMIT_CORE, &core, NULL);
	}
	a = argc > 0 ? by_program_name(argv[0]) : NULL;
	/* A link named like the CLI's words is the program itself: daytona, runner, server runner. */
	if (a)
		return run(a, argc, argv);
	if (i < argc && strcmp(argv[i], "server") == 0 && i + 1 < argc &&
	    strcmp(argv[i + 1], "runner") == 0)
		i += 2;
	else if (i < argc && (strcmp(argv[i], "runner") == 0 || strcmp(argv[i], "runners") == 0))
		i += 1;
	if (i >= argc)
		return run(&help_applet, 1, argv);
	if (strcmp(argv[i], "--list") == 0) {
		applet_list(print_name, NULL);
		return finish(0);
	}
	if (strcmp(argv[i], "--licenses") == 0) {
		struct buf text = { 0 };

		unpack(&text, dr_licenses, dr_licenses_n);
		fputs(buf_cstr(&text), stdout);
		buf_free(&text);
		return finish(0);
	}
	if (argv[i][0] == '-')
		return run(&help_applet, argc - i + 1, argv + i - 1);
	a = applet_find(argv[i]);
	if (a)
		return run(a, argc - i, argv + i);
	err_set(&e, ERR_USAGE, 0, "no applet is named \"%s\"%s; see daytona-runner help", argv[i],
	        applet_hint(argv[i], hint));
	return applet_fail(NULL, &e);
}
