/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `server` applet: a small Daytona-compatible Server for one machine and small teams (quick
 * start, networks without internet access, tests). What it serves is below server/.
 */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/server_backup.h"
#include "applets/server_handover.h"
#include "applets/server_key.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opts.h"
#include "net/url.h"
#include "server/audit.h"
#include "server/git.h"
#include "server/srv.h"
#include "server/sums.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CONNS_MAX 8192 /* each runner holds two or three */
#define CONNS_MIN 16
#define UNKNOWN_MAX 256 /* of these without a key; with TLS each may hold 40 KiB */
#define FDS_RESERVED 64 /* for the store, listeners, signals, whatever is opened and closed */
#define SILENT_MS 5000
#define UNKNOWN_IDLE_MS 15000

struct options {
	char addr[64];
	uint16_t port;
	const char *listen, *data, *cert, *key, *public_url, *key_file, *port_file, *version, *frps,
		*unix_path;
	const char *access_log;
	int64_t poll_s;
	bool allow_http, reference_keys;
	const char **argv; /* for the next process: see handover_give */
};

static bool is_any(const char *addr)
{
	return !addr[0] || strcmp(addr, "*") == 0 || strcmp(addr, "0.0.0.0") == 0 ||
	       strcmp(addr, "::") == 0;
}

/* "ADDR:PORT", "[ADDR]:PORT" or "PORT". */
static int parse_listen(struct options *o, struct err *e)
{
	const char *colon = strrchr(o->listen, ':');
	struct str host = { o->listen, colon ? (size_t)(colon - o->listen) : 0 };
	unsigned char binary[16];
	bool loopback;
	int64_t n;

	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct str){ host.p + 1, host.n - 2 };
	snprintf(o->addr, sizeof(o->addr), "%.*s", STR_ARG(host));
	if (!colon)
		snprintf(o->addr, sizeof(o->addr), "127.0.0.1");
	if (!str_to_i64(str_of(colon ? colon + 1 : o->listen), 0, 65535, &n) ||
	    (!is_any(o->addr) && inet_pton(AF_INET, o->addr, binary) != 1 &&
	     inet_pton(AF_INET6, o->addr, binary) != 1))
		return err_set(e, ERR_USAGE, 0,
		               "--listen \"%s\": give an IP address and a port, such as "
		               "127.0.0.1:3986",
		               o->listen);
	o->port = (uint16_t)n;
	loopback = strncmp(o->addr, "127.", 4) == 0 || strcmp(o->addr, "::1") == 0;
	if (!o->cert && !loopback && !o->allow_http)
		return err_set(
			e, ERR_USAGE, 0,
			"keys would cross the network unencrypted on %s; give --tls-cert and "
			"--tls-key, or --allow-http",
			o->listen);
	return 0;
}

/* A key file that is there although the store has no client key: the key's record may have been
 * set aside. Its text stays readable for whoever repairs that. */
static int keep_old_key(const char *path, struct err *e)
{
	struct buf to = { 0 };
	int rc = 0;

	for (unsigned i = 1; file_exists(path) && (!to.n || file_exists(buf_cstr(&to))); i++) {
		buf_reset(&to);
		buf_addf(&to, "%s.bad-%u", path, i);
	}
	if (to.n && rename(path, buf_cstr(&to)) < 0)
		rc = err_sys(e, errno, "rename %s", path);
	else if (to.n)
		log_warn("server: no client key is stored, another one is made; %s is kept as %s",
		         path, buf_cstr(&to));
	buf_free(&to);
	return rc;
}

/* The first client key, made when the store has none: in a file that only the owner reads. */
static int first_key(struct srv *s, const char *key_file, struct err *e)
{
	char *path = key_file ? mem_dup(key_file) : store_path(&s->store, CLIENT_KEY_FILE);
	char key[API_KEY_SIZE + 1];
	int rc = 0;

	if (!store_find(&s->store, K_KEY, "type", "client")) {
		struct change *ch = change_begin(&s->store);

		rc = keep_old_key(path, e);
		if (rc == 0)
			rc = key_add(s, ch, "client", "default", key, e);
		if (rc == 0) {
			/* The file first: a key that is stored and that nobody has seen is lost. */
			key[API_KEY_SIZE - 1] = '\n';
			rc = file_replace(path, 0600, (struct str){ key, API_KEY_SIZE }, e);
			mem_wipe(key, sizeof(key));
		}
		if (rc == 0)
			rc = change_commit(ch, e);
		else
			change_drop(ch);
		if (rc == 0)
			log_info("server: the client API key is in %s", path);
	}
	free(path);
	return rc;
}

