/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_clone: "<dir>.part" is filled and renamed, so a checkout that is there is complete; what git
 * needs meanwhile (an empty home, the askpass link) is in "<dir>.aux". A kill at any moment leaves at
 * most these two, and the next attempt removes them.
 */
#include "git/clone.h"

#include "base/file.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/proc_by_env.h"
#include "git/run.h"
#include "git/url.h"

#include <dirent.h>
#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 3000
#define LINE_MAX_BYTES 1000
#define TAIL_MAX_BYTES 400
#define CONFIG_MAX (64 << 10)

struct clone {
	const struct git_clone *c;
	struct git_source src;
	const char *user, *secret; /* "" if there is none */
	char *part, *aux, *home, *askpass;
	struct kv env;
	struct mask_stream mask; /* git's output is masked before lines are made and cut of it */
	struct buf line;         /* of that, not yet ended */
	struct buf last;         /* the last line worth telling in an error */
	int64_t progress_ms;     /* when a progress line was last passed on */
};

static void say(const struct clone *clone, struct str line)
{
	struct buf b = { 0 };

	if (!clone->c->log)
		return;
	buf_add_str(&b, line);
	buf_addc(&b, '\n');
	clone->c->log(clone->c->log_arg, buf_str(&b));
	buf_free(&b);
}

/* git rewrites its progress line many times a second: one in some seconds is enough for a log. */
static void end_line(struct clone *clone, bool progress)
{
	struct str line = str_trim(buf_str(&clone->line));
	int64_t now = clock_mono_ms();

	if (line.n > 0 && (!progress || now - clone->progress_ms >= PROGRESS_EVERY_MS)) {
		if (progress)
			clone->progress_ms = now;
		say(clone, line);
	}
	if (!progress && line.n > 0 &&
	    !(str_starts(buf_str(&clone->last), "fatal:") && !str_starts(line, "fatal:"))) {
		buf_reset(&clone->last);
		buf_add(&clone->last, line.p, line.n < TAIL_MAX_BYTES ? line.n : TAIL_MAX_BYTES);
	}
	buf_reset(&clone->line);
}

static void take_masked(struct clone *clone, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];

		if (c == '\n' || c == '\r')
			end_line(clone, c == '\r');
		else
			buf_addc(&clone->line, c);
		if (clone->line.n >= LINE_MAX_BYTES)
			end_line(clone, false);
	}
}

static void git_output(void *arg, struct str bytes)
{
	struct clone *clone = arg;
	struct buf shown = { 0 };

	mask_stream_feed(&clone->mask, &shown, bytes);
	take_masked(clone, buf_str(&shown));
	buf_free(&shown);
}

static void git_output_ended(struct clone *clone)
{
	struct buf shown = { 0 };

	mask_stream_end(&clone->mask, &shown);
	take_masked(clone, buf_str(&shown));
	end_line(clone, false);
	buf_free(&shown);
}

static const char *advice(const char *text, bool have_secret)
{
	if (strstr(text, "could not read Username") || strstr(text, "could not read Password") ||
	    strstr(text, "Authentication failed") || strstr(text, "askpass"))
		return have_secret ? "; renew the git provider's token"
		                   : "; add a git provider with a token for this host";
	if (strstr(text, "certificate"))
		return "; install the CA that signed it on this host";
	if (strstr(text, "Host key verification failed"))
		return "; correct this host's known_hosts if the key was changed on purpose";
	if (strstr(text, "Permission denied (publickey"))
		return "; give the runner's user an ssh key that may read it";
	return "";
}

static int git(struct clone *clone, const char *const *argv, struct deadline d, struct err *e)
{
	const struct git_run run = {
		.argv = argv,
		.env = &clone->env,
		.output = git_output,
		.arg = clone,
		.stop = clone->c->stop,
		.end_daemons = clone->c->in_job,
	};
	int status, rc;

	buf_reset(&clone->last);
	rc = git_run(&run, d, &status, e);
	git_output_ended(clone);
	if (rc < 0)
		return -1;
	if (status == 0)
		return 0;
	if (clone->last.n == 0)
		return err_set(e, ERR_OTHER, status, "git ended with exit status %d", status);
	return err_set(e, ERR_OTHER, status, "%s%s", buf_cstr(&clone->last),
	               advice(buf_cstr(&clone->last), clone->secret[0] != '\0'));
}

