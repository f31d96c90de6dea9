/* SPDX-License-Identifier: Apache-2.0 */
/* start: the runner in the background; done when the Server calls it responsive. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/life.h"
#include "base/mem.h"
#include "base/out.h"

#include <stdlib.h>

static const char usage[] =
	"start [OPTION...]\n"
	"Starts the runner in the background and waits until the Server calls it responsive. A runner that "
	"runs already is fine.";

static int start_run(int argc, char **argv)
{
	struct cli_flags *f = mem_alloc(sizeof(*f));
	struct config c = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL;
	int64_t timeout_s = LIFE_START_MS / 1000;
	const struct opt own[] = {
		OPT_GROUP("Options"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_INT(0, "timeout", "SECONDS", &timeout_s, 1, 3600,
		        "how long to wait for the Server (30)"),
		OPT_END,
	};
	int rc;

	opts_parse(cli_opts(f, own, false, argc, argv), usage, argc, argv, 0, 0);
	cli_given(f, &flags);
	free(f);
	cli_absolute_paths(&flags);
	rc = config_load(&c, config_dir, &flags, &e);
	if (rc == 0)
		rc = life_start(&c, &flags, deadline_in_ms(timeout_s * 1000), &e);
	config_free(&c);
	kv_free(&flags);
	return rc < 0 ? applet_fail("start", &e) : out_flush();
}

const struct applet start_applet = { .name = "start",
	                             .summary = "run the runner in the background",
	                             .run = start_run };
