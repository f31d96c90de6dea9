/* SPDX-License-Identifier: Apache-2.0 */
/* The calls about sessions, in the process that has them. See sessions.h. */
#include "agent/toolbox/sessions.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TYPE_JSON "application/json; charset=utf-8"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define BODY_MAX (1u << 20)
#define FRAME 32768
#define QUEUE_MAX 65536
#define CUT_TEXT "\n[more than 1 MiB: the rest is in the command's log]\n"

static void fail(struct httpd_req *r, int status, const char *text)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "error", text);
	jw_obj_end(&b);
	httpd_respond(r, status, TYPE_TEXT, NULL, buf_str(&b));
	buf_free(&b);
}

static void answer_json(struct httpd_req *r, int status, struct buf *b)
{
	httpd_respond(r, status, TYPE_JSON, NULL, buf_str(b));
	buf_free(b);
}

static void add_command(struct buf *b, const struct command *c)
{
	jw_obj(b);
	jw_kstr(b, "id", c->id);
	jw_key(b, "command");
	jw_str(b, buf_str(&c->shown));
	if (c->state == COMMAND_ENDED)
		jw_kint(b, "exitCode", c->code);
	jw_obj_end(b);
}

static void add_session(struct buf *b, const struct session *s)
{
	jw_obj(b);
	jw_kstr(b, "sessionId", s->id);
	jw_key(b, "commands");
	jw_arr(b);
	for (const struct command *c = s->commands; c; c = c->next)
		add_command(b, c);
	jw_arr_end(b);
	jw_obj_end(b);
}

/* The beginning of a command's log. */
static void add_output(struct buf *b, const struct command *c)
{
	struct buf path = { 0 };
	int fd;

	command_log_path(c, &path);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && b->n < SESSION_ANSWER_MAX) {
		ssize_t n = read(fd, buf_reserve(b, FRAME), FRAME);

		if (n <= 0)
			break;
		b->n += (size_t)n;
	}
	fd_close(&fd);
	buf_free(&path);
	if (b->n < SESSION_ANSWER_MAX)
		return;
	buf_cut(b, SESSION_ANSWER_MAX);
	buf_adds(b, CUT_TEXT);
}

void command_answer(struct command *c)
{
	struct buf b = { 0 }, output = { 0 };
	struct httpd_req *r = c->asker;

	if (!r)
		return;
	c->asker = NULL;
	if (c->code < 0) {
		fail(r, 400, "the session ended before the command ran");
		return;
	}
	add_output(&output, c);
	jw_obj(&b);
	jw_kstr(&b, "cmdId", c->id);
	jw_key(&b, "output");
	jw_str(&b, buf_str(&output));
	jw_kint(&b, "exitCode", c->code);
	jw_obj_end(&b);
	answer_json(r, 200, &b);
	buf_free(&output);
}

static void asker_gone(struct httpd_req *r)
{
	struct command *c = r->user;

	c->asker = NULL; /* the command goes on */
}

static struct session **find(struct sessions *all, struct str id)
{
	struct session **at = &all->list;

	while (*at && !str_eq(id, (*at)->id))
		at = &(*at)->next;
	return at;
}

static struct command *find_command(const struct session *s, struct str id)
{
	struct command *c = s->commands;

	while (c && !str_eq(id, c->id))
		c = c->next;
	return c;
}

static void list(struct sessions *all, struct httpd_req *r)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct session *s = all->list; s; s = s->next)
		add_session(&b, s);
	jw_arr_end(&b);
	answer_json(r, 200, &b);
}

/* An id is what paths and lists can show. */
static const char *id_fault(const char *id)
{
	if (!id || !id[0])
		return "sessionId is required";
	if (strlen(id) > SESSION_ID_MAX)
		return "sessionId is longer than 128 bytes";
	for (const char *p = id; *p; p++)
		if ((unsigned char)*p < ' ' || *p == '/' || *p == 0x7f)
			return "sessionId has a slash or a control character";
	return NULL;
}

