/* SPDX-License-Identifier: Apache-2.0 */
/* The server and the runner of `up`, as processes and configuration on this host. See up.h. */
#include "applets/up.h"

#include "applets/life.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/spawn.h"
#include "host/control.h"
#include "host/daemon.h"
#include "host/service.h"
#include "server/srv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT "3986"
#define LOOK_MS 10
#define START_MS 20000
#define STOP_MS 20000
#define LOCK_MS 300000 /* another up may be cloning */
#define NOTE_MAX 4096
#define TAIL_MAX (64u << 10)

extern char **environ;

static char *lock_path(const struct up *u)
{
	return path_join(u->config.dir, "up.lock");
}

/* A lock whose file was removed meanwhile is nobody's. */
static bool lock_counts(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static int take_lock(struct up *u, struct err *e)
{
	char *path = lock_path(u);
	struct deadline d = deadline_in_ms(LOCK_MS);
	bool told = false;
	int rc = file_mkdirs(u->config.dir, 0700, e);

	while (rc == 0) {
		u->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (u->lock < 0) {
			rc = err_sys(e, errno, "open %s", path);
			break;
		}
		if (flock(u->lock, LOCK_EX | LOCK_NB) == 0 && lock_counts(u->lock, path))
			break;
		fd_close(&u->lock);
		if (!told)
			log_say("up", "another up or down is at work here: waiting for it");
		told = true;
		if (deadline_passed(d))
			rc = err_set(e, ERR_BUSY, 0, "another up or down is still at work (%s)",
			             path);
		poll(NULL, 0, 5 * LOOK_MS);
	}
	free(path);
	return rc;
}

/* Under another name first, at once: with half of its files a directory is no server's. What was cut off is gone on with. */
static int sweep(const struct up *u, bool all, struct err *e)
{
	struct buf gone = { 0 };
	int rc = 0;

	buf_addf(&gone, "%s.removed", u->data);
	if (all && file_remove_tree(buf_cstr(&gone), e) == 0 &&
	    rename(u->data, buf_cstr(&gone)) < 0 && errno != ENOENT)
		rc = err_sys(e, errno, "remove %s", u->data);
	if (rc == 0)
		rc = file_remove_tree(buf_cstr(&gone), e);
	buf_free(&gone);
	return rc;
}

int up_remove_data(struct up *u, struct err *e)
{
	return sweep(u, true, e);
}

int up_open(struct up *u, struct err *e)
{
	struct config *c = &u->config;

	u->lock = -1;
	if (config_look(c, u->v.admin.config_dir, NULL, e) < 0 || take_lock(u, e) < 0)
		return -1;
	config_free(c); /* whoever had the lock may have changed it */
	if ((u->looks ? cli_look("down", c, u->v.admin.config_dir, NULL, e)
	              : config_load(c, u->v.admin.config_dir, NULL, e)) < 0)
		return -1;
	u->data = cli_server_data(c, e);
	return u->data ? sweep(u, false, e) : -1;
}

void up_unlock(struct up *u)
{
	fd_close(&u->lock);
}

void up_close(struct up *u)
{
	up_unlock(u);
	cli_admin_close(&u->v.admin);
	config_free(&u->config);
	free(u->data);
	free(u->url);
	free(u->v.env.v);
	free(u->v.labels.v);
}

/* What the server has noted when it listens; NULL: nothing yet. */
static char *read_note(const struct up *u)
{
	char *path = path_join(u->data, STORE_LOCK_FILE);
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct str line = { 0 };

	if (file_read(path, NOTE_MAX, &text, &ignored) == 0 &&
	    memchr(buf_cstr(&text), '\n', text.n))
		line = str_trim(buf_str(&text));
	free(path);
	path = line.n ? mem_dupn(line.p, line.n) : NULL;
	buf_free(&text);
	return path;
}

/* Does a server hold the directory? If not, what the last one had noted is removed. */
static int is_held(const struct up *u, bool *held, struct err *e)
{
	char *path = path_join(u->data, STORE_LOCK_FILE);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = 0;

	*held = false;
	if (fd < 0 && errno != ENOENT)
		rc = err_sys(e, errno, "open %s", path);
	else if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		*held = true;
	else if (fd >= 0 && ftruncate(fd, 0) < 0)
		rc = err_sys(e, errno, "write %s", path);
	fd_close(&fd);
	free(path);
	return rc;
}

static int speak(struct up *u, struct err *e)
{
	char *key = path_join(u->data, CLIENT_KEY_FILE);
	int rc;

	u->v.admin.url = u->url;
	u->v.admin.key_file = key;
	rc = cli_admin_open(&u->v.admin, "up", e);
	u->v.admin.key_file = NULL;
	free(key);
	return rc;
}

/* One that is killed holds its directory for a moment more: only an answer counts. */
int up_find_server(struct up *u, struct err *e)
{
	struct deadline d = deadline_in_ms(START_MS);
	bool held;

	for (;;) {
		if (is_held(u, &held, e) < 0)
			return -1;
		if (!held)
			return 0;
		u->url = read_note(u);
		if (u->url && speak(u, e) < 0)
			return -1;
		if (u->url && api_health(u->v.admin.link.api, d, e) == 0)
			return 0;
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0, "a server holds %s, but does not answer",
			               u->data);
		if (u->url)
			cli_admin_close(&u->v.admin);
		free(u->url);
		u->url = NULL;
		err_clear(e);
		poll(NULL, 0, LOOK_MS);
	}
}

