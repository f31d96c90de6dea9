/* SPDX-License-Identifier: Apache-2.0 */
/* See control.h. */
#include "host/control.h"

#include "base/file.h"
#include "base/mem.h"
#include "host/daemon.h"
#include "host/paths.h"
#include "net/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define ANSWER_MAX (16u << 20)

char *control_path(const char *state_dir, int *dir_fd, struct err *e)
{
	struct buf near = { 0 };
	char *path = paths_control(state_dir);

	*dir_fd = -1;
	if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path))
		return path;
	free(path);
	*dir_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_fd < 0) {
		err_sys(e, errno, "open %s", state_dir);
		return NULL;
	}
	buf_addf(&near, "/proc/self/fd/%d/%s", *dir_fd, PATHS_CONTROL);
	return buf_take(&near);
}

/* Why nobody answers. */
static int nobody(const char *state_dir, struct err *e)
{
	struct proc_id who;
	struct err ignored = { 0 };

	if (daemon_lock_probe(state_dir, &who, &ignored) > 0)
		return err_wrap(e, "the runner (process %ld) takes no commands", (long)who.pid);
	return err_set(e, ERR_NOT_FOUND, 0,
	               "no runner runs with state directory %s; daytona-runner start begins one",
	               state_dir);
}

static int judge(const struct http_reply *r, struct json_doc *doc, struct err *e)
{
	char *text;

	if (r->status == 200)
		return 0;
	text = doc ? json_dup(json_get(json_root(doc), "error")) : NULL;
	err_set(e,
	        r->status == 404   ? ERR_NOT_FOUND
	        : r->status == 403 ? ERR_DENIED
	        : r->status == 409 ? ERR_BUSY
	                           : ERR_REMOTE,
	        r->status, "%s", text ? text : "the runner does not know this command");
	free(text);
	return -1;
}

int control_call(const char *state_dir, const char *method, const char *target, const char *body,
                 struct json_doc **answer, struct deadline d, struct err *e)
{
	struct http_request req = { .method = method, .target = target, .body = str_of(body) };
	struct http_reply reply = { 0 };
	struct url url = { 0 };
	const struct conn_target to = { .url = &url };
	struct err ignored = { 0 };
	struct http_client *http;
	int dir_fd, rc;

	*answer = NULL;
	req.content_type = body ? "application/json" : NULL;
	req.max_body = ANSWER_MAX;
	url.path = control_path(state_dir, &dir_fd, e);
	if (!url.path)
		return nobody(state_dir, e);
	url.scheme = mem_dup("unix");
	url.host = mem_dup("");
	http = http_client_new(&to, NULL);
	rc = http_do(http, &req, &reply, d, e);
	if (rc < 0) {
		nobody(state_dir, e);
	} else {
		*answer = json_parse(buf_str(&reply.body), ANSWER_MAX, &ignored);
		rc = judge(&reply, *answer, e);
		if (rc == 0 && !*answer)
			rc = err_set(e, ERR_PARSE, 0, "the runner's answer is no JSON");
	}
	if (rc < 0) {
		json_doc_free(*answer);
		*answer = NULL;
	}
	http_client_free(http);
	http_reply_free(&reply);
	url_free(&url);
	fd_close(&dir_fd);
	return rc;
}