static void create(struct sessions *all, struct httpd_req *r, struct json root)
{
	char *id = json_dup(json_get(root, "sessionId"));
	const char *fault = id_fault(id);
	struct session *s;
	struct err e = { 0 };

	if (fault) {
		fail(r, 400, fault);
	} else if (*find(all, str_of(id))) {
		fail(r, 409, "session already exists");
	} else if (all->n >= SESSIONS_MAX) {
		fail(r, 400, "there are 32 sessions; delete one first");
	} else if (!(s = session_new(all, id, &e))) {
		fail(r, 500, e.msg);
	} else {
		s->next = all->list;
		all->list = s;
		all->n++;
		httpd_respond(r, 201, NULL, NULL, (struct str){ NULL, 0 });
	}
	free(id);
}

static void execute(struct session *s, struct httpd_req *r, struct json root)
{
	char *text = json_dup(json_get(root, "command"));
	bool async = json_bool(json_get(root, "async"), false) ||
	             json_bool(json_get(root, "runAsync"), false);
	struct err e = { 0 };
	struct command *c = NULL;

	if (!text || !text[0])
		fail(r, 400, "command is required");
	else if (!(c = session_add(s, str_of(text), &e)))
		fail(r, e.kind == ERR_LIMIT || e.kind == ERR_CLOSED ? 400 : 500, e.msg);
	free(text);
	if (!c)
		return;
	if (async) {
		struct buf b = { 0 };

		jw_obj(&b);
		jw_kstr(&b, "cmdId", c->id);
		jw_obj_end(&b);
		answer_json(r, 202, &b);
	} else {
		c->asker = r;
		r->user = c;
		r->gone = asker_gone;
	}
	session_step(s, NULL); /* it may begin at once */
}

static void delete (struct sessions *all, struct session **at, struct httpd_req *r)
{
	struct session *s = *at;

	*at = s->next;
	all->n--;
	session_free(s);
	httpd_respond(r, 204, NULL, NULL, (struct str){ NULL, 0 });
}

/* Whole characters of text alone may be in a text frame: the rest waits, or is shown as one that is none. */
static size_t add_text(struct buf *b, struct str s, bool last)
{
	size_t i = 0;

	while (i < s.n) {
		int n = str_utf8_len(s.p + i, s.n - i);

		if (n < 0 && !last)
			break;
		if (n > 0)
			buf_add(b, s.p + i, (size_t)n);
		else
			buf_adds(b, "\xef\xbf\xbd");
		i += n > 0 ? (size_t)n : 1;
	}
	return i;
}

/* What has come since, as far as the peer takes it; the end when the command's output has ended. */
void follower_step(struct follower *f)
{
	const struct command *c = f->command;
	bool over = !c || (c->state == COMMAND_ENDED && c->out < 0);
	char chunk[FRAME];

	if (!f->r)
		return;
	while (httpd_ws_queued(f->r) < QUEUE_MAX) {
		ssize_t n = pread(f->fd, chunk, sizeof(chunk), (off_t)f->at);
		struct buf text = { 0 };
		size_t used;

		if (n <= 0) {
			if (over)
				httpd_ws_close(f->r, WS_CLOSE_NORMAL);
			return;
		}
		used = add_text(&text, (struct str){ chunk, (size_t)n },
		                over && (size_t)n < sizeof(chunk));
		if (!used || !httpd_ws_send(f->r, WS_TEXT, buf_str(&text))) {
			buf_free(&text);
			return;
		}
		f->at += used;
		buf_free(&text);
	}
}

static void follower_drained(struct httpd_req *r)
{
	follower_step(r->user);
}

static void follower_closed(struct httpd_req *r, int code)
{
	struct follower *f = r->user;

	(void)code;
	f->r = NULL; /* the loop frees it: it may be in the middle of the list */
	fd_close(&f->fd);
}

