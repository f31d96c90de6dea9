/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's calls that carry a file's bytes: as they come, never whole in memory. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/multipart.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLOAD_MAX (8ull << 30)
#define UNSIZED_MAX (4u << 20) /* of a file that says it is empty, as those in /proc do */
#define CHUNK 65536

/* A file under way to its place: until it is whole, what was there stays. */
struct upload {
	const char *path;
	char *real;      /* what a link at path points to; NULL: there is none */
	struct buf temp; /* beside it */
	bool unnamed;    /* temp does not exist yet */
	struct stat old; /* of what was there; st_nlink 0: nothing was */
	int fd;
	uint64_t size;
};

static const char *target_of(const struct upload *u)
{
	return u->real ? u->real : u->path;
}

/* The folder of a path; the caller frees. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_dup(".");
	return slash == path ? mem_dup("/") : mem_dupn(path, (size_t)(slash - path));
}

static int upload_open(struct upload *u, struct err *e)
{
	char *folder = folder_of(target_of(u));
	int rc = file_mkdirs(folder, 0755, e);

	buf_addf(&u->temp, "%s/.upload-%ld", folder, (long)getpid());
	if (rc == 0) {
		/* Without a name nothing is left of it if we are killed. */
		u->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
		u->unnamed = u->fd >= 0;
		if (u->fd < 0)
			u->fd = open(buf_cstr(&u->temp),
			             O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (u->fd < 0)
			rc = err_sys(e, errno, "create a file in %s", folder);
	}
	free(folder);
	return rc;
}

static int upload_start(struct upload *u, struct err *e)
{
	if (u->path[strlen(u->path) - 1] == '/')
		return err_set(e, ERR_REFUSED, 0, "%s is a folder: name the file in it", u->path);
	if (stat(u->path, &u->old) == 0) {
		if (!S_ISREG(u->old.st_mode))
			return err_set(e, ERR_REFUSED, 0, "%s is no file that can be replaced",
			               u->path);
		u->real = realpath(u->path, NULL);
	}
	return upload_open(u, e);
}

static int upload_write(struct upload *u, struct str data, struct err *e)
{
	u->size += data.n;
	if (u->size > UPLOAD_MAX)
		return err_set(e, ERR_LIMIT, 0, "a file may have at most %llu bytes", UPLOAD_MAX);
	return file_write_all(u->fd, data, u->path, e);
}

static int upload_finish(struct upload *u, struct err *e)
{
	const char *temp = buf_cstr(&u->temp), *to = target_of(u);

	/* As it was, the owner where we may. */
	if (u->old.st_nlink && fchown(u->fd, u->old.st_uid, u->old.st_gid) < 0 && errno != EPERM)
		return err_sys(e, errno, "set the owner of %s", to);
	if (u->old.st_nlink && fchmod(u->fd, u->old.st_mode & 07777) < 0)
		return err_sys(e, errno, "set the mode of %s", to);
	if (u->unnamed) {
		char self[40];

		snprintf(self, sizeof(self), "/proc/self/fd/%d", u->fd);
		unlink(temp); /* of one that was killed with our number */
		if (linkat(AT_FDCWD, self, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) < 0)
			return err_sys(e, errno, "create %s", temp);
		u->unnamed = false;
	}
	if (rename(temp, to) < 0)
		return err_sys(e, errno, "create %s", to);
	fd_close(&u->fd);
	return 0;
}

/* What is not finished is as if it had never begun. */
static void upload_free(struct upload *u)
{
	if (u->fd >= 0 && !u->unnamed)
		unlink(buf_cstr(&u->temp));
	fd_close(&u->fd);
	buf_free(&u->temp);
	free(u->real);
}

/* One piece of the form. What is not in its part "file" means nothing. */
static int take_form(struct multipart *parts, struct upload *u, struct str piece, bool *ended,
                     struct err *e)
{
	struct str data;