enum { ARGS_MAX = 40 };

struct args {
	const char *v[ARGS_MAX];
	size_t n;
};

static void add(struct args *a, const char *s)
{
	if (a->n + 1 < ARGS_MAX)
		a->v[a->n++] = s;
}

/* Settings that no repository can change: no hooks, no helper programs, no transport but the one
 * that the URL names (an http URL may be redirected to https). */
static void common(const struct clone *clone, struct args *a)
{
	static const char *const always[] = {
		"credential.helper=",    "core.hooksPath=/dev/null",  "core.fsmonitor=false",
		"protocol.allow=never",  "submodule.recurse=false",   "http.lowSpeedLimit=1",
		"http.lowSpeedTime=120", "advice.detachedHead=false", "http.sslVerify=true",
	};
	static const char *const allow[][2] = {
		{ "https", "protocol.https.allow=always" },
		{ "http", "protocol.http.allow=always" },
		{ "ssh", "protocol.ssh.allow=always" },
		{ "git", "protocol.git.allow=always" },
		{ "file", "protocol.file.allow=always" },
	};

	add(a, "git");
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		add(a, "-c");
		add(a, always[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(allow); i++) {
		if (strcmp(allow[i][0], clone->src.scheme) == 0 ||
		    (strcmp(allow[i][0], "https") == 0 && strcmp(clone->src.scheme, "http") == 0)) {
			add(a, "-c");
			add(a, allow[i][1]);
		}
	}
}

static int fetch_commit(struct clone *clone, struct deadline d, struct err *e)
{
	const char *sha = clone->c->repo->sha;
	struct args checkout = { 0 }, fetch = { 0 };

	common(clone, &checkout);
	add(&checkout, "-C");
	add(&checkout, clone->part);
	add(&checkout, "checkout");
	add(&checkout, "--quiet");
	add(&checkout, "--detach");
	add(&checkout, sha);
	add(&checkout, "--");
	if (git(clone, checkout.v, d, e) == 0)
		return 0;
	if (e->kind != ERR_OTHER)
		return -1;
	/* Not on the branch: many servers hand out single commits. */
	common(clone, &fetch);
	add(&fetch, "-C");
	add(&fetch, clone->part);
	add(&fetch, "fetch");
	add(&fetch, "--quiet");
	add(&fetch, "--no-tags");
	add(&fetch, "--no-recurse-submodules");
	add(&fetch, "origin");
	add(&fetch, sha);
	if (git(clone, fetch.v, d, e) < 0 || git(clone, checkout.v, d, e) < 0)
		return err_wrap(e, "check out commit %s", sha);
	return 0;
}

static int clone_branch(struct clone *clone, const char *branch, struct deadline d, struct err *e)
{
	struct args a = { 0 };

	common(clone, &a);
	add(&a, "clone");
	add(&a, "--progress");
	add(&a, "--no-recurse-submodules");
	add(&a, "--single-branch");
	if (branch) {
		add(&a, "--branch");
		add(&a, branch);
	}
	add(&a, "--");
	add(&a, clone->src.url);
	add(&a, clone->part);
	return git(clone, a.v, d, e);
}

static int in_checkout(struct clone *clone, const char *const args[3], struct deadline d,
                       struct err *e)
{
	struct args a = { 0 };

	common(clone, &a);
	add(&a, "-C");
	add(&a, clone->part);
	for (size_t i = 0; i < 3; i++)
		add(&a, args[i]);
	return git(clone, a.v, d, e);
}

/* Whether the repository has no branch at all: no branch of it can be asked for. */
static bool is_empty(struct clone *clone, struct deadline d)
{
	struct args a = { 0 };
	const struct git_run run = { .argv = a.v,
		                     .env = &clone->env,
		                     .stop = clone->c->stop,
		                     .end_daemons = clone->c->in_job };
	struct err ignored = { 0 };
	int status;

	common(clone, &a);
	add(&a, "ls-remote");
	add(&a, "--exit-code");
	add(&a, "--quiet");
	add(&a, "--");
	add(&a, clone->src.url);
	return git_run(&run, d, &status, &ignored) == 0 && status == 2;
}

static int clone_empty(struct clone *clone, const char *branch, struct deadline d, struct err *e)
{
	struct buf head = { 0 };
	int rc;

	buf_addf(&head, "refs/heads/%s", branch);
	say(clone, STR_LIT("the repository is empty: so is the checkout"));
	rc = clone_branch(clone, NULL, d, e);
	if (rc == 0)
		rc = in_checkout(clone,
		                 (const char *const[]){ "symbolic-ref", "HEAD", buf_cstr(&head) },
		                 d, e);
	buf_free(&head);
	return rc;
}

#define FETCH_ALL "+refs/heads/*:refs/remotes/origin/*"

/* As `git config remote.origin.fetch` would, without a process, where the file is as git clone has written it: one line
 * of that name. */
static bool edit_config(const struct clone *clone)
{
	static const char key[] = "\n\tfetch = ";
	char *path = path_join(clone->part, ".git/config");
	struct buf text = { 0 }, new = { 0 };
	struct err ignored = { 0 }; /* git does it then */
	const char *at = NULL, *end = NULL;
	bool done = false;

	if (file_read(path, CONFIG_MAX, &text, &ignored) == 0 &&
	    (at = strstr(buf_cstr(&text), key)) != NULL)
		end = strchr(at + 1, '\n');
	if (end && !strstr(end, key)) {
		buf_add(&new, text.p, (size_t)(at - text.p));
		buf_addf(&new, "%s" FETCH_ALL "%s", key, end);
		done = file_swap(path, 0644, buf_str(&new), &ignored) == 0;
	}
	buf_free(&text);
	buf_free(&new);
	free(path);
	return done;
}

/* One branch was fetched; whoever works in the checkout fetches any. */
static int fetch_any(struct clone *clone, struct deadline d, struct err *e)
{
	static const char *const all[] = { "config", "remote.origin.fetch", FETCH_ALL };

	return edit_config(clone) ? 0 : in_checkout(clone, all, d, e);
}

/* The branch is not there. */
static int clone_without(struct clone *clone, const char *branch, struct deadline d, struct err *e)
{
	if (is_empty(clone, d))
		return clone_empty(clone, branch, d, e);
	if (!clone->c->repo->branch_guessed)
		return -1;
	say(clone, STR_LIT(GIT_OWN_BRANCH));
	err_clear(e);
	return clone_branch(clone, NULL, d, e);
}

static int fetch_all(struct clone *clone, struct deadline d, struct err *e)
{
	const struct repository *repo = clone->c->repo;
	const char *branch = repo->branch && repo->branch[0] ? repo->branch : NULL;

	if (clone_branch(clone, branch, d, e) < 0 &&
	    (!branch || e->kind != ERR_OTHER || !strstr(e->msg, "not found in upstream") ||
	     clone_without(clone, branch, d, e) < 0))
		return -1;
	if (repo->clone_commit && repo->sha && repo->sha[0] && fetch_commit(clone, d, e) < 0)
		return -1;
	return fetch_any(clone, d, e);
}

/* The git of an attempt whose job was killed may still run, and would remove our files when it
 * ends. */
static int end_leftover(const struct clone *clone, struct deadline d, struct err *e)
{
	struct proc_list l = { 0 };
	int rc = 0;

	if (!file_exists(clone->aux))
		return 0;
	proc_list_by_env(&l, "HOME", clone->home);
	if (l.n > 0)
		rc = proc_end_tree(l.v, l.n, 1000, deadline_min(d, deadline_in_ms(10000)), e);
	proc_list_free(&l);
	return rc;
}

static int prepare(struct clone *clone, struct deadline d, struct err *e)
{
	const struct git_clone *c = clone->c;
	struct buf b = { 0 };
	char *config;
	int rc;

	if (end_leftover(clone, d, e) < 0 || file_remove_tree(clone->part, e) < 0 ||
	    file_remove_tree(clone->aux, e) < 0)
		return -1;
	if (mkdir(clone->aux, 0700) < 0 || mkdir(clone->home, 0700) < 0)
		return err_sys(e, errno, "create directory %s", clone->aux);
	git_env(&clone->env, clone->home);
	/* The first key of a host is accepted and remembered in the user's own known_hosts; a changed
	 * one is refused. */
	kv_set(&clone->env, "GIT_SSH_COMMAND",
	       "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30");
	if (c->ca_file && c->ca_file[0])
		kv_set(&clone->env, "GIT_SSL_CAINFO", c->ca_file);
	if (clone->secret[0] && clone->src.host[0] && strcmp(clone->src.scheme, "ssh") != 0) {
		if (symlink(c->self_exe, clone->askpass) < 0)
			return err_sys(e, errno, "create %s", clone->askpass);
		kv_set(&clone->env, "GIT_ASKPASS", clone->askpass);
		kv_set(&clone->env, ENV_ASKPASS_HOST, clone->src.host);
		kv_set(&clone->env, ENV_ASKPASS_USER, clone->user);
		kv_set(&clone->env, ENV_ASKPASS_SECRET, clone->secret);
		mask_add(str_of(clone->secret));
	}
	if (strcmp(clone->src.scheme, "file") != 0)
		return 0;
	/* A local source may belong to another user; that is what allow_file agreed to. */
	buf_adds(&b, "[safe]\n\tdirectory = *\n");
	config = path_join(clone->home, ".gitconfig");
	rc = file_swap(config, 0600, buf_str(&b), e);
	free(config);
	buf_free(&b);
	return rc;
}

static bool is_checkout(const char *dir)
{
	char *git_dir = path_join(dir, ".git");
	bool yes = file_exists(git_dir);

	free(git_dir);
	return yes;
}

/* What is there and is no checkout is somebody's: only an empty directory may be taken. */
static int check_place(const char *dir, struct err *e)
{
	struct dirent *ent;
	bool empty = true;
	DIR *d;

	if (!file_exists(dir))
		return 0;
	d = opendir(dir);
	if (!d)
		return err_sys(e, errno, "open directory %s", dir);
	while (empty && (ent = readdir(d)) != NULL)
		empty = strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0;
	closedir(d);
	if (!empty)
		return err_set(e, ERR_EXISTS, 0,
		               "%s is there, is not empty and is no git repository; move it away",
		               dir);
	return 0;
}

static int check_request(const struct git_clone *c, struct err *e)
{
	const struct repository *r = c->repo;

	if (r->branch && r->branch[0] && !git_branch_ok(r->branch))
		return err_set(e, ERR_PARSE, 0, "the branch \"%s\" is no valid branch name",
		               r->branch);
	if (r->clone_commit && r->sha && r->sha[0] && !git_sha_ok(r->sha))
		return err_set(e, ERR_PARSE, 0, "the commit \"%s\" is no hexadecimal id", r->sha);
	return 0;
}

static char *with_suffix(const char *dir, const char *suffix)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s%s", dir, suffix);
	return buf_take(&b);
}

