/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkouts for workspaces and builds (protocol 10.5): with the runner's own git, or where it has none with the
 * builder image's, as the runner's user either way, so that no file belongs to a stranger.
 */
#include "base/file.h"
#include "base/mem.h"
#include "git/clone.h"
#include "providers/docker/engine/archive.h"
#include "providers/docker/engine/remote.h"
#include "providers/docker/workspace/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 200
#define REMOVE_MS 600000

static bool have_git(void)
{
	const char *path = getenv("PATH");
	struct str rest = str_of(path && *path ? path : "/usr/local/bin:/usr/bin:/bin"), dir;

	while (str_next(&rest, ':', &dir)) {
		struct buf b = { 0 };
		bool ok;

		buf_addf(&b, "%.*s/git", STR_ARG(dir));
		ok = access(buf_cstr(&b), X_OK) == 0;
		buf_free(&b);
		if (ok)
			return true;
	}
	return false;
}

/* Credentials for git in the container: a helper for that origin only, fed from the exec's environment. */
static void helper_env(const struct git_provider *git, const char *url, struct kv *env)
{
	struct url u;
	struct err ignored = { 0 };
	struct buf key = { 0 };

	kv_set(env, "HOME", "/tmp");
	kv_set(env, "GIT_TERMINAL_PROMPT", "0");
	kv_set(env, "GIT_CONFIG_COUNT", "0");
	if (!git || !git->token || !*git->token || url_parse(str_of(url), &u, &ignored) < 0)
		return;
	buf_adds(&key, "credential.");
	url_origin(&u, &key);
	buf_adds(&key, ".helper");
	kv_set(env, "GIT_CONFIG_COUNT", "1");
	kv_set(env, "GIT_CONFIG_KEY_0", buf_cstr(&key));
	kv_set(env, "GIT_CONFIG_VALUE_0",
	       "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$DR_U\" \"$DR_P\"; }; f");
	kv_set(env, "DR_U", *git->username ? git->username : "git");
	kv_set(env, "DR_P", git->token);
	buf_free(&key);
	url_free(&u);
}

