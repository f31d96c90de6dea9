/* SPDX-License-Identifier: Apache-2.0 */
/* See supervisor.h: start, loop, signals, reload, drain, end. */
#include "runner/supervisor.h"

#include "base/attr.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "host/paths.h"
#include "runner/channel.h"
#include "runner/control.h"
#include "runner/health.h"
#include "runner/lifespan.h"
#include "runner/pause.h"
#include "runner/provset.h"
#include "runner/rotate.h"
#include "runner/runlog.h"
#include "runner/sdnotify.h"
#include "runner/sup.h"
#include "runner/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define STOP_GRACE_MS 5000  /* job processes between SIGTERM and SIGKILL at the end of the drain */
#define HURRY_GRACE_MS 1000 /* … after a second signal */
#define FLUSH_MS 4000       /* for the last reports */
#define SUSPEND_MS 5000
#define WAIT_FAILED_MS 200
#define NOTIFY_MS 2000 /* what waits for our start waits no longer than this for the Server */

struct jobs_env sup_jobs_env(struct sup *s, const volatile int *stop)
{
	return (struct jobs_env){
		.state_dir = s->c->state_dir,
		.runner_id = s->c->id,
		.runner_name = s->c->name,
		.self_exe = s->o->self_exe,
		.env_allow = s->c->env_allow,
		.allow_images = s->c->allow_images,
		.allow_registries = s->c->allow_registries,
		.allow_repositories = s->c->allow_repositories,
		.agent_sha256 = s->c->agent_sha256,
		.registry_mirrors = s->c->registry_mirrors,
		.plain_http = s->c->plain_http,
		.image_keep_days = s->c->image_keep_days,
		.image_keep_free_mb = s->c->image_keep_free_mb,
		.api = s->link->settings,
		.server = servconf_get(&s->servconf),
		.server_ca_file = s->c->ca_file,
		.server_pin_sha256 = s->c->pin_sha256,
		.server_proxy = s->c->proxy,
		.server_no_proxy = s->c->no_proxy,
		.provider_options = provset_options,
		.provider_usable = provset_usable,
		.provider_enabled = provset_enabled,
		.arg = s,
		.stop = stop,
		.timeout_ms = s->c->job_timeout_ms,
		.hook_before = s->c->hook_before,
		.hook_after = s->c->hook_after,
		.hook_timeout_ms = s->c->hook_timeout_ms,
	};
}

/* ---- readiness, for `start` and systemd ---- */

static void ready_line(struct sup *s, const char *line)
{
	struct buf b = { 0 };
	struct err e;

	if (s->ready_fd < 0)
		return;
	buf_addf(&b, "%s\n", line);
	if (file_write_all(s->ready_fd, buf_str(&b), "readiness", &e) < 0)
		fd_close(&s->ready_fd); /* whoever waited has gone */
	buf_free(&b);
}

