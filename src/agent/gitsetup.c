/* SPDX-License-Identifier: Apache-2.0 */
/* See gitsetup.h. */
#include "agent/gitsetup.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "git/run.h"
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL_MS 20000
#define DOCKER_HELPER "docker-credential-daytona"
#define DOCKER_CONFIG "{\"credsStore\":\"daytona\"}\n"

struct setup {
	const struct git_setup *from;
	const char *home;
	char self[PATH_MAX];
	struct kv env;
	struct deadline d;
};

static void drop(void *arg, struct str bytes)
{
	(void)arg;
	(void)bytes;
}

static int git_config(const struct setup *s, const char *const *argv, int *status, struct err *e)
{
	return git_run(&(struct git_run){ .argv = argv, .env = &s->env, .output = drop }, s->d,
	               status, e);
}

/* Unless the user has one. */
static int set(const struct setup *s, const char *key, const char *value, struct err *e)
{
	const char *const look[] = { "git", "config", "--global", "--get-all", key, NULL };
	const char *const put[] = { "git", "config", "--global", key, value, NULL };
	int status = 0;

	if (!value || !*value || strpbrk(value, "\r\n"))
		return 0;
	if (git_config(s, look, &status, e) < 0)
		return -1;
	if (status == 0)
		return 0;
	if (git_config(s, put, &status, e) < 0)
		return -1;
	return status == 0 ? 0
	                   : err_set(e, ERR_OTHER, status, "git config %s: exit status %d", key,
	                             status);
}

/* As a shell runs it. */
static int set_helper(const struct setup *s, struct err *e)
{
	const struct git_setup *from = s->from;
	struct buf b = { 0 };
	int rc;

	buf_addc(&b, '!');
	buf_add_shell(&b, str_of(s->self));
	buf_adds(&b, " git-credential");
	if (!url_is_tls(from->settings->url))
		buf_adds(&b, " --allow-http");
	if (from->ca_file) {
		buf_adds(&b, " --ca-file ");
		buf_add_shell(&b, str_of(from->ca_file));
	}
	rc = set(s, "credential.helper", buf_cstr(&b), e);
	buf_free(&b);
	return rc;
}

/* Who may sign is a line of a file. */
static int allow_signer(const struct setup *s, const char *email, const char *key, struct err *e)
{
	char *path = path_join(s->home, ".ssh/allowed_signers"), *dir = path_join(s->home, ".ssh");
	struct buf line = { 0 };
	int rc = 0;

	buf_addf(&line, "%s %s\n", email, key);
	if (!file_exists(path)) {
		rc = file_mkdirs(dir, 0700, e);
		if (rc == 0)
			rc = file_replace(path, 0600, buf_str(&line), e);
	}
	if (rc == 0)
		rc = set(s, "gpg.ssh.allowedSignersFile", path, e);
	buf_free(&line);
	free(path);
	free(dir);
	return rc;
}

static int set_signing(const struct setup *s, const struct git_provider *git, const char *email,
                       struct err *e)
{
	bool ssh = git->signing_method && strcmp(git->signing_method, "ssh") == 0;

	if (!git->signing_method || !git->signing_key || !*git->signing_key ||
	    (!ssh && strcmp(git->signing_method, "gpg") != 0))
		return 0;
	if (ssh && (set(s, "gpg.format", "ssh", e) < 0 ||
	            (email && !strpbrk(email, " \r\n") && !strpbrk(git->signing_key, "\r\n") &&
	             allow_signer(s, email, git->signing_key, e) < 0)))
		return -1;
	return set(s, "user.signingkey", git->signing_key, e) < 0
	               ? -1
	               : set(s, "commit.gpgsign", "true", e);
}

static int set_user(const struct setup *s, struct api *api, struct err *e)
{
	struct git_provider git = { 0 };
	struct buf path = { 0 };
	struct json_doc *doc = NULL;
	struct deadline d = deadline_min(s->d, deadline_in_ms(CALL_MS));
	struct err none = { 0 }; /* a Server that does not know, or does not tell a workspace */
	char *name = NULL, *email = NULL;
	int rc = 0;

	if (api_git_provider_for_url(api, s->from->url, &git, d, &none) == 0 && git.id) {
		buf_adds(&path, "/gitprovider/");
		buf_add_urlenc(&path, str_of(git.id));
		buf_adds(&path, "/user");
		if (api_call(api, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, &none) == 0) {
			name = json_dup(json_get(json_root(doc), "name"));
			email = json_dup(json_get(json_root(doc), "email"));
		}
		if (set(s, "user.name", name && *name ? name : git.username, e) < 0 ||
		    set(s, "user.email", email, e) < 0 || set_signing(s, &git, email, e) < 0)
			rc = -1;
	}
	json_doc_free(doc);
	buf_free(&path);
	free(name);
	free(email);
	git_provider_free(&git);
	return rc;
}

static bool in_path(const char *program)
{
	struct str rest = str_of(getenv("PATH")), dir;
	bool found = false;

	while (!found && str_next(&rest, ':', &dir)) {
		struct buf path = { 0 };

		buf_addf(&path, "%.*s/%s", STR_ARG(dir), program);
		found = dir.n && access(buf_cstr(&path), X_OK) == 0;
		buf_free(&path);
	}
	return found;
}

/* Where a runner puts us into a container, which is the workspace's alone; anywhere else the machine is not ours to change. */
#define IN_CONTAINER "/.daytona/"

/* Where there is a docker whose user has not configured it, and its helper is where docker looks, or can be put there. */
static int set_docker(const struct setup *s, struct err *e)
{
	char *dir = path_join(s->home, ".docker"), *file = path_join(dir, "config.json");
	int rc = 0;

	if (in_path("docker") && !file_exists(file) &&
	    (in_path(DOCKER_HELPER) || (strncmp(s->self, IN_CONTAINER, strlen(IN_CONTAINER)) == 0 &&
	                                symlink(s->self, "/usr/local/bin/" DOCKER_HELPER) == 0))) {
		rc = file_mkdirs(dir, 0700, e);
		if (rc == 0)
			rc = file_replace(file, 0600, STR_LIT(DOCKER_CONFIG), e);
	}
	free(dir);
	free(file);
	return rc;
}

void git_setup_work(void *arg, struct deadline d)
{
	struct setup s = { .from = arg, .home = getenv("HOME"), .d = d };
	ssize_t n = readlink("/proc/self/exe", s.self, sizeof(s.self) - 1);
	struct api *api = api_new(s.from->settings); /* never the parent's connection */
	struct err e = { 0 };
	int rc = 0;

	log_set_sink(NULL, NULL); /* its descriptor is closed here */
	if (s.home && *s.home == '/' && n > 0) {
		git_env(&s.env, s.home);
		if (in_path("git"))
			rc = set_helper(&s, &e) < 0 || set_user(&s, api, &e) < 0 ? -1 : 0;
		if (rc == 0)
			rc = set_docker(&s, &e);
	}
	api_free(api);
	kv_free(&s.env);
	dprintf(1, rc == 0 ? "+%s" : "-%s", e.msg);
	_exit(0);
}
