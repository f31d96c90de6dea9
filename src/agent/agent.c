/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in agent (agent.h): one loop over signals, a forked clone, a forked git status and one HTTP
 * exchange. Nothing in it blocks, so a signal is answered at once whatever the network does.
 */
#include "agent/agent.h"

#include "agent/beat.h"
#include "agent/gitsetup.h"
#include "agent/proc.h"
#include "agent/tunnel.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/proc.h"
#include "git/clone.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERVAL_MS 2000
#define GRACE_MS 8000 /* container engines kill after 10 s */
#define CLONE_MS (60 * 60 * 1000)
#define CREDENTIALS_MS 20000
#define SETUP_MS 60000
#define LOG_MAX_BYTES (4 << 20)
#define LOG_LOOK_MS 5000 /* where no heartbeat wakes us */

struct agent {
	/* From the environment; borrowed. */
	const char *url_text, *key, *workspace, *target, *dir;
	bool clone, keep;
	struct repository repo;
	int64_t interval_ms, grace_ms;

	struct url url;
	struct tls_ctx *tls;
	struct api_settings settings;
	struct api *api;
	struct agent_beat beat;
	struct agent_tunnel tunnel;
	struct agent_helper cloning, setting_up;
	struct git_setup setup;
	char **command; /* NULL: none */
	struct spawned command_process;
	int command_status; /* as waitpid gave it */
	bool command_ended, ready, stopping;
	int signals; /* signalfd */
	int log_fd;
	int ready_fd;
};

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static char *env_dup(const char *name)
{
	const char *value = env(name);

	return mem_dup(value ? value : "");
}

static int env_ms(const char *name, int64_t fallback, int64_t max, int64_t *out, struct err *e)
{
	const char *value = env(name);

	*out = fallback;
	if (value && !str_to_i64(str_of(value), 0, max, out))
		return err_set(e, ERR_CONFIG, 0,
		               "%s is \"%s\", not a number of milliseconds up to %lld", name, value,
		               (long long)max);
	return 0;
}

static int read_environment(struct agent *a, struct err *e)
{
	a->url_text = env("DAYTONA_SERVER_API_URL");
	a->key = env("DAYTONA_SERVER_API_KEY");
	a->workspace = env("DAYTONA_WORKSPACE_ID");
	a->target = env("DAYTONA_TARGET_ID");
	a->dir = env("DAYTONA_AGENT_DIR");
	a->clone = str_eq(str_of(getenv("DAYTONA_AGENT_CLONE")), "1");
	a->keep = str_eq(str_of(getenv("DAYTONA_AGENT_KEEP")), "1");
	a->repo.url = env_dup("DAYTONA_WORKSPACE_REPOSITORY_URL");
	a->repo.branch = env_dup("DAYTONA_AGENT_BRANCH");
	a->repo.sha = env_dup("DAYTONA_AGENT_SHA");
	a->repo.clone_commit = a->repo.sha[0] != '\0';
	if (env_ms("DAYTONA_AGENT_INTERVAL_MS", INTERVAL_MS, 60000, &a->interval_ms, e) < 0 ||
	    env_ms("DAYTONA_AGENT_GRACE_MS", GRACE_MS, 600000, &a->grace_ms, e) < 0)
		return -1;
	if (a->clone && !a->dir)
		return err_set(e, ERR_CONFIG, 0,
		               "DAYTONA_AGENT_CLONE is set, but DAYTONA_AGENT_DIR is not");
	if (a->interval_ms == 0 || (!a->url_text && a->command))
		return 0; /* no heartbeats wanted, or just an init */
	if (!a->url_text || !a->key || (!a->workspace && !a->target))
		return err_set(
			e, ERR_CONFIG, 0,
			"%s is not set; the agent is started by a runner, inside a workspace",
			!a->url_text ? "DAYTONA_SERVER_API_URL"
			: !a->key    ? "DAYTONA_SERVER_API_KEY"
				     : "DAYTONA_WORKSPACE_ID");
	if (!str_is_id(str_of(a->workspace ? a->workspace : a->target)))
		return err_set(e, ERR_CONFIG, 0, "DAYTONA_WORKSPACE_ID is no id");
	return 0;
}