	multipart_feed(parts, piece);
	for (;;) {
		switch (multipart_next(parts, &data)) {
		case MULTIPART_BAD:
			return err_set(e, ERR_PARSE, 0, "the form is malformed");
		case MULTIPART_MORE:
			return 0;
		case MULTIPART_PART:
			if (!str_eq(buf_str(&parts->name), "file"))
				break;
			if (u->fd >= 0)
				return err_set(e, ERR_PARSE, 0, "the form has more than one file");
			if (upload_start(u, e) < 0)
				return -1;
			break;
		case MULTIPART_DATA:
			if (str_eq(buf_str(&parts->name), "file") && upload_write(u, data, e) < 0)
				return -1;
			break;
		case MULTIPART_END:
			*ended = true;
			return 0;
		}
	}
}

static int receive_form(struct exchange *exchange, struct upload *u, struct err *e)
{
	struct multipart parts = { 0 };
	struct str piece;
	bool ended = false;
	int rc = multipart_start(&parts, http_head_get(&exchange->head, "Content-Type"), e);

	/* To the body's end, also behind the form's. */
	while (rc == 0 && (rc = exchange_read(exchange, &piece, e)) > 0)
		rc = ended ? 0 : take_form(&parts, u, piece, &ended, e);
	if (rc == 0 && !ended)
		rc = err_set(e, ERR_PARSE, 0, "the form broke off");
	if (rc == 0 && u->fd < 0)
		rc = err_set(e, ERR_PARSE, 0, "file is required: a part of the form by that name");
	multipart_free(&parts);
	return rc;
}

void files_upload(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 };
	struct upload u = { .fd = -1 };
	struct err e = { 0 };

	(void)t;
	if (exchange_query(exchange, "path", &path)) {
		u.path = buf_cstr(&path);
		if (receive_form(exchange, &u, &e) < 0 || upload_finish(&u, &e) < 0)
			exchange_fail(exchange, e.kind == ERR_LIMIT ? 413 : 400, "%s", e.msg);
		else
			exchange_empty(exchange, 200);
	}
	upload_free(&u);
	buf_free(&path);
}

/* The last part of the path, for a browser: quoted, and whole in UTF-8. */
static void add_disposition(struct buf *b, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct str name = str_of(slash ? slash + 1 : path);

	buf_adds(b, "Content-Disposition: attachment; filename=\"");
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_addc(b, c < ' ' || c > '~' || c == '"' || c == '\\' ? '_' : c);
	}
	buf_adds(b, "\"; filename*=UTF-8''");
	buf_add_urlenc(b, name);
	buf_adds(b, "\r\n");
}

/* A file that becomes shorter meanwhile ends the connection: its length was said. */
static void send_file(struct exchange *exchange, int fd, uint64_t size)
{
	struct buf chunk = { 0 };

	while (size && !exchange->broken) {
		size_t want = size < CHUNK ? (size_t)size : CHUNK;
		ssize_t n = read(fd, buf_reserve(&chunk, CHUNK), want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			exchange->broken = true;
			break;
		}
		exchange_write(exchange, (struct str){ chunk.p, (size_t)n });
		size -= (uint64_t)n;
	}
	buf_free(&chunk);
}

static int download(struct exchange *exchange, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct buf fields = { 0 }, text = { 0 };
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	if (fstat(fd, &st) < 0)
		rc = err_sys(e, errno, "%s", path);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(e, ERR_REFUSED, 0, "%s is no file%s", path,
		             S_ISDIR(st.st_mode) ? ", but a folder" : "");
	else if (st.st_size == 0)
		rc = file_read_fd(fd, path, UNSIZED_MAX, &text, e);
	if (rc == 0) {
		add_disposition(&fields, path);
		exchange_begin(exchange, 200, "application/octet-stream", buf_cstr(&fields),
		               st.st_size ? (uint64_t)st.st_size : text.n);
		if (str_eq(exchange->head.method, "HEAD"))
			;
		else if (st.st_size)
			send_file(exchange, fd, (uint64_t)st.st_size);
		else
			exchange_write(exchange, buf_str(&text));
	}
	fd_close(&fd);
	buf_free(&fields);
	buf_free(&text);
	return rc;
}

void files_download(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 };
	struct err e = { 0 };

	(void)t;
	if (exchange_query(exchange, "path", &path) && download(exchange, buf_cstr(&path), &e) < 0)
		exchange_fail_err(exchange, &e);
	buf_free(&path);
}
