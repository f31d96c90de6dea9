/* SPDX-License-Identifier: Apache-2.0 */
/* serve: the runner in the foreground, as process 1 of a container too. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/service.h"
#include "runner/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEPER_DELAY_S 60
#define TOLD_DELAY_S 5
#define TIME_MAX_MS (3650LL * 24 * 3600 * 1000)

static const char usage[] =
	"serve [OPTION...]\n"
	"Runs the runner in the foreground until SIGTERM or SIGINT. SIGHUP reads the configuration again, "
	"SIGUSR1 logs the state. With --jobs, --once, --idle-exit or --max-uptime it ends by itself, with status 0, when "
	"each result is at the Server. Exit status 78: the configuration must be corrected first.";

/* Others of the same user can read a process's environment (field case 46): secrets move from
 * there into flags. */
static void take_secrets(const struct config *c, struct kv *flags)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		struct buf name = { 0 }, value = { 0 };
		char *text;

		if (config_keys[i].type != CFG_SECRET ||
		    strncmp(c->sources[i], "environment ", 12) != 0)
			continue;
		config_value_text(c, i, &value);
		buf_addf(&name, "%s.%s", config_keys[i].section, config_keys[i].name);
		kv_set(flags, buf_cstr(&name), buf_cstr(&value));
		text = getenv(c->sources[i] + 12);
		if (text && strcmp(text, buf_cstr(&value)) == 0) {
			mem_wipe(text, strlen(text));
			unsetenv(c->sources[i] + 12);
		}
		buf_wipe(&value);
		buf_free(&name);
	}
}

/* It would be the same the next time: service managers that know exit statuses do not start it again. Those that do
 * not are told, or kept from trying every few seconds. */
static int config_fault(void)
{
	static const struct timespec delay = { .tv_sec = KEEPER_DELAY_S },
				     told_delay = { .tv_sec = TOLD_DELAY_S };
	char keeper[SERVICE_UNIT_MAX];
	struct buf text = { 0 };
	sigset_t set;
	bool told;

	if (!service_keeper(getpid(), keeper))
		return EXIT_CONFIG;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	told = service_keep_down(getpid(), keeper);
	if (told)
		buf_addf(&text,
		         "%s is told not to start it again; start it there when that is corrected",
		         keeper);
	else
		buf_addf(&text, "ends in %d s, since %s would start it again at once",
		         KEEPER_DELAY_S, keeper);
	log_say("serve", buf_cstr(&text));
	buf_free(&text);
	/* Who is told sends SIGTERM; supervise-daemon waits for one that ended before that as for one that will not end. */
	sigtimedwait(&set, NULL, told ? &told_delay : &delay);
	return EXIT_CONFIG;
}

static int64_t time_of(const char *option, const char *text)
{
	int64_t ms = 0;

	if (text && !str_to_ms(str_of(text), 1000, 1000, TIME_MAX_MS, &ms))
		opts_misuse(usage, "--%s takes seconds or 15m, 2h, not \"%s\"", option, text);
	return ms;
}

static int serve_run(int argc, char **argv)
{
	struct cli_flags *f = mem_alloc(sizeof(*f));
	struct config c = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL;
	const char *idle_exit = NULL, *max_uptime = NULL;
	int64_t ready_fd = -1, jobs = 0, idle_exit_ms, max_uptime_ms;
	bool once = false;
	const struct opt own[] = {
		OPT_GROUP("Options"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_INT(0, "jobs", "N", &jobs, 1, INT32_MAX, "take N jobs and end"),
		OPT_FLAG(0, "once", &once, "take one job and end"),
		OPT_STR(0, "idle-exit", "TIME", &idle_exit,
		        "end when there was no job for so long: 90s, 10m"),
		OPT_STR(0, "max-uptime", "TIME", &max_uptime,
		        "take no jobs after this, and end when none is left"),
		OPT_INT(0, "ready-fd", "N", &ready_fd, 3, 1 << 20,
		        "write a line to descriptor N when the Server has us"),
		OPT_END,
	};
	int rc;

	opts_parse(cli_opts(f, own, true, argc, argv), usage, argc, argv, 0, 0);
	idle_exit_ms = time_of("idle-exit", idle_exit);
	max_uptime_ms = time_of("max-uptime", max_uptime);
	supervisor_hold_signals();
	cli_given(f, &flags);
	free(f);
	rc = cli_take_key(&flags, false, &e);
	cli_absolute_paths(&flags);
	if (rc == 0)
		rc = config_load(&c, config_dir, &flags, &e);
	if (rc == 0) {
		struct serve_options o = { .config_dir = config_dir,
			                   .flags = &flags,
			                   .self_exe = applet_self_exe(),
			                   .jobs_max = once ? 1 : jobs,
			                   .idle_exit_ms = idle_exit_ms,
			                   .max_uptime_ms = max_uptime_ms,
			                   .ready_fd = (int)ready_fd };

		take_secrets(&c, &flags);
		rc = supervisor_run(&c, &o, &e);
	}
	config_free(&c);
	kv_free(&flags);
	if (rc == 0)
		return out_flush();
	rc = applet_fail("serve", &e);
	return e.kind == ERR_CONFIG ? config_fault() : rc;
}

const struct applet serve_applet = { .name = "serve",
	                             .summary = "run the runner in the foreground",
	                             .run = serve_run,
	                             .aliases = "daemon-serve" };
