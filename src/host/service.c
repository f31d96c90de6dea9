/* SPDX-License-Identifier: Apache-2.0 */
/* See service.h: detection, installing, control. The texts are in service_text.c. */
#include "host/service.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/proc_stat.h"
#include "host/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "daytona-runner"
#define MARKER "# Service of " NAME
#define STATE_LINE "# State: "
#define TEXT_MAX 65536
#define CONTROL_MS 120000
#define ASK_MS 5000

/* Containers have /etc/init.d too, but nothing that reads it. */
static bool init_runs(void)
{
	struct buf name = { 0 };
	struct err ignored = { 0 };
	bool other = file_read("/proc/1/comm", 64, &name, &ignored) == 0 &&
	             !str_eq(buf_str(&name), "init\n");

	buf_free(&name);
	return !other;
}

enum service_type service_detect(void)
{
	if (file_is_dir("/run/systemd/system"))
		return SERVICE_SYSTEMD;
	if (file_is_dir("/run/openrc") || file_exists("/sbin/openrc-run"))
		return SERVICE_OPENRC;
	if (file_is_dir("/etc/init.d") && init_runs())
		return SERVICE_SYSV;
	return SERVICE_NONE;
}

static const char *const names[] = { "none", "systemd", "openrc", "sysv" };

const char *service_type_name(enum service_type t)
{
	return names[t];
}

enum service_type service_type_of(const char *name)
{
	for (size_t i = 1; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return (enum service_type)i;
	}
	return SERVICE_NONE;
}

char *service_path(const struct service *s, struct err *e)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf b = { 0 };

	if (s->type == SERVICE_SYSTEMD && s->user && xdg && xdg[0] == '/')
		buf_addf(&b, "%s/systemd/user/" NAME ".service", xdg);
	else if (s->type == SERVICE_SYSTEMD && s->user && home && home[0] == '/')
		buf_addf(&b, "%s/.config/systemd/user/" NAME ".service", home);
	else if (s->type == SERVICE_SYSTEMD && s->user)
		err_set(e, ERR_CONFIG, 0, "a user unit needs HOME, which is not set");
	else if (s->type == SERVICE_SYSTEMD)
		buf_addf(&b, "%s/etc/systemd/system/" NAME ".service", s->root);
	else if (s->type != SERVICE_NONE)
		buf_addf(&b, "%s/etc/init.d/" NAME, s->root);
	else
		err_set(e, ERR_UNSUPPORTED, 0,
		        "no init system that we know runs here; use daytona-runner start, or name one with --type");
	return b.n ? buf_take(&b) : NULL;
}

static bool starts_with(const char *path, const char *head)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	bool is = file_read(path, TEXT_MAX, &text, &ignored) == 0 &&
	          str_starts(buf_str(&text), head);

	buf_free(&text);
	return is;
}

/* 1 ours, 0 not there, -1 somebody else's or unreadable. */
static int is_ours(const char *path, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(path, TEXT_MAX, &text, e);

	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (rc == 0 && !str_find(buf_str(&text), MARKER))
		rc = err_set(e, ERR_EXISTS, 0,
		             "%s exists and is not ours; remove it by hand or leave it", path);
	buf_free(&text);
	return rc < 0 ? -1 : 1;
}

static void keep_output(void *arg, struct str bytes)
{
	struct buf *text = arg;

	if (text->n < 1000)
		buf_add_str(text, bytes);
}

/* The user's own environment: `systemctl --user` finds its manager through it. out: what it said. */
static int run_program(const char *const *argv, struct buf *out, int64_t limit_ms, struct err *e)
{
	extern char **environ;
	const struct proc_spawn p = {
		.argv = argv, .env = (const char *const *)environ, .output = keep_output, .arg = out
	};
	struct buf status_text = { 0 };
	int status, rc = proc_run(&p, deadline_in_ms(limit_ms), &status, e);

	if (rc == 0 && status != 0) {
		struct str said = str_trim(buf_str(out));

		proc_describe_status(status, &status_text);
		rc = err_set(e, ERR_OTHER, 0, "%s %s: %s%s%.*s", argv[0], argv[1],
		             buf_cstr(&status_text), said.n ? ": " : "", STR_ARG(said));
		for (char *s = e->msg; *s; s++)
			*s = *s == '\n' ? ' ' : *s;
	}
	buf_free(&status_text);
	return rc;
}

