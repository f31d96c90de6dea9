/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY, ADD and WORKDIR of a build; see build.h. What is copied becomes a tar stream, which is unpacked over the mounted
 * root: so links of the image lead where they lead in it, and no name leads out of it or of where it is copied from.
 */
#include "base/file.h"
#include "base/glob.h"
#include "base/inroot.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/decode.h"
#include "oci/layer.h"
#include "providers/native/build_int.h"
#include "sandbox/users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 65536
#define SOURCES_MAX 1000
#define MEMBERS_MAX 100000 /* of a directory where names are looked for */
#define DEPTH_MAX 128
#define ENTRIES_MAX 1000000 /* that are copied at once: links to directories multiply them */

struct copy {
	const struct building *building;
	struct strlist from; /* what, below a directory */
	char *to;            /* below the root, "" for it */
	bool into;           /* it is a directory */
	bool add, of_context;
	const char *chown;
	int64_t chmod; /* -1: as it is */
	unsigned uid, gid;
	struct unpack_owner owner; /* of what is in roots */

	int source, root; /* directories; root -1: only a digest is wanted */
	const char *path; /* what is being copied */
	bool pattern;     /* it was found by one */
	size_t n;         /* were found */

	/* A digest without times, and for each entry, since directories are read in any order. */
	struct sha256 *hash;
	size_t hashed; /* of what comes with the next piece */
	struct buf digests;
};

/* ---- the stream ---- */

static bool skip(void *arg, const char *path, bool is_dir, bool *whole)
{
	const struct copy *c = arg;
	const struct dockerignore *ignore = &c->building->ignore;
	struct buf b = { 0 };
	bool out;

	(void)is_dir;
	if (!c->of_context)
		return false;
	buf_addf(&b, "%s%s%s", c->path, *c->path ? "/" : "", path);
	out = dockerignore_match(ignore, buf_cstr(&b));
	*whole = !ignore->has_keep;
	buf_free(&b);
	return out;
}

static int end_entry(struct copy *c, struct err *e)
{
	struct digest d;

	digest_end(c->hash, &d);
	buf_add(&c->digests, &d, sizeof(d));
	c->hash = sha256_new();
	return c->digests.n / sizeof(d) <= ENTRIES_MAX
	               ? 0
	               : err_set(e, ERR_LIMIT, 0, "more than %d files", ENTRIES_MAX);
}

/* A directory that is there stays as it is, also one behind a link. */
static int entry(void *arg, struct buf *b, const char *at, const struct stat *st,
                 struct tar_entry *en, struct err *e)
{
	struct copy *c = arg;
	int there;

	if (!en->type)
		return 0;
	if (layer_check_name(en->name, e) < 0)
		return -1;
	en->uid = c->uid;
	en->gid = c->gid;
	if (!c->of_context && !c->chown)
		layer_owner(&c->owner, at, st, en);
	if (c->chmod >= 0 && en->type != '2')
		en->mode = (mode_t)c->chmod;
	if (c->root < 0) {
		en->mtime = 0;
		sha256_add(c->hash, b->p + c->hashed, b->n - c->hashed);
		c->hashed = b->n;
		return end_entry(c, e);
	} else if (en->type == '5') {
		there = inroot_open(c->root, en->name, O_PATH | O_DIRECTORY);
		if (there >= 0 || !*en->name)
			en->type = 0;
		fd_close(&there);
	}
	return 0;
}

static int feed(void *arg, struct str bytes, struct err *e)
{
	return unpack_feed(arg, bytes, e);
}

static struct unpack *unpack_at(const struct copy *c, int root, int *scratch)
{
	*scratch = open(c->building->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return unpack_new(root, *scratch, &c->owner);
}

/* Everything that fill gives, to where it belongs. */
static int pump(struct copy *c, int (*fill)(void *arg, struct buf *b, struct err *e), void *arg,
                struct err *e)
{
	int scratch = -1, rc = 0, more = 1;
	struct unpack *u = c->root < 0 ? NULL : unpack_at(c, c->root, &scratch);
	struct buf b = { 0 };

