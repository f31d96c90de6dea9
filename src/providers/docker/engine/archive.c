/* SPDX-License-Identifier: Apache-2.0 */
/* The archive endpoint, see archive.h. */
#include "providers/docker/engine/archive.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 5
#define PIECE_BYTES 32768

static int put(struct engine *g, const char *container, struct engine_request *r, struct deadline d,
               struct err *e)
{
	struct http_reply reply = { 0 };
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/archive?path=/", container);
	r->method = "PUT";
	r->path = buf_cstr(&path);
	r->content_type = "application/x-tar";
	rc = engine_send(g, r, &reply, d, e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(r, &reply, e);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

struct program_source {
	int fd;
	const char *name, *file; /* name: in the archive */
	struct str first;        /* goes before it */
	struct stat st;
	uint64_t left;
	bool started;
};

static int fill_program(void *arg, struct buf *b, struct err *e)
{
	struct program_source *s = arg;
	ssize_t n;

	if (!s->started) {
		s->started = true;
		s->left = (uint64_t)s->st.st_size;
		buf_add_str(b, s->first);
		tar_header(b, &(struct tar_entry){ .name = s->name,
		                                   .type = '0',
		                                   .mode = 0755,
		                                   .size = s->left,
		                                   .mtime = (int64_t)s->st.st_mtime });
	}
	n = read(s->fd, buf_reserve(b, PIECE_BYTES),
	         s->left < PIECE_BYTES ? (size_t)s->left : PIECE_BYTES);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return err_sys(e, errno, "%s", s->file);
	if (n == 0 && s->left)
		return err_set(e, ERR_OTHER, 0, "%s: became shorter while it was read", s->file);
	b->n += (size_t)n;
	s->left -= (uint64_t)n;
	if (s->left)
		return 1;
	tar_pad(b, (uint64_t)s->st.st_size);
	tar_finish(b);
	return 0;
}

int archive_put_program(struct engine *g, const char *container, const char *path, const char *file,
                        struct str first, struct deadline d, struct err *e)
{
	struct program_source s = { .name = path + 1, .file = file, .first = first };
	struct engine_request r = { .body_source = fill_program, .body_arg = &s };
	int rc;

	s.fd = open(file, O_RDONLY | O_CLOEXEC);
	if (s.fd < 0)
		return err_sys(e, errno, "%s", file);
	if (fstat(s.fd, &s.st) < 0)
		rc = err_sys(e, errno, "%s", file);
	else
		rc = put(g, container, &r, deadline_min(d, deadline_in_ms(4 * g->call_ms)), e);
	fd_close(&s.fd);
	return rc < 0 ? err_wrap(e, "copy %s into the container", path) : 0;
}

/* The engine describes a path in a header: base64 of {"name","size","mode","mtime","linkTarget"}. */
static bool stat_matches(struct str header, const struct stat *want)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct json_doc *doc = NULL;
	int64_t size = -1, mtime = -1;
	char *time = NULL;

	if (buf_add_unbase64(&text, header))
		doc = json_parse(buf_str(&text), 65536, &ignored);
	time = json_dup_or_empty(json_get(json_root(doc), "mtime"));
	(void)json_i64(json_get(json_root(doc), "size"), 0, INT64_MAX, &size);
	if (!time_parse_rfc3339(time, &mtime))
		mtime = -1;
	free(time);
	json_doc_free(doc);
	buf_free(&text);
	return size == (int64_t)want->st_size && mtime / 1000 == (int64_t)want->st_mtime;
}

/* 0 and, if same is given, whether size and time are st's; -1: missing or not to be found out. */
static int look(struct engine *g, const char *container, const char *path, const struct stat *st,
                bool *same, struct deadline d)
{
	struct buf target = { 0 };
	struct engine_request r = { .method = "HEAD" };
	struct http_reply reply = { 0 };
	struct err ignored = { 0 };
	int rc;

	buf_addf(&target, "/containers/%s/archive?path=", container);
	buf_add_urlenc(&target, str_of(path));
	r.path = buf_cstr(&target);
	rc = engine_send(g, &r, &reply, deadline_min(d, deadline_in_ms(g->call_ms)), &ignored);
	if (rc == 0 && reply.status != 200)
		rc = -1;
	if (rc == 0 && same)
		*same = stat_matches(http_head_get(&reply.h, "X-Docker-Container-Path-Stat"), st);
	http_reply_free(&reply);
	buf_free(&target);
	return rc;
}

bool archive_is_current(struct engine *g, const char *container, const char *path, const char *file,
                        struct deadline d)
{
	struct stat st;
	bool same = false;