/* A stop, or the stop in a restart, takes as long as the running jobs get. */
static int run(const struct service *s, const char *const *argv, struct err *e)
{
	struct buf ignored = { 0 };
	int rc = run_program(argv, &ignored, CONTROL_MS + s->config->drain_timeout_ms, e);

	buf_free(&ignored);
	return rc;
}

/* After su, sudo and cron the user's manager is there all the same, only not named. */
static void find_user_manager(void)
{
	char dir[40];

	snprintf(dir, sizeof(dir), "/run/user/%u", (unsigned)geteuid());
	if (file_is_dir(dir))
		setenv("XDG_RUNTIME_DIR", dir, 0);
}

static int systemctl(const struct service *s, const char *verb, const char *unit, struct err *e)
{
	const char *const argv[] = { "systemctl", s->user ? "--user" : "--system", verb, unit,
		                     NULL };

	if (s->user)
		find_user_manager();
	return run(s, argv, e);
}

int service_control(const struct service *s, const char *verb, struct err *e)
{
	char *path;
	int rc;

	if (s->type == SERVICE_SYSTEMD)
		return systemctl(s, verb, *s->unit ? s->unit : NAME ".service", e);
	path = service_path(s, e);
	if (!path)
		return -1;
	{
		const char *const argv[] = { path, verb, NULL };

		rc = run(s, argv, e);
	}
	free(path);
	return rc;
}

static bool has_rc_update(void)
{
	return file_exists("/sbin/rc-update") || file_exists("/usr/sbin/rc-update");
}

static const char *sysv_tool(void)
{
	return file_exists("/usr/sbin/update-rc.d") ? "update-rc.d"
	       : file_exists("/sbin/chkconfig")     ? "chkconfig"
	                                            : NULL;
}

static int enable(const struct service *s, bool on, struct err *e)
{
	const char *tool;

	if (s->type == SERVICE_SYSTEMD) {
		if (on && systemctl(s, "daemon-reload", NULL, e) < 0)
			return -1;
		return systemctl(s, on ? "enable" : "disable", NAME ".service", e);
	}
	if (s->type == SERVICE_OPENRC && has_rc_update()) {
		const char *const argv[] = { "rc-update", on ? "add" : "del", NAME, "default",
			                     NULL };

		return run(s, argv, e);
	}
	tool = s->type == SERVICE_SYSV ? sysv_tool() : NULL;
	if (tool) {
		bool debian = strcmp(tool, "update-rc.d") == 0;
		const char *const debian_argv[] = { tool, on ? NAME : "-f", on ? "defaults" : NAME,
			                            on ? NULL : "remove", NULL };
		const char *const other_argv[] = { tool, on ? "--add" : "--del", NAME, NULL };

		return run(s, debian ? debian_argv : other_argv, e);
	}
	return 0;
}

static int write_file(const struct service *s, const char *path, struct err *e)
{
	struct buf text = { 0 };
	char *dir = mem_dup(path), *slash = strrchr(dir, '/');
	int rc;

	*slash = '\0';
	service_text(s, &text);
	rc = file_mkdirs(dir, 0755, e);
	if (rc == 0)
		rc = file_replace(path, s->type == SERVICE_SYSTEMD ? 0644 : 0755, buf_str(&text),
		                  e);
	free(dir);
	buf_free(&text);
	return rc;
}

int service_install(const struct service *s, struct buf *done, struct err *e)
{
	char *path = service_path(s, e);
	int rc = path && is_ours(path, e) >= 0 ? write_file(s, path, e) : -1;

	if (rc == 0)
		buf_addf(done, "Wrote %s\n", path);
	if (rc == 0 && !*s->root) {
		rc = enable(s, true, e);
		if (rc < 0)
			err_wrap(e, "the service is written (%s) but not enabled", path);
		else if (s->type == SERVICE_SYSV && !sysv_tool())
			buf_addf(
				done,
				"Link it into the boot sequence by hand: there is no update-rc.d here.\n");
		else if (s->user)
			buf_adds(done, "It starts at your login; at boot, and to stay, after: "
			               "loginctl enable-linger \"$USER\"\n");
		else
			buf_adds(done, "It starts at boot.\n");
	}
	free(path);
	return rc;
}

