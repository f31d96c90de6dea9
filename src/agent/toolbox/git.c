/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's calls about a checkout. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/history.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "git/status.h"
#include "git/url.h"
#include "git/work.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCAL_MS (2 * 60 * 1000)
#define REMOTE_MS (10 * 60 * 1000)
#define CLONE_MS (60 * 60 * 1000)
#define OUTPUT_MAX (8u << 20)
#define FILES_MAX 10000
#define HISTORY_MAX "5000"
#define BRANCHES_MAX 20000

static const struct str no_input = { NULL, 0 };

static void fail(struct exchange *exchange, const struct err *e)
{
	exchange_fail(exchange, e->kind == ERR_TIMEOUT ? 408 : 400, "%s", e->msg);
}

/* Runs git in the checkout at path; an error is answered. */
static bool git_in(struct exchange *exchange, const struct git_work *w, const char *const *args,
                   struct str input, struct buf *out, int64_t limit_ms)
{
	struct err e = { 0 };

	if (git_work(w, args, input, OUTPUT_MAX, out, deadline_in_ms(limit_ms), &e) == 0)
		return true;
	fail(exchange, &e);
	return false;
}

static bool git_query(struct exchange *exchange, const char *const *args, struct buf *out)
{
	struct buf path = { 0 };
	bool ok = exchange_query(exchange, "path", &path) &&
	          git_in(exchange, &(struct git_work){ .dir = buf_cstr(&path) }, args, no_input,
	                 out, LOCAL_MS);

	buf_free(&path);
	return ok;
}

void git_call_status(struct exchange *exchange, const struct toolbox *t)
{
	struct buf path = { 0 }, b = { 0 };
	struct err e = { 0 };

	(void)t;
	if (exchange_query(exchange, "path", &path)) {
		if (git_status_read(buf_cstr(&path), deadline_in_ms(LOCAL_MS), &b, &e) < 0)
			fail(exchange, &e);
		else
			exchange_json(exchange, 200, &b);
	}
	buf_free(&b);
	buf_free(&path);
}

void git_call_branches(struct exchange *exchange, const struct toolbox *t)
{
	/* A mark before each: what else git says is none. */
	static const char *const args[] = { "for-each-ref", "--format=branch %(refname:lstrip=2)",
		                            "refs/heads/", NULL };
	struct buf out = { 0 }, b = { 0 };
	struct str rest, line;
	size_t n = 0;

	(void)t;
	if (git_query(exchange, args, &out)) {
		rest = buf_str(&out);
		jw_obj(&b);
		jw_key(&b, "branches");
		jw_arr(&b);
		while (str_next(&rest, '\n', &line) && n < BRANCHES_MAX) {
			if (!str_starts(line, "branch "))
				continue;
			jw_str(&b, (struct str){ line.p + 7, line.n - 7 });
			n++;
		}
		jw_arr_end(&b);
		jw_obj_end(&b);
		exchange_json(exchange, 200, &b);
	}
	buf_free(&out);
}

void git_call_history(struct exchange *exchange, const struct toolbox *t)
{
	static const char format[] = "--format=" HISTORY_FORMAT;
	static const char *const args[] = {
		"log",  "-n",   HISTORY_MAX, "--no-color", "--no-show-signature",
		format, "HEAD", "--",        NULL
	};
	struct buf out = { 0 }, b = { 0 };

	(void)t;
	if (git_query(exchange, args, &out)) {
		history_parse(buf_str(&out), &b);
		exchange_json(exchange, 200, &b);
	}
	buf_free(&out);
}

void git_call_branch(struct exchange *exchange, const struct toolbox *t)
{
	struct json root;
	char *path = NULL, *name = NULL;
	struct buf out = { 0 };

	(void)t;
	if (exchange_object(exchange, &root) &&
	    (path = exchange_member(exchange, root, "path", true)) &&
	    (name = exchange_member(exchange, root, "name", true))) {
		const char *const args[] = { "checkout", "-q", "-b", name, "--", NULL };

		if (!git_branch_ok(name))
			exchange_fail(exchange, 400, "\"%.200s\" is no name for a branch", name);
		else if (git_in(exchange, &(struct git_work){ .dir = path }, args, no_input, &out,
		                LOCAL_MS))
			exchange_empty(exchange, 201);
	}
	buf_free(&out);
	free(path);
	free(name);
}

