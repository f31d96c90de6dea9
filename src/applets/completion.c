/* SPDX-License-Identifier: Apache-2.0 */
/* completion: the script for a shell. */
#include "applets/completion.h"

#include "applets/applets.h"
#include "base/opts.h"
#include "base/out.h"
#include "base/shipped.h"
#include "base/unpack.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"completion {bash | zsh | fish}\n"
	"Prints the script with which that shell completes applets, options and values; for bash: "
	"eval \"$(daytona-runner completion bash)\" in ~/.bashrc.";

int completion_print(const char *shell)
{
	struct buf b = { 0 };

	if (strcmp(shell, "fish") == 0) {
		unpack(&b, script_completion_fish, script_completion_fish_n); /* it asks for sh */
	} else {
		unpack(&b, script_completion_sh, script_completion_sh_n);
		if (strcmp(shell, "bash") == 0)
			unpack(&b, script_completion_bash, script_completion_bash_n);
		else if (strcmp(shell, "zsh") == 0)
			unpack(&b, script_completion_zsh, script_completion_zsh_n);
		else if (strcmp(shell, "sh") != 0)
			opts_misuse(usage, "completion is for bash, zsh or fish, not \"%s\"",
			            shell);
	}
	fputs(buf_cstr(&b), stdout);
	buf_free(&b);
	return out_flush();
}

static int completion_run(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };

	if (opts_parse(opts, usage, argc, argv, 0, 1) == 0)
		opts_misuse(usage, "for which shell: bash, zsh or fish?");
	return completion_print(argv[1]);
}

const struct applet completion_applet = { .name = "completion",
	                                  .summary = "print completion for bash, zsh or fish",
	                                  .run = completion_run };
