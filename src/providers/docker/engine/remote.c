/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh forward to a remote engine, see remote.h. The forward lives in one ssh whose remote command is
 * "cat": its first echo says that everything is up, and it ends by itself when we are gone. Later
 * commands share its connection.
 */
#include "providers/docker/engine/remote.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "git/run.h"
#include "net/command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_MS 30000
#define SOCKET_PATH_MAX 80 /* ssh adds a suffix to the control path while it connects */
#define HELLO "daytona-runner\n"
#define OUTPUT_MAX 2000
#define ARGS_MAX 48

struct remote {
	const struct docker_options *o;
	const struct provider_env *env;
	char *name;
	struct buf dir; /* ours alone; holds the sockets */
	struct buf socket, control, known_hosts, alias, forward, port, identity;
	char *askpass; /* link to our executable, or NULL */
	struct command cmd;
	int fd; /* ssh's standard streams; -1: not connected */
	const char *argv[ARGS_MAX];
};

/* A host or user that ssh cannot take for an option, or that a shell could misread. */
static bool is_plain(const char *s)
{
	return *s && *s != '-' && !strpbrk(s, " \t\r\n'\"\\$`;&|<>()@");
}

/* As in known_hosts, without the host: "ssh-ed25519 AAAA…". */
static bool is_host_key(const char *s)
{
	static const char *const types[] = { "ssh-", "ecdsa-", "sk-" };
	struct str rest = str_of(s), type, key;

	if (!str_next(&rest, ' ', &type) || !str_next(&rest, ' ', &key) || key.n < 16)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_starts(type, types[i]))
			return true;
	return false;
}

static int check(const struct docker_options *o, struct err *e)
{
	if (o->remote_host_key && !is_host_key(o->remote_host_key))
		return err_set(
			e, ERR_CONFIG, 0,
			"target config: \"Remote Host Key\" \"%.100s\" is no key; it takes a "
			"line of the host's /etc/ssh/ssh_host_*_key.pub",
			o->remote_host_key);
	if (!is_plain(o->remote_host))
		return err_set(e, ERR_CONFIG, 0,
		               "target config: \"Remote Hostname\" \"%.100s\" is no host",
		               o->remote_host);
	if (!o->remote_user || !is_plain(o->remote_user))
		return err_set(
			e, ERR_CONFIG, 0,
			"target config: \"Remote User\" is %s; give the user that may use the "
			"engine on %s",
			o->remote_user ? "no user name" : "missing", o->remote_host);
	if (o->sock && *o->sock != '/')
		return err_set(e, ERR_CONFIG, 0,
		               "target config: \"Sock Path\" \"%.100s\" is no absolute path",
		               o->sock);
	return 0;
}

/* What jobs that were killed have left in base: directories named after a process that is gone. */
static void sweep(const char *base)
{
	DIR *dir = opendir(base);
	struct dirent *en;

	while (dir && (en = readdir(dir))) {
		struct str rest = str_of(en->d_name), pid;
		struct err ignored = { 0 };
		int64_t number;
		char *path;

		if (!str_starts(rest, "ssh-"))
			continue;
		rest = (struct str){ rest.p + 4, rest.n - 4 };
		if (!str_next(&rest, '-', &pid) || !str_to_i64(pid, 1, INT32_MAX, &number) ||
		    kill((pid_t)number, 0) == 0 || errno != ESRCH)
			continue;
		path = path_join(base, en->d_name);
		(void)file_remove_tree(path, &ignored);
		free(path);
	}
	if (dir)
		closedir(dir);
}

/* A directory for sockets: below state_dir, in one that was there before the job was contained, or where the path is
 * short enough for a socket. */
