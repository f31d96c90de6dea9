/* SPDX-License-Identifier: Apache-2.0 */
/* See life.h. */
#include "applets/life.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/out.h"
#include "base/proc.h"
#include "host/daemon.h"
#include "host/logview.h"
#include "host/service.h"
#include "jobs/joblog.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_LINES 5
#define ASK_MS 5000
#define ASK_AGAIN_MS 200
#define STOP_MARGIN_MS 15000
#define COMMAND_MAX 64

const char *life_program(struct err *e)
{
	static char beside[4096];
	const char *self = applet_self_exe(), *base = strrchr(self, '/');
	const char *name = base ? base + 1 : self;

	if (strncmp(name, "daytona-runner-", 15) == 0)
		name += 15;
	if (!base || !applet_find(name))
		return self;
	/* A hard link such as daytona-runner-start would start itself as that applet. */
	snprintf(beside, sizeof(beside), "%.*s/daytona-runner", (int)(base - self), self);
	if (file_exists(beside))
		return beside;
	err_set(e, ERR_CONFIG, 0,
	        "this program is known as %s alone; put a link named daytona-runner beside it",
	        self);
	return NULL;
}

/* argv of `serve`: never a secret. */
struct command {
	const char *argv[COMMAND_MAX];
	size_t n;
	char *owned[COMMAND_MAX];
	size_t n_owned;
};

static void add_word(struct command *cmd, const char *word)
{
	if (cmd->n + 1 < COMMAND_MAX)
		cmd->argv[cmd->n++] = word;
}

static void add_setting(struct command *cmd, const char *flag, const char *value)
{
	struct buf b = { 0 };

	buf_addf(&b, "--%s=%s", flag, value);
	cmd->owned[cmd->n_owned] = buf_take(&b);
	add_word(cmd, cmd->owned[cmd->n_owned++]);
}

static void build_command(struct command *cmd, const struct config *c, const struct kv *flags)
{
	/* argv[0] is not the path: under the name of a link it would be that applet. */
	add_word(cmd, "daytona-runner");
	add_word(cmd, "serve");
	add_setting(cmd, "config-dir", c->dir);
	if (strcmp(c->sources[config_key_index("runner.state_dir")], "default") == 0)
		add_setting(cmd, "state-dir", c->state_dir);
	for (size_t i = 0; flags && i < flags->n; i++) {
		int key = config_key_index(flags->pairs[i].key);

		if (key >= 0 && config_keys[key].type != CFG_SECRET)
			add_setting(cmd, config_keys[key].flag, flags->pairs[i].value);
	}
	cmd->argv[cmd->n] = NULL;
}

static void free_command(struct command *cmd)
{
	for (size_t i = 0; i < cmd->n_owned; i++)
		free(cmd->owned[i]);
}

static void show_last_lines(const struct config *c)
{
	char *path = joblog_path(c->state_dir, RES_RUNNER, c->id);
	struct buf b = { 0 };

	logview_last(path, LAST_LINES, &b);
	if (b.n)
		fprintf(stderr, "The last lines of the log:\n%s", buf_cstr(&b));
	buf_free(&b);
	free(path);
}

/* The Server's own word: only that makes the runner usable for anybody. */
static int wait_for_server(const struct config *c, struct deadline d, struct err *e)
{
	struct server_link l;
	struct buf state = { 0 };
	int rc = server_link_open(&l, c, e);

	if (rc < 0)
		return -1;
	for (;;) {
		struct runner_info r = { 0 };

		rc = api_runner(l.api, c->id, &r, deadline_min(d, deadline_in_ms(ASK_MS)), e);
		buf_reset(&state);
		buf_adds(&state, r.state ? r.state : "");
		runner_info_free(&r);
		if (rc == 0 && strcmp(buf_cstr(&state), "started") == 0)
			break;
		/* The next question would end with the time, not with what is wrong. */
		if (d.at_ms <= deadline_in_ms(ASK_AGAIN_MS).at_ms ||
		    (rc < 0 && (api_verdict(e) == API_KEY || api_verdict(e) == API_MISSING))) {
			if (rc == 0)
				rc = err_set(e, ERR_TIMEOUT, 0,
				             "the Server calls the runner \"%s\"",
				             buf_cstr(&state));
			break;
		}
		poll(NULL, 0, ASK_AGAIN_MS);
	}
	buf_free(&state);
	server_link_close(&l);
	if (rc < 0 && api_verdict(e) == API_KEY)
		err_hint(e, "give a valid one with daytona-runner configure");
	return rc < 0 ? err_wrap(e, "the runner was started, but is not usable yet") : 0;
}

