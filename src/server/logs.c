/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log sockets (protocol 5): writers append to logs/<kind>/<id>/log, readers get its entries. A
 * reader that follows sleeps until a writer of the same log wakes it.
 */
#include "server/srv.h"

#include "api/tunnel.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MAX (32u << 20) /* a log that is larger becomes log.1 */
#define SERVER_LOG_MAX (1u << 20)
#define LINE_MAX_BYTES (1u << 20) /* what no frame may exceed either */
#define QUEUE_GOAL (64u << 10)    /* bytes to one reader under way */
#define CHUNK 16384               /* bytes of a log read at once */
#define CHUNKS_PER_STEP 64        /* by all readers, before others have their turn */
#define STEP_MS 5
#define DELIMITER "!-#_^*|"

static const char empty_entry[] =
	"{\"source\":\"\",\"label\":\"\",\"msg\":\"\",\"level\":\"\",\"time\":\"\"}\n";

struct logsock {
	struct logsock *next;
	struct srv *s;
	struct httpd_req *r;
	char *path;
	char *owner;      /* mark of the key */
	bool follow, raw; /* raw: the server's own log, plain text */
	bool due;         /* there may be more to read */
	int fd;           /* reader: -1 for a writer */
	struct buf line;
	bool skip; /* the rest of an overlong line */
};

static void unlink_sock(struct logsock *l)
{
	struct logsock **at = &l->s->logs;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

static void reader_end(struct logsock *l)
{
	if (l->fd < 0)
		return;
	fd_close(&l->fd);
	l->s->log_readers--;
}

static void sock_closed(struct httpd_req *r, int code)
{
	struct logsock *l = r->user;

	(void)code;
	unlink_sock(l);
	reader_end(l);
	free(l->path);
	free(l->owner);
	buf_free(&l->line);
	free(l);
}

/* How many log sockets one key may have; a runner has one for each job that runs, and its own. */
static size_t share_of(const struct call *c)
{
	return c->key_type == KEY_CLIENT ? SIZE_MAX : c->key_type == KEY_RUNNER ? 512 : 16;
}

/* False: the answer has been sent. */
static bool within_share(struct call *c, const char *owner)
{
	size_t n = 0, share = share_of(c);

	for (const struct logsock *l = c->s->logs; l; l = l->next)
		n += strcmp(l->owner, owner) == 0;
	if (n < share)
		return true;
	reply_error(c, 503, "too many log sockets: this key has %zu open, its limit", share);
	return false;
}

static struct logsock *sock_new(struct call *c, char *path, const struct httpd_ws *ws)
{
	struct logsock *l;
	struct buf fields = { 0 }, owner = { 0 };
	int rc;

	key_mark(c->key, &owner);
	if (!within_share(c, buf_cstr(&owner))) {
		buf_free(&owner);
		return NULL;
	}
	buf_addf(&fields, "X-Server-Version: %s\r\n", c->s->opt.version);
	rc = httpd_upgrade(c->r, ws, buf_cstr(&fields));
	buf_free(&fields);
	if (rc < 0) {
		buf_free(&owner);
		return NULL;
	}
	l = mem_alloc(sizeof(*l));
	l->s = c->s;
	l->r = c->r;
	l->owner = buf_take(&owner);
	l->path = mem_dup(path);
	l->fd = -1;
	l->next = c->s->logs;
	c->s->logs = l;
	c->r->user = l;
	return l;
}

/* The id becomes a directory's name. */
static bool id_ok(const char *id)
{
	return str_is_id(str_of(id)) && id[0] != '.';
}

/* Path of a log, its directory made; NULL when the answer has been sent. Caller frees. */
static char *log_path(struct call *c, enum kind kind, const char *dir)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	/* A log of what never was would be nobody's, and nobody would remove it. */
	if (id_ok(c->param[0]) && !store_find(&c->s->store, kind, "id", c->param[0])) {
		reply_error(c, 404, "failed to open log: %.*s not found", (int)strlen(dir) - 1,
		            dir);
		return NULL;
	}
	if (!id_ok(c->param[0])) {
		reply_error(c, 400,
		            "invalid id: only letters, digits, '.', '-' and '_' are allowed");
		return NULL;
	}
	buf_addf(&b, "%s/logs/%s/%s", c->s->store.dir, dir, c->param[0]);
	if (file_mkdirs(buf_cstr(&b), 0700, &e) < 0) {
		reply_error(c, 500, "failed to open log: %s", e.msg);
		buf_free(&b);
		return NULL;
	}
	buf_adds(&b, "/log");
	return buf_take(&b);
}

void logs_remove(struct srv *s, const char *type, const char *id)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	if (!id_ok(id))
		return;
	buf_addf(&b, "%s/logs/%ss/%s", s->store.dir, type, id);
	if (file_remove_tree(buf_cstr(&b), &e) < 0)
		log_warn("server: %s", e.msg);
	buf_free(&b);
}