static void choose_credentials(struct clone *clone)
{
	const struct git_provider *git = clone->c->creds;

	clone->user = "";
	clone->secret = "";
	if (git && git->token && git->token[0]) {
		clone->user = git->username ? git->username : "";
		clone->secret = git->token;
	} else if (clone->src.password) {
		clone->user = clone->src.user;
		clone->secret = clone->src.password;
	} else if (clone->src.user && strncmp(clone->src.scheme, "http", 4) == 0) {
		clone->user = "x-access-token"; /* "https://TOKEN@host/…" */
		clone->secret = clone->src.user;
	}
}

static int clone_into(struct clone *clone, struct deadline d, struct err *e)
{
	const struct git_clone *c = clone->c;
	struct buf text = { 0 };
	int rc = -1;

	if (clone->secret[0] && strcmp(clone->src.scheme, "http") == 0)
		say(clone, STR_LIT("warning: the repository is read over plain http, so the token "
		                   "is not protected"));
	buf_addf(&text, "cloning %s", clone->src.url);
	say(clone, buf_str(&text));
	buf_free(&text);
	if (prepare(clone, d, e) < 0 || fetch_all(clone, d, e) < 0)
		goto out;
	if (rename(clone->part, c->dir) < 0) {
		err_sys(e, errno, "rename %s to %s", clone->part, c->dir);
		goto out;
	}
	rc = 0;
out:
	if (rc < 0) {
		struct err ignored = { 0 }; /* the next attempt removes what is left */

		file_remove_tree(clone->part, &ignored);
	}
	return rc;
}

