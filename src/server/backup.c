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

static void moment_free(struct moment *m)
{
	for (unsigned i = m->oldest; m->fds && i < m->last; i++)
		fd_close(&m->fds[i - m->oldest]);
	free(m->fds);
	buf_wipe(&m->tail);
	buf_wipe(&m->config);
	buf_wipe(&m->client);
	*m = (struct moment){ .data = m->data };
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

static int damaged(const struct moment *m, unsigned number, struct err *e)
{
	return err_set(e, ERR_PARSE, 0,
	               "%s/" DISK_LOG_DIR "/%08u has damaged lines; start the server, which sets "
	               "them aside, then back up",
	               m->data, number);
}

static int open_segment(const struct moment *m, unsigned number)
{
	char name[SEGMENT_NAME_SIZE];
	struct buf path = { 0 };
	int fd;

	disk_segment_name(name, number);
	buf_addf(&path, "%s/" DISK_LOG_DIR "/%s", m->data, name);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	buf_free(&path);
	return fd;
}

/* The last file up to its last line's end; a line that is not whole is one that is being written. */
static int read_tail(struct moment *m, struct err *e)
{
	int fd = open_segment(m, m->last), rc;

	if (fd < 0)
		return err_sys(e, errno, "open " DISK_LOG_DIR "/%08u", m->last);
	rc = file_read_fd(fd, DISK_LOG_DIR, DISK_SEGMENT_MAX, &m->tail, e);
	close(fd);
	while (m->tail.n && m->tail.p[m->tail.n - 1] != '\n')
		m->tail.n--;
	if (rc == 0 && !all_whole(buf_str(&m->tail)))
		rc = damaged(m, m->last, e);
	return rc;
}

static int open_all(struct moment *m, struct err *e)
{
	m->fds = mem_array(m->last - m->oldest + 1, sizeof(int));
	for (unsigned i = m->oldest; i <= m->last; i++)
		m->fds[i - m->oldest] = -1;
	for (unsigned i = m->oldest; i < m->last; i++)
		if ((m->fds[i - m->oldest] = open_segment(m, i)) < 0)
			return err_sys(e, errno, "open " DISK_LOG_DIR "/%08u", i);
	return read_tail(m, e);
}

static int find(const struct moment *m, unsigned *oldest, unsigned *last, struct err *e)
{
	if (disk_find_segments(m->data, oldest, last, e) < 0)
		return e->kind == ERR_NOT_FOUND
		               ? err_set(e, ERR_NOT_FOUND, ENOENT,
		                         "%s holds no server's store; give its directory with "
		                         "--data",
		                         m->data)
		               : -1;
	return *last ? 0
	             : err_set(e, ERR_NOT_FOUND, 0,
	                       "%s holds an empty store: start the server first", m->data);
}

static int take_once(struct moment *m, struct err *e)
{
	unsigned oldest, last;
	struct buf config = { 0 };
	int rc = 0;

	if (find(m, &m->oldest, &m->last, e) < 0 ||
	    read_small(m->data, SERVER_CONFIG_FILE, &m->config, e) < 0 ||
	    read_small(m->data, CLIENT_KEY_FILE, &m->client, e) < 0 || open_all(m, e) < 0 ||
	    find(m, &oldest, &last, e) < 0 ||
	    read_small(m->data, SERVER_CONFIG_FILE, &config, e) < 0)
		rc = -1;
	else if (oldest != m->oldest || last != m->last || config.n != m->config.n ||
	         (config.n && memcmp(config.p, m->config.p, config.n) != 0))
		rc = err_set(e, ERR_BUSY, 0, "the store changes faster than it can be read");
	buf_wipe(&config);
	return rc;
}

static int take(struct moment *m, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		err_clear(e);
		if (take_once(m, e) == 0)
			return 0;
		moment_free(m);
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

static int add_segment(struct writer *w, const struct moment *m, unsigned number, struct err *e)
{
	char name[sizeof(DISK_LOG_DIR) + SEGMENT_NAME_SIZE];
	struct buf text = { 0 };
	struct str content = buf_str(&m->tail);
	int rc = 0;

	snprintf(name, sizeof(name), DISK_LOG_DIR "/%08u", number);
	if (number != m->last) {
		rc = file_read_fd(m->fds[number - m->oldest], name, DISK_SEGMENT_MAX, &text, e);
		content = buf_str(&text);
	}
	if (rc == 0 && !all_whole(content))
		rc = damaged(m, number, e);
	if (rc == 0)
		rc = add_file(w, name, content, true, e);
	buf_wipe(&text);
	return rc;
}

int backup_write(const char *data, int fd, uint64_t *bytes, struct err *e)
{
	struct moment m = { .data = data };
	struct writer w = { .fd = fd };
	struct buf end = { 0 };
	int rc = take(&m, e);

	for (unsigned i = m.oldest; rc == 0 && i <= m.last; i++)
		rc = add_segment(&w, &m, i, e);
	if (rc == 0 && m.config.n)
		rc = add_file(&w, SERVER_CONFIG_FILE, buf_str(&m.config), true, e);
	if (rc == 0 && m.client.n)
		rc = add_file(&w, CLIENT_KEY_FILE, buf_str(&m.client), true, e);
	if (rc == 0)
		rc = add_file(&w, BACKUP_SUMS, buf_str(&w.sums), false, e);
	tar_finish(&end);
	if (rc == 0)
		rc = put(&w, buf_str(&end), e);
	*bytes = w.bytes;
	buf_free(&end);
	buf_free(&w.sums);
	moment_free(&m);
	return rc;
}