static int open_api(struct agent *a, struct err *e)
{
	struct tls_settings tls = { .ca_file = env("DAYTONA_AGENT_CA_FILE"),
		                    .pin_sha256 = env("DAYTONA_AGENT_PIN_SHA256") };

	if (!a->url_text || a->interval_ms == 0)
		return 0;
	mask_add(str_of(a->key));
	if (url_parse(str_of(a->url_text), &a->url, e) < 0)
		return err_wrap(e, "DAYTONA_SERVER_API_URL");
	if (url_is_tls(&a->url) && tls_ctx_new(&a->tls, &tls, false, e) < 0)
		return -1;
	a->settings = (struct api_settings){
		.url = &a->url,
		.key = a->key,
		.tls = a->tls,
		.proxy = env("DAYTONA_AGENT_PROXY"),
		.no_proxy = env("DAYTONA_AGENT_NO_PROXY"),
	};
	a->api = api_new(&a->settings);
	a->beat = (struct agent_beat){
		.api = a->api,
		.id = a->workspace ? a->workspace : a->target,
		.is_target = !a->workspace,
		.dir = a->dir,
		.interval_ms = a->interval_ms,
	};
	a->tunnel = (struct agent_tunnel){
		.settings = &a->settings,
		.id = a->workspace,
		.dir = a->dir,
	};
	return 0;
}

/* The log in the workspace, beside stderr; "(HOME)" as the Server writes it (protocol 10.6). */
static void log_line(void *arg, enum log_level level, struct str line)
{
	struct agent *a = arg;
	char stamp[TIME_TEXT_SIZE];
	struct buf b = { 0 };
	struct err ignored = { 0 }; /* there is nowhere to say it; stderr has the line */

	(void)level;
	time_rfc3339(clock_wall_ms(), true, false, stamp);
	buf_addf(&b, "%s %.*s\n", stamp, STR_ARG(line));
	file_write_all(a->log_fd, buf_str(&b), "log", &ignored);
	buf_free(&b);
}

static void open_log(struct agent *a)
{
	const char *path = env("DAYTONA_AGENT_LOG_FILE_PATH"), *home = env("HOME");
	struct buf b = { 0 };

	a->log_fd = -1;
	if (!path)
		return;
	if (strncmp(path, "(HOME)", 6) == 0)
		buf_addf(&b, "%s%s", home ? home : "", path + 6);
	else
		buf_adds(&b, path);
	a->log_fd = open(buf_cstr(&b), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
	                 0600);
	if (a->log_fd < 0)
		log_warn("log file %s: %s", buf_cstr(&b), strerror(errno));
	else
		log_set_sink(log_line, a);
	buf_free(&b);
}

/* The size of what is appended to, -1: it is no such file. */
static int64_t log_bytes(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	                       (fcntl(fd, F_GETFL) & O_APPEND)
	               ? (int64_t)st.st_size
	               : -1;
}

/* Files that only we append to are cut when they grow too long: a workspace may live for months. */
static void bound_log(int fd)
{
	if (log_bytes(fd) > LOG_MAX_BYTES && ftruncate(fd, 0) == 0)
		log_info("the log was over %d MiB and was cut", LOG_MAX_BYTES >> 20);
}

static int open_signals(struct agent *a, struct err *e)
{
	static const int taken[] = { SIGTERM, SIGINT,  SIGHUP,   SIGQUIT,
		                     SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, errno, "block signals");
	a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signals < 0)
		return err_sys(e, errno, "open a descriptor for signals");
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		log_warn("adopting orphaned processes: %s", strerror(errno));
	return 0;
}

static void clone_log(void *arg, struct str bytes)
{
	struct err ignored = { 0 };

	(void)arg;
	file_write_all(2, bytes, "standard error", &ignored);
}

/* Credentials come from the Server, asked with the workspace's own key; without any the repository
 * may still be public. */