int git_clone(const struct git_clone *c, struct deadline d, struct err *e)
{
	struct clone clone = { .c = c, .progress_ms = clock_mono_ms() };
	struct err aux_error = { 0 };
	int rc;

	if (git_source_parse(c->repo->url, c->allow_file, &clone.src, e) < 0 ||
	    check_request(c, e) < 0) {
		git_source_free(&clone.src);
		return err_wrap(e, "clone the repository");
	}
	clone.part = with_suffix(c->dir, ".part");
	clone.aux = with_suffix(c->dir, ".aux");
	clone.home = path_join(clone.aux, "home");
	clone.askpass = path_join(clone.aux, "askpass");
	choose_credentials(&clone);
	if (is_checkout(c->dir)) {
		say(&clone, STR_LIT("the checkout is there already"));
		rc = 0;
	} else {
		rc = check_place(c->dir, e);
		if (rc == 0)
			rc = clone_into(&clone, d, e);
	}
	if (rc < 0)
		err_wrap(e, "clone %s", clone.src.url);
	if (file_remove_tree(clone.aux, &aux_error) < 0 && rc == 0) {
		*e = aux_error;
		rc = -1;
	}
	kv_free(&clone.env);
	git_source_free(&clone.src);
	buf_free(&clone.line);
	buf_free(&clone.last);
	free(clone.part);
	free(clone.aux);
	free(clone.home);
	free(clone.askpass);
	return rc;
}