static int helper_exec(struct docker *k, const char *id, const char *const *argv,
                       const struct kv *env, struct deadline d, struct err *e)
{
	struct buf user = { 0 };
	int64_t status = -1;
	int rc;

	buf_addf(&user, "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
	rc = exec_run(&k->g, id,
	              &(struct exec_spec){ .argv = argv, .user = buf_cstr(&user), .env = env },
	              &status, d, e);
	buf_free(&user);
	if (rc == 0 && status != 0)
		rc = err_set(e, ERR_OTHER, (int)status, "git %s failed with exit code %lld",
		             argv[1], (long long)status);
	return rc;
}

static int helper_clone(struct docker *k, const char *id, const struct repository *repo,
                        const struct git_provider *git, const char *url, const char *part,
                        struct deadline d, struct err *e)
{
	const char *branch = *repo->branch ? repo->branch : NULL;
	const char *clone[9] = { "git", "clone", "--single-branch" };
	const char *const checkout[] = { "git", "-C", part, "checkout", repo->sha, NULL };
	struct kv env = { 0 };
	size_t n = 3;
	int rc;

	if (branch && (*branch == '-' || strpbrk(branch, " \t\n~^:?*[\\")))
		return err_set(e, ERR_PARSE, 0, "branch \"%.100s\" is no branch name", branch);
	if (branch) {
		clone[n++] = "--branch";
		clone[n++] = branch;
	}
	clone[n++] = "--";
	clone[n++] = url;
	clone[n] = part;
	helper_env(git, url, &env);
	rc = helper_exec(k, id, clone, &env, d, e);
	if (rc == 0 && repo->clone_commit && (*repo->sha == '-' || !*repo->sha))
		rc = err_set(e, ERR_PARSE, 0, "commit \"%.100s\" is no commit", repo->sha);
	else if (rc == 0 && repo->clone_commit)
		rc = helper_exec(k, id, checkout, &env, d, e);
	kv_free(&env);
	return rc;
}

/* A container with parent mounted at place. The name is ours to reuse when its holder carries our helper label. */
static int make_helper(struct docker *k, const char *name, const char *id, struct spec *s,
                       const char *parent, const char *place, char **container, struct deadline d,
                       struct err *e)
{
	struct admitted *a;
	int rc;

	s->entry = ENTRY_GIVEN;
	spec_mount(s, "bind", parent, place, false);
	a = docker_admit_helper(k, id, s);
	rc = container_create(&k->g, name, a, container, d, e);
	if (rc < 0 && e->code == 409) {
		struct container c;
		const char *label;

		rc = container_inspect(&k->g, name, &c, d, e);
		label = rc == 0 ? kv_get(&c.labels, LABEL_HELPER) : NULL;
		if (rc == 0 && (!label || strcmp(label, id) != 0))
			rc = err_set(e, ERR_EXISTS, 409,
			             "the name %s is held by foreign container %.12s", name, c.id);
		if (rc == 0)
			rc = container_remove(&k->g, c.id, d, e);
		container_free(&c);
		if (rc == 0)
			rc = container_create(&k->g, name, a, container, d, e);
	}
	admitted_free(a);
	return rc;
}

static int clone_in_container(struct docker *k, const struct repository *repo,
                              const struct git_provider *git, const char *image,
                              const struct registries *regs, const char *parent, const char *name,
                              const char *id, struct deadline d, struct err *e)
{
	struct buf url = { 0 }, part = { 0 }, container_name = { 0 }, host_part = { 0 };
	struct err ignored = { 0 };
	struct spec s = { .init = true };
	char *container = NULL, *final = path_join(parent, name);
	int rc;

	if (!image || !*image) {
		free(final);
		return err_set(
			e, ERR_NOT_FOUND, 0,
			"there is no git on the runner, and the Server names no builder image; "
			"install git");
	}
	buf_addf(&part, "/workdir/%s.part", name);
	buf_addf(&host_part, "%s/%s.part", parent, name);
	buf_addf(&container_name, "git-clone-%s", id);
	rc = git_url_normalize(repo->url, false, &url, e);
	if (rc == 0)
		rc = file_remove_tree(buf_cstr(&host_part), e);
	if (rc == 0)
		rc = image_ensure(&k->g, &k->opt, image, regs, NULL, d, e);
	s.image = mem_dup(image);
	strlist_add(&s.command, "sleep");
	strlist_add(&s.command, "infinity");
	if (rc == 0)
		rc = make_helper(k, buf_cstr(&container_name), id, &s, parent, "/workdir",
		                 &container, d, e);
	spec_free(&s);
	if (rc == 0)
		rc = container_start(&k->g, container, d, e);
	if (rc == 0)
		rc = helper_clone(k, container, repo, git, buf_cstr(&url), buf_cstr(&part), d, e);
	if (container)
		(void)container_remove(&k->g, container, d, rc < 0 ? &ignored : e);
	if (rc == 0 && rename(buf_cstr(&host_part), final) < 0)
		rc = err_sys(e, errno, "%s", final);
	free(container);
	free(final);
	buf_free(&url);
	buf_free(&part);
	buf_free(&host_part);
	buf_free(&container_name);
	return rc;
}

int checkout_clone(struct docker *k, const struct repository *repo, const struct git_provider *git,
                   const char *builder_image, const struct registries *regs, const char *parent,
                   const char *name, const char *id, struct deadline d, struct err *e)
{
	char *dir = path_join(parent, name);
	struct git_clone c = {
		.repo = repo,
		.creds = git,
		.dir = dir,
		.self_exe = k->env->self_exe,
		.ca_file = k->opt.git_ca_file,
		.allow_file = k->opt.allow_file,
		.log = k->env->log,
		.log_arg = k->env->log_arg,
		.stop = k->env->stop,
		.in_job = true,
	};
	int rc = file_mkdirs(parent, 0755, e);

	if (rc == 0 && (have_git() || !k->g.local))
		rc = git_clone(&c, d, e);
	else if (rc == 0 && !file_is_dir(dir))
		rc = clone_in_container(k, repo, git, builder_image, regs, parent, name, id, d, e);
	free(dir);
	return rc < 0 ? err_wrap(e, "clone the repository") : 0;
}

int checkout_make(struct docker *k, const struct workspace_job *w, const struct wsdir *dir,
                  struct deadline d, struct err *e)
{
	return checkout_clone(k, &w->ws->repo, w->git, w->builder_image, w->registries, dir->dir,
	                      dir->repo, w->ws->id, d, e);
}

int checkout_put(struct docker *k, const struct workspace_job *w, const struct wsdir *dir,
                 const struct container *c, const struct account *a, const char *path,
                 struct deadline d, struct err *e)
{
	struct buf git = { 0 };
	bool there;
	int rc;

	buf_addf(&git, "%s/.git", path);
	there = archive_exists(&k->g, c->id, buf_cstr(&git), d);
	buf_free(&git);
	if (there)
		return 0;
	rc = checkout_make(k, w, dir, d, e);
	if (rc == 0)
		rc = archive_put_tree(&k->g, c->id, path, dir->checkout, (long)a->uid, (long)a->gid,
		                      d, e);
	if (rc == 0)
		rc = file_remove_tree(dir->checkout, e);
	return rc;
}

/* Depth first, so that a tree whose top has the owner is done. */
static int own_tree(int parent, const char *name, unsigned uid, unsigned gid, int depth,
                    struct err *e)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *en;
	int rc = 0;

	if (!dir) {
		rc = err_sys(e, errno, "%s", name);
		fd_close(&fd);
		return rc;
	}
	if (depth > DEPTH_MAX)
		rc = err_set(e, ERR_LIMIT, 0, "%s: nested too deep", name);
	while (rc == 0 && (en = readdir(dir))) {
		struct stat st;

		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0 ||
		    fstatat(fd, en->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			rc = own_tree(fd, en->d_name, uid, gid, depth + 1, e);
		else if (fchownat(fd, en->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			rc = err_sys(e, errno, "%s", en->d_name);
	}
	if (rc == 0 && fchown(fd, uid, gid) < 0)
		rc = err_sys(e, errno, "%s", name);
	closedir(dir);
	return rc;
}

int checkout_own(struct docker *k, const struct wsdir *dir, const struct account *a, struct err *e)
{
	struct stat st;

	if (!k->g.local || !a->known || lstat(dir->checkout, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (geteuid() != 0 || (st.st_uid == a->uid && st.st_gid == a->gid))
		return 0;
	if (own_tree(AT_FDCWD, dir->checkout, a->uid, a->gid, 0, e) < 0)
		return err_wrap(e, "give the checkout to user %s", a->name);
	return 0;
}

/* A container of the workspace's own image, with our program inside, removes what only root may. */
static int remove_by_engine(struct docker *k, const char *dir, const char *image, struct deadline d,
                            struct err *e)
{
	struct spec s = { .image = mem_dup(image), .user = mem_dup("0:0") };
	const char *slash = strrchr(dir, '/');
	char *parent = mem_dupn(dir, (size_t)(slash - dir)), *id = NULL;
	struct buf inside = { 0 }, name = { 0 };
	struct err ignored = { 0 };
	bool done = false;
	int rc;

	d = deadline_min(d, deadline_in_ms(REMOVE_MS));
	buf_addf(&inside, "/remove/%s", slash + 1);
	buf_addf(&name, "daytona-remove-%s", slash + 1);
	strlist_add(&s.command, PROGRAM_PATH);
	strlist_add(&s.command, "pause");
	strlist_add(&s.command, "--remove");
	strlist_add(&s.command, buf_cstr(&inside));
	rc = make_helper(k, buf_cstr(&name), slash + 1, &s, parent, "/remove", &id, d, e);
	spec_free(&s);
	if (rc == 0)
		rc = delivery_put_program(k, id, false, (struct str){ 0 }, d, e);
	if (rc == 0 && container_start(&k->g, id, d, e) < 0) {
		done = e->kind == ERR_OTHER && e->code == 0; /* it has done its work already */
		rc = done ? 0 : -1;
	}
	while (rc == 0 && !done) {
		struct container c;

		rc = container_inspect(&k->g, id, &c, d, e);
		done = c.state != CS_RUNNING;
		if (rc == 0 && done && c.exit_code)
			rc = err_set(e, ERR_OTHER, (int)c.exit_code, "%s remains", dir);
		container_free(&c);
		if (rc == 0 && !done)
			rc = engine_sleep(&k->g, 100, d, e);
	}
	if (id)
		(void)container_remove(&k->g, id, d, &ignored);
	free(id);
	free(parent);
	buf_free(&inside);
	buf_free(&name);
	return rc;
}

int checkout_remove(struct docker *k, const char *dir, const char *image, struct deadline d,
                    struct err *e)
{
	struct err ignored = { 0 };

	if (file_remove_tree(dir, e) == 0)
		return 0;
	if (geteuid() == 0 || !k->g.local || !image || !*image ||
	    remove_by_engine(k, dir, image, d, &ignored) < 0)
		return -1;
	err_clear(e);
	return 0;
}

int checkout_remove_remote(struct docker *k, const char *id, const char *image, struct deadline d,
                           struct err *e)
{
	const char *argv[] = { "rm", "-rf", "--", NULL, NULL };
	struct buf dir = { 0 };
	struct err ignored = { 0 };
	int rc = 0;

	if (k->g.remote && k->opt.data_dir) {
		buf_addf(&dir, "%s/%s", k->opt.data_dir, id);
		argv[3] = buf_cstr(&dir);
		rc = remote_run(k->g.remote, argv, d, e);
		/* The user of ssh need not be root there, and the files are the workspace's user's. */
		if (rc < 0 && image && *image &&
		    remove_by_engine(k, buf_cstr(&dir), image, d, &ignored) == 0) {
			err_clear(e);
			rc = 0;
		}
	}
	buf_free(&dir);
	return rc;
}