static bool ask_credentials(const struct agent *a, struct git_provider *creds)
{
	struct api *api = a->api ? api_new(&a->settings) : NULL; /* never the parent's connection */
	struct deadline d = deadline_in_ms(CREDENTIALS_MS);
	struct err e = { 0 };

	if (api && api_git_provider_for_url(api, a->repo.url, creds, d, &e) < 0)
		log_info("no git credentials: %s", e.msg);
	api_free(api);
	return creds->id != NULL;
}

static int make_parent(const char *dir, struct err *e)
{
	char *parent = mem_dup(dir), *slash = strrchr(parent, '/');
	int rc = 0;

	if (slash && slash != parent) {
		*slash = '\0';
		if (!file_is_dir(parent))
			rc = file_mkdirs(parent, 0755, e);
	}
	free(parent);
	return rc;
}

static int clone_repository(const struct agent *a, struct deadline d, struct err *e)
{
	struct git_provider creds = { 0 };
	char self[PATH_MAX] = "/proc/self/exe", path[PATH_MAX];
	ssize_t n = readlink(self, path, sizeof(path) - 1);
	struct git_clone c = {
		.repo = &a->repo,
		.dir = a->dir,
		.self_exe = self,
		.ca_file = env("DAYTONA_AGENT_GIT_CA_FILE"),
		.log = clone_log,
	};
	int rc;

	if (n > 0) { /* for git it must be ours, whoever follows the link */
		path[n] = '\0';
		c.self_exe = path;
	}
	if (ask_credentials(a, &creds))
		c.creds = &creds;
	rc = make_parent(a->dir, e);
	if (rc == 0)
		rc = git_clone(&c, d, e);
	git_provider_free(&creds);
	return rc;
}

/* In the helper's process: "+", or "-" and the error. */
static void do_clone(void *arg, struct deadline d)
{
	struct err e = { 0 };

	log_set_sink(NULL, NULL); /* its descriptor is closed here */
	if (clone_repository(arg, d, &e) == 0)
		dprintf(1, "+");
	else
		dprintf(1, "-%s", e.msg);
	_exit(0);
}

static int get_ready(struct agent *a, struct err *e)
{
	struct str line = STR_LIT(AGENT_READY_TEXT "\n");
	struct err ignored = { 0 }; /* whoever waited has gone: no reason to stop working */

	if (a->command) {
		const char *dir = a->dir && file_is_dir(a->dir) ? a->dir : NULL;

		if (agent_command_start(a->command, dir, &a->command_process, e) < 0)
			return -1;
		log_info("started %s as process %ld", a->command[0], (long)a->command_process.pid);
	}
	beat_start(&a->beat);
	a->ready = true;
	file_write_all(1, line, "standard output", &ignored);
	fd_close(&a->ready_fd);
	if (a->api && *a->repo.url && env("DAYTONA_WORKSPACE_ID")) {
		a->setup = (struct git_setup){ &a->settings, a->repo.url,
			                       env("DAYTONA_AGENT_CA_FILE") };
		if (helper_start(&a->setting_up, git_setup_work, &a->setup,
		                 deadline_in_ms(SETUP_MS), &ignored) < 0)
			log_warn("git is not set up: %s", ignored.msg);
	}
	return 0;
}

static void reap(struct agent *a)
{
	struct buf how = { 0 };
	int status;
	pid_t pid;

	while ((pid = spawn_next_ended(&status)) > 0) {
		if (pid != a->command_process.pid) {
			spawn_take(pid);
			continue;
		}
		spawn_collect(&a->command_process, &a->command_status);
		a->command_ended = true;
		proc_describe_status(a->command_status, &how);
		log_info("%s ended: %s", a->command[0], buf_cstr(&how));
	}
	buf_free(&how);
}

