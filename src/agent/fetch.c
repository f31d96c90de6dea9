/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daytona's own agent: one download per version and architecture, for all workspaces (design 6). The
 * file is complete and checked before it has its name; its SHA-256 lies beside it and is checked on
 * each use, so a damaged cache is fetched again.
 */
#include "agent/agent.h"
#include "api/client.h"
#include "base/allow.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BINARY_MIN (4 << 10)
#define BINARY_MAX (256 << 20)
#define SHA_BYTES 32

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#elif defined(__riscv)
#define HOST_MACHINE EM_RISCV
#elif defined(__arm__)
#define HOST_MACHINE EM_ARM
#else
#define HOST_MACHINE EM_NONE
#endif

static const struct arch {
	const char *name; /* Go's */
	unsigned char class;
	unsigned machine;
} archs[] = {
	{ "amd64", ELFCLASS64, EM_X86_64 },
	{ "arm64", ELFCLASS64, EM_AARCH64 },
	{ "arm", ELFCLASS32, EM_ARM },
	{ "riscv64", ELFCLASS64, EM_RISCV },
};

const char *agent_host_arch(void)
{
	for (size_t i = 0; i < ARRAY_LEN(archs); i++) {
		if (archs[i].machine == HOST_MACHINE)
			return archs[i].name;
	}
	return "unknown";
}

static const struct arch *arch_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(archs); i++) {
		if (strcmp(archs[i].name, name) == 0)
			return &archs[i];
	}
	return NULL;
}

static int check_elf(int fd, const struct arch *arch, struct err *e)
{
	unsigned char h[20];
	struct stat st;
	ssize_t n = pread(fd, h, sizeof(h), 0);

	if (n < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "read the agent's binary");
	if (st.st_size < BINARY_MIN || n != (ssize_t)sizeof(h) || memcmp(h, ELFMAG, SELFMAG) != 0)
		return err_set(e, ERR_PARSE, 0,
		               "the Server's agent binary is no program (%lld bytes)",
		               (long long)st.st_size);
	/* e_machine; all our architectures are little-endian. */
	if (h[EI_CLASS] != arch->class || h[EI_DATA] != ELFDATA2LSB ||
	    (unsigned)(h[18] | h[19] << 8) != arch->machine)
		return err_set(e, ERR_PARSE, 0, "the Server's agent binary is not for linux-%s",
		               arch->name);
	return 0;
}

/* A file of the cache that is not allowed is fetched again, and refused if it is the same. */
static int admit(struct str hex, struct err *e)
{
	char *text = mem_dupn(hex.p, hex.n);
	const char *const names[] = { text };
	struct buf what = { 0 };
	int rc;

	buf_addf(&what, "Daytona's agent with SHA-256 %s", text);
	rc = allow_check(ALLOW_AGENTS, buf_cstr(&what), names, 1, e);
	buf_free(&what);
	free(text);
	return rc;
}

static bool hash_matches(const char *path, const char *sha_path)
{
	struct buf want = { 0 }, have = { 0 };
	struct err e = { 0 };
	unsigned char sum[SHA_BYTES], chunk[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool same = false;
	ssize_t n = -1;

	if (fd >= 0 && file_read(sha_path, 1024, &want, &e) == 0) {
		struct sha256 *h = sha256_new();

		while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)) {
			if (n > 0)
				sha256_add(h, chunk, (size_t)n);
		}
		sha256_end(h, sum);
		buf_add_hex(&have, sum, sizeof(sum));
		same = n == 0 && str_eq(str_trim(buf_str(&want)), buf_cstr(&have)) &&
		       admit(buf_str(&have), &e) == 0;
	}
	if (fd >= 0)
		close(fd);
	buf_free(&want);
	buf_free(&have);
	return same;
}

/* 0, or -1 when the lock could not be had. */
static int wait_lock(int fd, const char *path, struct deadline d, struct err *e)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return err_sys(e, errno, "lock %s", path);
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0, "another job holds %s for too long",
			               path);
		usleep(50000);
	}
	return 0;
}

