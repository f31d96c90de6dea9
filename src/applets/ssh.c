/* SPDX-License-Identifier: Apache-2.0 */
/* ssh: the ssh client of this machine, told how to reach a workspace; and the connection that it is given. */
#include "applets/ssh.h"

#include "applets/applets.h"
#include "applets/streams.h"
#include "base/mem.h"
#include "base/spawn_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"ssh [OPTION...] [WORKSPACE [COMMAND...]]\n"
	"Logs in to a workspace with this machine's ssh client, or runs COMMAND there. What follows WORKSPACE is the command's. "
	"The connection goes through the Server; the workspace listens nowhere. The key is made at the first use.";

static const struct noun noun = {
	.name = "ssh",
	.kind = &api_workspace_kind,
	.none = "There are no workspaces. Make one with: daytona-runner workspace create REPOSITORY",
};

struct options {
	struct verbs v;
	struct opt_list given;
	bool connect;
};

extern char **environ;

/* id: as ssh was told it; the Server looks. */
static int connect_to(const struct cli_admin *a, const struct ssh_client *c, const char *id,
                      struct err *e)
{
	struct buf query = { 0 };
	struct tunnel *t;
	int rc;

	buf_adds(&query, "kind=ssh&key=");
	buf_add_urlenc(&query, buf_str(&c->public_key));
	t = tunnel_open(a->link.api, id, buf_cstr(&query), deadline_in_ms(STREAM_OPEN_MS));
	/* Our output stays open besides: ssh ends whoever closes it, before a reason could be said. */
	tunnel_source(t, TUNNEL_IN, stream_dup(STDIN_FILENO));
	tunnel_sink(t, TUNNEL_OUT, stream_dup(STDOUT_FILENO));
	rc = stream_run(t, e);
	tunnel_free(t);
	buf_free(&query);
	return rc < 0 ? stream_explain(a, e) : 0;
}

struct words {
	char **v;
	size_t n;
};

static void add(struct words *w, const char *word)
{
	w->v = mem_realloc(w->v, (w->n + 2) * sizeof(*w->v));
	w->v[w->n++] = mem_dup(word);
	w->v[w->n] = NULL;
}

static void add_setting(void *arg, const char *name, const char *value)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s=%s", name, value);
	add(arg, "-o");
	add(arg, buf_cstr(&b));
	buf_free(&b);
}

static void free_words(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
}

/* A key that was given here is handed on where only this user sees it. */
static void hand_on_key(const struct cli_admin *a)
{
	if (!a->key && !(a->key_file && strcmp(a->key_file, "-") == 0))
		return;
	setenv("DAYTONA_API_URL", a->config.url, 1);
	setenv("DAYTONA_API_KEY", a->config.key, 1);
}

static int become_ssh(struct options *o, const struct ssh_client *c, struct json workspace,
                      struct err *e)
{
	char *id = json_dup_or_empty(json_get(workspace, "id"));
	struct buf host = { 0 };
	struct words w = { 0 };
	int code;

	add(&w, "ssh");
	for (size_t i = 0; i < o->given.n; i++) {
		add(&w, "-o");
		add(&w, o->given.v[i]);
	}
	ssh_client_settings(c, id, add_setting, &w);
	ssh_client_host(workspace, &host);
	add(&w, "--");
	add(&w, buf_cstr(&host));
	for (int i = 1; i < o->v.n; i++)
		add(&w, o->v.operands[i]);
	hand_on_key(&o->v.admin);
	spawn_reset_signals();
	code = spawn_exec(NULL, (const char *const *)w.v, (const char *const *)environ);
	if (code == ENOENT)
		err_set(e, ERR_NOT_FOUND, 0,
		        "there is no ssh here; install it (Debian: openssh-client), or use daytona-runner shell");
	else
		err_sys(e, code, "ssh");
	free_words(&w);
	buf_free(&host);
	free(id);
	return -1;
}

static int run(struct options *o, struct err *e)
{
	struct ssh_client c = { 0 };
	struct json_doc *doc = NULL;
	struct json workspace;
	int rc = cli_admin_open(&o->v.admin, "ssh", e);

	if (rc == 0)
		rc = ssh_client_open(&c, &o->v.admin, e);
	if (rc == 0 && o->connect) {
		rc = connect_to(&o->v.admin, &c, o->v.operands[0], e);
	} else if (rc == 0) {
		rc = verbs_find(&o->v, o->v.n ? o->v.operands[0] : NULL, &doc, &workspace, e);
		if (rc < 0)
			cli_explain(&o->v.admin, e);
		else
			rc = become_ssh(o, &c, workspace, e);
		json_doc_free(doc);
	}
	ssh_client_close(&c);
	cli_admin_close(&o->v.admin);
	return rc;
}

static bool has_value(const struct opt *opts, const char *arg)
{
	const char *name = arg + 2;

	for (; opts->type != OPT_TYPE_END; opts++) {
		if (opts->type == OPT_TYPE_FLAG || opts->type == OPT_TYPE_GROUP)
			continue;
		if (arg[1] == '-' ? *opts->text && strcmp(opts->text, name) == 0
		                  : opts->letter == arg[1] && !arg[2])
			return true;
	}
	return false;
}

/* With "--" before the first operand: options that follow are the command's. The caller frees the list. */
static char **end_options(const struct opt *opts, int *argc, char **argv)
{
	static char end[] = "--";
	char **out = mem_array((size_t)*argc + 2, sizeof(*out));
	int at = 1;

	while (at < *argc && argv[at][0] == '-' && strcmp(argv[at], end) != 0)
		at += has_value(opts, argv[at]) ? 2 : 1;
	if (at > *argc)
		at = *argc;
	memcpy(out, argv, (size_t)at * sizeof(*out));
	if (at < *argc && strcmp(argv[at], end) != 0) {
		out[at] = end;
		memcpy(out + at + 1, argv + at, (size_t)(*argc - at) * sizeof(*out));
		++*argc;
	} else {
		memcpy(out + at, argv + at, (size_t)(*argc - at) * sizeof(*out));
	}
	return out;
}

static int ssh_run(int argc, char **argv)
{
	struct options o = { .v.noun = &noun };
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_LIST('o', "option", "SETTING", &o.given,
		         "a setting of ssh, as in its configuration; repeatable"),
		OPT_FLAG(0, "connect", &o.connect,
		         "be the connection, on standard input and output: for ProxyCommand"),
		CLI_ADMIN_OPTS(&o.v.admin),
		OPT_END,
	};
	char **args = end_options(opts, &argc, argv);
	int rc;

	o.v.n = opts_parse(opts, usage, argc, args, 0, -1);
	o.v.operands = args + 1;
	if (o.connect && o.v.n != 1)
		opts_misuse(usage, "--connect needs one workspace");
	rc = run(&o, &e);
	free(o.given.v);
	free(args);
	return rc < 0 ? applet_fail("ssh", &e) : 0;
}

const struct applet ssh_applet = { .name = "ssh",
	                           .summary = "log in to a workspace with ssh",
	                           .run = ssh_run };