/* The last line that the server wrote. */
static void add_last_line(const char *path, struct buf *out)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct str rest, line, last = { 0 };

	(void)file_read(path, TAIL_MAX, &text, &ignored);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line))
		last = str_trim(line).n ? str_trim(line) : last;
	buf_add_printable(out, last, false);
	buf_free(&text);
}

static char *pid_path(const struct up *u)
{
	return path_join(u->config.dir, "up-server.pid");
}

/* For `down` on a system that does not say who holds a lock. */
static void note_pid(const struct up *u, pid_t pid)
{
	char *path = pid_path(u);
	struct proc_id who = { 0 };
	struct err ignored = { 0 };
	struct buf b = { 0 };

	if (proc_identify(pid, &who)) {
		buf_addf(&b, "%ld %llu\n", (long)who.pid, (unsigned long long)who.start);
		(void)file_replace(path, 0600, buf_str(&b), &ignored);
	}
	buf_free(&b);
	free(path);
}

static void noted_pid(const struct up *u, struct proc_id *who)
{
	char *path = pid_path(u);
	struct err ignored = { 0 };
	struct buf b = { 0 };
	struct str rest, word[2] = { { 0 } };
	int64_t pid, start;

	if (file_read(path, NOTE_MAX, &b, &ignored) == 0) {
		rest = str_trim(buf_str(&b));
		for (int i = 0; i < 2 && str_next(&rest, ' ', &word[i]); i++)
			;
		if (str_to_i64(word[0], 1, INT32_MAX, &pid) &&
		    str_to_i64(word[1], 0, INT64_MAX, &start))
			*who = (struct proc_id){ (pid_t)pid, (uint64_t)start };
		if (!proc_alive(*who))
			*who = (struct proc_id){ 0 };
	}
	buf_free(&b);
	free(path);
}

