/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's calls that look for files, look into them, and change their text. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/walk.h"
#include "base/file.h"
#include "base/glob.h"
#include "base/jsonw.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define RESULTS_MAX 10000
#define ANSWER_MAX (8u << 20) /* bytes of JSON, about */
#define FIND_MS 30000
#define FIND_LINE_MAX 65536 /* longer ones are no text */
#define BINARY_LOOK 512     /* a NUL in so many bytes: no text either */
#define CHUNK 65536
#define REPLACE_FILE_MAX (32u << 20)
#define REPLACE_FILES_MAX 10000

struct search {
	const char *pattern;
	size_t pattern_n;
	struct buf json;
	size_t n;
	struct deadline d;
};

static bool has_room(const struct search *s)
{
	return s->n < RESULTS_MAX && s->json.n < ANSWER_MAX;
}

static bool by_name(void *arg, const char *path, const struct stat *st)
{
	struct search *s = arg;
	const char *slash = strrchr(path, '/');

	(void)st;
	if (!glob_match(s->pattern, slash && slash[1] ? slash + 1 : path, false))
		return true;
	if (!has_room(s))
		return false;
	jw_str(&s->json, str_of(path));
	s->n++;
	return true;
}

static bool add_match(struct search *s, const char *path, int64_t number, struct str line)
{
	if (!has_room(s))
		return false;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	jw_obj(&s->json);
	jw_kstr(&s->json, "file", path);
	jw_kint(&s->json, "line", number);
	jw_key(&s->json, "content");
	jw_str(&s->json, line);
	jw_obj_end(&s->json);
	s->n++;
	return true;
}

/* The lines that text has whole, or all of it at the file's end. Returns how much of it that was. */
static size_t look_into_lines(struct search *s, const char *path, struct str text, bool end,
                              int64_t *number, bool *room)
{
	size_t done = 0;

	while (*room && done < text.n) {
		const char *from = text.p + done, *nl = memchr(from, '\n', text.n - done);
		struct str line = { from, nl ? (size_t)(nl - from) : text.n - done };

		if (!nl && !end)
			break;
		++*number;
		if (line.n <= FIND_LINE_MAX && memmem(line.p, line.n, s->pattern, s->pattern_n))
			*room = add_match(s, path, *number, line);
		done += line.n + (nl != NULL);
	}
	return done;
}

