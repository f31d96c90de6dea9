/* SPDX-License-Identifier: Apache-2.0 */
/* The archive endpoint, see archive.h. */
#include "providers/docker/engine/archive.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 5
#define STAT_MAX 65536
#define PROGRAM_MODE 0755 /* Go writes a plain file's mode without its type */
#define PERMISSIONS 0777

static int put(struct engine *engine, const char *container, struct engine_request *r,
               struct deadline d, struct err *e)
{
	struct http_reply reply = { 0 };
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/archive?path=/", container);
	r->method = "PUT";
	r->path = buf_cstr(&path);
	r->content_type = "application/x-tar";
	rc = engine_send(engine, r, &reply, d, e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(r, &reply, e);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

int archive_put_program(struct engine *engine, const char *container, const char *path,
                        const char *file, struct str first, struct deadline d, struct err *e)
{
	struct buf before = { 0 }, after = { 0 };
	struct tar_file f;
	struct engine_request r = { .body_source = tar_file_fill, .body_arg = &f };
	int rc;

	if (tar_file_open(&f, file, e) < 0)
		return -1;
	buf_add_str(&before, first);
	tar_header(&before, &(struct tar_entry){ .name = path + 1,
	                                         .type = '0',
	                                         .mode = PROGRAM_MODE,
	                                         .size = f.size,
	                                         .mtime = f.mtime });
	tar_pad(&after, f.size);
	tar_finish(&after);
	f.before = buf_str(&before);
	f.after = buf_str(&after);
	rc = put(engine, container, &r, deadline_min(d, deadline_in_ms(4 * engine->call_ms)), e);
	tar_file_close(&f);
	buf_free(&before);
	buf_free(&after);
	return rc < 0 ? err_wrap(e, "copy %s into the container", path) : 0;
}

/* HEAD of a path: whether it is there; what the engine says of it is in reply. */
static bool look(struct engine *engine, const char *container, const char *path,
                 struct http_reply *reply, struct deadline d)
{
	struct buf target = { 0 };
	struct engine_request r = { .method = "HEAD" };
	struct err ignored = { 0 };
	bool there;

	buf_addf(&target, "/containers/%s/archive?path=", container);
	buf_add_urlenc(&target, str_of(path));
	r.path = buf_cstr(&target);
	there = engine_send(engine, &r, reply, deadline_min(d, deadline_in_ms(engine->call_ms)),
	                    &ignored) == 0 &&
	        reply->status == 200;
	buf_free(&target);
	return there;
}

bool archive_exists(struct engine *engine, const char *container, const char *path,
                    struct deadline d)
{
	struct http_reply reply = { 0 };
	bool there = look(engine, container, path, &reply, d);

	http_reply_free(&reply);
	return there;
}

struct looked {
	char *when; /* of its last change, as the engine writes it */
	int64_t size, mode;
};

/* False: it is not there, or no plain file. Free when. */
static bool look_at_file(struct engine *engine, const char *container, const char *path,
                         struct looked *at, struct deadline d)
{
	struct http_reply reply = { 0 };
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct json_doc *doc = NULL;
	struct json v;

	if (look(engine, container, path, &reply, d) &&
	    buf_add_unbase64(&text, http_head_get(&reply.h, "X-Docker-Container-Path-Stat")))
		doc = json_parse(buf_str(&text), STAT_MAX, &ignored);
	v = json_root(doc);
	*at = (struct looked){ json_dup_or_empty(json_get(v, "mtime")), -1, -1 };
	(void)json_i64(json_get(v, "size"), 0, INT64_MAX, &at->size);
	(void)json_i64(json_get(v, "mode"), 0, UINT32_MAX, &at->mode);
	json_doc_free(doc);
	buf_free(&text);
	http_reply_free(&reply);
	return *at->when && at->size >= 0 && at->mode >= 0 && at->mode <= PERMISSIONS;
}

bool archive_has_program(struct engine *engine, const char *container, const char *path,
                         const struct stat *file, struct deadline d)
{
	struct looked at;
	int64_t ms;
	bool same = look_at_file(engine, container, path, &at, d) && at.size == file->st_size &&
	            at.mode == PROGRAM_MODE && time_parse_rfc3339(at.when, &ms) &&
	            ms / 1000 == file->st_mtime;

	free(at.when);
	return same;
}

bool archive_mark(struct engine *engine, const char *container, const char *path, struct buf *mark,
                  struct deadline d)
{
	struct looked at;
	bool there = look_at_file(engine, container, path, &at, d);

	if (there)
		buf_addf(mark, "%lld %s", (long long)at.size, at.when);
	free(at.when);
	return there;
}

int archive_put_tree(struct engine *engine, const char *container, const char *path,
                     const char *dir, long uid, long gid, struct deadline d, struct err *e)
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
	rc = put(engine, container, &r, d, e);
	tar_tree_free(t);
	buf_free(&prefix);
	return rc < 0 ? err_wrap(e, "copy %s into the container", dir) : 0;
}

int archive_put_tar(struct engine *engine, const char *container, struct str tar, struct deadline d,
                    struct err *e)
{
	struct engine_request r = { .body = tar };

	return put(engine, container, &r, deadline_min(d, deadline_in_ms(engine->call_ms)), e);
}

int archive_put_text(struct engine *engine, const char *container, const char *path,
                     struct str text, const struct tar_entry *like, struct deadline d,
                     struct err *e)
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
	rc = archive_put_tar(engine, container, buf_str(&tar), d, e);
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

static int get_once(struct engine *engine, const char *container, const char *path,
                    struct tar_first *t, struct deadline d, struct err *e)
{
	struct buf target = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = { .method = "GET", .sink = sink, .sink_arg = t };
	int rc;

	buf_addf(&target, "/containers/%s/archive?path=", container);
	buf_add_urlenc(&target, str_of(path));
	r.path = buf_cstr(&target);
	rc = engine_send(engine, &r, &reply, deadline_min(d, deadline_in_ms(engine->call_ms)), e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	else if (rc == 0 && !t->done)
		rc = err_set(e, ERR_CLOSED, 0, "archive of %s is incomplete", path);
	http_reply_free(&reply);
	buf_free(&target);
	return rc;
}

int archive_get(struct engine *engine, const char *container, const char *path, size_t max,
                struct buf *out, struct tar_entry *entry, struct deadline d, struct err *e)
{
	char *at = mem_dup(path);
	int rc = -1;

	for (int i = 0; i < LINKS_MAX; i++) {
		struct tar_first t = { .max = max };
		char type, *next = NULL;

		rc = get_once(engine, container, at, &t, d, e);
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
