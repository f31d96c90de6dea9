/* SPDX-License-Identifier: Apache-2.0 */
/* See sums.h. */
#include "server/sums.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE (256u << 10) /* bytes between two looks at what else there is to do: about 1 ms */
#define FILES_PER_STEP 32
#define FILES_MAX 1000 /* in downloads/; more are not listed */
#define WAITERS_MAX 64 /* beyond: 503 */

/* Which bytes a digest is of. Whoever changes a file cannot choose its change time. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec modified, changed;
};

struct sum {
	struct sum *next;
	char *name;
	struct stamp of;
	bool known;
	char hex[65];
};

struct waiter {
	struct waiter *next;
	struct srv *s;
	struct httpd_req *r;
	bool in_pass; /* came before the files were listed */
};

struct sums {
	struct sum *known; /* of the last pass */
	struct sum *done;  /* of this one */
	struct sum *todo;  /* the first is being hashed when fd is open */
	char *dir, *own;
	bool passing;
	int fd;
	struct sha256 *hash;
	off_t left;
	struct waiter *waiters;
	size_t n_waiters;
};

struct sums *sums_new(void)
{
	struct sums *u = mem_alloc(sizeof(*u));

	u->fd = -1;
	return u;
}

static void list_free(struct sum **list)
{
	while (*list) {
		struct sum *f = *list;

		*list = f->next;
		free(f->name);
		free(f);
	}
}

static void hash_drop(struct sums *u)
{
	unsigned char ignored[32];

	if (u->hash)
		sha256_end(u->hash, ignored);
	u->hash = NULL;
	fd_close(&u->fd);
}

void sums_free(struct sums *u)
{
	if (!u)
		return;
	hash_drop(u);
	list_free(&u->known);
	list_free(&u->done);
	list_free(&u->todo);
	free(u->dir);
	free(u->own);
	free(u);
}

static struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

static void todo_add(struct sums *u, const char *name)
{
	struct sum *f = mem_alloc(sizeof(*f)), **at = &u->todo;

	f->name = mem_dup(name);
	while (*at && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
}

/* The names as they are now: our own first, then in order. */
static void pass_begin(struct sums *u)
{
	DIR *d = opendir(u->dir);
	size_t n = 0;

	for (struct dirent *f = d ? readdir(d) : NULL; f && n < FILES_MAX; f = readdir(d)) {
		if (!str_is_id(str_of(f->d_name)) || f->d_name[0] == '.' ||
		    strcmp(f->d_name, u->own) == 0)
			continue;
		todo_add(u, f->d_name);
		n++;
	}
	if (d)
		closedir(d);
	struct sum *own = mem_alloc(sizeof(*own));

	own->name = mem_dup(u->own);
	own->next = u->todo;
	u->todo = own;
	u->passing = true;
	for (struct waiter *w = u->waiters; w; w = w->next)
		w->in_pass = true;
}

/* The file at the head of todo is done with. */
static void file_end(struct sums *u)
{
	struct sum *f = u->todo, **at = &u->done;

	hash_drop(u);
	u->todo = f->next;
	f->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = f;
}

/* Opens the file at the head of todo, or finds that it is known or none. */
static void file_begin(struct sums *u)
{
	struct sum *f = u->todo;
	char *path = strcmp(f->name, u->own) == 0 ? mem_dup("/proc/self/exe")
	                                          : path_join(u->dir, f->name);
	struct stat st;

	u->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	free(path);
	if (u->fd < 0 || fstat(u->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		file_end(u);
		return;
	}
	f->of = stamp_of(&st);
	for (const struct sum *sum = u->known; sum; sum = sum->next) {
		if (!sum->known || strcmp(sum->name, f->name) != 0 || !same(&sum->of, &f->of))
			continue;
		memcpy(f->hex, sum->hex, sizeof(f->hex));
		f->known = true;
		file_end(u);
		return;
	}
	u->hash = sha256_new();
	u->left = st.st_size;
}

static void file_finish(struct sums *u)
{
	struct sum *f = u->todo;
	unsigned char digest[32];
	struct buf hex = { 0 };
	struct stat st;
	struct stamp now = { 0 };

	sha256_end(u->hash, digest);
	u->hash = NULL;
	buf_add_hex(&hex, digest, sizeof(digest));
	snprintf(f->hex, sizeof(f->hex), "%s", buf_cstr(&hex));
	buf_free(&hex);
	if (fstat(u->fd, &st) == 0)
		now = stamp_of(&st);
	/* What changed under our hands is listed as it was read, and read again next time. */
	f->known = same(&now, &f->of);
	file_end(u);
}

/* Hashes up to SLICE bytes. */
static void file_step(struct sums *u)
{
	char chunk[16384];
	size_t sum = 0;

	while (u->left > 0 && sum < SLICE) {
		size_t want = u->left < (off_t)sizeof(chunk) ? (size_t)u->left : sizeof(chunk);
		ssize_t n = read(u->fd, chunk, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) { /* unreadable, or shorter than it was: not listed */
			file_end(u);
			return;
		}
		sha256_add(u->hash, chunk, (size_t)n);
		sum += (size_t)n;
		u->left -= n;
	}
	if (!u->left)
		file_finish(u);
}

static void waiter_drop(struct sums *u, struct waiter *w)
{
	struct waiter **at = &u->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	u->n_waiters--;
	free(w);
}

static void waiter_gone(struct httpd_req *r)
{
	struct waiter *w = r->user;

	waiter_drop(w->s->sums, w);
}

static void lines(const struct sums *u, struct buf *out)
{
	for (const struct sum *f = u->done; f; f = f->next)
		if (f->hex[0])
			buf_addf(out, "%s  %s\n", f->hex, f->name);
}

static void pass_end(struct sums *u)
{
	struct buf out = { 0 };
	struct waiter *next;

	lines(u, &out);
	for (struct waiter *w = u->waiters; w; w = next) {
		struct call c = { .s = w->s, .r = w->r };

		next = w->next;
		if (!w->in_pass)
			continue;
		reply_text(&c, 200, buf_cstr(&out));
		waiter_drop(u, w);
	}
	buf_free(&out);
	list_free(&u->known);
	u->known = u->done;
	u->done = NULL;
	u->passing = false;
}

static void step(struct sums *u)
{
	if (!u->passing && u->waiters)
		pass_begin(u);
	for (int i = 0; i < FILES_PER_STEP && u->todo; i++) {
		if (u->fd < 0)
			file_begin(u);
		if (u->fd >= 0) {
			file_step(u);
			break;
		}
	}
	if (u->passing && !u->todo)
		pass_end(u);
}

void sums_reply(struct call *c, const char *own_name)
{
	struct sums *u = c->s->sums;
	struct waiter *w;

	if (u->n_waiters == WAITERS_MAX) {
		reply_error(c, 503, "the files are being hashed for many already; ask again");
		return;
	}
	if (!u->own) {
		u->own = mem_dup(own_name);
		u->dir = store_path(&c->s->store, "downloads");
	}
	w = mem_alloc(sizeof(*w));
	w->s = c->s;
	w->r = c->r;
	w->next = u->waiters;
	u->waiters = w;
	u->n_waiters++;
	c->r->user = w;
	c->r->gone = waiter_gone;
	if (!u->passing)
		step(u); /* all known, as a rule: answered at once */
}

void sums_poll(const struct srv *s, struct pollset *ps)
{
	if (s->sums->passing || s->sums->waiters)
		pollset_until(ps, DEADLINE_PAST);
}

void sums_step(struct srv *s)
{
	if (s->sums->passing || s->sums->waiters)
		step(s->sums);
}