static bool look_into(struct search *s, const char *path, int fd)
{
	struct buf text = { 0 };
	int64_t number = 0;
	bool room = true, first = true, end = false;

	while (room && !end && text.n <= FIND_LINE_MAX && !deadline_passed(s->d)) {
		ssize_t n = read(fd, buf_reserve(&text, CHUNK), CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		text.n += (size_t)n;
		end = n == 0;
		if (first && n && memchr(text.p, '\0', n < BINARY_LOOK ? (size_t)n : BINARY_LOOK))
			break;
		first = false;
		buf_drop(&text, look_into_lines(s, path, buf_str(&text), end, &number, &room));
	}
	buf_free(&text);
	return room;
}

static bool by_content(void *arg, const char *path, const struct stat *st)
{
	struct search *s = arg;
	bool room;
	int fd;

	if (!S_ISREG(st->st_mode))
		return true;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return true;
	room = look_into(s, path, fd);
	fd_close(&fd);
	return room;
}

/* key: of the array in an object; NULL: the answer is the array. */
static void run_search(struct exchange *exchange, const char *key,
                       bool (*each)(void *arg, const char *path, const struct stat *st))
{
	struct buf path = { 0 }, pattern = { 0 };
	struct search s = { .d = deadline_in_ms(FIND_MS) };
	struct walk w = { .each = each, .arg = &s, .d = s.d };
	struct err e = { 0 };

	if (exchange_query(exchange, "path", &path) &&
	    exchange_query(exchange, "pattern", &pattern)) {
		s.pattern = buf_cstr(&pattern);
		s.pattern_n = pattern.n;
		if (key) {
			jw_obj(&s.json);
			jw_key(&s.json, key);
		}
		jw_arr(&s.json);
		if (walk(&w, buf_cstr(&path), &e) < 0) {
			exchange_fail_err(exchange, &e);
		} else {
			jw_arr_end(&s.json);
			if (key)
				jw_obj_end(&s.json);
			exchange_reply(exchange, 200, "application/json; charset=utf-8",
			               w.cut ? TOOLBOX_CUT_FIELD : NULL, buf_str(&s.json));
		}
	}
	buf_free(&s.json);
	buf_free(&pattern);
	buf_free(&path);
}

void files_search(struct exchange *exchange, const struct toolbox *t)
{
	(void)t;
	run_search(exchange, "files", by_name);
}

void files_find(struct exchange *exchange, const struct toolbox *t)
{
	(void)t;
	run_search(exchange, NULL, by_content);
}

struct replacement {
	struct buf pattern, value;
};

static int replace_in(const char *path, const struct replacement *r, struct err *e)
{
	struct buf old = { 0 }, new = { 0 };
	const char *from, *at;
	struct stat st;
	int rc = -1;

	if (stat(path, &st) < 0)
		err_sys(e, errno, "%s", path);
	else if (!S_ISREG(st.st_mode))
		err_set(e, ERR_REFUSED, 0, "%s is no file", path);
	else
		rc = file_read(path, REPLACE_FILE_MAX, &old, e);
	from = buf_cstr(&old);
	while (rc == 0 && (at = memmem(from, old.n - (size_t)(from - buf_cstr(&old)), r->pattern.p,
	                               r->pattern.n)) != NULL) {
		rc = buf_add_max(&new, from, (size_t)(at - from), REPLACE_FILE_MAX, e) < 0 ||
		                     buf_add_max(&new, r->value.p, r->value.n, REPLACE_FILE_MAX,
		                                 e) < 0
		             ? -1
		             : 0;
		from = at + r->pattern.n;
	}
	/* What has no match is not written. */
	if (rc == 0 && from != buf_cstr(&old)) {
		rc = buf_add_max(&new, from, old.n - (size_t)(from - old.p), REPLACE_FILE_MAX, e);
		if (rc == 0)
			rc = file_replace(path, st.st_mode & 07777, buf_str(&new), e);
		/* A change of the owner takes set-id bits away. */
		if (rc == 0 && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
		    (chown(path, st.st_uid, st.st_gid) < 0 || chmod(path, st.st_mode & 07777) < 0))
			rc = err_sys(e, errno, "set the owner of %s", path);
	}
	buf_free(&old);
	buf_free(&new);
	return rc;
}

static void replace_in_all(struct exchange *exchange, struct json files,
                           const struct replacement *r)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (struct json f = json_first(files); json_present(f); f = json_next(f)) {
		char *path = json_dup(f);
		struct err e = { 0 };

		if (!path || !path[0])
			err_set(&e, ERR_PARSE, 0, "this is no path");
		else
			replace_in(path, r, &e);
		jw_obj(&b);
		jw_kstr(&b, "file", path ? path : "");
		jw_kbool(&b, "success", e.kind == ERR_NONE);
		if (e.kind)
			jw_kstr(&b, "error", e.msg);
		jw_obj_end(&b);
		free(path);
	}
	jw_arr_end(&b);
	exchange_json(exchange, 200, &b);
}

void files_replace(struct exchange *exchange, const struct toolbox *t)
{
	struct replacement r = { 0 };
	struct json root, files;

	(void)t;
	if (!exchange_object(exchange, &root))
		return;
	files = json_get(root, "files");
	if (!json_is_array(files) || !json_len(files))
		exchange_fail(exchange, 400, "files is required: an array of paths");
	else if (json_len(files) > REPLACE_FILES_MAX)
		exchange_fail(exchange, 400, "at most %d files at a time", REPLACE_FILES_MAX);
	else if (!json_string(json_get(root, "pattern"), &r.pattern) || !r.pattern.n)
		exchange_fail(exchange, 400, "pattern is required");
	else if (!json_string(json_get(root, "newValue"), &r.value))
		exchange_fail(exchange, 400, "newValue is required; it may be empty");
	else
		replace_in_all(exchange, files, &r);
	buf_free(&r.pattern);
	buf_free(&r.value);
}