void followers_forget(struct sessions *all, const struct command *c)
{
	for (struct follower *f = all->followers; f; f = f->next)
		if (f->command == c)
			f->command = NULL;
}

static void logs(struct sessions *all, struct command *c, struct httpd_req *r)
{
	static const struct httpd_ws ws = { .drained = follower_drained,
		                            .closed = follower_closed,
		                            .eof_code = WS_CLOSE_NORMAL };
	struct buf path = { 0 };
	struct stat st;
	int fd;

	command_log_path(c, &path);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC);
	buf_free(&path);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fd_close(&fd);
		fail(r, 404, "log file not found");
	} else if (!http_head_websocket(r->head)) {
		httpd_respond_file(r, 200, TYPE_TEXT, NULL, fd, (uint64_t)st.st_size);
	} else if (httpd_upgrade(r, &ws, NULL) < 0) {
		fd_close(&fd);
	} else {
		struct follower *f = mem_alloc(sizeof(*f));

		*f = (struct follower){ .next = all->followers, .r = r, .command = c, .fd = fd };
		all->followers = f;
		r->user = f;
	}
}

static void of_command(struct sessions *all, struct session *s, struct httpd_req *r, struct str id,
                       struct str word)
{
	struct command *c = find_command(s, id);
	struct buf b = { 0 };

	if (!c) {
		fail(r, 404, "command not found");
	} else if (word.n) {
		logs(all, c, r);
	} else {
		add_command(&b, c);
		answer_json(r, 200, &b);
	}
}

static void of_session(struct sessions *all, struct session **at, struct httpd_req *r,
                       const struct str part[4], struct json root)
{
	bool get = str_eq(r->method, "GET"), post = str_eq(r->method, "POST");
	bool command = str_eq(part[1], "command") && part[2].n;
	struct buf b = { 0 };

	if (get && !part[1].n) {
		add_session(&b, *at);
		answer_json(r, 200, &b);
	} else if (str_eq(r->method, "DELETE") && !part[1].n) {
		delete (all, at, r);
	} else if (post && str_eq(part[1], "exec") && !part[2].n) {
		execute(*at, r, root);
	} else if (get && command && (!part[3].n || str_eq(part[3], "logs"))) {
		of_command(all, *at, r, part[2], part[3]);
	} else {
		httpd_respond(r, 404, "text/plain", NULL, STR_LIT("404 page not found"));
	}
}

/* "/process/session/ID/command/ID/logs": what follows "session", in four parts. False: there is more. */
static bool cut_path(struct str path, struct str part[4])
{
	struct str rest = path, piece;
	size_t n = 0;

	while (str_next(&rest, '/', &piece)) {
		if (n >= 3 + 4 && piece.n)
			return false;
		if (n >= 3 && n < 3 + 4)
			part[n - 3] = piece;
		n++;
	}
	return true;
}

void sessions_request(void *arg, struct httpd_req *r)
{
	struct sessions *all = arg;
	struct str part[4] = { { NULL, 0 } };
	struct buf path = { 0 };
	struct err e = { 0 };
	bool post = str_eq(r->method, "POST"), get = str_eq(r->method, "GET");
	bool ok = buf_add_urldec(&path, r->path, false) && cut_path(buf_str(&path), part);
	struct json_doc *doc = post ? json_parse(r->body, BODY_MAX, &e) : NULL;
	struct session **at = find(all, part[0]);

	if (!ok || (!part[0].n && !post && !get))
		httpd_respond(r, 404, "text/plain", NULL, STR_LIT("404 page not found"));
	else if (post && !json_is_object(json_root(doc)))
		fail(r, 400, e.msg[0] ? e.msg : "the body is no JSON object");
	else if (!part[0].n && get)
		list(all, r);
	else if (!part[0].n)
		create(all, r, json_root(doc));
	else if (!*at)
		fail(r, 404, "session not found");
	else
		of_session(all, at, r, part, json_root(doc));
	json_doc_free(doc);
	buf_free(&path);
}
