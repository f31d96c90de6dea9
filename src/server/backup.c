/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See backup.h. All files but the last never change, and an open one stays though it is removed; what
 * the last one has up to a line's end is a moment of the store. If files were added or removed while
 * they were opened, all is done again.
 */
#include "server/backup.h"

#include "server/replay.h"
#include "server/srv.h"

#include "base/deadline.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define TRIES 50

/* A moment of a store. */
struct moment {
	const char *data;
	unsigned oldest, last;
	int *fds;                        /* of the log's files, but the last */
	struct buf tail, config, client; /* the last file, and those beside the log */
};

static void moment_free(struct moment *moment)
{
	for (unsigned i = moment->oldest; moment->fds && i < moment->last; i++)
		fd_close(&moment->fds[i - moment->oldest]);
	free(moment->fds);
	buf_wipe(&moment->tail);
	buf_wipe(&moment->config);
	buf_wipe(&moment->client);
	*moment = (struct moment){ .data = moment->data };
}

static int read_small(const char *data, const char *name, struct buf *b, struct err *e)
{
	char *path = path_join(data, name);
	int rc = file_read(path, JSON_BODY_MAX, b, e);

	free(path);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	return rc;
}

static bool all_whole(struct str text)
{
	struct str line;

	while (str_next(&text, '\n', &line))
		if (line.n && !replay_is_whole(line))
			return false;
	return true;
}

static int damaged(const struct moment *moment, unsigned number, struct err *e)
{
	return err_set(e, ERR_PARSE, 0,
	               "%s/" DISK_LOG_DIR "/%08u has damaged lines; start the server, which sets "
	               "them aside, then back up",
	               moment->data, number);
}

static int open_segment(const struct moment *moment, unsigned number)
{
	char name[SEGMENT_NAME_SIZE];
	struct buf path = { 0 };
	int fd;

	disk_segment_name(name, number);
	buf_addf(&path, "%s/" DISK_LOG_DIR "/%s", moment->data, name);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	buf_free(&path);
	return fd;
}

/* The last file up to its last line's end; a line that is not whole is one that is being written. */
static int read_tail(struct moment *moment, struct err *e)
{
	int fd = open_segment(moment, moment->last), rc;

	if (fd < 0)
		return err_sys(e, errno, "open " DISK_LOG_DIR "/%08u", moment->last);
	rc = file_read_fd(fd, DISK_LOG_DIR, DISK_SEGMENT_MAX, &moment->tail, e);
	close(fd);
	while (moment->tail.n && moment->tail.p[moment->tail.n - 1] != '\n')
		moment->tail.n--;
	if (rc == 0 && !all_whole(buf_str(&moment->tail)))
		rc = damaged(moment, moment->last, e);
	return rc;
}

static int open_all(struct moment *moment, struct err *e)
{
	moment->fds = mem_array(moment->last - moment->oldest + 1, sizeof(int));
	for (unsigned i = moment->oldest; i <= moment->last; i++)
		moment->fds[i - moment->oldest] = -1;
	for (unsigned i = moment->oldest; i < moment->last; i++)
		if ((moment->fds[i - moment->oldest] = open_segment(moment, i)) < 0)
			return err_sys(e, errno, "open " DISK_LOG_DIR "/%08u", i);
	return read_tail(moment, e);
}

static int find(const struct moment *moment, unsigned *oldest, unsigned *last, struct err *e)
{
	if (disk_find_segments(moment->data, oldest, last, e) < 0)
		return e->kind == ERR_NOT_FOUND
		               ? err_set(e, ERR_NOT_FOUND, ENOENT,
		                         "%s holds no server's store; give its directory with "
		                         "--data",
		                         moment->data)
		               : -1;
	return *last ? 0
	             : err_set(e, ERR_NOT_FOUND, 0,
	                       "%s holds an empty store: start the server first", moment->data);
}

