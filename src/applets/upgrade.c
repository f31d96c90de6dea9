/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade: another version of this program in its place, by the installer that it carries. */
#include "applets/applets.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"
#include "base/proc.h"
#include "base/shipped.h"
#include "base/unpack.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPGRADE_MS 1800000
#define ARGS_MAX 16

extern char **environ;

static const char usage[] =
	"upgrade FILE|URL [--sha256 HEX] [--public-key FILE]\n"
	"upgrade --rollback\n"
	"Puts another version in the place of this program: an executable, a .tar.gz, or what lies below a URL beside its "
	"SHA256SUMS. The file is checked before, and the one before stays as daytona-runner.old. Workspaces and running jobs go on: "
	"a runner that has jobs takes the new version when it is restarted, one that has none at once.";

static void show(void *arg, struct str bytes)
{
	(void)arg;
	fwrite(bytes.p, 1, bytes.n, stdout);
	fflush(stdout);
}

static int install(const char *const *options, struct err *e)
{
	const char *argv[ARGS_MAX] = { "/bin/sh", "-s", "--" };
	struct buf script = { 0 }, how = { 0 };
	size_t n = 3;
	int status = 0, rc;

	while (*options && n + 1 < ARGS_MAX)
		argv[n++] = *options++;
	unpack(&script, script_install_sh, script_install_sh_n);
	signal(SIGPIPE, SIG_IGN);
	rc = proc_run(&(struct proc_spawn){ .argv = argv,
	                                    .env = (const char *const *)environ,
	                                    .input = buf_str(&script),
	                                    .output = show },
	              deadline_in_ms(UPGRADE_MS), &status, e);
	if (rc == 0 && status != 0) {
		proc_describe_status(status, &how);
		rc = err_set(e, ERR_OTHER, 0, "nothing was changed, or only what is said above: %s",
		             buf_cstr(&how));
	}
	buf_free(&how);
	buf_free(&script);
	return rc;
}

/* Where this program lies; the file in that place is replaced, whatever name it has there. */
static char *own_dir(struct err *e)
{
	const char *self = applet_self_exe(), *slash = strrchr(self, '/');

	if (slash && strcmp(slash, "/daytona-runner") == 0)
		return mem_dupn(self, (size_t)(slash - self));
	err_set(e, ERR_UNSUPPORTED, 0,
	        "this program is %s, not a file daytona-runner that could be replaced", self);
	return NULL;
}

static int upgrade_run(int argc, char **argv)
{
	const char *sha256 = NULL, *public_key = NULL, *args[ARGS_MAX] = { 0 };
	bool rollback = false, no_restart = false;
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR(0, "sha256", "HEX", &sha256, "the file must have this SHA-256"),
		OPT_STR(0, "public-key", "FILE", &public_key,
		        "the file's signature (FILE.sig) must fit this PEM key"),
		OPT_FLAG(0, "rollback", &rollback, "back to the version before"),
		OPT_FLAG(0, "no-restart", &no_restart, "leave a running runner alone"),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 0, 1), rc;
	char *dir, *old;
	size_t at = 0;

	if (rollback == (n > 0))
		opts_misuse(usage, rollback ? "--rollback takes no file" : "which file or URL?");
	dir = own_dir(&e);
	if (!dir)
		return applet_fail("upgrade", &e);
	old = path_join(dir, "daytona-runner.old");
	args[at++] = "--bin-dir";
	args[at++] = dir;
	args[at++] = n > 0 && strstr(argv[1], "://") ? "--base-url" : "--offline";
	args[at++] = rollback ? old : argv[1];
	if (sha256) {
		args[at++] = "--sha256";
		args[at++] = sha256;
	}
	if (public_key) {
		args[at++] = "--public-key";
		args[at++] = public_key;
	}
	if (no_restart)
		args[at++] = "--no-restart";
	if (rollback && !file_exists(old))
		rc = err_set(&e, ERR_NOT_FOUND, 0, "there is no version before: no %s", old);
	else
		rc = install(args, &e);
	free(old);
	free(dir);
	return rc < 0 ? applet_fail("upgrade", &e) : out_flush();
}

const struct applet upgrade_applet = { .name = "upgrade",
	                               .summary = "replace this program by another version",
	                               .run = upgrade_run };
