/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's call that runs one program to its end. No shell: words and quotes, as in the reference. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/words.h"
#include "base/jsonw.h"
#include "base/proc.h"

#include <sys/wait.h>

#define TIMEOUT_S 10
#define TIMEOUT_MAX_S (24 * 60 * 60)
#define GRACE_MS 1000
#define OUTPUT_MAX (4u << 20)
#define CUT_TEXT "\n[more than 4 MiB: the rest is left out]\n"

extern char **environ;

struct output {
	struct buf text;
	bool cut;
};

static void take_output(void *arg, struct str bytes)
{
	struct output *o = arg;
	size_t room = OUTPUT_MAX - o->text.n;

	o->cut = o->cut || bytes.n > room;
	buf_add(&o->text, bytes.p, bytes.n < room ? bytes.n : room);
}

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run(struct exchange *exchange, const struct words *words, int64_t timeout_s)
{
	struct output o = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	int status = 0;
	const struct proc_spawn p = {
		.argv = (const char *const *)words->v,
		.env = (const char *const *)environ,
		.output = take_output,
		.arg = &o,
		.grace_ms = GRACE_MS,
	};

	if (proc_run(&p, deadline_in_ms(timeout_s * 1000), &status, &e) < 0) {
		/* A program that is not there is the request's fault, not a path's. */
		exchange_fail(exchange, e.kind == ERR_TIMEOUT ? 408 : 400, "%s", e.msg);
	} else {
		if (o.cut)
			buf_adds(&o.text, CUT_TEXT);
		jw_obj(&b);
		jw_kint(&b, "code", exit_code(status));
		jw_key(&b, "result");
		jw_str(&b, buf_str(&o.text));
		jw_obj_end(&b);
		exchange_json(exchange, 200, &b);
	}
	buf_free(&o.text);
}

void process_execute(struct exchange *exchange, const struct toolbox *t)
{
	struct words words = { 0 };
	struct json root, timeout;
	int64_t timeout_s = 0;
	struct err e = { 0 };
	char *command;

	(void)t;
	if (!exchange_object(exchange, &root))
		return;
	command = exchange_member(exchange, root, "command", true);
	if (!command)
		return;
	timeout = json_get(root, "timeout");
	if (!json_is_null(timeout) && !json_i64(timeout, INT64_MIN, TIMEOUT_MAX_S, &timeout_s))
		exchange_fail(exchange, 400,
		              "timeout has to be a whole number of seconds, at most %d",
		              TIMEOUT_MAX_S);
	else if (words_cut(&words, str_of(command), &e) < 0)
		exchange_fail(exchange, 400, "%s", e.msg);
	else
		run(exchange, &words, timeout_s > 0 ? timeout_s : TIMEOUT_S);
	words_free(&words);
	free(command);
}