	return stat(file, &st) == 0 && look(g, container, path, &st, &same, d) == 0 && same;
}

bool archive_exists(struct engine *g, const char *container, const char *path, struct deadline d)
{
	return look(g, container, path, NULL, NULL, d) == 0;
}

int archive_put_tree(struct engine *g, const char *container, const char *path, const char *dir,
                     long uid, long gid, struct deadline d, struct err *e)
{
	struct buf prefix = { 0 };
	struct tar_tree_options o = { .root = dir, .uid = uid, .gid = gid };
	struct tar_tree *t;
	struct engine_request r = { .body_source = tar_tree_fill };
	int rc;

	buf_addf(&prefix, "%s/", path + 1);
	o.prefix = buf_cstr(&prefix);
	t = tar_tree_new(&o);
	r.body_arg = t;
	rc = put(g, container, &r, d, e);
	tar_tree_free(t);
	buf_free(&prefix);
	return rc < 0 ? err_wrap(e, "copy %s into the container", dir) : 0;
}

int archive_put_tar(struct engine *g, const char *container, struct str tar, struct deadline d,
                    struct err *e)
{
	struct engine_request r = { .body = tar };

	return put(g, container, &r, deadline_min(d, deadline_in_ms(g->call_ms)), e);
}

int archive_put_text(struct engine *g, const char *container, const char *path, struct str text,
                     const struct tar_entry *like, struct deadline d, struct err *e)
{
	struct tar_entry en = *like;
	struct buf tar = { 0 };
	int rc;

	en.name = path + 1;
	en.link = NULL;
	en.type = '0';
	en.size = text.n;
	en.mtime = clock_wall_ms() / 1000;
	tar_header(&tar, &en);
	buf_add_str(&tar, text);
	tar_pad(&tar, text.n);
	tar_finish(&tar);
	rc = archive_put_tar(g, container, buf_str(&tar), d, e);
	buf_free(&tar);
	return rc < 0 ? err_wrap(e, "write %s in the container", path) : 0;
}

static int sink(void *arg, struct str bytes, struct err *e)
{
	return tar_first_feed(arg, bytes, e);
}

/* Where a link at path leads, without leaving the root. */
static char *follow(const char *path, const char *to)
{
	struct buf b = { 0 };

	if (*to != '/') {
		buf_add(&b, path, (size_t)(strrchr(path, '/') - path) + 1);
		buf_adds(&b, to);
		return buf_take(&b);
	}
	return mem_dup(to);
}

static int get_once(struct engine *g, const char *container, const char *path, struct tar_first *t,
                    struct deadline d, struct err *e)
{
	struct buf target = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = { .method = "GET", .sink = sink, .sink_arg = t };
	int rc;

	buf_addf(&target, "/containers/%s/archive?path=", container);
	buf_add_urlenc(&target, str_of(path));
	r.path = buf_cstr(&target);
	rc = engine_send(g, &r, &reply, deadline_min(d, deadline_in_ms(g->call_ms)), e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	else if (rc == 0 && !t->done)
		rc = err_set(e, ERR_CLOSED, 0, "archive of %s is incomplete", path);
	http_reply_free(&reply);
	buf_free(&target);
	return rc;
}

int archive_get(struct engine *g, const char *container, const char *path, size_t max,
                struct buf *out, struct tar_entry *entry, struct deadline d, struct err *e)
{
	char *at = mem_dup(path);
	int rc = -1;

	for (int i = 0; i < LINKS_MAX; i++) {
		struct tar_first t = { .max = max };
		char type, *next = NULL;

		rc = get_once(g, container, at, &t, d, e);
		type = t.first.type;
		if (rc == 0 && type == '2')
			next = follow(at, buf_cstr(&t.link));
		else if (rc == 0 && type == '0')
			buf_add_str(out, buf_str(&t.out));
		if (rc == 0 && entry)
			*entry = t.first;
		tar_first_free(&t);
		if (rc < 0 || !next)
			break;
		free(at);
		at = next;
		rc = err_set(e, ERR_LIMIT, 0, "too many symbolic links");
	}
	free(at);
	return rc < 0 ? err_wrap(e, "read %s in the container", path) : 0;
}
