/* SPDX-License-Identifier: Apache-2.0 */
/* help: what applets there are; also takes the options that stand before any applet. */
#include "applets/applets.h"
#include "applets/completion.h"
#include "applets/install.h"
#include "applets/show.h"
#include "base/opts.h"
#include "base/out.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"[APPLET] [OPTION...]\n"
	"Runs jobs of a Daytona Server on this machine. \"daytona-runner help APPLET\" says more.";

static void print_applet(void *arg, const struct applet *a)
{
	if (!a->hidden)
		buf_addf(arg, "  %-14s  %s%s%s%s\n", a->name, a->summary,
		         a->aliases ? " (or: " : "", a->aliases ? a->aliases : "",
		         a->aliases ? ")" : "");
}

static void overview(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "Usage: daytona-runner APPLET [OPTION...]\n\n"
	             "Runs jobs of a Daytona Server on this machine.\n\nApplets:\n");
	applet_list(print_applet, &b);
	buf_adds(&b, "\nOther options:\n"
	             "  --list               print the applets' names\n"
	             "  --install [-s] DIR   make a link in DIR for each applet, -s: symbolic\n"
	             "  --licenses           print the licences of what is compiled in\n"
	             "  --version            the same as version\n\n"
	             "Begin with: daytona-runner create (on the Server's side), configure, start.\n"
	             "More about one: daytona-runner help APPLET\n");
	show_lines(buf_str(&b));
	buf_free(&b);
}

static int applet_help(const struct applet *a)
{
	char option[] = "--help", word[32];
	char *argv[] = { word, option, NULL };

	snprintf(word, sizeof(word), "%s", a->name);
	if (strcmp(a->name, "help") == 0) {
		overview();
		return out_flush();
	}
	return a->run(2, argv);
}

static int help_run(int argc, char **argv)
{
	struct err e = { 0 };
	const struct applet *a;
	const char *shell = NULL;
	char hint[96];
	bool install = false, symbolic = false, show_version = false, help = false;
	const struct opt opts[] = {
		OPT_FLAG(0, "install", &install, "make links for the applets in DIR"),
		OPT_FLAG('s', "symbolic", &symbolic, "with --install: symbolic links"),
		OPT_STR(0, "completion", "SHELL", &shell, "print completion for bash, zsh or fish"),
		OPT_FLAG('v', "version", &show_version, "print version, build and libraries"),
		OPT_FLAG('V', "", &show_version, "the same"),
		OPT_FLAG('h', "help", &help, "show the applets"),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 0, 1);

	if (show_version)
		return version_applet.run(1, argv);
	if (shell)
		return completion_print(shell);
	if (symbolic && !install)
		opts_misuse(usage, "-s goes with --install");
	if (install && n == 0)
		opts_misuse(usage, "--install needs a directory");
	if (install)
		return install_links(argv[1], symbolic, &e) < 0 ? applet_fail("--install", &e)
		                                                : out_flush();
	a = n == 1 ? applet_find(argv[1]) : NULL;
	if (n == 1 && !a)
		opts_misuse(usage, "no applet is named \"%s\"%s", argv[1],
		            applet_hint(argv[1], hint));
	if (a)
		return applet_help(a);
	overview();
	return out_flush();
}

const struct applet help_applet = { .name = "help",
	                            .summary = "list the applets, or explain one",
	                            .run = help_run };