static int make_dir(struct remote *r, struct err *e)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char *own = path_join(r->env->state_dir, "ssh");
	const char *bases[3] = { own, run && *run == '/' ? run : "/tmp", "/tmp" };
	bool done = false;
	struct err ignored = { 0 }; /* then one of the others */

	(void)file_mkdirs(own, 0700, &ignored);
	sweep(own);
	for (size_t i = 0; i < ARRAY_LEN(bases) && !done; i++) {
		buf_reset(&r->dir);
		buf_addf(&r->dir, "%s/ssh-%ld-XXXXXX", bases[i], (long)getpid());
		if (r->dir.n + sizeof("/control") > SOCKET_PATH_MAX)
			continue;
		done = mkdtemp(r->dir.p) != NULL;
	}
	free(own);
	return done ? 0 : err_sys(e, errno, "make a directory for the ssh forward");
}

/* The one key that was given, under the name that was given, whatever ssh's configuration makes of that. */
static int pin_host(struct remote *r, struct err *e)
{
	struct buf line = { 0 }, path = { 0 };
	int rc;

	buf_addf(&path, "%s/known_hosts", r->dir.p);
	buf_addf(&line, "%s %s\n", r->o->remote_host, r->o->remote_host_key);
	rc = file_replace(buf_cstr(&path), 0600, buf_str(&line), e);
	buf_addf(&r->known_hosts, "UserKnownHostsFile=\"%s\"", buf_cstr(&path));
	buf_addf(&r->alias, "HostKeyAlias=%s", r->o->remote_host);
	buf_free(&line);
	buf_free(&path);
	return rc;
}

struct remote *remote_new(const struct docker_options *o, const struct provider_env *env,
                          struct err *e)
{
	struct remote *r;
	struct buf name = { 0 };

	if (check(o, e) < 0)
		return NULL;
	r = mem_alloc(sizeof(*r));
	r->o = o;
	r->env = env;
	r->fd = -1;
	r->cmd.err_fd = -1;
	buf_addf(&name, "ssh %s@%s:%d, %s", o->remote_user, o->remote_host, (int)o->remote_port,
	         o->sock ? o->sock : DOCKER_DEFAULT_SOCK);
	r->name = buf_take(&name);
	if (make_dir(r, e) < 0) {
		buf_free(&r->dir);
		remote_free(r);
		return NULL;
	}
	buf_addf(&r->socket, "%s/engine", r->dir.p);
	buf_addf(&r->control, "ControlPath=%s/control", r->dir.p);
	if (!o->remote_host_key)
		buf_addf(&r->known_hosts, "UserKnownHostsFile=\"%s/ssh/known_hosts\"",
		         env->state_dir);
	else if (pin_host(r, e) < 0) {
		remote_free(r);
		return NULL;
	}
	buf_addf(&r->forward, "%s:%s", r->socket.p, o->sock ? o->sock : DOCKER_DEFAULT_SOCK);
	buf_addf(&r->port, "%d", (int)o->remote_port);
	return r;
}

void remote_free(struct remote *r)
{
	struct err ignored = { 0 };

	if (!r)
		return;
	command_free(&r->cmd);
	fd_close(&r->fd);
	if (r->dir.n)
		(void)file_remove_tree(r->dir.p, &ignored);
	free(r->askpass);
	free(r->name);
	buf_free(&r->dir);
	buf_free(&r->socket);
	buf_free(&r->control);
	buf_free(&r->known_hosts);
	buf_free(&r->alias);
	buf_free(&r->forward);
	buf_free(&r->port);
	buf_free(&r->identity);
	free(r);
}

const char *remote_socket(const struct remote *r)
{
	return buf_cstr(&r->socket);
}

const char *remote_name(const struct remote *r)
{
	return r->name;
}

/* "~/" is the runner's home; a directory means that ssh chooses among its usual keys. */
static void find_identity(struct remote *r)
{
	const char *key = r->o->remote_key, *home = getenv("HOME");

	buf_reset(&r->identity);
	if (!key)
		return;
	if (strncmp(key, "~/", 2) == 0)
		buf_addf(&r->identity, "%s/%s", home ? home : "", key + 2);
	else
		buf_adds(&r->identity, key);
	if (file_is_dir(buf_cstr(&r->identity)))
		buf_free(&r->identity);
}

