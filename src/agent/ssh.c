/* SPDX-License-Identifier: Apache-2.0 */
/* See ssh.h. Dropbear does the protocol, third_party/dropbear/dr_ssh.h says what it is told. */
#include "agent/ssh.h"

#include "base/file.h"

#include <string.h>

#define TYPE "ssh-ed25519 "
#define KEY_FILE_MAX (16u << 10)

#ifdef DR_SSH

#include "agent/sftp.h"
#include "base/attr.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/users.h"

#include <dr_ssh.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMENT "daytona-runner"
#define BLOB_SIZE (4 + 11 + 4 + DR_SSH_KEY_SIZE)
#define HOST_KEY_SIZE (2 * DR_SSH_KEY_SIZE) /* the seed, then the public half */

/* One line of authorized_keys, written of what was parsed: nothing else comes with the key. */
static int authorize(struct str key, struct buf *out, struct err *e)
{
	static const char head[] = "\0\0\0\x0bssh-ed25519\0\0\0 ";
	struct buf blob = { 0 };
	struct str text = str_trim(key);
	bool ok = text.n <= SSH_PUBLIC_KEY_MAX && str_starts(text, TYPE);

	if (ok) {
		text.p += strlen(TYPE);
		text.n -= strlen(TYPE);
		ok = buf_add_unbase64(&blob, text) && blob.n == BLOB_SIZE &&
		     memcmp(blob.p, head, sizeof(head) - 1) == 0;
	}
	if (ok) {
		buf_adds(out, TYPE);
		buf_add_base64(out, blob.p, blob.n, false, true);
		buf_addc(out, '\n');
	}
	buf_free(&blob);
	return ok ? 0 : err_set(e, ERR_PARSE, 0, "the public key is none of type ed25519");
}

/* The lock makes two first connections agree; what a crash left unfinished is made anew. */
static int host_key_from(int fd, const char *path, struct dr_ssh *s, struct err *e)
{
	unsigned char key[HOST_KEY_SIZE];
	struct stat st;
	ssize_t n;

	if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(e, ERR_DENIED, 0, "%s: others may read it; remove it", path);
	n = pread(fd, key, sizeof(key), 0);
	if (n != (ssize_t)sizeof(key)) {
		dr_ssh_new_key(key, key + DR_SSH_KEY_SIZE);
		if (pwrite(fd, key, sizeof(key), 0) != (ssize_t)sizeof(key) ||
		    ftruncate(fd, sizeof(key)) < 0 || fsync(fd) < 0)
			return err_sys(e, errno, "%s", path);
		log_info("ssh: made the host's key, %s", path);
	}
	memcpy(s->seed, key, DR_SSH_KEY_SIZE);
	memcpy(s->public_key, key + DR_SSH_KEY_SIZE, DR_SSH_KEY_SIZE);
	explicit_bzero(key, sizeof(key));
	return 0;
}

static int host_key(const char *home, struct dr_ssh *s, struct err *e)
{
	char *dir = path_join(home, ".daytona-agent"), *path = path_join(dir, "ssh_host_key");
	int fd, rc = -1;

	if (file_mkdirs(dir, 0700, e) == 0) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0) {
			err_sys(e, errno, "%s", path);
		} else {
			rc = host_key_from(fd, path, s, e);
			close(fd);
		}
	}
	free(path);
	free(dir);
	return rc;
}

static bool is_shell(const char *path)
{
	const char *name = path ? strrchr(path, '/') : NULL;

	return path && path[0] == '/' && strcmp(name, "/nologin") != 0 &&
	       strcmp(name, "/false") != 0 && access(path, X_OK) == 0;
}

/* By the workspace's own files; no name service is asked. */
static void describe_user(struct dr_ssh *s)
{
	const char *home = getenv("HOME"), *shell = getenv("SHELL");
	struct user user = { 0 };
	struct buf id = { 0 };
	struct err ignored = { 0 }; /* the number stands for what is not known */
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	buf_addf(&id, "%u", (unsigned)geteuid());
	if (root >= 0 && user_find(root, buf_cstr(&id), &user, &ignored) == 0 &&
	    is_shell(user.shell) && !(is_shell(shell) && strcmp(user.shell, "/bin/sh") == 0))
		shell = user.shell;
	s->shell = mem_dup(is_shell(shell) ? shell : "/bin/sh");
	s->user = mem_dup(user.name ? user.name : buf_cstr(&id));
	s->home = mem_dup(home && *home ? home : user.home ? user.home : "/");
	fd_close(&root);
	user_free(&user);
	buf_free(&id);
}

static void log_line(int problem, const char *text)
{
	if (problem)
		log_warn("ssh: %s", text);
	else
		log_info("ssh: %s", text);
}

static int serve_sftp(void)
{
	struct err e = { 0 };

	return sftp_serve(0, 1, &e) < 0;
}

int ssh_serve(int fd, struct str key, const char *dir, struct err *e)
{
	/* Where distributions put it. */
	static const char *const sftp_servers[] = { "/usr/lib/openssh/sftp-server",
		                                    "/usr/libexec/openssh/sftp-server",
		                                    "/usr/lib/ssh/sftp-server",
		                                    "/usr/libexec/sftp-server" };
	struct dr_ssh s = { .fd = fd,
		            .log = log_line,
		            .sftp = serve_sftp,
		            .forward_agent = str_eq(str_of(getenv("DAYTONA_AGENT_SSH_FORWARD")),
		                                    "1") };
	struct buf line = { 0 };

	describe_user(&s);
	if (authorize(key, &line, e) < 0 || host_key(s.home, &s, e) < 0) {
		buf_free(&line);
		return -1;
	}
	s.authorized = buf_cstr(&line);
	s.dir = dir ? dir : s.home;
	for (size_t i = 0; i < ARRAY_LEN(sftp_servers); i++)
		if (!s.sftp_program && access(sftp_servers[i], X_OK) == 0)
			s.sftp_program = sftp_servers[i];
	dr_ssh_serve(&s);
}

