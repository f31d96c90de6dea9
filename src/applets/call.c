/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: one request to the Server's API with the administrator's credentials, for what has no
 * applet of its own (targets, workspaces, jobs). Prints the answer's body as it came.
 */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/out.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"call METHOD PATH [BODY]\n"
	"Sends one request to the Server and prints the answer. BODY is JSON; \"-\" reads it from "
	"standard input.";

#define BODY_MAX (1u << 20)

static int read_body(const char *text, struct buf *body, struct err *e)
{
	char piece[4096];
	size_t n;

	if (strcmp(text, "-") != 0) {
		buf_add(body, text, strlen(text));
		return 0;
	}
	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0) {
		if (body->n + n > BODY_MAX)
			return err_set(e, ERR_LIMIT, 0, "standard input is longer than %u bytes",
			               BODY_MAX);
		buf_add(body, piece, n);
	}
	return ferror(stdin) ? err_set(e, ERR_SYS, 0, "cannot read standard input") : 0;
}

static int check(const char *method, const char *path, struct err *e)
{
	for (const char *p = method; *p; p++) {
		if (!isupper((unsigned char)*p))
			return err_set(e, ERR_USAGE, 0,
			               "\"%s\" is no method: GET, POST, PUT or DELETE", method);
	}
	if (path[0] != '/')
		return err_set(e, ERR_USAGE, 0, "the path \"%s\" does not begin with \"/\"", path);
	return 0;
}

static int call(struct cli_admin *a, const char *method, const char *path, struct str body,
                struct err *e)
{
	struct api_request request = { 0 };
	struct http_reply reply = { 0 };
	struct buf context = { 0 };
	int rc;

	buf_addf(&context, "%s %s", method, path);
	api_prepare(a->link.api, &request, method, path, body, true);
	rc = http_do(api_http(a->link.api), &request.http, &reply, deadline_in_ms(CLI_CALL_MS), e);
	if (rc == 0)
		rc = api_check(a->link.api, &reply, buf_cstr(&context), e);
	if (rc == 0 && reply.body.n) {
		fwrite(reply.body.p, 1, reply.body.n, stdout);
		if (reply.body.p[reply.body.n - 1] != '\n')
			putchar('\n');
	}
	http_reply_free(&reply);
	api_request_free(&request);
	buf_free(&context);
	return rc;
}

static int call_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct buf body = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = {
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 2, 3);
	int rc = check(argv[1], argv[2], &e);

	if (rc == 0 && n == 3)
		rc = read_body(argv[3], &body, &e);
	if (rc == 0)
		rc = cli_admin_open(&a, "call", &e);
	if (rc == 0)
		rc = call(&a, argv[1], argv[2], buf_str(&body), &e);
	cli_admin_close(&a);
	buf_wipe(&body);
	return rc < 0 ? applet_fail("call", &e) : out_flush();
}

const struct applet call_applet = {
	.name = "call", .summary = "send one request to the Server", .run = call_run, .hidden = true
};
