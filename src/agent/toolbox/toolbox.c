/* SPDX-License-Identifier: Apache-2.0 */
/* Which call a request is, and one connection's requests in turn. See toolbox.h. */
#include "agent/toolbox/toolbox.h"

#include "agent/toolbox/handlers.h"
#include "base/file.h"
#include "base/jsonw.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

static void workspace_dir(struct exchange *exchange, const struct toolbox *t)
{
	char here[PATH_MAX];
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "dir", t->dir ? t->dir : getcwd(here, sizeof(here)) ? here : "/");
	jw_obj_end(&b);
	exchange_json(exchange, 200, &b);
}

static const struct {
	const char *method, *path;
	toolbox_handler *call;
} routes[] = {
	{ "GET", "/workspace-dir", workspace_dir },
	{ "GET", "/project-dir", workspace_dir }, /* as it was called before 0.52 */
	{ "GET", "/files", files_list },
	{ "DELETE", "/files", files_delete },
	{ "GET", "/files/info", files_info },
	{ "GET", "/files/download", files_download },
	{ "GET", "/files/find", files_find },
	{ "GET", "/files/search", files_search },
	{ "POST", "/files/folder", files_folder },
	{ "POST", "/files/move", files_move },
	{ "POST", "/files/permissions", files_permissions },
	{ "POST", "/files/replace", files_replace },
	{ "POST", "/files/upload", files_upload },
	{ "POST", "/process/execute", process_execute },
	{ "GET", "/git/status", git_call_status },
	{ "GET", "/git/branches", git_call_branches },
	{ "POST", "/git/branches", git_call_branch },
	{ "GET", "/git/history", git_call_history },
	{ "POST", "/git/clone", git_call_clone },
	{ "POST", "/git/add", git_call_add },
	{ "POST", "/git/commit", git_call_commit },
	{ "POST", "/git/push", git_call_push },
	{ "POST", "/git/pull", git_call_pull },
};

/* The path itself, or one below it. */
static bool is_below(struct str path, const char *parent)
{
	size_t n = strlen(parent);

	return str_starts(path, parent) && (path.n == n || path.p[n] == '/');
}

static void answer(struct exchange *exchange, const struct toolbox *t)
{
	struct str path = buf_str(&exchange->path), method = exchange->head.method;

	if (is_below(path, "/process/session")) {
		process_session(exchange, t);
		return;
	}
	if (is_below(path, "/lsp")) {
		exchange_reply(exchange, 501, "text/plain; charset=utf-8", NULL,
		               STR_LIT("This agent runs no language servers; start one with "
		                       "/process/session and speak to it through a forwarded "
		                       "port.\n"));
		return;
	}
	if (str_eq(method, "HEAD"))
		method = STR_LIT("GET");
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (str_eq(path, routes[i].path) && str_eq(method, routes[i].method)) {
			routes[i].call(exchange, t);
			return;
		}
	}
	exchange_reply(exchange, 404, "text/plain", NULL, STR_LIT("404 page not found"));
}

int toolbox_serve(int fd, const struct toolbox *t, struct err *e)
{
	struct exchange exchange = { .fd = fd };
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (fd_set_nonblock(fd, e) < 0)
		return -1;
	/* A checkout that is not there yet is no reason to refuse what needs none. */
	if (t->dir && chdir(t->dir) < 0 && errno != ENOENT)
		return err_sys(e, errno, "enter %s", t->dir);
	while ((rc = exchange_next(&exchange, e)) > 0) {
		answer(&exchange, t);
		if (!exchange.answered)
			exchange_fail(&exchange, 500, "the call gave no answer");
	}
	exchange_free(&exchange);
	return rc;
}