static void add_url(struct buf *b, const struct srv *s, const struct options *o)
{
	const char *host = is_any(o->addr) ? "127.0.0.1" : o->addr;
	bool v6 = strchr(host, ':') != NULL;

	buf_addf(b, "http%s://%s%s%s:%u", s->tls ? "s" : "", v6 ? "[" : "", host, v6 ? "]" : "",
	         (unsigned)httpd_port(s->httpd));
}

/* The address, for whoever waits for it: on stdout, in --port-file, and for our own subcommands. */
static int announce(struct srv *s, const struct options *o, bool again, struct err *e)
{
	struct buf url = { 0 }, port = { 0 };
	int rc;

	add_url(&url, s, o);
	buf_addc(&url, '\n');
	buf_addf(&port, "%u\n", (unsigned)httpd_port(s->httpd));
	rc = store_note(&s->store, buf_str(&url), e);
	if (rc == 0 && o->port_file)
		rc = file_replace(o->port_file, 0644, buf_str(&port), e);
	if (rc == 0 && !again &&
	    (printf("listening on %s", buf_cstr(&url)) < 0 || fflush(stdout) < 0))
		rc = err_sys(e, errno, "write to standard output");
	buf_free(&url);
	buf_free(&port);
	return rc;
}

/* What a person does next. Whoever is no person reads the first line alone. */
static void advise(const struct srv *s, const struct options *o)
{
	struct buf b = { 0 }, line = { 0 }, join = { 0 };
	char *file = o->key_file ? mem_dup(o->key_file) : store_path(&s->store, CLIENT_KEY_FILE);
	struct err ignored = { 0 };

	buf_adds(&join, "daytona-runner server join");
	if (o->data) {
		buf_adds(&join, " --data ");
		buf_add_shell(&join, str_of(o->data));
	}
	if (o->key_file) {
		buf_adds(&join, " --key-file ");
		buf_add_shell(&join, str_of(o->key_file));
	}

	if (o->public_url)
		buf_adds(&line, o->public_url);
	else
		add_url(&line, s, o);
	buf_addf(&b,
	         "A runner on this host: %s | daytona-runner configure -\n"
	         "On another one: daytona-runner configure TOKEN, which the first half prints\n"
	         "In a browser: %s/ with the key in %s\n",
	         buf_cstr(&join), buf_cstr(&line), file);
	file_write_all(STDOUT_FILENO, buf_str(&b), "standard output", &ignored);
	buf_free(&b);
	buf_free(&line);
	buf_free(&join);
	free(file);
}

static int tls_load(struct tls_ctx **tls, const struct options *o, struct err *e)
{
	struct tls_settings ts = { .server_cert = o->cert, .server_key = o->key };

	return tls_ctx_new(tls, &ts, true, e);
}

/* SIGHUP: the files are read again. What was loaded serves on when they are of no use. */
static void tls_reload(struct srv *s, const struct options *o, struct tls_ctx **tls)
{
	struct tls_ctx *fresh;
	struct err e = { 0 };

	if (!*tls)
		return;
	if (tls_load(&fresh, o, &e) < 0) {
		log_warn("server: %s; the certificate that was loaded before stays in use", e.msg);
		return;
	}
	httpd_set_tls(s->httpd, fresh);
	tls_ctx_free(*tls);
	*tls = fresh;
	log_info("server: new connections get the certificate that is in %s now", o->cert);
}

/* False when it is time to end. */
static bool signals_step(int fd, struct srv *s, const struct options *o, struct tls_ctx **tls)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGHUP)
			return false;
		tls_reload(s, o, tls);
	}
	return true;
}

static int loop(struct srv *s, int sig, const struct options *o, struct tls_ctx **tls,
                struct err *e)
{
	struct pollset ps = { 0 };
	bool signal = true; /* may have come */
	int rc = 0;

	while (rc == 0 && (!signal || signals_step(sig, s, o, tls))) {
		pollset_reset(&ps);
		pollset_add(&ps, sig, POLLIN);
		httpd_poll(s->httpd, &ps);
		jobs_poll(s, &ps);
		sums_poll(s, &ps);
		logs_poll(s, &ps);
		browse_poll(s, &ps);
		if (s->restarting)
			pollset_until(&ps, s->restart_by);
		rc = pollset_wait(&ps, e);
		signal = ps.fds[0].revents;
		httpd_step(s->httpd, &ps);
		jobs_step(s);
		sums_step(s);
		logs_step(s);
		browse_step(s);
		if (s->restarting && restart_ready(s))
			break;
	}
	pollset_free(&ps);
	return rc;
}

static void server_log_line(void *arg, enum log_level level, struct str line)
{
	struct srv *s = arg;

	(void)level;
	if (s->store.dir)
		logs_append_server(s, line);
}

