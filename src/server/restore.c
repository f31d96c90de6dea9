/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See backup.h. The archive is unpacked into a folder inside data, compared with its sums and loaded
 * there. Then the pieces are moved up; the lock file, without which no server takes the directory,
 * comes last. Nothing that is there is ever replaced.
 */
#include "server/backup.h"

#include "server/disk.h"
#include "server/srv.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STAGING "restore.tmp"
#define ARCHIVE_MAX (16ull << 30) /* bytes that are unpacked */
#define SUMS_MAX (4u << 20)
#define AT_ONCE 65536

struct restore {
	const char *data;
	char *staging;
	int data_fd, fd; /* fd: of the file that is unpacked */
	struct sha256 *hash;
	struct buf name, sums, said; /* sums as they are and as the archive says */
	uint64_t at, total;
	bool in_sums, complete, made;
};

static int refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_PARSE, 0, "this is no whole backup: %s", why);
}

static bool is_ours(const char *name)
{
	const char *segment = name + strlen(DISK_LOG_DIR "/");

	if (strcmp(name, SERVER_CONFIG_FILE) == 0 || strcmp(name, CLIENT_KEY_FILE) == 0)
		return true;
	return str_starts(str_of(name), DISK_LOG_DIR "/") && strlen(segment) >= 8 &&
	       strlen(segment) < SEGMENT_NAME_SIZE &&
	       strspn(segment, "0123456789") == strlen(segment);
}

static int begin_file(void *arg, const struct tar_entry *en, struct err *e)
{
	struct restore *r = arg;

	r->in_sums = strcmp(en->name, BACKUP_SUMS) == 0;
	if (r->complete)
		return refuse(e, "something follows its sums");
	if (en->type != '0' || (!r->in_sums && !is_ours(en->name)))
		return err_set(e, ERR_PARSE, 0, "this is no backup: it holds \"%.200s\"", en->name);
	r->at = 0;
	if (r->in_sums)
		return 0;
	char *path = path_join(r->staging, en->name);

	buf_reset(&r->name);
	buf_adds(&r->name, en->name);
	r->hash = sha256_new();
	r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		err_sys(e, errno, "create %s", path);
	free(path);
	return r->fd < 0 ? -1 : 0;
}

static int take_bytes(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct restore *r = arg;

	r->total += bytes.n;
	if (at != r->at)
		return refuse(e, "a file has a hole");
	if (r->total > ARCHIVE_MAX)
		return err_set(e, ERR_LIMIT, 0, "the backup has more than %llu bytes", ARCHIVE_MAX);
	r->at += bytes.n;
	if (r->in_sums)
		return buf_add_max(&r->said, bytes.p, bytes.n, SUMS_MAX, e);
	sha256_add(r->hash, bytes.p, bytes.n);
	return file_write_all(r->fd, bytes, buf_cstr(&r->name), e);
}

static int end_file(void *arg, struct err *e)
{
	struct restore *r = arg;
	unsigned char hash[32];
	int rc = 0;

	if (r->in_sums) {
		r->complete = true;
		return 0;
	}
	sha256_end(r->hash, hash);
	r->hash = NULL;
	buf_add_hex(&r->sums, hash, sizeof(hash));
	buf_addf(&r->sums, "  %s\n", buf_cstr(&r->name));
	if (fsync(r->fd) < 0)
		rc = err_sys(e, errno, "sync %s", buf_cstr(&r->name));
	fd_close(&r->fd);
	return rc;
}

static int unpack_all(struct restore *r, int fd, struct err *e)
{
	struct tar_handler h = { begin_file, take_bytes, end_file, r };
	struct tar_read *tar = tar_read_new(&h);
	char *chunk = mem_alloc(AT_ONCE);
	int rc = 0;

	for (ssize_t n = 1; rc == 0 && n;) {
		n = read(fd, chunk, AT_ONCE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, errno, "read the backup");
		else if (n)
			rc = tar_read_feed(tar, (struct str){ chunk, (size_t)n }, e);
	}
	if (rc == 0 && (!tar_read_ended(tar) || !r->complete))
		rc = refuse(e, "its end is missing");
	if (rc == 0 &&
	    (r->sums.n != r->said.n || !r->sums.n || memcmp(r->sums.p, r->said.p, r->sums.n) != 0))
		rc = refuse(e, "its content is not that of its sums");
	tar_read_free(tar);
	mem_wipe(chunk, AT_ONCE);
	free(chunk);
	return rc;
}

static int touch(const char *path, struct err *e)
{
	return file_replace(path, 0600, (struct str){ NULL, 0 }, e);
}

/* Loads the store where it is, as a server would. */
static int check_all(struct restore *r, size_t *records, struct err *e)
{
	char *lock = path_join(r->staging, STORE_LOCK_FILE);
	char *config = path_join(r->staging, SERVER_CONFIG_FILE);
	struct store s = { 0 };
	struct buf text = { 0 };
	int rc = touch(lock, e);

	if (rc == 0 && file_exists(config)) {
		struct json_doc *doc = NULL;

		rc = file_read(config, JSON_BODY_MAX, &text, e);
		if (rc == 0 && !(doc = json_parse(buf_str(&text), JSON_BODY_MAX, e)))
			rc = err_wrap(e, "%s", SERVER_CONFIG_FILE);
		json_doc_free(doc);
	}
	if (rc == 0)
		rc = store_open(&s, r->staging, e);
	if (rc == 0) {
		if (store_damaged(&s))
			rc = refuse(e, "lines of the log are damaged");
		for (int k = 0; k < K_N; k++)
			for (const struct rec *rec = store_first(&s, (enum kind)k); rec;
			     rec = store_next(rec))
				++*records;
		store_close(&s);
	}
	buf_wipe(&text);
	free(config);
	free(lock);
	return rc;
}