/* "Password for 'https://user@host:port': " → "host:port". */
static struct str prompt_host(const char *prompt)
{
	const char *from = strchr(prompt, '\''), *to = strrchr(prompt, '\'');
	const char *scheme = from ? strstr(from, "://") : NULL;
	struct str host = { 0 };

	if (!scheme || scheme > to)
		return host;
	host.p = scheme + 3;
	host.n = strcspn(host.p, "/'");
	for (size_t i = 0; i < host.n; i++) {
		if (host.p[i] == '@')
			return (struct str){ host.p + i + 1, host.n - i - 1 };
	}
	return host;
}

/* "user@host's password: ", or "(user@host) Password: " from a keyboard-interactive server. */
static int ssh_askpass(const char *who, const char *prompt, struct buf *answer, struct err *e)
{
	const char *secret = getenv(ENV_ASKPASS_SECRET), *at = strstr(prompt, who);
	char behind = at ? at[strlen(who)] : '\0';

	if (!secret || !at || (behind != '\'' && behind != ')') || !strcasestr(at, "password"))
		return err_set(e, ERR_UNSUPPORTED, 0, "there is no answer to \"%s\"", prompt);
	buf_adds(answer, secret);
	return 0;
}

int git_askpass(const char *prompt, struct buf *answer, struct err *e)
{
	const char *ssh = getenv(ENV_ASKPASS_SSH);
	const char *want = getenv(ENV_ASKPASS_HOST);
	bool password = strncmp(prompt, "Password", 8) == 0;
	const char *value = getenv(password ? ENV_ASKPASS_SECRET : ENV_ASKPASS_USER);
	struct str host = prompt_host(prompt);

	if (ssh && !want)
		return ssh_askpass(ssh, prompt, answer, e);
	if (!want || !value)
		return err_set(e, ERR_USAGE, 0, "askpass is for git, started by the runner");
	if (!password && strncmp(prompt, "Username", 8) != 0)
		return err_set(e, ERR_UNSUPPORTED, 0, "there is no answer to \"%s\"", prompt);
	/* A redirect must not carry the token to another host. */
	if (!host.p || host.n != strlen(want) || strncasecmp(host.p, want, host.n) != 0)
		return err_set(e, ERR_OTHER, 0, "the credentials are for %s, not for %.*s", want,
		               STR_ARG(host));
	buf_adds(answer, value);
	return 0;
}
