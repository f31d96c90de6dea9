/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's key from where it is kept: a file, or a program that prints it. */
#include "base/buf.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/proc.h"
#include "host/config.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 32
#define OUTPUT_MAX 4096

static void take(void *arg, struct str bytes)
{
	struct buf *out = arg;

	if (out->n < OUTPUT_MAX)
		buf_add(out, bytes.p,
		        bytes.n < OUTPUT_MAX - out->n ? bytes.n : OUTPUT_MAX - out->n);
}

/* Words separated by blanks; no shell. */
static int run_command(const char *command, const volatile int *stop, struct buf *out,
                       struct deadline d, struct err *e)
{
	char *words[ARGS_MAX + 1] = { 0 };
	const char *env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		              NULL, NULL };
	struct buf home = { 0 }, how = { 0 };
	struct str rest = str_of(command), word;
	const char *where = getenv("HOME");
	size_t n = 0;
	int status = 0, rc;

	while (n < ARGS_MAX && str_next(&rest, ' ', &word)) {
		if (word.n)
			words[n++] = mem_dupn(word.p, word.n);
	}
	buf_addf(&home, "HOME=%s", where ? where : "/");
	env[1] = buf_cstr(&home);
	rc = proc_run(&(struct proc_spawn){ .argv = (const char *const *)words,
	                                    .env = env,
	                                    .cwd = "/",
	                                    .output = take,
	                                    .arg = out,
	                                    .stop = stop },
	              d, &status, e);
	if (rc == 0 && status != 0) {
		/* What it said may be anything, also a secret. */
		proc_describe_status(status, &how);
		rc = err_set(e, ERR_CONFIG, 0, "%s: %s", words[0], buf_cstr(&how));
	}
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	buf_free(&how);
	buf_free(&home);
	return rc < 0 ? err_wrap(e, "key_command") : 0;
}

static int read_again(const struct config *c, struct buf *out, struct err *e)
{
	struct config fresh;
	int rc = config_look(&fresh, c->dir, NULL, e);

	if (rc == 0 && fresh.key_problem)
		rc = err_set(e, fresh.key_kind, 0, "%s", fresh.key_problem);
	buf_adds(out, rc == 0 && fresh.key ? fresh.key : "");
	config_free(&fresh);
	return rc;
}

int config_fetch_key(const struct config *c, const volatile int *stop, struct buf *out,
                     struct deadline d, struct err *e)
{
	struct buf raw = { 0 };
	int rc;

	if (c->key_file)
		rc = config_read_secret(c->key_file, &raw, e);
	else if (c->key_command)
		rc = run_command(c->key_command, stop, &raw, d, e);
	else
		rc = read_again(c, &raw, e);
	if (rc == 0)
		rc = config_check_secret(buf_str(&raw),
		                         c->key_file      ? c->key_file
		                         : c->key_command ? "key_command's output"
		                                          : c->file,
		                         out, e);
	if (rc == 0)
		mask_add(str_trim(buf_str(&raw)));
	buf_wipe(&raw);
	return rc;
}
