/* SPDX-License-Identifier: Apache-2.0 */
/* restart: stop and start, whatever state the runner is in. */
#include "applets/applets.h"
#include "applets/life.h"

static const char usage[] =
	"restart [OPTION...]\n"
	"Stops the runner if it runs, even one that does not answer, and starts it with the current settings.";

static int restart_run(int argc, char **argv)
{
	return life_applet("restart", usage, life_restart, argc, argv);
}

const struct applet restart_applet = { .name = "restart",
	                               .summary = "restart the runner",
	                               .run = restart_run };