void sup_ready_say(struct sup *s, const char *fmt, ...)
{
	char line[sizeof(s->ready_said)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (s->ready_fd < 0 || strcmp(line, s->ready_said) == 0)
		return;
	memcpy(s->ready_said, line, sizeof(line));
	ready_line(s, line);
}

static void check_ready(struct sup *s)
{
	if (s->ready_fd >= 0 && health_is_ok(s) && provset_all_checked(s)) {
		ready_line(s, "ready");
		fd_close(&s->ready_fd);
	} else if (s->ready_fd >= 0 && health_is_ok(s)) {
		sup_ready_say(s, "waiting for the providers' checks");
	} else if (s->ready_fd >= 0 && health_key_refused(s)) {
		ready_line(s, "refused"); /* no use in waiting: it is asked again in minutes */
		fd_close(&s->ready_fd);
	}
}

static int inherited_ready_fd(const struct serve_options *o)
{
	const char *text = getenv("DAYTONA_RUNNER_READY_FD");
	int64_t fd;

	if (o->ready_fd >= 0)
		return o->ready_fd;
	if (!text || !str_to_i64(str_of(text), 3, 1 << 20, &fd) ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		fd = -1;
	unsetenv("DAYTONA_RUNNER_READY_FD");
	return (int)fd;
}

/* ---- signals ---- */

static void our_signals(sigset_t *set)
{
	static const int ours[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGQUIT };

	/* Whatever was inherited (SIGCHLD ignored, signals blocked) is replaced (field case 117). */
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		signal(ours[i], SIG_DFL);
		sigaddset(set, ours[i]);
	}
}

void supervisor_hold_signals(void)
{
	sigset_t set;

	our_signals(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static int open_signals(struct sup *s, struct err *e)
{
	sigset_t set;

	our_signals(&set);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write beyond the file size limit fails instead */
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return err_sys(e, errno, "block signals");
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? err_sys(e, errno, "open signalfd") : 0;
}

/* The agent of a workspace comes to us when the job that started it is over. One that a job ends is expected to. */
static void agent_ended(struct sup *s, pid_t pid, int status)
{
	struct buf id = { 0 }, how = { 0 };

	for (size_t i = 0; providers[i] && getsid(pid) == pid; i++) {
		if (!providers[i]->agent_ended ||
		    !providers[i]->agent_ended(s->c->state_dir, pid, &id))
			continue;
		proc_describe_status(status, &how);
		if (!tasks_work_on(s, buf_cstr(&id)))
			log_warn(
				"the agent of workspace %s ended by itself (%s); to have it back, start "
				"the workspace again",
				buf_cstr(&id), buf_cstr(&how));
		break;
	}
	buf_free(&id);
	buf_free(&how);
}

static void reap(struct sup *s)
{
	int status;
	pid_t pid;

	/* Orphans of jobs and workspaces come to us as well (PID 1 or subreaper) and are just collected. */
	while ((pid = spawn_next_ended(&status)) > 0) {
		char *about = WIFEXITED(status) ? NULL : tasks_resource(s, pid);
		bool ours = tasks_reaped(s, pid, status) || provset_reaped(s, pid, status) ||
		            rotate_reaped(s, pid, status);

		if (ours && !WIFEXITED(status)) /* what it was just writing */
			paths_sweep(s->c->state_dir, pid, about);
		free(about);
		if (ours)
			continue;
		agent_ended(s, pid, status);
		spawn_take(pid);
	}
}

static void next_phase(struct sup *s)
{
	switch (s->phase) {
	case PHASE_RUN:
		s->phase = PHASE_DRAIN;
		s->phase_ends = deadline_in_ms(s->c->drain_timeout_ms);
		log_info("stopping: no new jobs; %zu running get up to %lld s",
		         tasks_counts(s).running, (long long)(s->c->drain_timeout_ms / 1000));
		sdnotify("STOPPING=1");
		channels_stop_polling(s);
		break;
	case PHASE_DRAIN:
		s->phase = PHASE_STOP;
		s->phase_ends = deadline_in_ms(STOP_GRACE_MS + 1000);
		tasks_stop_all(s, STOP_GRACE_MS);
		break;
	default:
		break;
	}
	health_changed(s);
}

static void hurry(struct sup *s)
{
	if (s->phase == PHASE_RUN)
		next_phase(s);
	if (s->phase == PHASE_DRAIN)
		s->phase = PHASE_STOP;
	s->phase_ends = deadline_in_ms(HURRY_GRACE_MS + 500);
	tasks_stop_all(s, HURRY_GRACE_MS);
}

static void reload(struct sup *s);

static void read_signals(struct sup *s)
{
	struct signalfd_siginfo si;

	while (read(s->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
		case SIGQUIT:
			if (s->phase == PHASE_RUN)
				next_phase(s);
			else
				hurry(s);
			break;
		case SIGHUP:
			reload(s);
			break;
		case SIGUSR1:
			health_dump(s);
			break;
		default:
			break;
		}
	}
	reap(s); /* signals merge: look each time */
}

/* ---- configuration, again ---- */

static void set_log(const struct config *c)
{
	enum log_level level;

	if (log_level_parse(str_of(c->log_level), &level))
		log_set_level(level);
	log_set_json(strcmp(c->log_format, "json") == 0);
	log_set_target(strcmp(c->log_target, "syslog") == 0    ? LOG_TO_SYSLOG
	               : strcmp(c->log_target, "journal") == 0 ? LOG_TO_JOURNAL
	                                                       : LOG_TO_STDERR);
}

static void leave_server(struct sup *s)
{
	runlog_hang_up(s);
	channels_close(s);
	server_link_close(s->link);
	free(s->link);
}

static void meet_server(struct sup *s)
{
	channels_open(s);
	channels_drop(s);
	health_forget_key(s);
}

void sup_new_key(struct sup *s, const char *key)
{
	struct server_link *link = mem_alloc(sizeof(*link));
	char *own = mem_dup(key);
	struct err e = { 0 };

	log_info("there is another key; the Server is asked with it");
	mem_free_secret(s->c->key);
	s->c->key = own;
	if (server_link_open(link, s->c, &e) < 0) { /* a CA file that is gone by now */
		log_error("%s", e.msg);
		free(link);
		return;
	}
	leave_server(s);
	s->link = link;
	meet_server(s);
}

static void reload(struct sup *s)
{
	struct config *fresh = mem_alloc(sizeof(*fresh));
	struct server_link *link = mem_alloc(sizeof(*link));
	struct err e = { 0 };

	log_info("reading the configuration again");
	if (config_load(fresh, s->o->config_dir, s->o->flags, &e) < 0 ||
	    config_require(fresh, &e) < 0 ||
	    (strcmp(fresh->id, s->c->id) != 0 &&
	     err_set(&e, ERR_CONFIG, 0, "the runner id changed to %s; restart for that",
	             fresh->id) < 0) ||
	    (strcmp(fresh->state_dir, s->c->state_dir) != 0 &&
	     err_set(&e, ERR_CONFIG, 0, "state_dir changed; restart for that") < 0) ||
	    server_link_open(link, fresh, &e) < 0) {
		log_error("the old configuration stays in use: %s", e.msg);
		config_free(fresh);
		free(fresh);
		free(link);
		return;
	}
	leave_server(s);
	s->link = link;
	config_free(s->c);
	*s->c = *fresh;
	free(fresh);
	set_log(s->c);
	meet_server(s);
	health_listen(s);
	provset_load(s);
	runlog_reopen(s);
}

/* ---- the loop ---- */

static int64_t suspend_clock_ms(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - clock_mono_ms();
}

/* After a suspend the connections are dead without knowing it. */
static void notice_suspend(struct sup *s)
{
	int64_t now = suspend_clock_ms();

	if (now - s->suspend_ms > SUSPEND_MS) {
		log_info("the machine slept for %lld s; connecting anew",
		         (long long)(now - s->suspend_ms) / 1000);
		channels_drop(s);
	}
	s->suspend_ms = now;
}

/* True when all is over. */
static bool advance_phase(struct sup *s)
{
	bool working;

	if (s->phase == PHASE_RUN)
		return false;
	tasks_settle_claims(s);
	working = tasks_any_running(s) || tasks_claiming(s);
	if (s->phase == PHASE_DRAIN && working && deadline_passed(s->phase_ends))
		next_phase(s);
	if ((s->phase == PHASE_DRAIN || s->phase == PHASE_STOP) &&
	    (!working || (s->phase == PHASE_STOP && deadline_passed(s->phase_ends)))) {
		s->phase_ends = deadline_in_ms(
			s->phase == PHASE_STOP && s->phase_ends.at_ms - clock_mono_ms() < 2000
				? FLUSH_MS / 2
				: FLUSH_MS);
		s->phase = PHASE_FLUSH;
		channels_hurry(s);
	}
	if (s->phase != PHASE_FLUSH)
		return false;
	return (!tasks_reporting(s) && !tasks_claiming(s) && !channels_busy(s)) ||
	       deadline_passed(s->phase_ends);
}

static void loop(struct sup *s)
{
	struct pollset ps = { 0 };
	struct deadline watchdog = DEADLINE_NEVER;
	int64_t watchdog_ms = sdnotify_watchdog_ms();
	struct deadline notify = deadline_in_ms(NOTIFY_MS);
	bool notified = false, told = false;
	const char *why_over;
	struct err why = { 0 };

	if (watchdog_ms > 0)
		watchdog = (struct deadline){ 0 };
	for (;;) {
		provset_step(s);
		tasks_step(s);
		channels_step(s);
		runlog_step(s);
		health_step(s);
		rotate_step(s);
		control_step(s);
		pause_step(s);
		check_ready(s);
		/* Nothing that waits for this unit, least of all the boot, is to wait for the Server for long. */
		if (notified ? health_is_ok(s) != told
		             : (health_is_ok(s) && provset_all_checked(s)) ||
		                       deadline_passed(notify)) {
			told = health_is_ok(s);
			notified = true;
			sdnotify(told ? "READY=1\nSTATUS=Running"
			              : "READY=1\nSTATUS=The Server does not have it");
		}
		if (deadline_passed(watchdog)) {
			sdnotify("WATCHDOG=1");
			watchdog = deadline_in_ms(watchdog_ms);
		}
		why_over = lifespan_over(s);
		if (why_over) {
			log_info("ending: %s", why_over);
			next_phase(s);
		}
		if (advance_phase(s))
			break;
		pollset_reset(&ps);
		pollset_add(&ps, s->signal_fd, POLLIN);
		pollset_until(&ps, watchdog);
		if (!notified)
			pollset_until(&ps, notify);
		if (s->phase != PHASE_RUN)
			pollset_until(&ps, s->phase_ends);
		provset_poll(s, &ps);
		tasks_poll(s, &ps);
		channels_poll(s, &ps);
		runlog_poll(s, &ps);
		health_poll(s, &ps);
		rotate_poll(s, &ps);
		control_poll(s, &ps);
		pause_poll(s, &ps);
		lifespan_poll(s, &ps);
		s->waited = &ps;
		if (pollset_wait(&ps, &why) <
		    0) { /* no memory in the kernel: better later than never */
			log_error("%s", why.msg);
			s->waited = NULL; /* so that each is tried */
			poll(NULL, 0, WAIT_FAILED_MS);
		}
		if (!s->waited || !pollset_is_quiet(&ps, s->signal_fd))
			read_signals(s);
		notice_suspend(s);
	}
	pollset_free(&ps);
	s->waited = NULL;
}

static void journal_note(void *arg, const char *text)
{
	(void)arg;
	log_warn("%s", text);
}

/* State that cannot be written costs durability, not the service (field case 110); another runner in it, or
 * a directory that is not ours, ends the start. */
static int open_state(struct sup *s, struct err *e)
{
	char *path;

	if (paths_prepare(s->c->state_dir, e) < 0) {
		if (e->kind != ERR_SYS || (e->code != EROFS && e->code != ENOSPC &&
		                           e->code != EACCES && e->code != EPERM))
			return -1;
		log_warn("%s; running without a state directory: jobs are not safe against a crash",
		         e->msg);
		s->journal = journal_memory();
		err_clear(e);
		return 0;
	}
	if (daemon_lock_take(&s->lock, s->c->state_dir, e) < 0)
		return -1;
	s->state_ok = true;
	paths_sweep(s->c->state_dir, 0, NULL);
	path = paths_journal(s->c->state_dir);
	s->journal = journal_open(path, journal_note, NULL, e);
	free(path);
	if (!s->journal) {
		log_warn("%s; claims are kept in memory only", e->msg);
		s->journal = journal_memory();
		err_clear(e);
	}
	return 0;
}

static void close_all(struct sup *s)
{
	control_close(s);
	runlog_close(s, 500);
	channels_free(s);
	tasks_free(s);
	pause_free(s);
	rotate_free(s);
	provset_free(s);
	health_free(s);
	journal_close(s->journal);
	server_link_close(s->link);
	free(s->link);
	fd_close(&s->signal_fd);
	fd_close(&s->ready_fd);
	daemon_lock_drop(&s->lock);
}

static void log_containment(const struct config *c)
{
	const char *const kept[] = { c->state_dir, c->file, c->key_file, c->client_key };
	struct buf b = { 0 };

	confine_describe(&b);
	log_info("jobs are contained by %s", buf_cstr(&b));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		buf_reset(&b);
		if (kept[i] && confine_crowded(kept[i], &b))
			log_warn(
				"%s/ has more than 512 entries or cannot be listed: jobs reach only some of them; for all, keep %s elsewhere",
				b.p, kept[i]);
	}
	buf_free(&b);
}

int supervisor_run(struct config *c, const struct serve_options *o, struct err *e)
{
	struct sup *s = mem_alloc(sizeof(*s));
	int rc = -1;

	*s = (struct sup){
		.link = mem_alloc(sizeof(*s->link)), .c = c, .o = o, .signal_fd = -1, .lock = { -1 }
	};
	s->ready_fd = inherited_ready_fd(o);
	s->start_ms = clock_mono_ms();
	s->idle_since_ms = s->start_ms;
	s->start_wall_ms = clock_wall_ms();
	s->suspend_ms = suspend_clock_ms();
	prctl(PR_SET_DUMPABLE, 0); /* the key is in memory */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	set_log(c);
	if (config_require(c, e) < 0)
		err_hint(e, CONFIG_REMEDY);
	else if (open_signals(s, e) == 0 && open_state(s, e) == 0 &&
	         server_link_open(s->link, c, e) == 0) {
		health_new(s);
		pause_load(s);
		tasks_open(s);
		channels_open(s);
		runlog_open(s);
		log_info("starting runner %s (%s), version %s, Server %s", c->name, c->id,
		         DR_VERSION, c->url);
		if (c->insecure)
			log_warn("TLS certificates are NOT verified ([server] insecure)");
		log_containment(c);
		provset_load(s);
		tasks_replay(s);
		health_listen(s);
		control_open(s);
		loop(s);
		rc = 0;
		log_info("runner stopped");
	}
	close_all(s);
	free(s);
	prctl(PR_SET_DUMPABLE, 1);
	return rc;
}
