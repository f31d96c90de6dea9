/* SPDX-License-Identifier: Apache-2.0 */
/* What is removed from the store, and when; see store.h. */
#include "base/file.h"
#include "base/mem.h"
#include "oci/imgstore_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PART_KEEP_MS \
	(INT64_C(24) * 3600 * 1000) /* so long a blob that was cut may be gone on with */

#define SETTLE_MS \
	(INT64_C(600) * 1000) /* by then the kernel has written it by itself: a sync costs little */

struct sweep {
	struct imgstore s;
	const struct imgstore_keep *keep;
	struct imgstore_swept swept;
	struct stored *names, *uses;
	size_t n_names, n_uses;
	struct digest *blobs, *layers; /* needed, sorted */
	size_t n_blobs, n_layers;
	bool without_made; /* what builds have made is not needed any more */
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct digest *)a)->text, ((const struct digest *)b)->text);
}

static void need(struct digest **all, size_t *n, const struct digest *more, size_t n_more)
{
	if (!n_more)
		return;
	*all = mem_realloc(*all, (*n + n_more) * sizeof(**all));
	memcpy(*all + *n, more, n_more * sizeof(**all));
	*n += n_more;
}

static int each_file(struct sweep *w, int dir,
                     int (*each)(struct sweep *w, const char *name, struct err *e), struct err *e);

static bool made_layer(const struct sweep *w, const char *name, struct digest *layer)
{
	struct digest of;

	snprintf(of.text, sizeof(of.text), DIGEST_PREFIX "%s", name);
	return imgstore_made(&w->s, &of, layer) && *layer->text;
}