static int take_once(struct moment *moment, struct err *e)
{
	unsigned oldest, last;
	struct buf config = { 0 };
	int rc = 0;

	if (find(moment, &moment->oldest, &moment->last, e) < 0 ||
	    read_small(moment->data, SERVER_CONFIG_FILE, &moment->config, e) < 0 ||
	    read_small(moment->data, CLIENT_KEY_FILE, &moment->client, e) < 0 ||
	    open_all(moment, e) < 0 || find(moment, &oldest, &last, e) < 0 ||
	    read_small(moment->data, SERVER_CONFIG_FILE, &config, e) < 0)
		rc = -1;
	else if (oldest != moment->oldest || last != moment->last || config.n != moment->config.n ||
	         (config.n && memcmp(config.p, moment->config.p, config.n) != 0))
		rc = err_set(e, ERR_BUSY, 0, "the store changes faster than it can be read");
	buf_wipe(&config);
	return rc;
}

static int take(struct moment *moment, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		err_clear(e);
		if (take_once(moment, e) == 0)
			return 0;
		moment_free(moment);
	}
	return -1;
}

struct writer {
	int fd;
	uint64_t bytes;
	struct buf sums;
};

static int put(struct writer *w, struct str bytes, struct err *e)
{
	w->bytes += bytes.n;
	return file_write_all(w->fd, bytes, "the backup", e);
}

static int add_file(struct writer *w, const char *name, struct str content, bool summed,
                    struct err *e)
{
	struct tar_entry en = {
		.name = name,
		.type = '0',
		.mode = 0600,
		.size = content.n,
		.mtime = clock_wall_ms() / 1000,
	};
	struct buf head = { 0 }, pad = { 0 };
	unsigned char hash[32];
	int rc;

	if (summed) {
		crypto_sha256(content.p ? content.p : "", content.n, hash);
		buf_add_hex(&w->sums, hash, sizeof(hash));
		buf_addf(&w->sums, "  %s\n", name);
	}
	tar_header(&head, &en);
	tar_pad(&pad, content.n);
	rc = put(w, buf_str(&head), e);
	if (rc == 0)
		rc = put(w, content, e);
	if (rc == 0)
		rc = put(w, buf_str(&pad), e);
	buf_free(&head);
	buf_free(&pad);
	return rc;
}

static int add_segment(struct writer *w, const struct moment *moment, unsigned number,
                       struct err *e)
{
	char name[sizeof(DISK_LOG_DIR) + SEGMENT_NAME_SIZE];
	struct buf text = { 0 };
	struct str content = buf_str(&moment->tail);
	int rc = 0;

	snprintf(name, sizeof(name), DISK_LOG_DIR "/%08u", number);
	if (number != moment->last) {
		rc = file_read_fd(moment->fds[number - moment->oldest], name, DISK_SEGMENT_MAX,
		                  &text, e);
		content = buf_str(&text);
	}
	if (rc == 0 && !all_whole(content))
		rc = damaged(moment, number, e);
	if (rc == 0)
		rc = add_file(w, name, content, true, e);
	buf_wipe(&text);
	return rc;
}

int backup_write(const char *data, int fd, uint64_t *bytes, struct err *e)
{
	struct moment moment = { .data = data };
	struct writer w = { .fd = fd };
	struct buf end = { 0 };
	int rc = take(&moment, e);

	for (unsigned i = moment.oldest; rc == 0 && i <= moment.last; i++)
		rc = add_segment(&w, &moment, i, e);
	if (rc == 0 && moment.config.n)
		rc = add_file(&w, SERVER_CONFIG_FILE, buf_str(&moment.config), true, e);
	if (rc == 0 && moment.client.n)
		rc = add_file(&w, CLIENT_KEY_FILE, buf_str(&moment.client), true, e);
	if (rc == 0)
		rc = add_file(&w, BACKUP_SUMS, buf_str(&w.sums), false, e);
	tar_finish(&end);
	if (rc == 0)
		rc = put(&w, buf_str(&end), e);
	*bytes = w.bytes;
	buf_free(&end);
	buf_free(&w.sums);
	moment_free(&moment);
	return rc;
}