/* O_NONBLOCK: what is no file, but a pipe, must not hold the Server up. */
static int open_append(const char *path)
{
	return open(path,
	            O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
	            0600);
}

int log_append(const char *path, struct str bytes, off_t max, struct err *e)
{
	int fd = open_append(path);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= max) {
		struct buf old = { 0 };

		buf_addf(&old, "%s.1", path);
		if (rename(path, buf_cstr(&old)) == 0) {
			close(fd);
			fd = open_append(path);
		}
		buf_free(&old);
		if (fd < 0)
			return err_sys(e, errno, "open %s", path);
	}
	rc = file_write_all(fd, bytes, path, e);
	close(fd);
	return rc;
}

/* Who follows it reads on when the loop comes to it. */
static void notify(struct srv *s, const char *path)
{
	for (struct logsock *l = s->logs; l; l = l->next)
		if (l->fd >= 0 && l->follow && strcmp(l->path, path) == 0)
			l->due = true;
}

/* Its key was deleted: then nothing more passes. */
static bool part(struct logsock *l)
{
	if (key_lasts(l->s, l->owner))
		return false;
	reader_end(l);
	httpd_ws_close_with(l->r, TUNNEL_CLOSE_REVOKED, "the API key that opened it was deleted");
	return true;
}

static void writer_message(struct httpd_req *r, enum ws_opcode op, struct str payload)
{
	struct logsock *l = r->user;
	struct err e = { 0 };

	(void)op;
	if (part(l))
		return;
	if (log_append(l->path, payload, LOG_MAX, &e) < 0) {
		log_warn("server: %s", e.msg);
		httpd_ws_close(r, 1011);
	}
	notify(l->s, l->path);
}

static void logs_open_write(struct call *c, enum kind kind, const char *dir)
{
	/* The reference says "internal error" to a writer that just leaves. */
	static const struct httpd_ws ws = { .message = writer_message,
		                            .closed = sock_closed,
		                            .eof_code = 1011 };
	char *path = log_path(c, kind, dir);
	struct err e = { 0 };

	if (!path)
		return;
	if (log_append(path, (struct str){ NULL, 0 }, LOG_MAX, &e) < 0)
		reply_error(c, 500, "failed to get log writer: %s", e.msg);
	else
		sock_new(c, path, &ws);
	free(path);
}

/* One entry in the reference's form; what is no entry becomes an empty one. */
static void entry_of(struct buf *b, struct str line)
{
	static const char *const names[] = { "source", "label", "msg", "level", "time" };
	struct err e = { 0 };
	struct json_doc *doc;

	if (str_ends(line, DELIMITER))
		line.n -= sizeof(DELIMITER) - 1;
	doc = json_parse(line, LINE_MAX_BYTES, &e);
	if (!json_is_object(json_root(doc))) {
		buf_adds(b, empty_entry);
	} else {
		jw_obj(b);
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			char *text = json_dup_or_empty(json_get(json_root(doc), names[i]));

			jw_kstr(b, names[i], text);
			free(text);
		}
		jw_obj_end(b);
		buf_addc(b, '\n');
	}
	json_doc_free(doc);
}

static void send_line(struct logsock *l)
{
	struct buf b = { 0 };

	if (l->raw) {
		buf_add_str(&b, buf_str(&l->line));
		buf_addc(&b, '\n');
	} else {
		entry_of(&b, buf_str(&l->line));
	}
	httpd_ws_send(l->r, WS_TEXT, buf_str(&b));
	buf_free(&b);
	buf_reset(&l->line);
}

static void take(struct logsock *l, struct str bytes)
{
	while (bytes.n) {
		const char *lf = memchr(bytes.p, '\n', bytes.n);
		size_t n = lf ? (size_t)(lf - bytes.p) : bytes.n;

		if (!l->skip && l->line.n + n > LINE_MAX_BYTES / 2) {
			/* Too long for a frame: an empty entry stands for it. */
			buf_reset(&l->line);
			l->skip = true;
		}
		if (!l->skip)
			buf_add(&l->line, bytes.p, n);
		if (lf) {
			send_line(l);
			l->skip = false;
			n++;
		}
		bytes.p += n;
		bytes.n -= n;
	}
}

/* The log was rotated: the new file begins. */
static bool reopened(struct logsock *l)
{
	struct stat mine, there;
	int fd;

	if (fstat(l->fd, &mine) < 0 || stat(l->path, &there) < 0 ||
	    (mine.st_ino == there.st_ino && mine.st_dev == there.st_dev))
		return false;
	fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	fd_close(&l->fd);
	l->fd = fd;
	return true;
}