/* Links to path in dir: a system that does not run has nobody to remove them. */
static void unlink_from(const char *dir, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char to[PATH_MAX];
	DIR *d = opendir(dir);
	struct dirent *ent;

	while (d && (ent = readdir(d)) != NULL) {
		ssize_t n = readlinkat(dirfd(d), ent->d_name, to, sizeof(to));

		if (n > 0 && str_ends((struct str){ to, (size_t)n }, name) &&
		    str_ends(str_of(ent->d_name), name))
			unlinkat(dirfd(d), ent->d_name, 0);
	}
	if (d)
		closedir(d);
}

static void unlink_all(const struct service *s, const char *path)
{
	static const char *const dirs[] = { "/etc/runlevels/default",
		                            "/etc/rc0.d",
		                            "/etc/rc1.d",
		                            "/etc/rc2.d",
		                            "/etc/rc3.d",
		                            "/etc/rc4.d",
		                            "/etc/rc5.d",
		                            "/etc/rc6.d",
		                            "/etc/rcS.d" };
	struct buf dir = { 0 };

	buf_addf(&dir, "%.*s/%s.target.wants", (int)(strrchr(path, '/') - path), path,
	         s->user ? "default" : "multi-user");
	unlink_from(buf_cstr(&dir), path);
	for (size_t i = 0; i < ARRAY_LEN(dirs) && s->type != SERVICE_SYSTEMD; i++) {
		buf_reset(&dir);
		buf_addf(&dir, "%s%s", s->root, dirs[i]);
		unlink_from(buf_cstr(&dir), path);
	}
	buf_free(&dir);
}

/* Where no init listens, its runner may run all the same. The state directory is that of the file's head. */
static void end_process(const struct service *s, const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct str rest, line;
	bool was_running;

	(void)file_read(path, TEXT_MAX, &text, e);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		if (str_starts(line, STATE_LINE)) {
			char *dir = mem_dupn(line.p + strlen(STATE_LINE),
			                     line.n - strlen(STATE_LINE));

			(void)daemon_stop(dir, s->config->drain_timeout_ms, &was_running, e);
			free(dir);
			break;
		}
	}
	buf_free(&text);
}

int service_uninstall(const struct service *s, bool *was_there, struct buf *done, struct err *e)
{
	char *path = service_path(s, e);
	struct err ignored = { 0 };
	int ours = path ? is_ours(path, e) : -1;

	*was_there = ours > 0;
	if (ours > 0 && !*s->root) {
		/* What is not running or enabled refuses; the file goes in any case. */
		(void)service_control(s, "stop", &ignored);
		(void)enable(s, false, &ignored);
		end_process(s, path, &ignored);
	}
	if (ours > 0)
		unlink_all(s, path);
	if (ours > 0 && unlink(path) < 0 && errno != ENOENT)
		ours = err_sys(e, errno, "remove %s", path);
	if (ours > 0) {
		buf_addf(done, "Removed %s\n", path);
		if (s->type == SERVICE_SYSTEMD && !*s->root)
			(void)systemctl(s, "daemon-reload", NULL, &ignored);
	}
	free(path);
	return ours < 0 ? -1 : 0;
}

bool service_written(struct service *s, unsigned *at)
{
	struct err ignored = { 0 };
	bool found = false;

	/* A script's text says whether it is OpenRC's. */
	for (; *at < 3 && !found; ++*at) {
		char *path;

		s->type = *at == 2 ? SERVICE_SYSV : SERVICE_SYSTEMD;
		s->user = *at == 1;
		if (!s->user && geteuid() != 0 && !*s->root)
			continue;
		path = service_path(s, &ignored);
		found = path && is_ours(path, &ignored) > 0;
		if (found && *at == 2 && starts_with(path, "#!/sbin/openrc-run"))
			s->type = SERVICE_OPENRC;
		free(path);
	}
	return found;
}

bool service_is_for(const struct service *s)
{
	struct buf text = { 0 }, want = { 0 };
	struct err ignored = { 0 };
	char *path = service_path(s, &ignored);
	bool ours = false;

	if (path && file_read(path, TEXT_MAX, &text, &ignored) == 0) {
		buf_addf(&want, MARKER "\n# Configuration: %s\n", s->config->dir);
		ours = str_find(buf_str(&text), buf_cstr(&want)) != NULL;
	}
	buf_free(&want);
	buf_free(&text);
	free(path);
	return ours;
}