static void take_signals(struct agent *a)
{
	struct signalfd_siginfo si;

	while (read(a->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int sig = (int)si.ssi_signo;

		if (sig == SIGCHLD)
			continue;
		if (sig == SIGTERM || sig == SIGINT)
			a->stopping = true;
		spawn_signal(&a->command_process, sig);
	}
	reap(a);
}

static int step_clone(struct agent *a, struct err *e)
{
	struct buf text = { 0 };
	enum helper_state s = helper_step(&a->cloning, &text);
	int rc = 0;

	if (s == HELPER_FAILED || (s == HELPER_OK && text.n == 0))
		rc = err_set(e, ERR_OTHER, 0, "%s",
		             text.n ? buf_cstr(&text) : "the clone ended without an answer");
	else if (s == HELPER_OK)
		rc = get_ready(a, e);
	buf_free(&text);
	return rc;
}

static void step_setup(struct agent *a)
{
	struct buf text = { 0 };

	if (helper_step(&a->setting_up, &text) == HELPER_FAILED)
		log_warn("git is not set up whole: %s", buf_cstr(&text));
	buf_free(&text);
}

static int turn(struct agent *a, struct pollset *ps, struct err *e)
{
	pollset_reset(ps);
	pollset_add(ps, a->signals, POLLIN);
	helper_poll(&a->cloning, ps);
	helper_poll(&a->setting_up, ps);
	if (a->ready) {
		beat_poll(&a->beat, ps);
		tunnel_watch_poll(&a->tunnel, a->beat.streams, ps);
	}
	if (a->ready && a->command && (log_bytes(1) >= 0 || log_bytes(a->log_fd) >= 0))
		pollset_until(ps, deadline_in_ms(LOG_LOOK_MS));
	if (pollset_wait(ps, e) < 0)
		return -1;
	take_signals(a);
	if (a->stopping)
		return 0;
	if (!a->ready)
		return step_clone(a, e);
	step_setup(a);
	beat_step(&a->beat);
	tunnel_watch_step(&a->tunnel, a->beat.streams);
	bound_log(1);
	bound_log(a->log_fd);
	return 0;
}

static int run(struct agent *a, struct err *e)
{
	struct pollset ps = { 0 };
	int rc;

	if (a->clone)
		rc = helper_start(&a->cloning, do_clone, a, deadline_in_ms(CLONE_MS), e);
	else
		rc = get_ready(a, e);
	while (rc == 0 && !a->stopping && !(a->command_ended && !a->keep))
		rc = turn(a, &ps, e);
	pollset_free(&ps);
	return rc;
}

static int end(struct agent *a, int rc, struct err *e)
{
	struct err left = { 0 };

	if (a->stopping)
		log_info("told to stop");
	if (agent_end_children(a->grace_ms, &left) < 0) {
		if (rc < 0)
			log_error("%s", left.msg);
		else
			*e = left;
		rc = -1;
	}
	if (rc < 0)
		return -1;
	if (a->stopping || !a->command_ended)
		return 0;
	return WIFEXITED(a->command_status) ? WEXITSTATUS(a->command_status)
	                                    : 128 + WTERMSIG(a->command_status);
}

static void agent_free(struct agent *a)
{
	log_set_sink(NULL, NULL);
	fd_close(&a->log_fd);
	beat_free(&a->beat);
	tunnel_watch_free(&a->tunnel);
	api_free(a->api);
	tls_ctx_free(a->tls);
	url_free(&a->url);
	free(a->repo.url);
	free(a->repo.branch);
	free(a->repo.sha);
	buf_free(&a->cloning.answer);
	buf_free(&a->setting_up.answer);
	fd_close(&a->signals);
}

/* No program of ours is to have it. A workspace's variables may say anything: what is no pipe is nobody's word. */
static int take_ready_fd(void)
{
	const char *text = env(AGENT_READY_FD);
	struct stat st;
	int64_t fd = -1;

	if (text && (!str_to_i64(str_of(text), 3, INT_MAX, &fd) || fstat((int)fd, &st) < 0 ||
	             !S_ISFIFO(st.st_mode) || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0))
		fd = -1;
	unsetenv(AGENT_READY_FD);
	return (int)fd;
}

int agent_main(int argc, char **argv, struct err *e)
{
	struct agent a = { .signals = -1,
		           .log_fd = -1,
		           .ready_fd = take_ready_fd(),
		           .command = argc > 0 ? argv : NULL };
	int rc = -1;

	if (read_environment(&a, e) == 0 && open_signals(&a, e) == 0) {
		open_log(&a);
		if (open_api(&a, e) == 0)
			rc = run(&a, e);
		rc = end(&a, rc, e);
	}
	agent_free(&a);
	return rc;
}