/* At the end of a log that is not followed: the marker, and a clean close. */
static void finish(struct logsock *l, int code)
{
	if (code == 1000 && (l->line.n || l->skip))
		send_line(l);
	if (!l->raw)
		httpd_ws_send(l->r, WS_TEXT, STR_LIT(empty_entry));
	httpd_ws_close(l->r, code);
	reader_end(l);
}

/* Sends one piece of what there is, unless the reader has enough under way. */
static void pump(struct logsock *l)
{
	char chunk[CHUNK];
	ssize_t n;

	l->due = false;
	if (l->fd < 0 || httpd_ws_queued(l->r) >= QUEUE_GOAL || part(l))
		return;
	n = read(l->fd, chunk, sizeof(chunk));
	l->due = n > 0 || (n < 0 && errno == EINTR);
	if (n > 0)
		take(l, (struct str){ chunk, (size_t)n });
	else if (n < 0 && errno != EINTR)
		finish(l, 1011);
	else if (n == 0 && !l->follow)
		finish(l, 1000);
	else if (n == 0)
		l->due = reopened(l);
}

static void reader_drained(struct httpd_req *r)
{
	struct logsock *l = r->user;

	l->due = true;
}

static struct logsock *first_due(struct srv *s)
{
	struct logsock *l = s->logs;

	while (l && !l->due)
		l = l->next;
	return l;
}

void logs_poll(struct srv *s, struct pollset *ps)
{
	if (first_due(s))
		pollset_until(ps, DEADLINE_PAST);
}

void logs_part(struct srv *s)
{
	for (struct logsock *l = s->logs; l; l = l->next) {
		if (l->fd < 0)
			httpd_ws_close_hearing(l->r, WS_CLOSE_RESTART);
		else
			httpd_ws_close(l->r, WS_CLOSE_RESTART);
		reader_end(l);
	}
}

/* A piece for each in turn, so that neither a long log nor many readers keep the others waiting. */
void logs_step(struct srv *s)
{
	struct deadline enough = deadline_in_ms(STEP_MS);
	struct logsock *l;

	for (int i = 0; i < CHUNKS_PER_STEP && (l = first_due(s)) != NULL; i++) {
		struct logsock **end = &s->logs;

		pump(l);
		unlink_sock(l);
		while (*end)
			end = &(*end)->next;
		l->next = NULL;
		*end = l;
		if (deadline_passed(enough))
			return;
	}
}

static void open_read(struct call *c, char *path, bool raw)
{
	/* 1011 also for a reader that left first. */
	static const struct httpd_ws ws = { .drained = reader_drained,
		                            .closed = sock_closed,
		                            .eof_code = 1011 };
	struct logsock *l;

	if (c->s->log_readers >= c->s->opt.max_log_readers) {
		reply_error(c, 503, "too many logs are being read: %zu, the limit",
		            c->s->log_readers);
		return;
	}
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		reply_error(c, 500, "failed to open log: %s", strerror(errno));
		return;
	}
	l = sock_new(c, path, &ws);
	if (!l) {
		close(fd);
		return;
	}
	l->fd = fd;
	c->s->log_readers++;
	l->follow = call_query_true(c, "follow");
	l->raw = raw;
	l->due = true;
}

static void logs_open_read(struct call *c, enum kind kind, const char *dir)
{
	char *path = log_path(c, kind, dir);

	if (path)
		open_read(c, path, false);
	free(path);
}

void h_log_server(struct call *c)
{
	struct buf file = { 0 };
	char *path = store_path(&c->s->store, "server.log");

	if (call_query(c, "file", &file) && file.n && !str_eq(buf_str(&file), "server.log") &&
	    !str_eq(buf_str(&file), path))
		reply_error(c, 404, "log file not found");
	else
		open_read(c, path, true);
	buf_free(&file);
	free(path);
}

void logs_append_server(struct srv *s, struct str line)
{
	char *path = store_path(&s->store, "server.log");
	struct buf text = { 0 };
	struct err ignored = { 0 };
	char stamp[TIME_TEXT_SIZE];

	time_rfc3339(clock_wall_ms(), false, false, stamp);
	buf_addf(&text, "%s %.*s\n", stamp, STR_ARG(line));
	/* A log that cannot be written must not be logged about. */
	if (log_append(path, buf_str(&text), SERVER_LOG_MAX, &ignored) == 0)
		notify(s, path);
	buf_free(&text);
	free(path);
}

#define LOG_HANDLERS(name, kind, dir) \
	void h_log_##name(struct call *c) \
	{ \
		logs_open_read(c, kind, dir); \
	} \
	void h_log_##name##_write(struct call *c) \
	{ \
		logs_open_write(c, kind, dir); \
	}
LOG_HANDLERS(runner, K_RUNNER, "runners")
LOG_HANDLERS(workspace, K_WORKSPACE, "workspaces")
LOG_HANDLERS(target, K_TARGET, "targets")
LOG_HANDLERS(build, K_BUILD, "builds")