static int need_made(struct sweep *w, const char *name, struct err *e)
{
	struct digest layer;
	struct stat st;

	(void)e;
	if (!made_layer(w, name, &layer) ||
	    fstatat(w->s.made, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (w->keep->age_ms && clock_wall_ms() - (int64_t)st.st_mtime * 1000 > w->keep->age_ms))
		return 0;
	need(&w->blobs, &w->n_blobs, &layer, 1);
	need(&w->layers, &w->n_layers, &layer, 1);
	return 0;
}

static int mark(struct sweep *w, struct err *e)
{
	int rc = 0;

	w->n_blobs = w->n_layers = 0;
	for (size_t i = 0; i < w->n_names + w->n_uses; i++) {
		const struct stored *r = i < w->n_names ? &w->names[i] : &w->uses[i - w->n_names];

		need(&w->blobs, &w->n_blobs, r->blobs, r->n_blobs);
		need(&w->layers, &w->n_layers, r->layers, r->n_layers);
	}
	if (w->keep->made && !w->without_made)
		rc = each_file(w, w->s.made, need_made, e);
	if (w->n_blobs)
		qsort(w->blobs, w->n_blobs, sizeof(*w->blobs), by_text);
	if (w->n_layers)
		qsort(w->layers, w->n_layers, sizeof(*w->layers), by_text);
	return rc;
}

/* Whether the file name begins with a digest that is needed. */
static bool needed(const char *file, const struct digest *all, size_t n)
{
	struct digest d;

	if (!n || strlen(file) < DIGEST_HEX)
		return false;
	snprintf(d.text, sizeof(d.text), DIGEST_PREFIX "%.64s", file);
	return bsearch(&d, all, n, sizeof(*all), by_text) != NULL;
}

/* A tree loses its name first, so that no half of it is ever found. */
static int remove_layer(struct sweep *w, const char *name, struct err *e)
{
	char gone[IMGSTORE_NAME_SIZE + 8];

	snprintf(gone, sizeof(gone), "%.100s.gone", name);
	if (file_remove_at(w->s.tmp, gone, e) < 0)
		return -1;
	if (renameat(w->s.layers, name, w->s.tmp, gone) < 0)
		return err_sys(e, errno, "remove layer %s", name);
	w->swept.layers++;
	return file_remove_at(w->s.tmp, gone, e);
}

static int remove_blob(struct sweep *w, const char *name, struct err *e)
{
	if (unlinkat(w->s.blobs, name, 0) < 0)
		return err_sys(e, errno, "remove blob %s", name);
	w->swept.blobs++;
	return 0;
}

/* Nobody has a lock now: what is here was left behind. */
static int remove_rest(struct sweep *w, const char *name, struct err *e)
{
	size_t n = strlen(name);
	struct stat st;

	if (n > 5 && strcmp(name + n - 5, ".part") == 0 &&
	    fstatat(w->s.tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    clock_wall_ms() - (int64_t)st.st_mtime * 1000 < PART_KEEP_MS)
		return 0;
	return file_remove_at(w->s.tmp, name, e);
}

static int each_file(struct sweep *w, int dir,
                     int (*each)(struct sweep *w, const char *name, struct err *e), struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *en;

	if (!d) {
		fd_close(&fd);
		return err_sys(e, errno, "list the image store");
	}
	while (rc == 0 && (en = readdir(d)))
		if (strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0)
			rc = each(w, en->d_name, e);
	closedir(d);
	return rc;
}

static int blob_if_unneeded(struct sweep *w, const char *name, struct err *e)
{
	return needed(name, w->blobs, w->n_blobs) ? 0 : remove_blob(w, name, e);
}

static int layer_if_unneeded(struct sweep *w, const char *name, struct err *e)
{
	return needed(name, w->layers, w->n_layers) ? 0 : remove_layer(w, name, e);
}

static int made_if_gone(struct sweep *w, const char *name, struct err *e)
{
	struct digest layer;

	(void)e;
	if (!made_layer(w, name, &layer))
		(void)unlinkat(w->s.made, name, 0);
	return 0;
}

static int brought_if_gone(struct sweep *w, const char *name, struct err *e)
{
	struct digest d;

	(void)e;
	snprintf(d.text, sizeof(d.text), DIGEST_PREFIX "%.64s", name);
	if (!imgstore_has_blob(&w->s, &d))
		(void)unlinkat(w->s.brought, name, 0);
	return 0;
}

static int half_record(struct sweep *w, const char *name, struct err *e)
{
	(void)e;
	if (strstr(name, ".tmp-"))
		(void)unlinkat(w->s.refs, name, 0), (void)unlinkat(w->s.uses, name, 0);
	return 0;
}

static int sweep_all(struct sweep *w, struct err *e)
{
	if (mark(w, e) < 0 || each_file(w, w->s.layers, layer_if_unneeded, e) < 0)
		return -1;
	return each_file(w, w->s.blobs, blob_if_unneeded, e);
}

static bool is_held(const struct sweep *w, const struct stored *i)
{
	for (size_t k = 0; k < w->n_uses; k++)
		if (digest_eq(&w->uses[k].manifest, &i->manifest))
			return true;
	return false;
}

static int drop_name(struct sweep *w, size_t i, struct err *e)
{
	if (imgstore_remove_name(&w->s, w->names[i].name, e) < 0)
		return -1;
	stored_free(&w->names[i]);
	memmove(&w->names[i], &w->names[i + 1], (w->n_names - i - 1) * sizeof(*w->names));
	w->n_names--;
	w->swept.names++;
	return 0;
}

static int drop_old(struct sweep *w, struct err *e)
{
	int64_t now = clock_wall_ms();

	for (size_t i = w->n_names; w->keep->age_ms > 0 && i-- > 0;)
		if (now - w->names[i].used_ms > w->keep->age_ms && !is_held(w, &w->names[i]) &&
		    drop_name(w, i, e) < 0)
			return -1;
	return 0;
}

static bool has_room(const struct sweep *w)
{
	struct statvfs v;

	return w->keep->free_bytes == 0 || fstatvfs(w->s.top, &v) < 0 ||
	       (uint64_t)v.f_bavail * v.f_frsize >= w->keep->free_bytes;
}

/* What builds can make again; then the name that nobody used for the longest time, one at a time. */
static int make_room(struct sweep *w, struct err *e)
{
	if (w->keep->made && !has_room(w)) {
		w->without_made = true;
		if (sweep_all(w, e) < 0)
			return -1;
	}
	while (!has_room(w)) {
		size_t oldest = w->n_names;

		for (size_t i = 0; i < w->n_names; i++)
			if (!is_held(w, &w->names[i]) &&
			    (oldest == w->n_names ||
			     w->names[i].used_ms < w->names[oldest].used_ms))
				oldest = i;
		if (oldest == w->n_names)
			return 0;
		if (drop_name(w, oldest, e) < 0 || sweep_all(w, e) < 0)
			return -1;
	}
	return 0;
}

static int sweep(struct sweep *w, struct err *e)
{
	size_t damaged = 0;

	if (imgstore_read_records(w->s.refs, &w->names, &w->n_names, &damaged, e) < 0 ||
	    imgstore_read_records(w->s.uses, &w->uses, &w->n_uses, &damaged, e) < 0)
		return -1;
	if (damaged) /* whatever they need must not go */
		return err_set(e, ERR_PARSE, 0,
		               "%zu records in %s/refs and uses are damaged: nothing is removed "
		               "until they are",
		               damaged, w->s.dir);
	if (each_file(w, w->s.tmp, remove_rest, e) < 0 ||
	    each_file(w, w->s.refs, half_record, e) < 0 ||
	    each_file(w, w->s.uses, half_record, e) < 0 || drop_old(w, e) < 0 ||
	    sweep_all(w, e) < 0)
		return -1;
	if (make_room(w, e) < 0 || each_file(w, w->s.made, made_if_gone, e) < 0 ||
	    each_file(w, w->s.brought, brought_if_gone, e) < 0)
		return -1;
	return imgstore_settle(&w->s, SETTLE_MS, e);
}

int imgstore_sweep(const char *dir, const struct imgstore_keep *keep, struct deadline until,
                   struct imgstore_swept *swept, struct err *e)
{
	struct sweep w = { .keep = keep };
	int rc = imgstore_open_dirs(&w.s, dir, e);

	if (rc == 0)
		rc = imgstore_flock(w.s.lock, LOCK_EX, until, dir, e);
	if (rc == 0)
		rc = sweep(&w, e);
	if (swept)
		*swept = w.swept;
	stored_list_free(w.names, w.n_names);
	stored_list_free(w.uses, w.n_uses);
	free(w.blobs);
	free(w.layers);
	imgstore_close_dirs(&w.s);
	return rc < 0 ? err_wrap(e, "image store") : 0;
}
