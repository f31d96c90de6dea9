/* SPDX-License-Identifier: Apache-2.0 */
/* Data of a workspace on the runner, see wsdir.h. */
#include "providers/docker/workspace/wsdir.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 65536
#define NONCE_BYTES 16

static char *notes_path(const struct wsdir *w)
{
	return path_join(w->dir, ".docker-notes");
}

static void read_account(struct notes *n, struct json v)
{
	int64_t uid = -1, gid = -1;

	n->passwd = json_dup_or_empty(json_get(v, "passwd"));
	n->account_of = json_dup_or_empty(json_get(v, "of"));
	n->account = (struct account){ .name = json_dup_or_empty(json_get(v, "name")),
		                       .home = json_dup_or_empty(json_get(v, "home")) };
	n->account.known = json_i64(json_get(v, "uid"), 0, UINT32_MAX, &uid) &&
	                   json_i64(json_get(v, "gid"), 0, UINT32_MAX, &gid);
	n->account.uid = (unsigned)uid;
	n->account.gid = (unsigned)gid;
}

static void read_notes(struct wsdir *w)
{
	char *path = notes_path(w);
	struct buf text = { 0 };
	struct err ignored = { 0 }; /* damaged or missing: nothing is known, all is done again */
	struct json_doc *doc = NULL;
	struct json v;

	if (file_read(path, NOTES_MAX, &text, &ignored) == 0)
		doc = json_parse(buf_str(&text), NOTES_MAX, &ignored);
	v = json_root(doc);
	w->notes = (struct notes){
		.container = json_dup_or_empty(json_get(v, "container")),
		.nonce = json_dup_or_empty(json_get(v, "nonce")),
		.image = json_dup_or_empty(json_get(v, "image")),
		.user = json_dup_or_empty(json_get(v, "user")),
		.folder = json_dup_or_empty(json_get(v, "folder")),
		.uploaded = json_bool(json_get(v, "uploaded"), false),
	};
	(void)json_i64(json_get(v, "hooks"), 0, 100, &w->notes.hooks);
	read_account(&w->notes, json_get(v, "account"));
	json_doc_free(doc);
	buf_free(&text);
	free(path);
}

int wsdir_open(struct wsdir *w, const struct provider_env *env, const struct workspace *ws,
               struct err *e)
{
	struct buf dir = { 0 };

	*w = (struct wsdir){ 0 };
	if (!str_is_id(str_of(ws->id)))
		return err_set(e, ERR_PARSE, 0, "workspace id \"%.100s\" is no id", ws->id);
	buf_addf(&dir, "%s/workspaces/%s", env->state_dir, ws->id);
	w->dir = buf_take(&dir);
	w->repo = git_dir_name(&ws->repo);
	w->checkout = path_join(w->dir, w->repo);
	read_notes(w);
	return 0;
}

void wsdir_free(struct wsdir *w)
{
	free(w->dir);
	free(w->repo);
	free(w->checkout);
	free(w->notes.container);
	free(w->notes.nonce);
	free(w->notes.image);
	free(w->notes.user);
	free(w->notes.folder);
	free(w->notes.passwd);
	free(w->notes.account_of);
	account_free(&w->notes.account);
	*w = (struct wsdir){ 0 };
}

/* A new directory's own entry must not be lost either. */
static int wsdir_make(const struct wsdir *w, struct err *e)
{
	char *parent;
	int rc;

	if (file_is_dir(w->dir))
		return 0;
	parent = mem_dupn(w->dir, (size_t)(strrchr(w->dir, '/') - w->dir));
	rc = file_mkdirs(w->dir, 0755, e);
	if (rc == 0)
		rc = file_fsync_dir(parent, e);
	free(parent);
	return rc;
}

bool wsdir_recorded(const struct wsdir *w)
{
	return *w->notes.container || *w->notes.nonce;
}

int wsdir_claim(struct wsdir *w, struct err *e)
{
	unsigned char random[NONCE_BYTES];
	struct buf text = { 0 };

	if (*w->notes.nonce)
		return 0;
	if (crypto_random(random, sizeof(random), e) < 0)
		return -1;
	buf_add_hex(&text, random, sizeof(random));
	free(w->notes.nonce);
	w->notes.nonce = buf_take(&text);
	return wsdir_save(w, e);
}

int wsdir_inhabit(struct wsdir *w, const char *user, const char *folder, struct err *e)
{
	if (strcmp(w->notes.user, user) == 0 && strcmp(w->notes.folder, folder) == 0)
		return 0;
	free(w->notes.user);
	free(w->notes.folder);
	w->notes.user = mem_dup(user);
	w->notes.folder = mem_dup(folder);
	return wsdir_save(w, e);
}

void wsdir_about(struct wsdir *w, const char *container)
{
	if (strcmp(w->notes.container, container) == 0)
		return;
	free(w->notes.container);
	w->notes.container = mem_dup(container);
	w->notes.uploaded = false;
	w->notes.hooks = 0;
	w->notes.account.known = false;
}

bool wsdir_account(const struct wsdir *w, const char *container, const char *user, struct str mark,
                   struct account *out)
{
	const struct notes *n = &w->notes;

	if (!mark.n || !n->account.known || !str_eq(mark, n->passwd) ||
	    strcmp(n->container, container) != 0 || strcmp(n->account_of, user) != 0)
		return false;
	account_copy(out, &n->account);
	return true;
}

void wsdir_note_account(struct wsdir *w, const char *container, const char *user, struct str mark,
                        const struct account *a)
{
	struct notes *n = &w->notes;
	struct err ignored = { 0 };

	if (!mark.n || !a->known || strcmp(n->container, container) != 0)
		return;
	free(n->passwd);
	free(n->account_of);
	account_free(&n->account);
	n->passwd = mem_dupn(mark.p, mark.n);
	n->account_of = mem_dup(user);
	account_copy(&n->account, a);
	(void)wsdir_save(w, &ignored);
}

int wsdir_save(const struct wsdir *w, struct err *e)
{
	char *path = notes_path(w);
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "container", w->notes.container);
	jw_kstr(&b, "nonce", w->notes.nonce);
	jw_kbool(&b, "uploaded", w->notes.uploaded);
	jw_kint(&b, "hooks", w->notes.hooks);
	jw_kstr(&b, "image", w->notes.image);
	jw_kstr(&b, "user", w->notes.user);
	jw_kstr(&b, "folder", w->notes.folder);
	if (w->notes.account.known) {
		jw_key(&b, "account");
		jw_obj(&b);
		jw_kstr(&b, "passwd", w->notes.passwd);
		jw_kstr(&b, "of", w->notes.account_of);
		jw_kstr(&b, "name", w->notes.account.name);
		jw_kstr(&b, "home", w->notes.account.home);
		jw_kint(&b, "uid", w->notes.account.uid);
		jw_kint(&b, "gid", w->notes.account.gid);
		jw_obj_end(&b);
	}
	jw_obj_end(&b);
	rc = wsdir_make(w, e);
	if (rc == 0)
		rc = file_replace(path, 0600, buf_str(&b), e);
	buf_free(&b);
	free(path);
	return rc;
}
