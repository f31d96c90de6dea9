/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkouts for workspaces and builds (protocol 10.5): with the runner's own git, or where it has none with the
 * builder image's, as the runner's user either way, so that no file belongs to a stranger.
 */
#include "base/file.h"
#include "base/mem.h"
#include "git/clone.h"
#include "providers/docker/engine/archive.h"
#include "providers/docker/workspace/helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 200
#define CLONE_MAX_S 86400

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

static int helper_exec(struct docker *docker, const char *id, const char *const *argv,
                       const struct kv *env, struct deadline d, struct err *e)
{
	struct buf user = { 0 };
	int64_t status = -1;
	int rc;

	buf_addf(&user, "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
	rc = exec_run(&docker->engine, id,
	              &(struct exec_spec){ .argv = argv, .user = buf_cstr(&user), .env = env },
	              &status, d, e);
	buf_free(&user);
	if (rc == 0 && status != 0)
		rc = err_set(e, ERR_OTHER, (int)status, "git %s failed with exit code %lld",
		             argv[1], (long long)status);
	return rc;
}

/* Its repository answers, and has no branch of that name. */
static bool lacks_branch(struct docker *docker, const char *id, const char *url, const char *branch,
                         const struct kv *env, struct deadline d)
{
	const char *argv[] = {
		"git", "ls-remote", "--exit-code", "--heads", "--", url, NULL, NULL
	};
	struct buf ref = { 0 };
	struct err e = { 0 };
	bool yes;

	buf_addf(&ref, "refs/heads/%s", branch);
	argv[6] = buf_cstr(&ref);
	yes = helper_exec(docker, id, argv, env, d, &e) < 0 && e.kind == ERR_OTHER && e.code == 2;
	buf_free(&ref);
	return yes;
}

static int helper_clone(struct docker *docker, const char *id, const struct repository *repo,
                        const struct git_provider *git, const char *url, struct deadline d,
                        struct err *e)
{
	const char *branch = *repo->branch ? repo->branch : NULL;
	const char *clone[9] = { "git", "clone", "--single-branch" };
	const char *const checkout[] = { "git", "-C", HELPER_DIR, "checkout", repo->sha, NULL };
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
	clone[n] = HELPER_DIR;
	helper_env(git, url, &env);
	rc = helper_exec(docker, id, clone, &env, d, e);
	if (rc < 0 && branch && repo->branch_guessed && e->kind == ERR_OTHER &&
	    lacks_branch(docker, id, url, branch, &env, d)) {
		const char *const own[] = { "git",      "clone", "--single-branch", "--", url,
			                    HELPER_DIR, NULL };

		provider_logf(docker->env, "%s", GIT_OWN_BRANCH);
		err_clear(e);
		rc = helper_exec(docker, id, own, &env, d, e);
	}
	if (rc == 0 && repo->clone_commit && (*repo->sha == '-' || !*repo->sha))
		rc = err_set(e, ERR_PARSE, 0, "commit \"%.100s\" is no commit", repo->sha);
	else if (rc == 0 && repo->clone_commit)
		rc = helper_exec(docker, id, checkout, &env, d, e);
	kv_free(&env);
	return rc;
}

/* Keeps it there for as long as the clone may take, and not for ever if the runner dies. */
static void fill_clone(struct spec *s, const char *image, struct deadline d)
{
	int64_t left_s = deadline_left_ms(d) / 1000 + 60;
	struct buf seconds = { 0 }, user = { 0 };

	s->init = true;
	s->image = mem_dup(image);
	buf_addf(&user, "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
	s->user = buf_take(&user);
	buf_addf(&seconds, "%lld", (long long)(left_s < CLONE_MAX_S ? left_s : CLONE_MAX_S));
	strlist_add(&s->command, "sleep");
	strlist_add(&s->command, buf_cstr(&seconds));
	strlist_add(&s->tmpfs, "/tmp:mode=1777");
	buf_free(&seconds);
}

/* The only image of others that a container of ours is made of: the Server's builder image, which has a git. It runs as the
 * runner's user and sees the directory that the clone goes to. */
static int clone_in_container(struct docker *docker, const struct repository *repo,
                              const struct git_provider *git, const char *image,
                              const struct registries *regs, const char *parent, const char *name,
                              const char *id, struct deadline d, struct err *e)
{
	struct buf url = { 0 }, part = { 0 };
	struct err ignored = { 0 };
	struct spec s = { 0 };
	char *container = NULL, *final = path_join(parent, name);
	int rc;

	if (!image || !*image) {
		free(final);
		return err_set(
			e, ERR_NOT_FOUND, 0,
			"there is no git on the runner, and the Server names no builder image; "
			"install git");
	}
	buf_addf(&part, "%s.part", final);
	rc = git_url_normalize(repo->url, false, &url, e);
	if (rc == 0)
		rc = helper_end(docker, parent, d, e);
	if (rc == 0)
		rc = file_remove_tree(buf_cstr(&part), e);
	if (rc == 0)
		rc = file_mkdirs(buf_cstr(&part), 0755, e);
	if (rc == 0)
		rc = image_ensure(&docker->engine, &docker->opt, image, regs, NULL, d, e);
	fill_clone(&s, image, d);
	if (rc == 0)
		rc = helper_create(docker,
		                   &(struct helper_job){ .records = parent,
		                                         .resource = id,
		                                         .dir = buf_cstr(&part) },
		                   &s, &container, d, e);
	spec_free(&s);
	if (rc == 0)
		rc = container_start(&docker->engine, container, d, e);
	if (rc == 0)
		rc = helper_clone(docker, container, repo, git, buf_cstr(&url), d, e);
	if (container && helper_end(docker, parent, d, rc < 0 ? &ignored : e) < 0)
		rc = -1;
	if (rc == 0 && rename(buf_cstr(&part), final) < 0)
		rc = err_sys(e, errno, "%s", final);
	free(container);
	free(final);
	buf_free(&url);
	buf_free(&part);
	return rc;
}

int checkout_clone(struct docker *docker, const struct repository *repo,
                   const struct git_provider *git, const char *builder_image,
                   const struct registries *regs, const char *parent, const char *name,
                   const char *id, struct deadline d, struct err *e)
{
	char *dir = path_join(parent, name);
	struct git_clone c = {
		.repo = repo,
		.creds = git,
		.dir = dir,
		.self_exe = docker->env->self_exe,
		.ca_file = docker->opt.git_ca_file,
		.allow_file = docker->opt.allow_file,
		.log = docker->env->log,
		.log_arg = docker->env->log_arg,
		.stop = docker->env->stop,
		.in_job = true,
	};
	int rc = file_mkdirs(parent, 0755, e);

	if (rc == 0 && (have_git() || !docker->engine.local))
		rc = git_clone(&c, d, e);
	else if (rc == 0 && !file_is_dir(dir))
		rc = clone_in_container(docker, repo, git, builder_image, regs, parent, name, id, d,
		                        e);
	free(dir);
	return rc < 0 ? err_wrap(e, "clone the repository") : 0;
}

int checkout_make(struct docker *docker, const struct workspace_job *w, const struct wsdir *dir,
                  struct deadline d, struct err *e)
{
	return checkout_clone(docker, &w->ws->repo, w->git, w->builder_image, w->registries,
	                      dir->dir, dir->repo, w->ws->id, d, e);
}

int checkout_put(struct docker *docker, const struct workspace_job *w, const struct wsdir *dir,
                 const struct container *c, const struct account *a, const char *path,
                 struct deadline d, struct err *e)
{
	struct buf git = { 0 };
	bool there;
	int rc;

	buf_addf(&git, "%s/.git", path);
	there = archive_exists(&docker->engine, c->id, buf_cstr(&git), d);
	buf_free(&git);
	if (there)
		return 0;
	rc = checkout_make(docker, w, dir, d, e);
	if (rc == 0)
		rc = archive_put_tree(&docker->engine, c->id, path, dir->checkout, (long)a->uid,
		                      (long)a->gid, d, e);
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

int checkout_own(struct docker *docker, const struct wsdir *dir, const struct account *a,
                 struct err *e)
{
	struct stat st;

	if (!docker->engine.local || !a->known || lstat(dir->checkout, &st) < 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	if (geteuid() != 0 || (st.st_uid == a->uid && st.st_gid == a->gid))
		return 0;
	if (own_tree(AT_FDCWD, dir->checkout, a->uid, a->gid, 0, e) < 0)
		return err_wrap(e, "give the checkout to user %s", a->name);
	return 0;
}