	while (rc == 0 && more > 0) {
		buf_reset(&b);
		more = fill(arg, &b, e);
		rc = more < 0 ? -1 : 0;
		if (rc == 0 && u)
			rc = unpack_feed(u, buf_str(&b), e);
		else if (rc == 0) /* without the end mark, which comes behind any of them */
			sha256_add(c->hash, b.p + c->hashed,
			           b.n - c->hashed - (more ? 0 : 2 * TAR_BLOCK));
		c->hashed = 0;
		if (rc == 0)
			rc = nb_go_on(c->building, e);
	}
	if (rc == 0 && u)
		rc = unpack_end(u, e);
	else if (rc == 0)
		rc = end_entry(c, e);
	unpack_free(u);
	fd_close(&scratch);
	buf_free(&b);
	return rc;
}

static int fill_text(void *arg, struct buf *b, struct err *e)
{
	const struct buf *text = arg;

	(void)e;
	buf_add_str(b, buf_str(text));
	return 0;
}

/* The directory at the other end, with those above it. */
static int make_dir(struct copy *c, struct err *e)
{
	struct tar_entry en = { .type = '5', .mode = 0755, .uid = c->uid, .gid = c->gid };
	struct buf name = { 0 }, text = { 0 };
	int rc = 0, there;

	there = inroot_open(c->root, c->to, O_PATH | O_DIRECTORY);
	if (there < 0) {
		buf_addf(&name, "%s/", c->to);
		en.name = buf_cstr(&name);
		tar_header(&text, &en);
		tar_finish(&text);
		rc = pump(c, fill_text, &text, e);
	}
	fd_close(&there);
	buf_free(&text);
	buf_free(&name);
	return rc;
}

static int copy_dir(struct copy *c, const char *root, struct err *e)
{
	struct buf prefix = { 0 };
	struct tar_tree *t;
	int rc = c->root < 0 ? 0 : make_dir(c, e);

	if (*c->to)
		buf_addf(&prefix, "%s/", c->to);
	t = tar_tree_new(&(struct tar_tree_options){ .root = root,
	                                             .prefix = buf_cstr(&prefix),
	                                             .skip = skip,
	                                             .entry = entry,
	                                             .skip_arg = c });
	if (rc == 0)
		rc = pump(c, tar_tree_fill, t, e);
	tar_tree_free(t);
	buf_free(&prefix);
	return rc;
}

static int take_first(void *arg, struct str bytes, struct err *e)
{
	struct buf *b = arg;

	buf_add(b, bytes.p, bytes.n < TAR_BLOCK ? bytes.n : TAR_BLOCK);
	return b->n >= TAR_BLOCK ? err_set(e, ERR_CLOSED, 0, "enough") : 0;
}

/* 1: ADD unpacks it. */
static int is_archive(int fd, struct err *e)
{
	static const char xz[] = "\xfd"
				 "7zXZ",
			  bz[] = "BZh";
	char piece[PIECE];
	ssize_t n = pread(fd, piece, sizeof(piece), 0);
	struct str in = { piece, n > 0 ? (size_t)n : 0 };
	struct buf first = { 0 };
	struct decode *d = decode_new((struct sink){ take_first, &first }, PIECE * 200ull);
	struct err enough = { 0 };
	bool is;

	if (str_starts(in, xz) || str_starts(in, bz)) {
		decode_free(d);
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "archives of xz and bzip2 are not unpacked: use gzip or zstd, or "
		               "COPY it");
	}
	(void)decode_feed(d, in, &enough);
	is = first.n >= TAR_BLOCK && memcmp(first.p + 257, "ustar", 5) == 0;
	decode_free(d);
	buf_free(&first);
	return is;
}

static int unpack_archive(struct copy *c, int fd, struct err *e)
{
	int scratch,
		at = make_dir(c, e) < 0 ? -1 : inroot_open(c->root, c->to, O_RDONLY | O_DIRECTORY);
	struct unpack *u;
	struct decode *d;
	int rc;

	if (at < 0)
		return e->kind ? -1 : err_sys(e, errno, "open /%s", c->to);
	u = unpack_at(c, at, &scratch);
	d = decode_new((struct sink){ feed, u }, UNPACK_BYTES_MAX);
	rc = decode_file(d, fd, c->building->d, c->building->c->env->stop, e);
	if (rc == 0)
		rc = unpack_end(u, e);
	decode_free(d);
	unpack_free(u);
	fd_close(&scratch);
	fd_close(&at);
	return rc;
}

