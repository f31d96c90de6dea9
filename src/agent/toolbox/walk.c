/* SPDX-License-Identifier: Apache-2.0 */
/* See walk.h. */
#include "agent/toolbox/walk.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_add(struct names *names, const char *name)
{
	if (names->n == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 64;
		names->v = mem_realloc(names->v, names->cap * sizeof(*names->v));
	}
	names->v[names->n++] = mem_dup(name);
}

int names_read(const char *dir, struct names *out, struct err *e)
{
	DIR *d = opendir(dir);
	const struct dirent *en;

	if (!d)
		return err_sys(e, errno, "%s", dir);
	while ((en = readdir(d)) != NULL) {
		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
			continue;
		out->cut = out->n == WALK_NAMES_MAX;
		if (out->cut)
			break;
		names_add(out, en->d_name);
	}
	closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_bytes);
	return 0;
}

void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct names){ 0 };
}

/* path: of this one, and again when it returns. False: the walk is over. */
static bool visit(struct walk *w, struct buf *path, const struct stat *st, unsigned depth)
{
	struct names names = { 0 };
	struct err ignored = { 0 };
	size_t n = path->n;
	bool go_on = !deadline_passed(w->d) && w->each(w->arg, n ? buf_cstr(path) : ".", st);

	if (!go_on)
		w->cut = true;
	if (!go_on || !S_ISDIR(st->st_mode))
		return go_on;
	if (depth == WALK_DEPTH_MAX || names_read(n ? buf_cstr(path) : ".", &names, &ignored) < 0) {
		w->cut = w->cut || depth == WALK_DEPTH_MAX;
		return true;
	}
	w->held += names.n;
	w->cut = w->cut || names.cut || w->held > WALK_NAMES_MAX;
	for (size_t i = 0; go_on && i < names.n && w->held <= WALK_NAMES_MAX; i++) {
		struct stat below;

		if (n && path->p[n - 1] != '/')
			buf_addc(path, '/');
		buf_adds(path, names.v[i]);
		if (lstat(buf_cstr(path), &below) == 0)
			go_on = visit(w, path, &below, depth + 1);
		buf_cut(path, n);
	}
	w->held -= names.n;
	names_free(&names);
	return go_on;
}

int walk(struct walk *w, const char *root, struct err *e)
{
	struct buf path = { 0 };
	struct stat st;

	if (stat(root, &st) < 0)
		return err_sys(e, errno, "%s", root);
	while (root[0] == '.' && root[1] == '/')
		root += 2 + strspn(root + 2, "/");
	if (strcmp(root, ".") != 0)
		buf_adds(&path, root);
	while (path.n > 1 && path.p[path.n - 1] == '/')
		buf_cut(&path, path.n - 1);
	visit(w, &path, &st, 0);
	buf_free(&path);
	return 0;
}
