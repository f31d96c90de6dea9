/* SPDX-License-Identifier: Apache-2.0 */
/* How a workspace with namespaces of its own is made; see box.h. */
#include "base/file.h"
#include "base/mem.h"
#include "net/url.h"
#include "oci/decode.h"
#include "oci/unpack.h"
#include "providers/native/box.h"
#include "providers/native/box_dev.h"
#include "sandbox/idrange.h"
#include "sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROOF_MAX 256

/* What is less than was asked for: with strict an error. */
static int weaker(const struct native_call *c, const char *text, const char *why, struct err *e)
{
	if (c->options.strict)
		return err_set(e, ERR_UNSUPPORTED, 0, "Isolation=strict: %s: %s", text, why);
	provider_logf(c->env, "isolation: %s: %s", text, why);
	return 0;
}

/*
 * A trial costs as much as a start. What has succeeded is written down beside the images, for other jobs of the same runner:
 * "BOOT PID START SHIFT LAYERS"; as many layers, or fewer, need no other trial, nor does a root without any. The next runner
 * may be in another container, with other rights, or have its files elsewhere.
 */
static char *proof_path(const struct native_call *c)
{
	return path_join(c->paths.images, "proven");
}

static void begin_proof(bool shift, struct buf *b)
{
	struct proc_id runner = { 0 };

	proc_boot_id(b);
	(void)proc_identify(getppid(), &runner);
	buf_addf(b, " %ld %llu %d ", (long)runner.pid, (unsigned long long)runner.start, shift);
}

static bool proven(const struct native_call *c, bool shift, size_t layers)
{
	char *path = proof_path(c);
	struct buf text = { 0 }, want = { 0 };
	struct err ignored = { 0 }; /* then it is tried */
	int64_t n = -1;
	bool whole;

	begin_proof(shift, &want);
	whole = file_read(path, PROOF_MAX, &text, &ignored) == 0 &&
	        str_starts(buf_str(&text), buf_cstr(&want)) &&
	        str_to_i64((struct str){ text.p + want.n, text.n - want.n }, 0, INT64_MAX, &n);
	buf_free(&text);
	buf_free(&want);
	free(path);
	return whole && (uint64_t)n >= layers;
}

static void note_proof(const struct native_call *c, bool shift, size_t layers)
{
	char *path = proof_path(c);
	struct buf text = { 0 };
	struct err ignored = { 0 };

	begin_proof(shift, &text);
	buf_addf(&text, "%zu", layers);
	(void)file_swap(path, 0600, buf_str(&text), &ignored);
	buf_free(&text);
	free(path);
}

static int choose_range(const struct native_call *c, struct userns_map *map, struct deadline d,
                        struct err *e)
{
	struct err why = { 0 };
	uint32_t first;
	int ns;

	if (idrange_take(c->paths.ids, c->ws->id, &first, e) < 0)
		return -1;
	*map = (struct userns_map){ MAP_RANGE, first, first, USERNS_RANGE, USERNS_RANGE };
	if (proven(c, true, 0))
		return 0;
	ns = userns_open(map, d, &why);
	if (ns >= 0) {
		close(ns);
		return 0;
	}
	*map = (struct userns_map){ .how = MAP_SINGLE };
	return weaker(c, "no range of ids of its own", why.msg, e);
}

static int choose_map(const struct native_call *c, struct userns_map *map, struct deadline d,
                      struct err *e)
{
	struct buf why = { 0 };
	int rc = 0;

	if (geteuid() == 0)
		return choose_range(c, map, d, e);
	userns_ordinary(map, &why);
	if (map->how == MAP_SINGLE)
		rc = weaker(
			c,
			"only one user id, so packages and services with users of their own do not "
			"work",
			buf_cstr(&why), e);
	buf_free(&why);
	return rc;
}

static int make_dirs(const struct native_call *c, const struct native_box *box, struct err *e)
{
	static const char *const names[] = { "upper", "work", "point", "tmp", "home" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *path = path_join(c->paths.box, names[i]);
		int rc = file_mkdirs(path, i == 0 ? 0755 : 0700, e);

		free(path);
		if (rc < 0)
			return -1;
	}
	(void)box;
	return 0;
}

static int feed_unpack(void *arg, struct str bytes, struct err *e)
{
	return unpack_feed(arg, bytes, e);
}

static int unpack_file(const struct native_call *c, int from, int root, int scratch,
                       const struct native_box *box, struct deadline d, struct err *e)
{
	struct native_box whole = { .map = box->map }; /* its ids are not shifted */
	struct unpack_owner o = native_box_owner(&whole);
	struct unpack *u;
	struct decode *decode;
	int rc;

	u = unpack_new(root, scratch, &o);
	decode = decode_new((struct sink){ feed_unpack, u }, UNPACK_BYTES_MAX);
	decode_limit_window(decode, DECODE_WINDOW_LOG_MAX); /* an operator's own */
	rc = decode_file(decode, from, d, c->env->stop, e);
	if (rc == 0)
		rc = unpack_end(u, e);
	decode_free(decode);
	unpack_free(u);
	return rc;
}

/* An archive becomes box/tree, whole or not. */
static int unpack_archive(const struct native_call *c, const struct native_box *box, int from,
                          struct deadline d, struct err *e)
{
	char *tree = path_join(c->paths.box, "tree"), *new = path_join(c->paths.box, "tree.new");
	int root = -1, scratch = -1, rc = -1;