static const char *const pieces[] = { SERVER_CONFIG_FILE, CLIENT_KEY_FILE, DISK_LOG_DIR,
	                              STORE_LOCK_FILE };

/* Never over what is there: a server may have been started meanwhile. */
static int move(const struct restore *r, const char *name, bool up, struct err *e)
{
	struct buf staged = { 0 };
	int rc;

	buf_addf(&staged, STAGING "/%s", name);
	rc = (int)syscall(SYS_renameat2, r->data_fd, up ? buf_cstr(&staged) : name, r->data_fd,
	                  up ? name : buf_cstr(&staged), 1 /* RENAME_NOREPLACE */);
	if (rc < 0)
		err_sys(e, errno, "put %s/%s in place", r->data, name);
	buf_free(&staged);
	return rc;
}

static bool is_staged(const struct restore *r, const char *name)
{
	char *path = path_join(r->staging, name);
	bool yes = file_exists(path);

	free(path);
	return yes;
}

static int put_in_place(struct restore *r, struct err *e)
{
	bool moved[ARRAY_LEN(pieces)] = { false };
	struct err later = { 0 };
	char *log = path_join(r->staging, DISK_LOG_DIR);
	int rc = file_fsync_dir(log, e);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(pieces); i++) {
		/* All else is on the disk before the directory becomes a store. */
		if (strcmp(pieces[i], STORE_LOCK_FILE) == 0)
			rc = file_fsync_dir(r->data, e);
		if (rc == 0 && is_staged(r, pieces[i])) {
			rc = move(r, pieces[i], true, e);
			moved[i] = rc == 0;
		}
	}
	if (rc == 0)
		rc = file_fsync_dir(r->data, e);
	for (size_t n = ARRAY_LEN(pieces); rc < 0 && n > 0; n--)
		if (moved[n - 1])
			move(r, pieces[n - 1], false, &later);
	free(log);
	return rc;
}

static int check_empty(const struct restore *r, struct err *e)
{
	char *lock = path_join(r->data, STORE_LOCK_FILE);
	int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = 0;
	DIR *d = opendir(r->data);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		rc = err_set(e, ERR_BUSY, errno, "a server uses %s; restore into another directory",
		             r->data);
	fd_close(&fd);
	if (rc == 0 && !d)
		rc = err_sys(e, errno, "read %s", r->data);
	for (struct dirent *f = d ? readdir(d) : NULL; rc == 0 && f; f = readdir(d))
		if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0 &&
		    strcmp(f->d_name, STAGING) != 0)
			rc = err_set(e, ERR_CONFIG, 0,
			             "%s is not empty; restore into an empty or a new directory",
			             r->data);
	if (d)
		closedir(d);
	free(lock);
	return rc;
}

static int prepare(struct restore *r, struct err *e)
{
	char *log = path_join(r->staging, DISK_LOG_DIR);
	int rc = 0;

	r->made = !file_exists(r->data);
	if (file_mkdirs(r->data, 0700, e) < 0)
		rc = -1;
	else if ((r->data_fd = open(r->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		rc = err_sys(e, errno, "open %s", r->data);
	else if (flock(r->data_fd, LOCK_EX | LOCK_NB) < 0)
		rc = err_set(e, ERR_BUSY, errno, "another restore works on %s", r->data);
	else if (check_empty(r, e) < 0 || file_remove_tree(r->staging, e) < 0)
		rc = -1;
	else if (mkdir(r->staging, 0700) < 0)
		rc = err_sys(e, errno, "create %s", r->staging);
	else if (fchmod(r->data_fd, 0700) < 0)
		rc = err_sys(e, errno, "%s is open to others; chmod 0700", r->data);
	else
		rc = file_mkdirs(log, 0700, e);
	free(log);
	return rc;
}

int backup_restore(const char *data, int fd, size_t *records, struct err *e)
{
	struct restore r = { .data = data, .data_fd = -1, .fd = -1 };
	struct err later = { 0 };
	int rc;

	*records = 0;
	r.staging = path_join(data, STAGING);
	rc = prepare(&r, e);
	if (rc == 0) {
		rc = unpack_all(&r, fd, e);
		if (rc == 0)
			rc = check_all(&r, records, e);
		if (rc == 0)
			rc = put_in_place(&r, e);
		file_remove_tree(r.staging, &later);
	}
	if (rc < 0 && r.made)
		rmdir(data);
	if (r.hash) {
		unsigned char hash[32];

		sha256_end(r.hash, hash);
	}
	fd_close(&r.fd);
	fd_close(&r.data_fd);
	buf_free(&r.name);
	buf_free(&r.sums);
	buf_free(&r.said);
	free(r.staging);
	return rc;
}
