/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the place of Dropbear's main and option parsing, and of what it asks the system about users: see dr_ssh.h.
 * CMakeLists.txt says which of its calls end here.
 */
#include "includes.h"

#include "agentfwd.h"
#include "algo.h"
#include "auth.h"
#include "buffer.h"
#include "channel.h"
#include "chansession.h"
#include "crypto_desc.h"
#include "curve25519.h"
#include "dbrandom.h"
#include "dbutil.h"
#include "dr_ssh.h"
#include "ed25519.h"
#include "loginrec.h"
#include "runopts.h"
#include "session.h"
#include "signkey.h"

#include <dirent.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/resource.h>

svr_runopts svr_opts;

static const struct dr_ssh *setting;
static pid_t server;
static char *workspace_path;
static struct rlimit files;

/* What stands in for the system. */
struct passwd *dr_ssh_user(const char *name);
char *dr_ssh_shell(void);
void dr_ssh_shells(void);
int dr_ssh_gid(gid_t gid);
int dr_ssh_uid(uid_t uid);
int dr_ssh_groups(const char *user, gid_t gid);
struct group *dr_ssh_group(const char *name);
void dr_ssh_pty_owner(struct passwd *pw, const char *tty);
void dr_ssh_pty_release(const char *tty);
void dr_ssh_pty_nonblock(int fd);
void dr_ssh_address(int fd, char **host, char **port, char **peer, char **peer_port, int lookup);
void dr_ssh_run(const char *cmd, unsigned int maxfd, char *shell);
struct passwd *dr_ssh_by_id(uid_t uid);
int dr_ssh_agentreq(struct ChanSess *c);
int dr_ssh_nameinfo(const struct sockaddr *a, socklen_t n, char *host, socklen_t host_size,
                    char *port, socklen_t port_size, int flags);

struct passwd *dr_ssh_user(const char *name)
{
	static struct passwd pw;

	(void)name;
	pw.pw_name = (char *)setting->user;
	pw.pw_passwd = "!";
	pw.pw_uid = geteuid();
	pw.pw_gid = getegid();
	pw.pw_dir = (char *)setting->home;
	pw.pw_shell = (char *)setting->shell;
	return &pw;
}

struct passwd *dr_ssh_by_id(uid_t uid)
{
	(void)uid;
	return dr_ssh_user(NULL);
}

char *dr_ssh_shell(void)
{
	return (char *)setting->shell;
}

void dr_ssh_shells(void)
{
}

int dr_ssh_gid(gid_t gid)
{
	(void)gid;
	return 0;
}

int dr_ssh_uid(uid_t uid)
{
	(void)uid;
	return 0;
}

int dr_ssh_groups(const char *user, gid_t gid)
{
	(void)user;
	(void)gid;
	return 0;
}

struct group *dr_ssh_group(const char *name)
{
	(void)name;
	return NULL;
}

/* The file system of terminals gives a new one to whoever opened it; its mode is as the mount says. */
void dr_ssh_pty_owner(struct passwd *pw, const char *tty)
{
	(void)pw;
	(void)tty;
}

void dr_ssh_pty_release(const char *tty)
{
	(void)tty;
}

/* There is none, but people's scripts take SSH_CONNECTION apart. */
void dr_ssh_address(int fd, char **host, char **port, char **peer, char **peer_port, int lookup)
{
	char **const hosts[] = { host, peer }, **const ports[] = { port, peer_port };

	(void)fd;
	(void)lookup;
	for (int i = 0; i < 2; i++) {
		if (hosts[i])
			*hosts[i] = m_strdup("127.0.0.1");
		if (ports[i])
			*ports[i] = m_strdup("22");
	}
}

int dr_ssh_agentreq(struct ChanSess *c)
{
	return setting->forward_agent ? svr_agentreq(c) : DROPBEAR_FAILURE;
}

/* In numbers, whatever the flags say. */
int dr_ssh_nameinfo(const struct sockaddr *a, socklen_t n, char *host, socklen_t host_size,
                    char *port, socklen_t port_size, int flags)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
	int is_v6 = a->sa_family == AF_INET6, is_ip = is_v6 || a->sa_family == AF_INET;

	(void)n;
	(void)flags;
	if (host && !is_ip)
		strlcpy(host, "127.0.0.1", host_size);
	else if (host &&
	         !inet_ntop(a->sa_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr,
	                    host, host_size))
		return EAI_FAIL;
	if (port)
		snprintf(port, port_size, "%u",
		         is_ip ? ntohs(is_v6 ? v6->sin6_port : v4->sin_port) : 0);
	return 0;
}

/* The end of a client's input is not the end of its terminal, so each direction has a descriptor of its own. */
void dr_ssh_pty_nonblock(int fd)
{
	setnonblocking(fd);
	for (unsigned int i = 0; i < ses.chansize; i++) {
		struct Channel *c = ses.channels[i];
		int other = c && c->readfd == fd && c->writefd == fd ? fcntl(fd, F_DUPFD_CLOEXEC, 3)
		                                                     : -1;

		if (other >= 0) {
			c->writefd = other;
			ses.maxfd = MAX(ses.maxfd, other);
		}
	}
}

const char *dr_ssh_path(void)
{
	return workspace_path;
}

FILE *dr_ssh_keys(void)
{
	size_t n = strlen(setting->authorized);
	int fd[2];

	/* One line fits into a pipe. */
	if (n > PIPE_BUF || pipe(fd) < 0)
		return NULL;
	if (write(fd[1], setting->authorized, n) != (ssize_t)n)
		n = 0;
	close(fd[1]);
	return fdopen(fd[0], "r");
}