	if (file_is_dir(tree)) {
		rc = 0;
	} else if (sandbox_remove(&box->map, new, d, e) == 0 && file_mkdirs(new, 0755, e) == 0) {
		root = open(new, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		scratch = open(c->paths.box, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		provider_logf(c->env, "unpacking %s", box->source);
		if (root < 0 || scratch < 0)
			err_sys(e, errno, "open %s", new);
		else if (unpack_file(c, from, root, scratch, box, d, e) == 0)
			rc = rename(new, tree) < 0 ? err_sys(e, errno, "rename %s", new) : 0;
	}
	fd_close(&root);
	fd_close(&scratch);
	free(tree);
	free(new);
	return rc < 0 ? err_wrap(e, "%s", box->source) : 0;
}

static int find_root(struct native_call *c, struct native_box *box, struct deadline d,
                     struct err *e)
{
	char *real;
	struct stat st;
	int fd, rc = 0;

	if (!c->options.root[0] || strcmp(c->options.root, "/") == 0) {
		box->kind = BOX_HOST;
		box->source = mem_dup("/");
		return 0;
	}
	real = realpath(c->options.root, NULL);
	if (!real)
		return err_sys(e, errno, "Root %s", c->options.root);
	box->source = real;
	if (!native_root_allowed(&c->options, real))
		return err_set(e, ERR_DENIED, 0,
		               "Root %s is %s, which the operator has not allowed", c->options.root,
		               real);
	fd = open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		rc = err_sys(e, errno, "open %s", real);
	else if (S_ISDIR(st.st_mode) && geteuid() != 0 && st.st_uid != geteuid())
		rc = err_set(
			e, ERR_DENIED, 0,
			"Root %s belongs to user %u, who is nobody inside: give it to user %u, or name a "
			"tar archive of it",
			real, st.st_uid, geteuid());
	else if (S_ISDIR(st.st_mode))
		box->kind = BOX_TREE;
	else if (S_ISREG(st.st_mode))
		box->kind = BOX_ARCHIVE;
	else
		rc = err_set(e, ERR_CONFIG, 0, "Root %s is no directory and no file", real);
	if (rc == 0 && box->kind == BOX_ARCHIVE)
		rc = unpack_archive(c, box, fd, d, e);
	fd_close(&fd);
	return rc;
}

/* Whether an overlay can be mounted as the box says. */
static int try_overlay(struct native_call *c, struct deadline d, struct err *e)
{
	struct native_boxed b;
	int rc = native_boxed_open(&b, c, d, e);

	if (rc == 0)
		rc = sandbox_try(&b.s, d, e);
	native_boxed_close(&b);
	return rc;
}

/* Where an overlay is not possible all is copied. */
static int flatten(struct native_call *c, struct native_box *box, struct deadline d, struct err *e)
{
	char *flat = path_join(c->paths.box, "flat");
	struct native_boxed b = { 0 };
	int rc = -1;

	if (sandbox_remove(&box->map, flat, d, e) == 0 && file_mkdirs(flat, 0755, e) == 0)
		rc = native_boxed_open(&b, c, d, e);
	if (rc == 0)
		rc = images_flatten(&b.rootfs, flat, d, e);
	if (rc == 0 && box->map.how == MAP_RANGE && lchown(flat, box->map.uids, box->map.gids) < 0)
		rc = err_sys(e, errno, "give away %s", flat);
	native_boxed_close(&b);
	free(flat);
	box->flat = rc == 0;
	return rc;
}

/* Layers of an image: shared and shifted; else unpacked for these ids; else copied. */
static int fit_image(struct native_call *c, struct native_box *box, size_t layers,
                     struct deadline d, struct err *e)
{
	struct err why = { 0 };

	if (proven(c, box->shift, layers))
		return 0;
	if (try_overlay(c, d, &why) == 0) {
		note_proof(c, box->shift, layers);
		return 0;
	}
	if (box->shift) {
		provider_logf(c->env, "layers are unpacked for this workspace alone: %s", why.msg);
		box->shift = false;
		err_clear(&why);
		if (try_overlay(c, d, &why) == 0)
			return 0;
	}
	if (why.kind == ERR_CANCELED || deadline_passed(d)) {
		*e = why;
		return -1;
	}
	provider_logf(c->env, "the image is copied, since overlays are not possible: %s", why.msg);
	return flatten(c, box, d, e);
}

int native_box_make(struct native_call *c, struct deadline d, struct err *e)
{
	struct native_box *box = &c->state.box;
	struct rootfs r = { 0 };
	struct err ignored = { 0 };
	size_t layers;

	if (box->kind != BOX_NONE)
		return 0; /* it was made before */
	if (file_mkdirs(c->paths.box, 0700, e) < 0 || choose_map(c, &box->map, d, e) < 0 ||
	    make_dirs(c, box, e) < 0)
		return -1;
	box->strict = c->options.strict;
	box->shift = box->map.how == MAP_RANGE;
	box->source = mem_dup("");
	box->manifest = mem_dup("");
	if (c->options.image[0]) {
		box->kind = BOX_IMAGE;
		if (native_dev_image(c, d, e) < 0 || native_box_pull(c, box, d, &r, e) < 0)
			return -1;
		layers = r.n;
		rootfs_free(&r);
		return fit_image(c, box, layers, d, e) < 0 ? -1 : native_box_give(c, d, e);
	}
	free(box->source);
	box->source = NULL;
	if (find_root(c, box, d, e) < 0)
		return -1;
	if (box->kind == BOX_ARCHIVE)
		box->shift = false;
	if (box->kind == BOX_HOST && proven(c, box->shift, 0))
		return 0;
	if (try_overlay(c, d, e) < 0)
		return err_wrap(e, "isolation is not possible here");
	if (box->kind == BOX_HOST && file_mkdirs(c->paths.images, 0700, &ignored) == 0)
		note_proof(c, box->shift, 0);
	return native_box_give(c, d, e);
}