/* "." and paths, none of them a pattern. */
static void add(struct exchange *exchange, const char *path, struct json files)
{
	struct buf list = { 0 }, out = { 0 };
	bool ok = true;
	static const char *const args[] = { "--literal-pathspecs", "add", "--pathspec-from-file=-",
		                            "--pathspec-file-nul", NULL };

	for (struct json f = json_first(files); json_present(f); f = json_next(f)) {
		char *name = json_dup(f);

		ok = ok && name && name[0];
		if (ok)
			buf_add(&list, name, strlen(name) + 1);
		free(name);
	}
	if (!ok)
		exchange_fail(exchange, 400, "files has something in it that is no path");
	else if (git_in(exchange, &(struct git_work){ .dir = path }, args, buf_str(&list), &out,
	                LOCAL_MS))
		exchange_empty(exchange, 200);
	buf_free(&list);
	buf_free(&out);
}

void git_call_add(struct exchange *exchange, const struct toolbox *t)
{
	struct json root, files;
	char *path;

	(void)t;
	if (!exchange_object(exchange, &root) ||
	    !(path = exchange_member(exchange, root, "path", true)))
		return;
	files = json_get(root, "files");
	if (!json_is_array(files) || !json_len(files) || json_len(files) > FILES_MAX)
		exchange_fail(exchange, 400, "files is required: an array of at most %d paths",
		              FILES_MAX);
	else
		add(exchange, path, files);
	free(path);
}

static void commit(struct exchange *exchange, const struct git_work *w, const char *message)
{
	static const char *const commit_args[] = { "commit", "-q", "--cleanup=verbatim",
		                                   "-F",     "-",  NULL };
	static const char *const head_args[] = { "rev-parse", "--verify", "HEAD", NULL };
	struct buf out = { 0 }, b = { 0 };
	struct str hash;

	if (!git_in(exchange, w, commit_args, str_of(message), &out, LOCAL_MS))
		goto out;
	buf_reset(&out);
	if (!git_in(exchange, w, head_args, no_input, &out, LOCAL_MS))
		goto out;
	hash = str_trim(buf_str(&out));
	jw_obj(&b);
	jw_key(&b, "hash");
	jw_str(&b, hash);
	jw_obj_end(&b);
	exchange_json(exchange, 200, &b);
out:
	buf_free(&out);
}

