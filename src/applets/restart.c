/* SPDX-License-Identifier: Apache-2.0 */
/* restart: stop and start, whatever state the runner is in. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/life.h"
#include "base/mem.h"
#include "base/out.h"

#include <stdlib.h>

static const char usage[] =
	"restart [OPTION...]\n"
	"Stops the runner if it runs, even one that does not answer, and starts it with the current settings.";

static int restart_run(int argc, char **argv)
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
		rc = life_restart(&c, &flags, timeout_s * 1000, &e);
	config_free(&c);
	kv_free(&flags);
	return rc < 0 ? applet_fail("restart", &e) : out_flush();
}

const struct applet restart_applet = { .name = "restart",
	                               .summary = "restart the runner",
	                               .run = restart_run };