static int start_daemon(const struct config *c, const struct kv *flags, struct deadline d,
                        bool *already, struct err *e)
{
	struct command cmd = { 0 };
	const char *program = life_program(e);
	int rc;

	if (!program)
		return -1;
	build_command(&cmd, c, flags);
	rc = daemon_start(c->state_dir, program, cmd.argv, d, already, e);
	free_command(&cmd);
	return rc;
}

/* What the process that holds the lock says of itself: 1 the Server has it, 0 not yet (why), 2 nor will it, -1 nothing, or
 * nobody holds it. */
static int own_word(const struct config *c, struct proc_id *who, struct buf *why)
{
	struct err ignored = { 0 };
	struct snapshot s;
	int word = -1;

	(void)daemon_look(&s, c->state_dir, &ignored);
	*who = s.who;
	if (s.fresh) {
		char *last = json_dup_or_empty(snapshot_get(&s, "last_error"));

		buf_reset(why);
		buf_adds(why, last);
		word = snapshot_is(&s, "key_refused") ? 2 : snapshot_is(&s, "server_ok");
		free(last);
	}
	snapshot_free(&s);
	return word;
}

/* A service manager is done sooner than its runner, and the Server may still have the one before in mind. */
static int await_service(const struct config *c, struct deadline d, struct err *e)
{
	struct proc_id who = { 0 };
	struct buf why = { 0 }, last = { 0 };
	int word, rc = 0;

	while ((word = own_word(c, &who, &why)) < 1 && !deadline_passed(d)) {
		daemon_waits(&last, buf_str(&why));
		poll(NULL, 0, ASK_AGAIN_MS / 4);
	}
	buf_free(&last);
	if (!who.pid)
		rc = err_set(
			e, ERR_TIMEOUT, 0,
			"the service was started, but no runner is there; the log of the service manager may say why");
	else if (word % 2 == 0)
		rc = err_set(e, ERR_TIMEOUT, 0, "the runner was started, but is not usable yet: %s",
		             why.n ? buf_cstr(&why) : "the Server has not accepted it");
	buf_free(&why);
	return rc;
}

static void say_running(const struct config *c, bool already)
{
	struct snapshot s;
	struct err ignored = { 0 };

	(void)daemon_look(&s, c->state_dir, &ignored);
	printf("Running%s\nRunner %s (%s)%s, process %ld. Its log: daytona-runner logs\n",
	       snapshot_has_provider(&s) ? ""
	                                 : ", but no provider can be used; see: daytona-runner "
	                                   "provider check",
	       c->name, c->id, already ? " was running already" : "", (long)s.who.pid);
	if (json_is_string(snapshot_get(&s, "port_error"))) {
		char *text = json_dup_or_empty(snapshot_get(&s, "port_error"));

		log_say("start", text);
		free(text);
	}
	snapshot_free(&s);
}

/* After the start, by whomever: waits for the Server's word and prints what became of it. */
static int await_running(const struct config *c, struct deadline d, bool already, struct err *e)
{
	if (wait_for_server(c, d, e) < 0)
		return -1;
	say_running(c, already);
	return 0;
}

/* A service has a command line of its own. The state directory only says which runner is meant. */
static int control(const struct service *s, const char *verb, const struct kv *flags, struct err *e)
{
	if (flags && flags->n > (kv_get(flags, "runner.state_dir") ? 1 : 0))
		return err_set(
			e, ERR_USAGE, 0,
			"%s runs it as a service, which settings given here do not reach; save them with daytona-runner configure",
			service_type_name(s->type));
	return service_control(s, verb, e);
}

int life_begin(const struct config *c, const struct kv *flags, int64_t start_ms, bool *already,
               struct err *e)
{
	struct deadline d = deadline_in_ms(start_ms);
	struct service s = { .config = c };
	struct proc_id who = { 0 };
	struct err ignored = { 0 };
	int rc;

	*already = false;
	if (config_require(c, e) < 0)
		return err_hint(e, CONFIG_REMEDY);
	if (daemon_lock_probe(c->state_dir, &who, &ignored) == 0 && service_manages(&s))
		rc = control(&s, "start", flags, e) < 0 ? -1 : await_service(c, d, e);
	else
		rc = start_daemon(c, flags, d, already, e);
	if (rc == 0)
		rc = wait_for_server(c, d, e);
	if (rc < 0 && e->kind != ERR_USAGE)
		show_last_lines(c);
	return rc;
}