/* Options that every ssh of ours has. Returns how many. */
static size_t base_args(struct remote *r, size_t n)
{
	/* Who answers at first contact may be anybody: that is enough for a key, which stays here, not for a password. */
	const char *strict = r->o->remote_password || r->alias.n
	                             ? "StrictHostKeyChecking=yes"
	                             : "StrictHostKeyChecking=accept-new";
	const char *global = r->alias.n ? "GlobalKnownHostsFile=/dev/null"
	                                : "GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts";
	const char *const fixed[] = {
		"ssh", "-T",
		"-x",  "-a",
		"-p",  buf_cstr(&r->port),
		"-l",  r->o->remote_user,
		"-o",  strict,
		"-o",  buf_cstr(&r->known_hosts),
		"-o",  global,
		"-o",  buf_cstr(&r->control),
		"-o",  "ConnectTimeout=15",
		"-o",  "ServerAliveInterval=15",
		"-o",  "ServerAliveCountMax=3",
		"-o",  "PermitLocalCommand=no",
	};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		r->argv[n++] = fixed[i];
	if (r->alias.n) {
		r->argv[n++] = "-o";
		r->argv[n++] = buf_cstr(&r->alias);
	}
	if (r->identity.n) {
		r->argv[n++] = "-i";
		r->argv[n++] = buf_cstr(&r->identity);
		r->argv[n++] = "-o";
		r->argv[n++] = "IdentitiesOnly=yes";
	}
	if (r->o->remote_password) {
		r->argv[n++] = "-o";
		r->argv[n++] = "NumberOfPasswordPrompts=1";
	} else {
		r->argv[n++] = "-o";
		r->argv[n++] = "BatchMode=yes";
	}
	return n;
}

/* The password reaches ssh through a program that prints it: our own binary under the name "askpass". */
static int prepare_password(struct remote *r, struct err *e)
{
	struct buf who = { 0 };

	if (!r->o->remote_password || r->askpass)
		return 0;
	r->askpass = path_join(r->dir.p, "askpass");
	if (symlink(r->env->self_exe, r->askpass) < 0)
		return err_sys(e, errno, "%s", r->askpass);
	buf_addf(&who, "%s@%s", r->o->remote_user, r->o->remote_host);
	/* Only ssh inherits this: the job's process ends with the job. */
	setenv("SSH_ASKPASS", r->askpass, 1);
	setenv("SSH_ASKPASS_REQUIRE", "force", 1);
	setenv(ENV_ASKPASS_SSH, buf_cstr(&who), 1);
	setenv(ENV_ASKPASS_SECRET, r->o->remote_password, 1);
	buf_free(&who);
	return 0;
}

static void forget_password(void)
{
	unsetenv("SSH_ASKPASS");
	unsetenv("SSH_ASKPASS_REQUIRE");
	unsetenv(ENV_ASKPASS_SSH);
	unsetenv(ENV_ASKPASS_SECRET);
}