/* One attempt; the process outlives us. */
static int spawn_server(struct up *u, const char *port, struct err *e)
{
	char *errors = path_join(u->config.dir, "up-server.err");
	const char *program = life_program(e);
	struct buf listen = { 0 }, last = { 0 };
	const char *argv[] = {
		"daytona-runner", "server", "--listen", NULL, "--data", u->data, NULL
	};
	struct deadline d = deadline_in_ms(START_MS);
	struct spawned p = { 0 };
	int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
	              0600);
	int rc = program ? 0 : -1;

	buf_addf(&listen, "127.0.0.1:%s", port);
	argv[3] = buf_cstr(&listen);
	if (rc == 0 && fd < 0)
		rc = err_sys(e, errno, "open %s", errors);
	if (rc == 0)
		rc = spawn_start(&(struct spawn){ .argv = argv,
		                                  .program = program,
		                                  .env = (const char *const *)environ,
		                                  .cwd = "/",
		                                  .std = { SPAWN_NULL, SPAWN_NULL, fd },
		                                  .lead = SPAWN_SESSION,
		                                  .umask = 077 },
		                 d, &p, e);
	if (rc == 0)
		note_pid(u, p.pid);
	while (rc == 0 && !(u->url = read_note(u))) {
		if (spawn_look(&p) != SPAWN_RUNS) {
			add_last_line(errors, &last);
			rc = err_set(e, ERR_OTHER, 0, "the server ended: %s", buf_cstr(&last));
		} else if (deadline_passed(d)) {
			rc = err_set(e, ERR_TIMEOUT, 0, "the server does not come up; see %s",
			             errors);
		} else {
			poll(NULL, 0, LOOK_MS);
		}
	}
	if (rc < 0)
		spawn_end(&p);
	else
		spawn_forget(&p);
	fd_close(&fd);
	buf_free(&listen);
	buf_free(&last);
	free(errors);
	return rc;
}

/* The port that the runner here knows, so that its address stays good. */
static char *port_wanted(const struct config *c)
{
	struct url u = { 0 };
	struct err ignored = { 0 };
	struct buf b = { 0 };

	if (c->url && url_parse(str_of(c->url), &u, &ignored) == 0 && url_is_loopback(&u) &&
	    !url_is_tls(&u))
		buf_addf(&b, "%u", (unsigned)u.port);
	else
		buf_adds(&b, PORT);
	url_free(&u);
	return buf_take(&b);
}

int up_server(struct up *u, bool *started, struct err *e)
{
	char *port = port_wanted(&u->config);
	int rc = up_find_server(u, e);

	*started = rc == 0 && !u->url;
	if (*started)
		rc = file_mkdirs(u->data, 0700, e);
	if (rc == 0 && *started && spawn_server(u, port, e) < 0) {
		err_clear(e); /* the port may be another program's */
		rc = spawn_server(u, "0", e);
	}
	if (rc == 0 && *started)
		rc = speak(u, e);
	free(port);
	return rc;
}

int up_stop_server(struct up *u, bool *was_running, struct err *e)
{
	char *path = path_join(u->data, STORE_LOCK_FILE);
	struct deadline d = deadline_in_ms(STOP_MS);
	char keeper[SERVICE_UNIT_MAX];
	struct proc_id who;
	int rc = is_held(u, was_running, e);

	daemon_lock_holder(path, &who);
	if (!who.pid)
		noted_pid(u, &who);
	if (rc == 0 && *was_running && !who.pid)
		rc = err_set(
			e, ERR_UNSUPPORTED, 0,
			"a server holds %s, but the system does not say which process it is: end it yourself",
			u->data);
	else if (rc == 0 && *was_running && service_keeper(who.pid, keeper))
		rc = err_set(e, ERR_UNSUPPORTED, 0,
		             "the server, process %ld, would be started again by %s; stop it there",
		             (long)who.pid, keeper);
	else if (rc == 0 && *was_running)
		proc_signal(who, SIGTERM);
	while (rc == 0 && *was_running && proc_alive(who)) {
		if (deadline_passed(d))
			rc = err_set(e, ERR_TIMEOUT, 0, "the server, process %ld, does not end",
			             (long)who.pid);
		poll(NULL, 0, LOOK_MS);
	}
	free(path);
	return rc;
}

static int not_ours(const struct config *c, struct err *e)
{
	return err_set(
		e, ERR_EXISTS, 0,
		"this host is a runner of %s (%s), and up is for a machine of its own; give another place with --config-dir",
		c->url, c->file);
}

int up_check_runner(struct up *u, bool *known, struct err *e)
{
	struct config *c = &u->config;
	struct runner_info r = { 0 };
	struct err why = { 0 };

	*known = false;
	if (!u->url) /* nobody to ask */
		return c->url && !url_text_is_loopback(c->url) ? not_ours(c, e) : 0;
	if (!c->id)
		return c->url && !url_texts_match(c->url, u->url, false) ? not_ours(c, e) : 0;
	*known = api_runner(u->v.admin.link.api, c->id, &r, deadline_in_ms(CLI_CALL_MS), &why) == 0;
	runner_info_free(&r);
	if (*known || (api_verdict(&why) == API_MISSING &&
	               (!c->url || url_texts_match(c->url, u->url, false))))
		return 0;
	if (api_verdict(&why) != API_MISSING) {
		*e = why;
		return -1;
	}
	return not_ours(c, e);
}

