/* SPDX-License-Identifier: Apache-2.0 */
/* start: the runner in the background; done when the Server calls it responsive. */
#include "applets/applets.h"
#include "applets/life.h"

static const char usage[] =
	"start [OPTION...]\n"
	"Starts the runner in the background and waits until the Server calls it responsive. A runner that "
	"runs already is fine.";

static int start_run(int argc, char **argv)
{
	return life_applet("start", usage, life_start, argc, argv);
}

const struct applet start_applet = { .name = "start",
	                             .summary = "run the runner in the background",
	                             .run = start_run };