/* How many descriptors we may have, as many as it takes if the system lets us. */
static size_t raise_fd_limit(void)
{
	const rlim_t want = FDS_RESERVED + CONNS_MAX / 4 * 5;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 0;
	if (r.rlim_cur < want) {
		r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
		prlimit(0, RLIMIT_NOFILE, &r, NULL);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur < want ? (size_t)r.rlim_cur : (size_t)want;
}

/*
 * Descriptors are shared out beforehand, so that there is always one to save a record with: of five,
 * four are for connections, a half each for files being sent and logs being read.
 */
static void share_out(struct httpd_settings *hs, struct srv_options *o)
{
	size_t fds = raise_fd_limit();
	size_t conns = fds > FDS_RESERVED ? (fds - FDS_RESERVED) / 5 * 4 : 0;

	if (conns < CONNS_MIN)
		conns = CONNS_MIN;
	hs->max_conns = conns;
	hs->max_unknown = conns / 4 < UNKNOWN_MAX ? conns / 4 : UNKNOWN_MAX;
	hs->max_ws = conns / 2;
	hs->max_files = conns / 8;
	o->max_log_readers = conns / 8;
	if (conns < 3000)
		log_info("server: the limit of open files (ulimit -n) is %zu: at most %zu "
		         "connections, enough for about %zu runners",
		         fds, conns, conns / 3);
}

/* Till a signal, and through restarts that did not succeed. */
static int work(struct srv *s, int sig, const char *data, const struct options *o,
                struct tls_ctx **tls, struct err *e)
{
	struct err why = { 0 };
	int rc, lock;

	while ((rc = loop(s, sig, o, tls, e)) == 0 && s->restarting) {
		lock = store_keep_lock(&s->store, e);
		if (lock < 0)
			return -1;
		srv_close(s);
		handover_give(s, lock, o->argv, &why);
		s->store.lock_fd = lock;
		if (srv_open(s, data, e) < 0)
			return -1;
		log_warn("server: not restarted: %s", why.msg);
		restart_answer(s, why.msg);
		httpd_resume(s->httpd);
		err_clear(&why);
	}
	return rc;
}

static int serve(const struct options *o, const char *data, struct tls_ctx **tls, struct err *e)
{
	struct srv s = {
		.opt = {
			.version = o->version,
			.public_url = o->public_url,
			.frps_domain = o->frps,
			.access_log = o->access_log,
			.poll_ms = o->poll_s * 1000,
			.allow_http = o->allow_http,
			.reference_keys = o->reference_keys,
		},
		.tls = *tls != NULL,
		.start_ms = clock_mono_ms(),
	};
	struct httpd_settings hs = {
		.request = srv_request,
		.admit = srv_admit,
		.done = o->access_log ? access_done : NULL,
		.arg = &s,
		.max_body = JSON_BODY_MAX,
		.ws_protocol = SRV_WS_PROTOCOL,
		.silent_ms = SILENT_MS,
		.unknown_idle_ms = UNKNOWN_IDLE_MS,
		.ws_queue_max = 2u << 20,
	};
	struct handover before;
	int rc, sig = -1;

	if (!handover_take(&before))
		return err_set(e, ERR_USAGE, 0,
		               "the descriptors of the process before are missing");
	s.store.lock_fd = before.trial ? -1 : before.fds[0];
	hs.inherited = before.fds + 1;
	hs.n_inherited = before.n ? before.n - 1 : 0;
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is the error of one write, not our end */
	log_set_sink(server_log_line, &s); /* what the store sets aside is said there, too */
	if (srv_open(&s, data, e) < 0) {
		log_set_sink(NULL, NULL);
		return -1;
	}
	share_out(&hs, &s.opt);
	s.sums = sums_new();
	s.httpd = httpd_new(&hs);
	rc = o->access_log ? access_check(o->access_log, e) : 0;
	if (rc == 0)
		rc = srv_config_load(&s, e);
	if (rc == 0)
		rc = first_key(&s, o->key_file, e);
	if (before.trial)
		goto out;
	if (rc == 0)
		rc = httpd_listen(s.httpd, o->addr, o->port, *tls, e);
	if (rc == 0 && o->unix_path)
		rc = httpd_listen_unix(s.httpd, o->unix_path, e);
	/* Whoever has read the announcement may end us. */
	if (rc == 0 && (sig = cli_signals(e)) < 0)
		rc = -1;
	if (rc == 0)
		rc = announce(&s, o, before.n > 0, e);
	if (rc == 0 && !before.n)
		advise(&s, o);
	if (rc == 0 && o->reference_keys)
		log_warn("server: --reference-keys: every key, a workspace's too, may do nearly "
		         "everything, such as make client keys and read git tokens");
	if (rc == 0)
		rc = work(&s, sig, data, o, tls, e);
out:
	fd_close(&sig);
	httpd_free(s.httpd);
	browse_end(&s);
	log_set_sink(NULL, NULL);
	srv_close(&s);
	buf_free(&s.config);
	free(s.id);
	sums_free(s.sums);
	return rc;
}

/* *out: the URL without what paths cannot be appended to; NULL for NULL. */
static int check_url(const char *text, char **out, struct err *e)
{
	struct url u = { 0 };
	struct buf b = { 0 };

	if (!text)
		return 0;
	if (url_parse(str_of(text), &u, e) < 0)
		return err_wrap(e, "--public-url");
	if (strcmp(u.scheme, "http") != 0 && strcmp(u.scheme, "https") != 0) {
		url_free(&u);
		return err_set(e, ERR_USAGE, 0,
		               "--public-url \"%s\": only http:// and https:// work", text);
	}
	url_origin(&u, &b);
	buf_adds(&b, u.path);
	url_free(&u);
	*out = buf_take(&b);
	return 0;
}

static int run_server(int argc, char **argv)
{
	static const char usage[] =
		"server [--listen ADDR:PORT] [--data DIR] [OPTION]…\n"
		"A small Daytona-compatible Server for one machine and small teams; for more, run "
		"the real one. `daytona-runner server key [--data DIR] create NAME` makes another "
		"client API key (also `list`, `delete NAME`), `server join` a token that registers one runner, `server backup [--data DIR] FILE` "
		"copies the store while it runs, `server restore [--data DIR] FILE` brings it back; `server restart` puts a new "
		"process in its place.";
	struct options o = { .listen = "127.0.0.1:3986", .version = "v0.53.0", .poll_s = 60 };
	struct tls_ctx *tls = NULL;
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR('l', "listen", "ADDR:PORT", &o.listen,
		        "where to listen (127.0.0.1:3986; port 0: any)"),
		OPT_STR(0, "listen-unix", "PATH", &o.unix_path, "listen on a Unix socket, too"),
		OPT_STR('d', "data", "DIR", &o.data, "directory of the store"),
		OPT_STR(0, "tls-cert", "FILE", &o.cert, "certificate chain, PEM"),
		OPT_STR(0, "tls-key", "FILE", &o.key, "its private key, PEM"),
		OPT_FLAG(0, "allow-http", &o.allow_http,
		         "plain http beyond this machine, from others and to git hosts"),
		OPT_STR(0, "public-url", "URL", &o.public_url,
		        "how runners and workspaces reach this server"),
		OPT_STR(0, "frps-domain", "NAME", &o.frps,
		        "domain that the reference's programs need: they use api-<id>.NAME"),
		OPT_STR(0, "key-file", "FILE", &o.key_file,
		        "where the first client key is written"),
		OPT_STR(0, "port-file", "FILE", &o.port_file, "write the port there when ready"),
		OPT_STR(0, "access-log", "FILE", &o.access_log,
		        "a line for each request; \"-\": standard error"),
		OPT_INT(0, "poll-seconds", "N", &o.poll_s, 1, 600,
		        "length of an empty long poll (60)"),
		OPT_FLAG(0, "reference-keys", &o.reference_keys,
		         "any key may do what the reference lets it"),
		OPT_STR(0, "version-text", "TEXT", &o.version,
		        "version that answers carry (v0.53.0)"),
		OPT_END,
	};

	if (argc > 1 && strcmp(argv[1], "restart") == 0)
		return server_restart(argc - 1, argv + 1);
	if (argc > 1 && (strcmp(argv[1], "key") == 0 || strcmp(argv[1], "join") == 0))
		return server_key(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "backup") == 0)
		return server_backup(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "restore") == 0)
		return server_restore(argc - 1, argv + 1);
	o.argv = mem_array((size_t)argc + 2, sizeof(*o.argv));
	o.argv[1] = "server";
	for (int i = 1; i < argc; i++)
		o.argv[i + 1] = argv[i];
	opts_parse(opts, usage, argc, argv, 0, 0);
	if (!o.cert != !o.key)
		opts_misuse(usage, "--tls-cert and --tls-key go together");
	if (o.version[strcspn(o.version, "\r\n")])
		opts_misuse(usage, "--version-text has a line break");
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e), *public_url = NULL;
	int rc = data ? parse_listen(&o, &e) : -1;

	if (rc == 0)
		rc = check_url(o.public_url, &public_url, &e);

	o.public_url = public_url;
	if (rc == 0 && o.cert)
		rc = tls_load(&tls, &o, &e);
	if (rc == 0)
		rc = serve(&o, data, &tls, &e);
	tls_ctx_free(tls);
	free(data);
	free(public_url);
	free(o.argv);
	return rc < 0 ? applet_fail("server", &e) : 0;
}

const struct applet server_applet = {
	.name = "server",
	.summary = "a small Daytona-compatible Server",
	.run = run_server,
};
