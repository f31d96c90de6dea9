/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume: whether the runner on this host takes jobs. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/container_init.h"
#include "base/jsonw.h"
#include "base/out.h"
#include "host/control.h"
#include "providers/docker/engine/specbody.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOR_MAX_MS (3650LL * 24 * 3600 * 1000)

static const char pause_usage[] =
	"pause [--for TIME] [--note TEXT]\n"
	"Lets the running jobs end and takes no others, which stay pending on the Server, until resume or for a "
	"time. A restart does not end it. status, /readyz (503) and the log say that it is so.";
static const char resume_usage[] = "resume\n"
				   "Ends a pause: jobs are taken again.";

/* One call to the runner that the options name. */
static int call(const char *applet, const char *config_dir, const char *state_dir,
                const char *target, const char *body, struct json_doc **answer, struct err *e)
{
	struct config c = { 0 };
	struct kv flags = { 0 };
	int rc;

	if (state_dir)
		kv_set(&flags, "runner.state_dir", state_dir);
	rc = cli_look(applet, &c, config_dir, &flags, e);
	if (rc == 0)
		rc = control_call(c.state_dir, "POST", target, body, answer,
		                  deadline_in_ms(CONTROL_CALL_MS), e);
	config_free(&c);
	kv_free(&flags);
	return rc;
}

static void say_paused(struct json answer, int64_t for_ms)
{
	char stamp[TIME_TEXT_SIZE];
	int64_t running = 0;

	json_i64(json_get(answer, "running_jobs"), 0, INT64_MAX, &running);
	time_rfc3339(clock_wall_ms() + for_ms, false, false, stamp);
	printf("Paused until %s. Jobs that go on to their end: %lld\n",
	       for_ms ? stamp : "daytona-runner resume", (long long)running);
	if (!json_bool(json_get(answer, "kept"), true))
		puts("A restart will not know of it: the state directory cannot be written.");
}

/* The first process of a container that an earlier version made has this name. */
static bool is_container_init(int argc)
{
	return argc == 1 && (getpid() == 1 || (getppid() == 1 && !isatty(STDIN_FILENO) &&
	                                       strcmp(applet_self_exe(), PROGRAM_PATH) == 0));
}

static int pause_run(int argc, char **argv)
{
	const char *config_dir = NULL, *state_dir = NULL, *time = NULL, *note = NULL;
	struct json_doc *answer = NULL;
	struct buf body = { 0 };
	struct err e = { 0 };
	int64_t for_ms = 0;
	const struct opt opts[] = {
		OPT_STR(0, "for", "TIME", &time, "resume by itself after this: 90m, 2h"),
		OPT_STR('m', "note", "TEXT", &note, "why, for whoever looks at status"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	int rc;

	if (is_container_init(argc))
		return container_init(argc, argv);
	opts_parse(opts, pause_usage, argc, argv, 0, 0);
	if (time && !str_to_ms(str_of(time), 1000, 1000, FOR_MAX_MS, &for_ms))
		opts_misuse(pause_usage, "a time is seconds or 15m, 2h, not \"%s\"", time);
	if (note && strlen(note) >= CONTROL_NOTE_MAX)
		opts_misuse(pause_usage, "a note has at most %d bytes", CONTROL_NOTE_MAX - 1);
	jw_obj(&body);
	if (for_ms)
		jw_kint(&body, "for_ms", for_ms);
	jw_kstr(&body, "note", note ? note : "");
	jw_obj_end(&body);
	rc = call("pause", config_dir, state_dir, "/pause", buf_cstr(&body), &answer, &e);
	if (rc == 0)
		say_paused(json_root(answer), for_ms);
	json_doc_free(answer);
	buf_free(&body);
	return rc < 0 ? applet_fail("pause", &e) : out_flush();
}

static int resume_run(int argc, char **argv)
{
	const char *config_dir = NULL, *state_dir = NULL;
	struct json_doc *answer = NULL;
	struct err e = { 0 };
	const struct opt opts[] = {
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	int rc;

	opts_parse(opts, resume_usage, argc, argv, 0, 0);
	rc = call("resume", config_dir, state_dir, "/resume", NULL, &answer, &e);
	if (rc == 0)
		puts(json_bool(json_get(json_root(answer), "was_paused"), true)
		             ? "Resumed"
		             : "The runner was not paused");
	json_doc_free(answer);
	return rc < 0 ? applet_fail("resume", &e) : out_flush();
}

const struct applet pause_applet = { .name = "pause",
	                             .summary = "take no more jobs for a while",
	                             .run = pause_run };
const struct applet resume_applet = { .name = "resume",
	                              .summary = "take jobs again",
	                              .run = resume_run };