/* Others may be fetching the same: wait for them instead of doing it twice. -1 on failure. */
static int lock(const char *dir, struct deadline d, struct err *e)
{
	char *path = path_join(dir, "lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		err_sys(e, errno, "open %s", path);
	else if (wait_lock(fd, path, d, e) < 0)
		fd_close(&fd);
	free(path);
	return fd;
}

static int download(struct api *a, const char *version, const struct arch *arch, const char *path,
                    const char *sha_path, struct deadline d, struct err *e)
{
	struct buf part = { 0 }, url = { 0 }, hex = { 0 };
	unsigned char sum[SHA_BYTES];
	int rc = -1, fd;

	buf_addf(&part, "%s.part", path);
	buf_addf(&url, "/binary/%s/daytona-linux-%s", version, arch->name);
	unlink(buf_cstr(&part));
	unlink(sha_path);
	fd = open(buf_cstr(&part), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0) {
		err_sys(e, errno, "create %s", buf_cstr(&part));
		goto out;
	}
	if (api_download(a, buf_cstr(&url), fd, BINARY_MAX, sum, d, e) < 0 ||
	    check_elf(fd, arch, e) < 0)
		goto out;
	buf_add_hex(&hex, sum, sizeof(sum));
	if (admit(buf_str(&hex), e) < 0)
		goto out;
	buf_addc(&hex, '\n');
	if (fchmod(fd, 0755) < 0 || fsync(fd) < 0 || rename(buf_cstr(&part), path) < 0) {
		err_sys(e, errno, "store %s", path);
		goto out;
	}
	rc = file_replace(sha_path, 0600, buf_str(&hex), e);
out:
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		unlink(buf_cstr(&part));
	buf_free(&part);
	buf_free(&url);
	buf_free(&hex);
	return rc;
}

/* Of the cache: where it is, the file, and the one with its SHA-256. */
struct cache {
	struct buf dir, file, sha;
};

static int cache_open(struct cache *c, const char *state_dir, const char *version,
                      const char *arch_name, const struct arch **arch, struct err *e)
{
	*arch = arch_find(arch_name);
	if (!*arch)
		return err_set(e, ERR_UNSUPPORTED, 0, "there is no Daytona agent for \"%s\"",
		               arch_name);
	if (!str_is_id(str_of(version)))
		return err_set(e, ERR_PARSE, 0, "the Server's version \"%s\" is not usable",
		               version);
	buf_addf(&c->dir, "%s/agents/%s", state_dir, version);
	buf_addf(&c->file, "%s/daytona-linux-%s", buf_cstr(&c->dir), (*arch)->name);
	buf_addf(&c->sha, "%s.sha256", buf_cstr(&c->file));
	return 0;
}

static void cache_free(struct cache *c)
{
	buf_free(&c->dir);
	buf_free(&c->file);
	buf_free(&c->sha);
}

bool agent_cached(const char *state_dir, const char *version, const char *arch_name,
                  struct stat *file)
{
	struct cache c = { 0 };
	struct buf hex = { 0 };
	struct err ignored = { 0 };
	const struct arch *arch;
	bool there = cache_open(&c, state_dir, version, arch_name, &arch, &ignored) == 0 &&
	             lstat(buf_cstr(&c.file), file) == 0 && S_ISREG(file->st_mode) &&
	             file_read(buf_cstr(&c.sha), 1024, &hex, &ignored) == 0 &&
	             admit(str_trim(buf_str(&hex)), &ignored) == 0;

	buf_free(&hex);
	cache_free(&c);
	return there;
}

int agent_fetch(struct api *a, const char *state_dir, const char *version, const char *arch_name,
                char **path, const struct deadline *d, struct err *e)
{
	const struct arch *arch;
	struct cache c = { 0 };
	int rc = -1, fd = -1;

	*path = NULL;
	if (cache_open(&c, state_dir, version, arch_name, &arch, e) < 0)
		return -1;
	if (file_mkdirs(buf_cstr(&c.dir), 0700, e) == 0)
		fd = lock(buf_cstr(&c.dir), *d, e);
	if (fd >= 0) {
		if (hash_matches(buf_cstr(&c.file), buf_cstr(&c.sha)))
			rc = 0;
		else if (!a)
			err_set(e, ERR_NOT_FOUND, 0, "Daytona's agent %s is not in the cache",
			        version);
		else
			rc = download(a, version, arch, buf_cstr(&c.file), buf_cstr(&c.sha), *d, e);
		close(fd);
	}
	if (rc == 0)
		*path = mem_dupn(c.file.p, c.file.n);
	else
		err_wrap(e, "get Daytona's agent %s for linux-%s", version, arch->name);
	cache_free(&c);
	return rc;
}