/* The one it had, else that of the host, as nobody else is called. */
static char *new_name(struct up *u, struct err *e)
{
	char host[256] = "";
	struct json_doc *list = verbs_list_at(&u->v, "/runner", e);
	char *name = NULL;

	if (u->config.name)
		snprintf(host, sizeof(host), "%s", u->config.name);
	else if (gethostname(host, sizeof(host) - 1) < 0 || !str_is_id(str_of(host)))
		snprintf(host, sizeof(host), "runner");
	if (list)
		name = verbs_free_name(json_root(list), &api_target_kind, host);
	json_doc_free(list);
	return name;
}

static int save(struct up *u, const struct kv *changes, struct err *e)
{
	char *dir = mem_dup(u->config.dir);
	int rc = config_save(dir, changes, e);

	free(dir);
	config_free(&u->config);
	return rc == 0 ? config_load(&u->config, u->v.admin.config_dir, NULL, e) : -1;
}

/*
 * The id is saved before it is used: whoever is cut off in between finds the runner again, whose key nobody has seen, and
 * makes it anew. With the same id, since targets and workspaces go by that.
 */
static int register_runner(struct up *u, bool known, struct err *e)
{
	struct api *api = u->v.admin.link.api;
	struct runner_info made = { 0 };
	struct kv changes = { 0 };
	char id[129], *name;
	int rc = 0;

	if (known)
		rc = api_runner_delete(api, u->config.id, deadline_in_ms(CLI_CALL_MS), e);
	if (rc == 0 && u->config.id && str_is_id(str_of(u->config.id)))
		snprintf(id, sizeof(id), "%s", u->config.id);
	else if (rc == 0)
		rc = cli_new_id(id, e);
	name = rc == 0 ? new_name(u, e) : NULL;
	if (!name)
		return -1;
	kv_set(&changes, "runner.id", id);
	kv_set(&changes, "runner.name", name);
	kv_set(&changes, "runner.port", "0");
	kv_set(&changes, "server.url", u->url);
	kv_set(&changes, "server.key", "");
	kv_set(&changes, "server.key_file", "");
	rc = save(u, &changes, e);
	if (rc == 0)
		rc = api_runner_create(api, id, name, &made, deadline_in_ms(CLI_CALL_MS), e);
	kv_free(&changes);
	if (rc == 0) {
		kv_set(&changes, "server.key", made.api_key);
		rc = save(u, &changes, e);
	}
	kv_free(&changes);
	runner_info_free(&made);
	free(name);
	return rc;
}

bool up_resume(const struct up *u)
{
	struct json_doc *answer = NULL;
	struct err ignored = { 0 };
	bool was = control_call(u->config.state_dir, "POST", "/resume", NULL, &answer,
	                        deadline_in_ms(CONTROL_CALL_MS), &ignored) == 0 &&
	           json_bool(json_get(json_root(answer), "was_paused"), false);

	json_doc_free(answer);
	return was;
}

int up_runner(struct up *u, bool *started, struct err *e)
{
	struct kv changes = { 0 };
	bool known, already = false;
	int rc = up_check_runner(u, &known, e);

	if (rc == 0 && (!known || !(u->config.key && *u->config.key))) {
		rc = register_runner(u, known, e);
		if (rc == 0) /* one that works under another id */
			rc = life_end(&u->config, 0, &already, e);
	}
	if (rc == 0 && !url_texts_match(u->config.url, u->url, false)) {
		kv_set(&changes, "server.url", u->url);
		rc = save(u, &changes, e);
	}
	kv_free(&changes);
	if (rc == 0)
		rc = life_begin(&u->config, NULL, LIFE_START_MS, &already, e);
	*started = rc == 0 && (up_resume(u) || !already);
	return rc;
}