void git_call_commit(struct exchange *exchange, const struct toolbox *t)
{
	static const char *const names[] = { "path", "message", "author", "email" };
	char *v[ARRAY_LEN(names)] = { NULL };
	struct json root;
	size_t n = 0;

	(void)t;
	if (exchange_object(exchange, &root))
		while (n < ARRAY_LEN(names) &&
		       (v[n] = exchange_member(exchange, root, names[n], true)))
			n++;
	if (n == ARRAY_LEN(names))
		commit(exchange, &(struct git_work){ .dir = v[0], .author = v[2], .email = v[3] },
		       v[1]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		free(v[i]);
}

/* The name by which our executable answers git's questions, in a folder of its own: NULL: there is none. */
static int askpass_make(char **folder, char **link, const struct toolbox *t, struct err *e)
{
	const char *slash = strrchr(t->run_dir, '/');
	struct buf name = { 0 };

	if (!t->self_exe)
		return 0;
	buf_addf(&name, "%.*s/daytona-askpass-XXXXXX", (int)(slash - t->run_dir), t->run_dir);
	*folder = buf_take(&name);
	if (!mkdtemp(*folder)) {
		err_sys(e, errno, "create directory %s", *folder);
		free(*folder);
		*folder = NULL;
		return -1;
	}
	*link = path_join(*folder, "askpass");
	return symlink(t->self_exe, *link) < 0 ? err_sys(e, errno, "create %s", *link) : 0;
}

static void askpass_free(char *folder, char *link)
{
	if (link)
		unlink(link);
	if (folder)
		rmdir(folder);
	free(link);
	free(folder);
}

/* The branch at hand, as refs/heads/NAME: whoever made the repository chose the name, and could choose one that looks like
 * an option. False: it was answered. */
static bool current_branch(struct exchange *exchange, const struct git_work *w, struct buf *branch)
{
	static const char *const args[] = { "symbolic-ref", "-q", "HEAD", NULL };
	struct git_work plain = { .dir = w->dir };
	struct buf out = { 0 };
	struct err e = { 0 };
	struct str name;
	bool ok = git_work(&plain, args, no_input, OUTPUT_MAX, &out, deadline_in_ms(LOCAL_MS),
	                   &e) == 0;

	name = str_trim(buf_str(&out));
	if ((!ok && e.code == 1) || (ok && !str_starts(name, "refs/heads/"))) {
		exchange_fail(exchange, 400, "the checkout is on no branch");
		ok = false;
	} else if (!ok) {
		fail(exchange, &e);
	} else {
		buf_add_str(branch, name);
	}
	buf_free(&out);
	return ok;
}

static void with_origin(struct exchange *exchange, const struct toolbox *t, bool push)
{
	struct buf branch = { 0 }, out = { 0 };
	struct git_work w = { .ca_file = t->ca_file };
	char *path = NULL, *user = NULL, *password = NULL, *folder = NULL, *link = NULL;
	struct json root;
	struct err e = { 0 };

	if (!exchange_object(exchange, &root) ||
	    !(path = exchange_member(exchange, root, "path", true)))
		return;
	user = exchange_member(exchange, root, "username", false);
	password = exchange_member(exchange, root, "password", false);
	w.dir = path;
	w.username = user;
	w.password = password && password[0] ? password : NULL;
	if (w.password && askpass_make(&folder, &link, t, &e) < 0) {
		exchange_fail(exchange, 500, "%s", e.msg);
	} else if (current_branch(exchange, &w, &branch)) {
		const char *name = buf_cstr(&branch);
		const char *const pushing[] = { "push", "-q", "-u", "origin", name, NULL };
		const char *const pulling[] = { "pull", "-q", "--ff-only", "origin", name, NULL };

		w.askpass = link;
		if (git_in(exchange, &w, push ? pushing : pulling, no_input, &out, REMOTE_MS))
			exchange_empty(exchange, 200);
	}
	askpass_free(folder, link);
	buf_free(&branch);
	buf_free(&out);
	mem_free_secret(password);
	free(user);
	free(path);
}

void git_call_push(struct exchange *exchange, const struct toolbox *t)
{
	with_origin(exchange, t, true);
}

void git_call_pull(struct exchange *exchange, const struct toolbox *t)
{
	with_origin(exchange, t, false);
}

static int clone_to(const char *path, struct git_clone *c, struct err *e)
{
	char *real = NULL, *slash;
	struct buf dir = { 0 }, git = { 0 };
	int rc = 0;

	/* Without a slash at its end: names are made from it. */
	buf_adds(&dir, path);
	while (dir.n > 1 && dir.p[dir.n - 1] == '/')
		buf_cut(&dir, dir.n - 1);
	real = mem_dup(buf_cstr(&dir));
	slash = strrchr(real, '/');
	buf_addf(&git, "%s/.git", real);
	if (file_exists(buf_cstr(&git)))
		rc = err_set(e, ERR_EXISTS, 0, "%s is a git repository already", path);
	if (rc == 0 && slash && slash != real) {
		*slash = '\0';
		rc = file_mkdirs(real, 0755, e);
	}
	c->dir = buf_cstr(&dir);
	if (rc == 0)
		rc = git_clone(c, deadline_in_ms(CLONE_MS), e);
	free(real);
	buf_free(&dir);
	buf_free(&git);
	return rc;
}

void git_call_clone(struct exchange *exchange, const struct toolbox *t)
{
	struct repository repo = { 0 };
	struct git_provider creds = { 0 };
	struct git_clone c = {
		.repo = &repo, .self_exe = t->self_exe, .ca_file = t->ca_file, .allow_file = true
	};
	struct json root;
	struct err e = { 0 };
	char *path = NULL;

	if (!exchange_object(exchange, &root) ||
	    !(repo.url = exchange_member(exchange, root, "url", true)) ||
	    !(path = exchange_member(exchange, root, "path", true))) {
		free(repo.url);
		return;
	}
	repo.branch = exchange_member(exchange, root, "branch", false);
	repo.sha = exchange_member(exchange, root, "commit_id", false);
	repo.clone_commit = repo.sha && repo.sha[0];
	creds.username = exchange_member(exchange, root, "username", false);
	creds.token = exchange_member(exchange, root, "password", false);
	if (creds.token && creds.token[0] && t->self_exe)
		c.creds = &creds;
	if (clone_to(path, &c, &e) < 0)
		fail(exchange, &e);
	else
		exchange_empty(exchange, 200);
	free(path);
	free(repo.url);
	free(repo.branch);
	free(repo.sha);
	free(creds.username);
	mem_free_secret(creds.token);
}
