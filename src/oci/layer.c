/* SPDX-License-Identifier: Apache-2.0 */
/* See layer.h. */
#include "oci/layer.h"

#include "base/mem.h"
#include "base/tar.h"
#include "oci/links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define XATTR_MAX 65536 /* the kernel's limit */
#define NAMES_MAX 65536

struct writing {
	const struct unpack_owner *o;
	bool of_sandbox, any;
	uint64_t left; /* bytes of files */
	struct links links;
};

static bool skip(void *arg, const char *path, bool is_dir, bool *whole)
{
	static const char *const theirs[] = {
		"dev", "proc", "run", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf"
	};
	const struct writing *w = arg;

	*whole = is_dir;
	for (size_t i = 0; w->of_sandbox && i < sizeof(theirs) / sizeof(*theirs); i++)
		if (strcmp(path, theirs[i]) == 0)
			return true;
	return false;
}

static unsigned inside(const struct id_range *r, size_t n, unsigned id)
{
	if (!n)
		return id;
	return id >= r->outside && id - r->outside < r->n ? id - r->outside + r->inside : 0;
}

int layer_check_name(const char *name, struct err *e)
{
	return strstr(name, "/.wh.") || strncmp(name, ".wh.", 4) == 0
	               ? err_set(e, ERR_UNSUPPORTED, 0,
	                         "%.300s: no file of an image can have that name", name)
	               : 0;
}

static bool octal(struct str s, mode_t *out)
{
	unsigned mode = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7' || mode > 07777)
			return false;
		mode = mode * 8 + (unsigned)(s.p[i] - '0');
	}
	*out = mode & 07777;
	return s.n > 0;
}

bool layer_recorded(const char *at, struct tar_entry *en)
{
	char text[48];
	ssize_t n = getxattr(at, UNPACK_RECORD, text, sizeof(text));
	struct str rest = { text, n > 0 ? (size_t)n : 0 }, uid, gid;
	int64_t u, g;

	if (!str_next(&rest, ':', &uid) || !str_next(&rest, ':', &gid) ||
	    !str_to_i64(uid, 0, UINT32_MAX, &u) || !str_to_i64(gid, 0, UINT32_MAX, &g) ||
	    !octal(rest, &en->mode))
		return false;
	en->uid = (unsigned)u;
	en->gid = (unsigned)g;
	return true;
}

void layer_owner(const struct unpack_owner *o, const char *at, const struct stat *st,
                 struct tar_entry *en)
{
	struct tar_entry is = { 0 };

	en->uid = inside(o->uids, o->n_uids, st->st_uid);
	en->gid = inside(o->gids, o->n_gids, st->st_gid);
	if (!en->uid && !en->gid && !S_ISLNK(st->st_mode) && layer_recorded(at, &is)) {
		en->uid = is.uid;
		en->gid = is.gid;
	}
}

/* "LENGTH SCHILY.xattr.NAME=VALUE\n", where the length counts its own digits. */
static void add_record(struct buf *b, const char *name, struct str value)
{
	size_t rest = strlen(" SCHILY.xattr.=\n") + strlen(name) + value.n, n = rest;
	char digits[24];

	do
		snprintf(digits, sizeof(digits), "%zu", n);
	while (n != rest + strlen(digits) && (n = rest + strlen(digits)));
	buf_addf(b, "%s SCHILY.xattr.%s=", digits, name);
	buf_add_str(b, value);
	buf_addc(b, '\n');
}

/* Those that an unpacked layer may have. Capabilities that were given in a user namespace name its root, who is root in the
 * image: the form before that (version 2) is without. */