int dr_ssh_stat(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_uid = geteuid();
	return 0;
}

/* There is no record of logins in a workspace. */
struct logininfo *login_alloc_entry(int pid, const char *user, const char *host, const char *line)
{
	(void)pid;
	(void)user;
	(void)host;
	(void)line;
	return NULL;
}

void login_free_entry(struct logininfo *li)
{
	(void)li;
}

void login_login(struct logininfo *li)
{
	(void)li;
}

void login_logout(struct logininfo *li)
{
	(void)li;
}

/* In the process of a command, which has its streams and its environment, and starts in the user's home. */
void dr_ssh_run(const char *cmd, unsigned int maxfd, char *shell)
{
	int sftp = cmd && strcmp(cmd, DR_SSH_SFTP) == 0;

	if (getsid(0) != getpid())
		setpgid(0, 0); /* without a terminal: it can be ended as a whole */
	signal(SIGHUP, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	setrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_SET_PDEATHSIG, SIGHUP, 0, 0, 0);
	if (getppid() != server)
		_exit(1);
	if (chdir(setting->dir) < 0)
		fprintf(stderr, "%s: %s\n", setting->dir, strerror(errno));
	if (sftp && setting->sftp_program) {
		char *args[] = { (char *)setting->sftp_program, NULL };

		run_command(args[0], args, maxfd);
	}
	if (sftp) {
		for (unsigned int fd = 3; fd <= maxfd; fd++)
			close((int)fd);
		_exit(setting->sftp());
	}
	run_shell_command(cmd, maxfd, shell);
	fprintf(stderr, "%s: %s\n", shell, strerror(errno));
	_exit(127);
}

static void log_line(int priority, const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	if (getpid() == server)
		setting->log(priority <= LOG_WARNING, line);
	else
		fprintf(stderr, "%s\n", line);
}

static int get_stream(pid_t pid, int fd, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
	return stat(path, st) == 0 && S_ISFIFO(st->st_mode);
}

/* Has it one of the pipes that are the streams of another? */
static int shares_stream(pid_t pid, pid_t other)
{
	struct stat a, b;

	for (int i = 0; i < 9; i++)
		if (get_stream(pid, i / 3, &a) && get_stream(other, i % 3, &b) &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return 1;
	return 0;
}

/* What was put into the background with streams of its own (`server >log 2>&1 </dev/null &`) is no part of the session any
 * more, as with other servers: an editor finds it again. */
static void hang_up(pid_t shell)
{
	DIR *dir = opendir("/proc");
	struct dirent *ent;

	while (dir && (ent = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)atol(ent->d_name);

		if (pid > 1 && pid != shell && getpgid(pid) == shell && shares_stream(pid, shell))
			kill(pid, SIGHUP);
	}
	if (dir)
		closedir(dir);
	kill(dir ? shell : -shell, SIGHUP);
}

/* A command that runs when the connection is lost has lost its terminal too; without one it learns it here. */
static void end(int status, const char *format, va_list args)
{
	if (getpid() != server) {
		log_line(LOG_ERR, format, args);
		_exit(127);
	}
	for (unsigned int i = 0; i < svr_ses.childpidsize; i++) {
		const struct ChildPid *c = &svr_ses.childpids[i];

		if (c->pid <= 1 || !c->chansess || c->chansess->exit.exitpid != -1)
			continue;
		if (c->chansess->tty)
			kill(-c->pid, SIGHUP);
		else
			hang_up(c->pid);
	}
	svr_dropbear_exit(status, format, args);
}

static void terminate(int sig)
{
	(void)sig;
	ses.exitflag = 1;
}

static void load_host_key(void)
{
	dropbear_ed25519_key *key = m_malloc(sizeof(*key));

	memcpy(key->priv, setting->seed, sizeof(key->priv));
	memcpy(key->pub, setting->public_key, sizeof(key->pub));
	svr_opts.hostkey = new_sign_key();
	svr_opts.hostkey->ed25519key = key;
	addrandom(key->priv, sizeof(key->priv));
}

void dr_ssh_serve(const struct dr_ssh *s)
{
	const char *path = getenv("PATH");
	int fd = s->fd < FD_SETSIZE ? s->fd : fcntl(s->fd, F_DUPFD_CLOEXEC, 3);

	setting = s;
	server = getpid();
	/* select(2) has no room for more; commands have what they had. */
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur > FD_SETSIZE) {
		struct rlimit fewer = { .rlim_cur = FD_SETSIZE, .rlim_max = files.rlim_max };

		setrlimit(RLIMIT_NOFILE, &fewer);
	}
	workspace_path = m_strdup(path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	_dropbear_exit = end;
	_dropbear_log = log_line;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, terminate);
	signal(SIGTERM, terminate);
	signal(SIGINT, terminate);

	svr_opts.maxauthtries = MAX_AUTH_TRIES;
	svr_opts.authorized_keys_dir = "/";
	svr_opts.reexec_childpipe = -1;
	svr_opts.noauthpass = 1;
	svr_opts.pass_on_env = 1;
	opts.recv_window = DEFAULT_RECV_WINDOW;
	opts.disable_ip_tos = 1;
	crypto_init();
	seedrandom();
	load_host_key();
	if (fd < 0)
		dropbear_exit("No descriptor that select takes");
	svr_session(fd, -1);
}

void dr_ssh_new_key(unsigned char *seed, unsigned char *public_key)
{
	seedrandom();
	dropbear_ed25519_make_key(public_key, seed);
}

/* There is one host key, so there is nothing to choose from when keys are exchanged again. */
void disable_sig_except(enum signature_type type)
{
	(void)type;
}