static int copy_file(struct copy *c, const char *file, const struct stat *st, struct err *e)
{
	const char *slash = strrchr(c->path, '/'), *base = slash ? slash + 1 : c->path;
	struct tar_entry en = { .type = '0', .mode = st->st_mode, .size = (uint64_t)st->st_size };
	int dir = c->root < 0 || c->into ? -1 : inroot_open(c->root, c->to, O_PATH | O_DIRECTORY);
	struct buf name = { 0 }, before = { 0 }, after = { 0 };
	struct tar_file f;
	int rc = tar_file_open(&f, file, e);

	buf_adds(&name, c->to);
	if (c->into || dir >= 0 || !*c->to)
		buf_addf(&name, "%s%s", *c->to ? "/" : "", base);
	en.name = buf_cstr(&name);
	en.mtime = (int64_t)st->st_mtime;
	if (rc == 0)
		rc = entry(c, &before, file, st, &en, e);
	if (rc == 0) {
		en.size = f.size;
		tar_header(&before, &en);
		tar_pad(&after, f.size);
		tar_finish(&after);
		f.before = buf_str(&before);
		f.after = buf_str(&after);
		rc = pump(c, tar_file_fill, &f, e);
	}
	tar_file_close(&f);
	fd_close(&dir);
	buf_free(&name);
	buf_free(&before);
	buf_free(&after);
	return rc;
}

/* ---- what is meant ---- */

