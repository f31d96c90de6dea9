/* SPDX-License-Identifier: Apache-2.0 */
/* version: what this program is and what it is built from. */
#include "base/version.h"

#include "applets/applets.h"
#include "base/opts.h"
#include "base/out.h"

#include <stdio.h>

static const char usage[] =
	"version\nPrints version, build and the libraries that are compiled in.";

static int version_run(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };

	opts_parse(opts, usage, argc, argv, 0, 0);
	printf("daytona-runner %s (build %s)\n%s\n", DR_VERSION, dr_build_id, dr_libraries);
	return out_flush();
}

const struct applet version_applet = { .name = "version",
	                               .summary = "print version, build and libraries",
	                               .run = version_run };