bool service_manages(struct service *s)
{
	s->root = "";
	s->unit[0] = '\0';
	s->type = service_detect();
	s->user = s->type == SERVICE_SYSTEMD && geteuid() != 0;
	/* SysV scripts call start and stop themselves. */
	return (s->type == SERVICE_SYSTEMD || s->type == SERVICE_OPENRC) && service_is_for(s);
}

/* The innermost unit in the line of systemd of /proc/PID/cgroup: "1:name=systemd:/system.slice/x.service",
 * "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service". */
static void find_unit(struct service *s, pid_t pid)
{
	struct buf path = { 0 }, text = { 0 };
	struct err ignored = { 0 };
	struct str rest, line, part;

	buf_addf(&path, "/proc/%ld/cgroup", (long)pid);
	(void)file_read(buf_cstr(&path), TEXT_MAX, &text, &ignored);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		if (!str_starts(line, "0::") && !str_find(line, ":name=systemd:"))
			continue;
		while (str_next(&line, '/', &part)) {
			if (str_starts(part, "user@"))
				s->user = true;
			else if (str_ends(part, ".service") && part.n < sizeof(s->unit))
				snprintf(s->unit, sizeof(s->unit), "%.*s", STR_ARG(part));
		}
	}
	buf_free(&text);
	buf_free(&path);
}

bool service_owns(struct service *s, pid_t pid)
{
	struct buf said = { 0 };
	struct err ignored = { 0 };
	int64_t main_pid = -1;

	s->root = "";
	s->type = SERVICE_SYSTEMD;
	s->user = false;
	s->unit[0] = '\0';
	find_unit(s, pid);
	if (*s->unit) {
		/* What `start` made from a job of cron, say, is in cron's unit, but not its main process. */
		const char *const argv[] = { "systemctl", s->user ? "--user" : "--system",
			                     "show",      "--property=MainPID",
			                     s->unit,     NULL };

		if (s->user)
			find_user_manager();
		if (run_program(argv, &said, ASK_MS, &ignored) == 0 && said.n > 8)
			(void)str_to_i64(str_trim((struct str){ said.p + 8, said.n - 8 }), 1,
			                 INT32_MAX, &main_pid);
	}
	buf_free(&said);
	return main_pid == pid;
}

bool service_keeper(pid_t pid, char name[SERVICE_UNIT_MAX])
{
	/* As the kernel has it: 15 bytes. */
	static const char keepers[] = "supervise-daemo,runsv,s6-supervise,supervisord,dinit,perpd,";
	struct buf path = { 0 }, text = { 0 };
	struct proc_stat st;
	struct err ignored = { 0 };

	name[0] = '\0';
	if (proc_stat_read(pid, &st)) {
		buf_addf(&path, "/proc/%ld/comm", (long)st.ppid);
		if (file_read(buf_cstr(&path), SERVICE_UNIT_MAX - 1, &text, &ignored) == 0 &&
		    text.n) {
			text.p[text.n - 1] = ','; /* the end of the line */
			if (str_find(STR_LIT(keepers), text.p))
				snprintf(name, SERVICE_UNIT_MAX, "%.*s", (int)text.n - 1, text.p);
		}
	}
	buf_free(&text);
	buf_free(&path);
	return *name;
}

bool service_keep_down(pid_t pid, const char *keeper)
{
	struct buf path = { 0 };
	struct proc_stat st;
	struct proc_id parent;
	bool told = false;
	int fd;

	if (!proc_stat_read(pid, &st))
		return false;
	if (strcmp(keeper, "supervise-daemo") == 0) {
		told = proc_identify(st.ppid, &parent) && proc_signal(parent, SIGTERM);
	} else if (strcmp(keeper, "runsv") == 0 || strcmp(keeper, "s6-supervise") == 0) {
		/* As sv(8) and s6-svc do it: its directory is that of the service. */
		buf_addf(&path, "/proc/%ld/cwd/supervise/control", (long)st.ppid);
		fd = open(buf_cstr(&path), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		told = fd >= 0 && write(fd, "d", 1) == 1;
		if (fd >= 0)
			close(fd);
		buf_free(&path);
	}
	return told;
}