static void add_xattrs(struct buf *b, const char *at)
{
	ssize_t n = llistxattr(at, NULL, 0);
	char *names = mem_alloc(n > 0 ? NAMES_MAX : 0), *value = mem_alloc(n > 0 ? XATTR_MAX : 0);
	struct buf records = { 0 };

	if (n > 0)
		n = llistxattr(at, names, NAMES_MAX);
	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		bool caps = strcmp(p, "security.capability") == 0;
		ssize_t len;

		if (!caps && (strncmp(p, "user.", 5) != 0 || strncmp(p, "user.overlay.", 13) == 0 ||
		              strcmp(p, UNPACK_RECORD) == 0))
			continue;
		len = lgetxattr(at, p, value, XATTR_MAX);
		if (caps && len == 24 && value[3] == 3) {
			value[3] = 2;
			len = 20;
		}
		if (len >= 0)
			add_record(&records, p, (struct str){ value, (size_t)len });
	}
	if (records.n) {
		tar_header(b, &(struct tar_entry){ .name = "././@PaxHeader",
		                                   .type = 'x',
		                                   .mode = 0644,
		                                   .size = records.n });
		buf_add_str(b, buf_str(&records));
		tar_pad(b, records.n);
	}
	buf_free(&records);
	free(names);
	free(value);
}

static void add_whiteout(struct buf *b, const char *dir, size_t n, const char *name)
{
	struct buf path = { 0 };

	buf_add(&path, dir, n);
	buf_addf(&path, ".wh.%s", name);
	tar_header(b, &(struct tar_entry){ .name = buf_cstr(&path), .type = '0' });
	buf_free(&path);
}

static bool is_opaque(const char *at)
{
	char value;

	return (lgetxattr(at, "trusted.overlay.opaque", &value, 1) == 1 ||
	        lgetxattr(at, "user.overlay.opaque", &value, 1) == 1) &&
	       value == 'y';
}

static int entry(void *arg, struct buf *b, const char *at, const struct stat *st,
                 struct tar_entry *en, struct err *e)
{
	struct writing *w = arg;
	w->any = true;
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)) {
		const char *slash = strrchr(en->name, '/'), *base = slash ? slash + 1 : en->name;

		add_whiteout(b, en->name, (size_t)(base - en->name), base);
		return 0;
	}
	if (layer_check_name(en->name, e) < 0)
		return -1;
	if (lgetxattr(at, "trusted.overlay.redirect", NULL, 0) >= 0 ||
	    lgetxattr(at, "trusted.overlay.metacopy", NULL, 0) >= 0)
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "%.300s: this kernel's overlays keep a part of it elsewhere; set "
		               "the options redirect_dir and metacopy of the module overlay to N",
		               en->name);
	if (S_ISFIFO(st->st_mode))
		en->type = '6';
	if (!en->type) /* sockets and devices */
		return 0;
	layer_owner(w->o, at, st, en);
	if (en->type == '0' && (en->link = links_name(&w->links, st, en->name)) != NULL) {
		en->type = '1';
		return 0;
	}
	add_xattrs(b, at);
	if (en->type == '0' && en->size > w->left)
		return err_set(e, ERR_LIMIT, 0, "%.300s: too large for a layer", en->name);
	w->left -= en->type == '0' ? en->size : 0;
	if (en->type == '5' && is_opaque(at)) {
		tar_header(b, en);
		add_whiteout(b, en->name, strlen(en->name), ".wh..opq");
		en->type = 0;
	}
	return 0;
}

int layer_add(struct imgstore *s, const char *upper, const struct unpack_owner *o, bool of_sandbox,
              uint64_t max, struct deadline until, struct digest *d, struct err *e)
{
	struct writing w = { .o = o, .of_sandbox = of_sandbox, .left = max };
	struct tar_tree *t = tar_tree_new(&(struct tar_tree_options){
		.root = upper,
		.prefix = "",
		.uid = -1,
		.gid = -1,
		.skip = skip,
		.entry = entry,
		.skip_arg = &w,
	});
	struct blob_in *blob = NULL;
	struct buf b = { 0 };
	int rc = blob_begin_new(s, &blob, e), more = rc == 0;

	*d = (struct digest){ "" };
	while (rc == 0 && more) {
		buf_reset(&b);
		more = tar_tree_fill(t, &b, e);
		rc = more < 0 ? -1 : blob_add(blob, buf_str(&b), e);
		if (rc == 0 && deadline_passed(until))
			rc = err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
	}
	if (rc == 0 && w.any) {
		rc = blob_commit(blob, e);
		*d = blob_digest(blob);
	}
	blob_free(blob);
	buf_free(&b);
	links_free(&w.links);
	tar_tree_free(t);
	return rc;
}