/* Reads until the remote cat has sent our line back. */
static int wait_hello(struct remote *r, struct deadline d, struct err *e)
{
	char got[sizeof(HELLO)];
	size_t n = 0;
	ssize_t k;

	if (file_write_all(r->fd, STR_LIT(HELLO), "ssh", e) < 0)
		return -1;
	while (n < sizeof(HELLO) - 1) {
		struct deadline slice = deadline_min(d, deadline_in_ms(200));

		if (r->env->stop && *r->env->stop)
			return err_set(e, ERR_CANCELED, 0,
			               "stopped because the runner was told to end");
		command_drain(&r->cmd);
		if (wait_fd(r->fd, POLLIN, slice, e) < 0) {
			if (e->kind != ERR_TIMEOUT || deadline_passed(d))
				return -1;
			continue;
		}
		k = read(r->fd, got + n, sizeof(HELLO) - 1 - n);
		if (k < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (k <= 0) {
			struct deadline grace = deadline_min(d, deadline_in_ms(2000));

			while (command_ended(&r->cmd, e) == 0 && !deadline_passed(grace)) {
				struct pollset ps = { 0 };

				command_poll(&r->cmd, &ps);
				pollset_until(&ps, grace);
				(void)pollset_wait(&ps, e);
				pollset_free(&ps);
			}
			if (e->kind == ERR_NONE)
				err_set(e, ERR_CLOSED, 0, "ssh ended without a reason");
			return -1;
		}
		n += (size_t)k;
	}
	return 0;
}

/* What to do where ssh says no more than that it does not know the host. */
static int explain(const struct remote *r, struct err *e)
{
	struct err said = *e;

	if (r->o->remote_password && !r->alias.n && strcasestr(said.msg, "host key"))
		err_set(e, said.kind, said.code,
		        "%s; the password goes only to a host whose key is known: set \"Remote "
		        "Host Key\" in the target config, or append the line of ssh-keyscan -p %s "
		        "%s to %s/ssh/known_hosts once you have compared it",
		        said.msg, buf_cstr(&r->port), r->o->remote_host, r->env->state_dir);
	return err_wrap(e, "%s", r->name);
}

int remote_connect(struct remote *r, struct deadline d, struct err *e)
{
	struct deadline limit = deadline_min(d, deadline_in_ms(CONNECT_MS));
	int64_t began = clock_mono_ms();
	size_t n;
	int rc;

	if (r->fd >= 0)
		return 0;
	find_identity(r);
	if (prepare_password(r, e) < 0)
		return -1;
	n = base_args(r, 0);
	r->argv[n++] = "-o";
	r->argv[n++] = "ControlMaster=yes";
	r->argv[n++] = "-o";
	r->argv[n++] = "ExitOnForwardFailure=yes";
	r->argv[n++] = "-o";
	r->argv[n++] = "StreamLocalBindMask=0177";
	r->argv[n++] = "-L";
	r->argv[n++] = buf_cstr(&r->forward);
	r->argv[n++] = r->o->remote_host;
	r->argv[n++] = "cat";
	r->argv[n] = NULL;
	rc = command_start(&r->cmd, r->argv, limit, &r->fd, e);
	forget_password();
	if (rc == 0)
		rc = wait_hello(r, limit, e);
	if (rc < 0 && e->kind == ERR_TIMEOUT)
		err_set(e, ERR_TIMEOUT, 0, "no connection after %lld s",
		        (long long)(clock_mono_ms() - began + 999) / 1000);
	if (rc < 0) {
		command_free(&r->cmd);
		fd_close(&r->fd);
		return explain(r, e);
	}
	return 0;
}

int remote_run(struct remote *r, const char *const *argv, struct deadline d, struct err *e)
{
	static const char *const names[] = { "PATH", "HOME", "SSH_AUTH_SOCK" };
	struct kv vars = { 0 };
	char **env;
	struct buf command = { 0 }, clean = { 0 };
	struct mask_head output = { .max = OUTPUT_MAX };
	struct proc_spawn s = {
		.argv = r->argv, .output = mask_head_output, .arg = &output, .stop = r->env->stop
	};
	size_t n;
	int status = 0, rc;

	if (remote_connect(r, d, e) < 0)
		return -1;
	for (size_t i = 0; argv[i]; i++) {
		if (i)
			buf_addc(&command, ' ');
		buf_add_shell(&command, str_of(argv[i]));
	}
	n = base_args(r, 0);
	r->argv[n++] = r->o->remote_host;
	r->argv[n++] = buf_cstr(&command);
	r->argv[n] = NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (getenv(names[i]))
			kv_set(&vars, names[i], getenv(names[i]));
	env = kv_to_env(&vars);
	s.env = (const char *const *)env;
	rc = proc_run(&s, deadline_min(d, deadline_in_ms(4 * CONNECT_MS)), &status, e);
	kv_env_free(env);
	kv_free(&vars);
	if (rc == 0 && status != 0) {
		struct str rest = mask_head_text(&output), first = { 0 };

		(void)str_next(&rest, '\n', &first);
		buf_add_printable(&clean, first, false);
		rc = err_set(e, ERR_OTHER, status, "%s", clean.n ? buf_cstr(&clean) : "failed");
	}
	if (rc < 0)
		err_wrap(e, "%s on %s", argv[0], r->o->remote_host);
	buf_free(&command);
	mask_head_free(&output);
	buf_free(&clean);
	return rc;
}
