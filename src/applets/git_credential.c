/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git-credential: a helper by git's credential protocol (gitcredentials(7)), which gets user name and token out of the
 * Server's git providers. Inside a workspace its own key is enough:
 * git config credential.helper '!daytona-runner git-credential'
 */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/out.h"
#include "net/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"git-credential get|store|erase\n"
	"Answers git's question for a user name and a password with those that the Server has for the repository. Use it with: "
	"git config credential.helper '!daytona-runner git-credential'. store and erase do nothing: the Server keeps them.";

#define QUESTION_MAX (64u << 10)
#define HTTPS_PORT 443

static int read_question(struct kv *q, struct err *e)
{
	struct buf text = { 0 };
	struct str rest, line, key;
	int rc = file_read_fd(STDIN_FILENO, "standard input", QUESTION_MAX, &text, e);

	rest = buf_str(&text);
	while (rc == 0 && str_next(&rest, '\n', &line)) {
		struct buf name = { 0 }, value = { 0 };

		if (str_next(&line, '=', &key)) {
			buf_add_str(&name, key);
			buf_add_str(&value, line);
			kv_set(q, buf_cstr(&name), buf_cstr(&value));
		}
		buf_free(&name);
		buf_wipe(&value);
	}
	buf_wipe(&text);
	return rc;
}

/* The Server knows hosts by name. A submodule may name any scheme and port there, of which the token is none's to hear: only
 * the workspace's own repository is where it is, whatever that is. */
static bool may_ask(const char *own, const char *asked)
{
	struct url u = { 0 };
	struct err ignored = { 0 };
	bool ok = url_texts_match(own, asked, false) ||
	          (url_parse(str_of(asked), &u, &ignored) == 0 &&
	           (own ? url_is_tls(&u) && u.port == HTTPS_PORT
	                : url_is_tls(&u) || url_is_loopback(&u)));

	url_free(&u);
	return ok;
}

static int get(struct cli_admin *a, struct err *e)
{
	const char *own = getenv("DAYTONA_WORKSPACE_REPOSITORY_URL"), *protocol, *host, *path;
	struct git_provider git = { 0 };
	struct kv q = { 0 };
	struct buf asked = { 0 };
	int rc = read_question(&q, e);

	protocol = kv_get(&q, "protocol");
	host = kv_get(&q, "host");
	path = kv_get(&q, "path");
	if (rc == 0 && (!protocol || !host))
		rc = err_set(e, ERR_USAGE, 0, "git gave no protocol and host on standard input");
	if (rc == 0) {
		buf_addf(&asked, "%s://%s%s%s", protocol, host, path ? "/" : "", path ? path : "");
		if (!may_ask(own, buf_cstr(&asked)))
			goto out; /* git asks whom it asks next */
		rc = cli_admin_open(a, "git-credential", e);
	}
	/* A workspace's key is for its own repository alone, whose address git does not tell whole. */
	if (rc == 0)
		rc = api_git_provider_for_url(
			a->link.api,
			url_texts_match(own, buf_cstr(&asked), false) ? own : buf_cstr(&asked),
			&git, deadline_in_ms(CLI_CALL_MS), e);
	if (rc < 0 && e->kind != ERR_USAGE && a->source)
		cli_explain(a, e);
	/* Without a token git asks whom it asks next. A line break would be another attribute. */
	if (rc == 0 && git.token && *git.token && !strpbrk(git.token, "\r\n") &&
	    !(git.username && strpbrk(git.username, "\r\n")))
		printf("username=%s\npassword=%s\n",
		       git.username && *git.username ? git.username : "git", git.token);
out:
	git_provider_free(&git);
	buf_free(&asked);
	kv_free(&q);
	return rc;
}

static int git_credential_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = {
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int rc = 0;

	opts_parse(opts, usage, argc, argv, 1, 1);
	if (strcmp(argv[1], "get") == 0)
		rc = get(&a, &e);
	else if (strcmp(argv[1], "store") != 0 && strcmp(argv[1], "erase") != 0)
		opts_misuse(usage, "get, store or erase, not \"%s\"", argv[1]);
	cli_admin_close(&a);
	return rc < 0 ? applet_fail("git-credential", &e) : out_flush();
}

const struct applet git_credential_applet = { .name = "git-credential",
	                                      .summary = "give git what the Server has for a host",
	                                      .run = git_credential_run };
