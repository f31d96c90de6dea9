/* SPDX-License-Identifier: Apache-2.0 */
/* stop: ends the runner; nothing running is fine. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/life.h"
#include "base/out.h"

static const char usage[] =
	"stop [-t SECONDS]\n"
	"Stops the runner: it takes no new jobs, waits for the running ones as long as drain_timeout says, then ends "
	"them and reports them as failed. Workspaces go on.";

static int stop_run(int argc, char **argv)
{
	struct config c = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *state_dir = NULL;
	int64_t seconds = -1;
	const struct opt opts[] = {
		OPT_INT('t', "timeout", "SECONDS", &seconds, 0, 86400,
		        "kill it when it has not ended so long after this"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	if (state_dir)
		kv_set(&flags, "runner.state_dir", state_dir);
	rc = cli_look("stop", &c, config_dir, &flags, &e);
	if (rc == 0)
		rc = life_stop(&c, seconds < 0 ? -1 : seconds * 1000, &e);
	config_free(&c);
	kv_free(&flags);
	return rc < 0 ? applet_fail("stop", &e) : out_flush();
}

const struct applet stop_applet = { .name = "stop", .summary = "stop the runner", .run = stop_run };