/* OpenSSH's formats (PROTOCOL.key): texts with their length in four bytes before them. */
static void put_text(struct buf *b, const void *p, size_t n)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_addc(b, (char)(n >> shift));
	buf_add(b, p, n);
}

static void private_key_text(const unsigned char *seed, const unsigned char *public_key,
                             const struct buf *blob, struct buf *out)
{
	struct buf inner = { 0 }, whole = { 0 }, base64 = { 0 };
	struct str rest;

	/* The check, twice, shows who decrypts it that the pass phrase was right; there is none. */
	buf_add(&inner, "\0\0\0\0\0\0\0\0", 8);
	buf_add_str(&inner, buf_str(blob));
	buf_add(&inner, "\0\0\0@", 4);
	buf_add(&inner, seed, DR_SSH_KEY_SIZE);
	buf_add(&inner, public_key, DR_SSH_KEY_SIZE);
	put_text(&inner, COMMENT, strlen(COMMENT));
	for (char pad = 1; inner.n % 8; pad++)
		buf_addc(&inner, pad);
	buf_add(&whole, "openssh-key-v1", 15);
	put_text(&whole, "none", 4);
	put_text(&whole, "none", 4);
	put_text(&whole, "", 0);
	buf_add(&whole, "\0\0\0\x01", 4);
	put_text(&whole, blob->p, blob->n);
	put_text(&whole, inner.p, inner.n);
	buf_add_base64(&base64, whole.p, whole.n, false, true);
	buf_adds(out, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
	for (rest = buf_str(&base64); rest.n > 0; buf_addc(out, '\n')) {
		size_t n = rest.n < 70 ? rest.n : 70;

		buf_add(out, rest.p, n);
		rest.p += n;
		rest.n -= n;
	}
	buf_adds(out, "-----END OPENSSH PRIVATE KEY-----\n");
	buf_wipe(&inner);
	buf_wipe(&whole);
	buf_wipe(&base64);
}

static int make_key(const char *path, struct err *e)
{
	unsigned char seed[DR_SSH_KEY_SIZE], public_key[DR_SSH_KEY_SIZE];
	struct buf blob = { 0 }, text = { 0 }, new_path = { 0 };
	int rc;

	dr_ssh_new_key(seed, public_key);
	put_text(&blob, TYPE, strlen(TYPE) - 1);
	put_text(&blob, public_key, sizeof(public_key));
	private_key_text(seed, public_key, &blob, &text);
	explicit_bzero(seed, sizeof(seed));
	buf_addf(&new_path, "%s.new-%ld", path, (long)getpid());
	rc = file_replace(buf_cstr(&new_path), 0600, buf_str(&text), e);
	if (rc == 0 && link(buf_cstr(&new_path), path) < 0 && errno != EEXIST)
		rc = err_sys(e, errno, "%s", path);
	unlink(buf_cstr(&new_path));
	buf_free(&blob);
	buf_wipe(&text);
	buf_free(&new_path);
	return rc;
}

#else

int ssh_serve(int fd, struct str key, const char *dir, struct err *e)
{
	(void)fd;
	(void)key;
	(void)dir;
	return err_set(e, ERR_UNSUPPORTED, 0, "this daytona-runner was built without ssh");
}

static int make_key(const char *path, struct err *e)
{
	return err_set(
		e, ERR_UNSUPPORTED, 0,
		"this daytona-runner was built without ssh; make a key: ssh-keygen -t ed25519 -N '' -f %s",
		path);
}

#endif

int ssh_stream(int fd, const struct stream_request *q, struct err *e)
{
	struct buf key = { 0 };
	int rc = stream_param(q, "key", &key)
	                 ? ssh_serve(fd, buf_str(&key), q->dir, e)
	                 : err_set(e, ERR_PARSE, 0, "the request names no public key");

	buf_free(&key);
	return rc;
}

/* All that stands before the public key in a file without a pass phrase. */
static const char key_head[] =
	"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\0\x33"
	"\0\0\0\x0bssh-ed25519\0\0\0 ";
#define KEY_HEAD (sizeof(key_head) - 1)
#define KEY_BLOB_AT (KEY_HEAD - 19)

int ssh_client_key(const char *path, struct buf *line, struct err *e)
{
	struct buf text = { 0 }, base64 = { 0 }, key = { 0 };
	struct str rest, piece;
	bool ok;

	ok = (file_exists(path) || make_key(path, e) == 0) &&
	     file_read(path, KEY_FILE_MAX, &text, e) == 0;
	if (!ok)
		goto out;
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &piece))
		if (!str_starts(piece, "-----"))
			buf_add_str(&base64, str_trim(piece));
	ok = buf_add_unbase64(&key, buf_str(&base64)) && key.n >= KEY_HEAD + 32 &&
	     memcmp(key.p, key_head, KEY_HEAD) == 0;
	if (!ok) {
		err_set(e, ERR_PARSE, 0, "%s is no ed25519 key without a pass phrase", path);
		goto out;
	}
	buf_adds(line, TYPE);
	buf_add_base64(line, key.p + KEY_BLOB_AT, 19 + 32, false, true);
out:
	buf_wipe(&text);
	buf_wipe(&base64);
	buf_wipe(&key);
	return ok ? 0 : -1;
}
