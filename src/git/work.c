/* SPDX-License-Identifier: Apache-2.0 */
/* See work.h. */
#include "git/work.h"

#include "base/mask.h"
#include "base/mem.h"
#include "git/run.h"
#include "git/url.h"

#include <string.h>

#define SHOWN_MAX 400 /* bytes of git's own words in an error */
#define URL_OUTPUT_MAX 16384

static const char *const settings[] = {
	"core.hooksPath=/dev/null",  "core.fsmonitor=false",
	"safe.directory=*",          "commit.gpgSign=false",
	"push.gpgSign=false",        "http.lowSpeedLimit=1",
	"http.lowSpeedTime=120",     "submodule.recurse=false",
	"advice.detachedHead=false", "gc.auto=0",
	"maintenance.auto=false",
};

struct output {
	struct buf *out;
	size_t max;
};

static void take(void *arg, struct str bytes)
{
	struct output *o = arg;
	size_t room = o->out->n < o->max ? o->max - o->out->n : 0;

	buf_add(o->out, bytes.p, bytes.n < room ? bytes.n : room);
}

static void common_env(const struct git_work *w, struct kv *env)
{
	const char *home = getenv("HOME");

	git_env(env, home && *home ? home : "/");
	/* What a runner must not be led by is the owner's own here. */
	kv_del(env, "GIT_CONFIG_NOSYSTEM");
	kv_del(env, "GIT_ATTR_NOSYSTEM");
	kv_del(env, "GIT_LFS_SKIP_SMUDGE");
	kv_set(env, "GIT_DIR", ".git");
	kv_set(env, "GIT_SSH_COMMAND",
	       "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30");
	if (w->ca_file && w->ca_file[0])
		kv_set(env, "GIT_SSL_CAINFO", w->ca_file);
	if (w->author) {
		kv_set(env, "GIT_AUTHOR_NAME", w->author);
		kv_set(env, "GIT_COMMITTER_NAME", w->author);
	}
	if (w->email) {
		kv_set(env, "GIT_AUTHOR_EMAIL", w->email);
		kv_set(env, "GIT_COMMITTER_EMAIL", w->email);
	}
}

/* The line that says most: the first fatal one or the last of all. */
static struct str best_line(struct str text)
{
	struct str line, best = { NULL, 0 };

	while (str_next(&text, '\n', &line)) {
		line = str_trim(line);
		if (str_starts(line, "fatal:") || str_starts(line, "error:") ||
		    str_starts(line, "! "))
			return line;
		if (line.n)
			best = line;
	}
	return best;
}

static int run(const struct git_work *w, const char *const *args, const struct kv *env,
               struct str input, struct output *o, struct deadline d, struct err *e)
{
	size_t n_args = 0, n = 0, from = o->out->n;
	const char **argv;
	int status = 0, rc;

	while (args[n_args])
		n_args++;
	argv = mem_array(2 + 2 * (ARRAY_LEN(settings) + 1) + n_args, sizeof(*argv));
	argv[n++] = "git";
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		argv[n++] = "-c";
		argv[n++] = settings[i];
	}
	if (w->password) { /* no other's are to be used, or to be kept */
		argv[n++] = "-c";
		argv[n++] = "credential.helper=";
	}
	for (size_t i = 0; i < n_args; i++)
		argv[n++] = args[i];
	rc = git_run(&(struct git_run){ .argv = argv,
	                                .env = env,
	                                .cwd = w->dir,
	                                .input = input,
	                                .output = take,
	                                .arg = o },
	             d, &status, e);
	if (rc == 0 && status != 0) {
		struct buf shown = { 0 };
		struct str said = { buf_cstr(o->out) + from, o->out->n - from };

		mask_text(&shown, best_line(said));
		if (shown.n)
			rc = err_set(e, ERR_OTHER, status, "git: %.*s", SHOWN_MAX,
			             buf_cstr(&shown));
		else
			rc = err_set(e, ERR_OTHER, status, "git ended with exit status %d", status);
		buf_free(&shown);
	}
	free(argv);
	return rc;
}

/* They are for the host that the repository names, whatever it redirects to. */
static int give_credentials(const struct git_work *w, struct kv *env, struct deadline d,
                            struct err *e)
{
	static const char *const args[] = { "remote", "get-url", "origin", NULL };
	struct buf url = { 0 };
	struct output o = { &url, URL_OUTPUT_MAX };
	struct git_source src = { 0 };
	char *text = NULL;
	int rc;

	if (!w->password || !w->askpass)
		return 0;
	rc = run(w, args, env, (struct str){ NULL, 0 }, &o, d, e);
	if (rc == 0) {
		struct str line = str_trim(buf_str(&url));

		text = mem_dupn(line.p, line.n);
		rc = git_source_parse(text, true, &src, e);
	}
	if (rc == 0 && strncmp(src.scheme, "http", 4) == 0) {
		mask_add(str_of(w->password));
		kv_set(env, "GIT_ASKPASS", w->askpass);
		kv_set(env, ENV_ASKPASS_HOST, src.host);
		kv_set(env, ENV_ASKPASS_USER, w->username ? w->username : "");
		kv_set(env, ENV_ASKPASS_SECRET, w->password);
	}
	git_source_free(&src);
	free(text);
	buf_wipe(&url);
	return rc;
}

int git_work(const struct git_work *w, const char *const *args, struct str input, size_t max,
             struct buf *out, struct deadline d, struct err *e)
{
	struct output o = { out, out->n + max };
	struct kv env = { 0 };
	int rc;

	common_env(w, &env);
	rc = give_credentials(w, &env, d, e);
	if (rc == 0)
		rc = run(w, args, &env, input, &o, d, e);
	kv_free(&env);
	return rc;
}
