/* SPDX-License-Identifier: Apache-2.0 */
/* help: what applets there are; also takes the options that stand before any applet. */
#include "applets/applets.h"
#include "applets/install.h"
#include "base/opts.h"
#include "base/out.h"
#include "base/str.h"
#include "base/version.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"[APPLET] [OPTION...]\n"
	"Runs jobs of a Daytona Server on this machine. \"daytona-runner help APPLET\" says more.";

/* Both ask the program itself, so they fit whatever version is installed. */
static const char bash_completion[] =
	"_daytona_runner()\n{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} applet=${COMP_WORDS[1]} words\n"
	"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	"\t\twords=$(daytona-runner --list 2>/dev/null)\n"
	"\telif [ \"$applet\" = help ]; then\n"
	"\t\twords=$(daytona-runner --list 2>/dev/null)\n"
	"\telse\n"
	"\t\twords=$(daytona-runner \"$applet\" --print-options 2>/dev/null |\n"
	"\t\t\tawk -F '\\t' '$1 { print \"-\" $1 } $2 { print \"--\" $2 }')\n"
	"\t\tcase $applet in\n"
	"\t\tprovider) words=\"$words list check enable disable\" ;;\n"
	"\t\tservice) words=\"$words install uninstall print\" ;;\n"
	"\t\tesac\n"
	"\tfi\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	"}\n"
	"complete -o default -F _daytona_runner daytona-runner\n";

static const char zsh_completion[] =
	"#compdef daytona-runner\n"
	"_daytona_runner()\n"
	"{\n"
	"\tlocal -a found\n"
	"\tif (( CURRENT == 2 )) || [[ $words[2] == help ]]; then\n"
	"\t\tfound=(${(f)\"$(daytona-runner --list 2>/dev/null)\"})\n"
	"\telse\n"
	"\t\tfound=(${(f)\"$(daytona-runner $words[2] --print-options 2>/dev/null |\n"
	"\t\t\tawk -F '\\t' '$1 { print \"-\" $1 } $2 { print \"--\" $2 }')\"})\n"
	"\t\tcase $words[2] in\n"
	"\t\tprovider) found+=(list check enable disable) ;;\n"
	"\t\tservice) found+=(install uninstall print) ;;\n"
	"\t\tesac\n"
	"\t\t[[ $PREFIX == -* ]] || _files\n"
	"\tfi\n"
	"\tcompadd -a found\n"
	"}\n"
	"if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then\n"
	"\t_daytona_runner \"$@\"\n"
	"else\n"
	"\tcompdef _daytona_runner daytona-runner\n"
	"fi\n";

static const char fish_completion[] =
	"function __daytona_runner_options\n"
	"\tset -l tokens (commandline -opc)\n"
	"\tdaytona-runner $tokens[2] --print-options 2>/dev/null | while read -d \\t -l letter name arg help\n"
	"\t\ttest -n \"$name\"; and printf '%s\\t%s\\n' --$name $help\n"
	"\t\ttest -n \"$letter\"; and printf '%s\\t%s\\n' -$letter $help\n"
	"\tend\n"
	"end\n"
	"complete -c daytona-runner -n __fish_use_subcommand -f -a '(daytona-runner --list 2>/dev/null)'\n"
	"complete -c daytona-runner -n '__fish_seen_subcommand_from help' -f -a '(daytona-runner --list 2>/dev/null)'\n"
	"complete -c daytona-runner -n '__fish_seen_subcommand_from provider' -f -a 'list check enable disable'\n"
	"complete -c daytona-runner -n '__fish_seen_subcommand_from service' -f -a 'install uninstall print'\n"
	"complete -c daytona-runner -n 'not __fish_use_subcommand' -a '(__daytona_runner_options)'\n";

static void print_applet(void *arg, const struct applet *a)
{
	(void)arg;
	if (!a->hidden)
		printf("  %-10s %s\n", a->name, a->summary);
}

static void overview(void)
{
	puts("Usage: daytona-runner APPLET [OPTION...]\n\n"
	     "Runs jobs of a Daytona Server on this machine.\n\nApplets:");
	applet_list(print_applet, NULL);
	puts("\nOther options:\n"
	     "  --list               print the applets' names\n"
	     "  --install [-s] DIR   make a link in DIR for each applet, -s: symbolic\n"
	     "  --completion SHELL   print completion for bash, zsh or fish\n"
	     "  --licenses           print the licences of what is compiled in\n"
	     "  --version            print version, build and libraries\n\n"
	     "Begin with: daytona-runner create (on the Server's side), configure, start.\n"
	     "More about one: daytona-runner help APPLET");
}

static int completion(const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		fputs(bash_completion, stdout);
	else if (strcmp(shell, "zsh") == 0)
		fputs(zsh_completion, stdout);
	else if (strcmp(shell, "fish") == 0)
		fputs(fish_completion, stdout);
	else
		opts_misuse(usage, "completion is for bash, zsh or fish, not \"%s\"", shell);
	return out_flush();
}

static void version(void)
{
	printf("daytona-runner %s (build %s)\n%s\n", DR_VERSION, dr_build_id, dr_libraries);
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

	if (show_version) {
		version();
		return out_flush();
	}
	if (shell)
		return completion(shell);
	if (symbolic && !install)
		opts_misuse(usage, "-s goes with --install");
	if (install && n == 0)
		opts_misuse(usage, "--install needs a directory");
	if (install)
		return install_links(argv[1], symbolic, &e) < 0 ? applet_fail("--install", &e)
		                                                : out_flush();
	a = n == 1 ? applet_find(argv[1]) : NULL;
	if (n == 1 && !a)
		opts_misuse(usage, "no applet is named \"%s\"", argv[1]);
	if (a && !help)
		return applet_help(a);
	overview();
	return out_flush();
}

const struct applet help_applet = { .name = "help",
	                            .summary = "list the applets, or explain one",
	                            .run = help_run };