static int copy_one(struct copy *c, const char *path, struct err *e)
{
	int fd = inroot_open(c->source, path, O_RDONLY | O_NONBLOCK), rc = 0;
	char at[40];
	struct stat st;
	bool whole;

	c->path = "";
	if (fd >= 0 && *path && skip(c, path, false, &whole)) { /* a pattern passes over it */
		fd_close(&fd);
		errno = ENOENT;
		if (c->pattern)
			return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = errno != ENOENT
		             ? err_sys(e, errno, "%s", path)
		             : err_set(e, ERR_NOT_FOUND, 0, "there is no \"%.200s\" %s", path,
		                       c->of_context ? "in the build's context" : "there");
		fd_close(&fd);
		return rc;
	}
	c->path = path;
	c->n++;
	snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
	if (S_ISDIR(st.st_mode))
		rc = copy_dir(c, at, e);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(e, ERR_UNSUPPORTED, 0, "%.200s: is no file and no directory", path);
	else if (c->root >= 0 && c->add && (rc = is_archive(fd, e)) != 0)
		rc = rc < 0 ? -1 : unpack_archive(c, fd, e);
	else
		rc = copy_file(c, at, &st, e);
	fd_close(&fd);
	return rc < 0 ? err_wrap(e, "%s", path) : 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int members(const struct copy *c, const char *dir, const char *pattern, struct strlist *out,
                   struct err *e)
{
	int fd = inroot_open(c->source, dir, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *en;

	if (!d) {
		fd_close(&fd);
		return 0; /* nothing matches */
	}
	while ((en = readdir(d)) && out->n <= MEMBERS_MAX)
		if (strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0 &&
		    glob_match(pattern, en->d_name, true))
			strlist_add(out, en->d_name);
	closedir(d);
	if (out->n > MEMBERS_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %d names match %s", MEMBERS_MAX,
		               pattern);
	if (out->n)
		qsort(out->p, out->n, sizeof(*out->p), by_text);
	return 0;
}

/* base, then rest with its patterns. */
static int copy_matches(struct copy *c, const char *base, struct str rest, unsigned depth,
                        struct err *e)
{
	struct str part;
	struct strlist found = { 0 };
	char *pattern;
	int rc = 0;

	if (!str_next(&rest, '/', &part))
		return copy_one(c, base, e);
	pattern = mem_dupn(part.p, part.n);
	if (depth == DEPTH_MAX)
		rc = err_set(e, ERR_LIMIT, 0, "%s: too deep", base);
	else if (nb_go_on(c->building, e) < 0)
		rc = -1;
	else if (strpbrk(pattern, "*?["))
		rc = members(c, base, pattern, &found, e);
	else
		strlist_add(&found, pattern);
	for (size_t i = 0; rc == 0 && i < found.n; i++) {
		struct buf path = { 0 };

		buf_addf(&path, "%s%s%s", base, *base ? "/" : "", found.p[i]);
		rc = copy_matches(c, buf_cstr(&path), rest, depth + 1, e);
		buf_free(&path);
	}
	strlist_free(&found);
	free(pattern);
	return rc;
}

static int copy_all(struct copy *c, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->from.n; i++) {
		struct buf path = { 0 };

		(void)path_add(&path, str_of(c->from.p[i])); /* ".." ends at the top */
		c->n = 0;
		c->pattern = strpbrk(buf_cstr(&path), "*?[") != NULL;
		rc = copy_matches(c, "", buf_str(&path), 0, e);
		if (rc == 0 && !c->n)
			rc = err_set(e, ERR_NOT_FOUND, 0,
			             "nothing is there that matches \"%.200s\"", c->from.p[i]);
		buf_free(&path);
	}
	return rc;
}

/* With the root mounted, and what another stage has. */
static int work(void *arg, const int *roots, struct err *e)
{
	struct copy *c = arg;
	struct user u = { 0 };
	int rc = 0;

	c->root = roots[0];
	c->source = c->of_context ? c->building->context : roots[1];
	if (c->chown)
		rc = user_find(c->root, c->chown, &u, e);
	c->uid = u.uid;
	c->gid = u.gid;
	user_free(&u);
	if (rc == 0 && (c->into || !c->from.n))
		rc = make_dir(c, e);
	return rc < 0 ? -1 : copy_all(c, e);
}

static int by_digest(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

/* Of the files of the context. */
static int context_digest(struct copy *c, struct buf *text, struct err *e)
{
	struct digest d;
	int rc;

	c->root = -1;
	c->source = c->building->context;
	c->hash = sha256_new();
	rc = copy_all(c, e);
	digest_end(c->hash, &d);
	if (c->digests.n)
		qsort(c->digests.p, c->digests.n / sizeof(d), sizeof(d), by_digest);
	digest_of(buf_str(&c->digests), &d);
	buf_adds(text, d.text);
	buf_free(&c->digests);
	return rc;
}

static int do_copy(struct building *building, struct copy *c, const struct digest *from,
                   struct str text, struct err *e)
{
	struct nb_root roots[SANDBOX_WORK_MAX] = { 0 };
	struct sandbox list[SANDBOX_WORK_MAX];
	struct rootfs r = { 0 };
	struct digest key;
	struct native_box whole = { .map = building->c->state.box.map };
	size_t n = from ? 2 : 1;
	int rc = nb_known(building, text, &key, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	nb_root_open(building, "top", building->config.diff_ids, building->config.n_diff_ids, false,
	             &roots[0]);
	if (from)
		rc = images_rootfs_of(building->s, from, building->c->ws->id, building->d, &r, e);
	if (rc == 0 && from)
		nb_root_open(building, "from", r.config.diff_ids, r.config.n_diff_ids, false,
		             &roots[1]);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = nb_root_empty(building, &roots[i], e);
		list[i] = roots[i].s;
	}
	c->owner = native_box_owner(&whole);
	if (rc == 0)
		rc = sandbox_work(list, n, work, c, building->context, building->d, e);
	if (rc == 0)
		rc = nb_commit(building, &roots[0], !LAYER_OF_SANDBOX, &key, e);
	rootfs_free(&r);
	nb_root_close(&roots[0]);
	nb_root_close(&roots[1]);
	return rc;
}

/* Below the root, clean. */
static char *below_root(const struct building *building, const char *path)
{
	struct buf b = { 0 };

	if (*path != '/')
		(void)path_add(&b, str_of(building->config.workdir));
	(void)path_add(&b, str_of(path));
	return buf_take(&b);
}

static bool octal(struct str s, int64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7' || i > 4)
			return false;
		*out = *out * 8 + (s.p[i] - '0');
	}
	return s.n > 0;
}

static int flags(struct building *building, struct copy *c, struct str *rest, struct buf *chown,
                 struct buf *from, struct err *e)
{
	struct str name, value;
	struct buf word = { 0 };
	int rc = 0;

	while (rc == 0 && dockerfile_flag(rest, &name, &value)) {
		if (nb_word(building, &value, true, &word, e) < 0)
			rc = -1;
		else if (str_eq(name, "chown"))
			buf_adds(chown, buf_cstr(&word));
		else if (str_eq(name, "from") && !c->add)
			buf_adds(from, buf_cstr(&word));
		else if (str_eq(name, "chmod") && octal(buf_str(&word), &c->chmod))
			;
		else if (!str_eq(name, "link"))
			rc = err_set(e, ERR_UNSUPPORTED, 0, "\"--%.*s=%.100s\" is not done",
			             STR_ARG(name), buf_cstr(&word));
	}
	buf_free(&word);
	return rc;
}

static int arguments(struct building *building, struct copy *c, const char *text, struct err *e)
{
	struct str rest = str_of(text);
	char **list = nb_list(text);
	struct buf word = { 0 };
	int rc = 1;
	size_t n;

	for (size_t i = 0; rc > 0 && (list ? list[i] != NULL : true); i++) {
		struct str one = str_of(list ? list[i] : "");

		rc = nb_word(building, list ? &one : &rest, list != NULL, &word, e);
		if (rc > 0)
			strlist_add(&c->from, buf_cstr(&word));
	}
	image_list_free(&list);
	buf_free(&word);
	n = c->from.n;
	if (rc < 0 || n < 2 || n > SOURCES_MAX)
		return rc < 0 ? -1 : err_set(e, ERR_PARSE, 0, "it needs sources and where they go");
	text = c->from.p[n - 1];
	c->into = n > 2 || text[strlen(text) - (*text != '\0')] == '/' || strcmp(text, ".") == 0;
	c->to = below_root(building, text);
	free(c->from.p[--c->from.n]);
	for (size_t i = 0; c->add && i < c->from.n; i++)
		if (strstr(c->from.p[i], "://") || strncmp(c->from.p[i], "git@", 4) == 0)
			return err_set(e, ERR_UNSUPPORTED, 0,
			               "what is not in the context is not fetched: RUN a program "
			               "that does");
	return 0;
}

int nb_copy(struct building *building, const struct instruction *i, struct err *e)
{
	struct copy c = {
		.building = building, .add = i->kind == DOCKERFILE_ADD, .chmod = -1, .source = -1
	};
	struct str rest = str_of(i->rest);
	struct buf chown = { 0 }, from = { 0 }, text = { 0 };
	struct digest manifest;
	int rc = flags(building, &c, &rest, &chown, &from, e);

	c.of_context = !from.n;
	c.chown = chown.n ? buf_cstr(&chown) : NULL;
	if (rc == 0)
		rc = arguments(building, &c, rest.p ? rest.p : "", e);
	if (rc == 0) {
		buf_addf(&text, "%s %lld %d", dockerfile_words[i->kind], (long long)c.chmod,
		         c.into);
		nb_text(&text, buf_cstr(&chown));
		nb_text(&text, c.to);
		for (size_t k = 0; k < c.from.n; k++)
			nb_text(&text, c.from.p[k]);
		rc = from.n ? nb_find(building, buf_cstr(&from), true, &manifest, e)
		            : context_digest(&c, &text, e);
	}
	if (rc == 0 && from.n)
		buf_adds(&text, manifest.text);
	if (rc == 0)
		rc = do_copy(building, &c, from.n ? &manifest : NULL, buf_str(&text), e);
	strlist_free(&c.from);
	free(c.to);
	buf_free(&chown);
	buf_free(&from);
	buf_free(&text);
	return rc;
}

int nb_workdir(struct building *building, const char *path, struct err *e)
{
	struct copy c = { .building = building,
		          .to = below_root(building, path),
		          .of_context = true,
		          .chmod = -1 };
	struct buf text = { 0 }, dir = { 0 };
	int rc;

	buf_addf(&text, "WORKDIR\n%s", c.to);
	rc = do_copy(building, &c, NULL, buf_str(&text), e);
	buf_addf(&dir, "/%s", c.to);
	free(building->config.workdir);
	building->config.workdir = buf_take(&dir);
	buf_free(&text);
	free(c.to);
	return rc;
}