int life_start(const struct config *c, const struct kv *flags, int64_t start_ms, struct err *e)
{
	bool already;

	if (life_begin(c, flags, start_ms, &already, e) < 0)
		return -1;
	say_running(c, already);
	return 0;
}

int life_end(const struct config *c, int64_t drain_ms, bool *was_running, struct err *e)
{
	struct service s = { .config = c };
	struct proc_id who = { 0 };
	char keeper[SERVICE_UNIT_MAX];
	int rc = daemon_lock_probe(c->state_dir, &who, e);

	if (rc < 0)
		return -1;
	*was_running = rc > 0;
	if (*was_running && (service_owns(&s, who.pid) || service_manages(&s)))
		rc = service_control(&s, "stop", e);
	else if (*was_running && service_keeper(who.pid, keeper))
		rc = err_set(e, ERR_UNSUPPORTED, 0,
		             "process %ld would be started again by %s; stop it there",
		             (long)who.pid, keeper);
	if (rc < 0)
		return -1;
	if (*was_running) {
		bool still = false;

		rc = daemon_stop(c->state_dir,
		                 (drain_ms < 0 ? c->drain_timeout_ms : drain_ms) + STOP_MARGIN_MS,
		                 &still, e);
	}
	return rc;
}

int life_stop(const struct config *c, int64_t drain_ms, struct err *e)
{
	bool was_running;

	if (life_end(c, drain_ms, &was_running, e) < 0)
		return -1;
	puts(was_running ? "Stopped" : "The runner is not running");
	return 0;
}

/* Ends the process and waits until its supervisor has put another in its place. */
static int replace_kept(const struct config *c, struct proc_id who, const char *keeper,
                        struct err *e)
{
	struct deadline d = deadline_in_ms(c->drain_timeout_ms + LIFE_START_MS);
	struct proc_id now = who;

	proc_signal(who, SIGTERM);
	while (now.pid == who.pid || now.pid == 0) {
		if (deadline_passed(d))
			return err_set(
				e, ERR_TIMEOUT, 0,
				"process %ld was to end and %s to start it again; neither is to be seen",
				(long)who.pid, keeper);
		poll(NULL, 0, ASK_AGAIN_MS);
		if (daemon_lock_probe(c->state_dir, &now, e) < 0)
			return -1;
	}
	return 0;
}

int life_restart(const struct config *c, const struct kv *flags, int64_t start_ms, struct err *e)
{
	struct service s = { .config = c };
	struct proc_id who = { 0 };
	struct deadline d;
	char keeper[SERVICE_UNIT_MAX];
	int running, rc;

	if (config_require(c, e) < 0)
		return err_hint(e, CONFIG_REMEDY);
	running = daemon_lock_probe(c->state_dir, &who, e);
	if (running < 0)
		return -1;
	if (running && who.pid == 1)
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "the runner is process 1 here: restart the container");
	if (running && service_owns(&s, who.pid))
		rc = control(&s, "restart", flags, e);
	else if (running && !service_manages(&s) && service_keeper(who.pid, keeper))
		rc = replace_kept(c, who, keeper, e);
	else
		return life_stop(c, -1, e) < 0 ? -1 : life_start(c, flags, start_ms, e);
	d = deadline_in_ms(start_ms);
	if (rc == 0)
		rc = await_service(c, d, e);
	if (rc == 0)
		rc = await_running(c, d, false, e);
	if (rc < 0 && e->kind != ERR_USAGE)
		show_last_lines(c);
	return rc;
}

static int run(const char *name, const char *usage, life_fn *go, int argc, char **argv)
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
		OPT_INT('t', "timeout", "SECONDS", &timeout_s, 1, 3600,
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
		rc = go(&c, &flags, timeout_s * 1000, &e);
	config_free(&c);
	kv_free(&flags);
	return rc < 0 ? applet_fail(name, &e) : out_flush();
}

static int start_run(int argc, char **argv)
{
	static const char usage[] =
		"start [OPTION...]\n"
		"Starts the runner in the background and waits until the Server calls it responsive. A runner that "
		"runs already is fine.";

	return run("start", usage, life_start, argc, argv);
}

static int restart_run(int argc, char **argv)
{
	static const char usage[] =
		"restart [OPTION...]\n"
		"Stops the runner if it runs, even one that does not answer, and starts it with the current settings.";

	return run("restart", usage, life_restart, argc, argv);
}

const struct applet start_applet = { .name = "start",
	                             .summary = "run the runner in the background",
	                             .run = start_run };
const struct applet restart_applet = { .name = "restart",
	                               .summary = "restart the runner",
	                               .run = restart_run };
