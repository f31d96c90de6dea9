/* SPDX-License-Identifier: Apache-2.0 */
/* See remote.h. */
#include "git/remote.h"

#include "base/buf.h"
#include "base/mem.h"
#include "git/run.h"

#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX (64u << 10)

static void keep(void *arg, struct str bytes)
{
	struct err ignored = { 0 };

	(void)buf_add_max(arg, bytes.p, bytes.n, OUTPUT_MAX, &ignored);
}

/* What it wrote if it went well: nothing otherwise. */
static bool ask_git(const char *const *argv, struct buf *out, struct deadline d)
{
	const char *home = getenv("HOME");
	struct kv env = { 0 };
	struct err ignored = { 0 };
	struct git_run r = { .argv = argv, .env = &env, .output = keep, .arg = out };
	int status = -1, rc;

	git_env(&env, home && *home ? home : "/");
	kv_set(&env, "GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
	rc = git_run(&r, d, &status, &ignored);
	kv_free(&env);
	return rc == 0 && status == 0;
}

char *git_branch_there(const char *url, const char *branch, struct deadline d)
{
	struct buf ref = { 0 }, out = { 0 };
	const char *const argv[] = {
		"git", "ls-remote", "--symref", "--", url, "HEAD", NULL, NULL
	};
	const char *words[ARRAY_LEN(argv)];
	struct str rest, line;
	char *found = NULL;
	bool there = false;

	memcpy(words, argv, sizeof(words));
	buf_addf(&ref, "refs/heads/%s", branch);
	words[6] = buf_cstr(&ref);
	if (ask_git(words, &out, d)) {
		rest = buf_str(&out);
		while (str_next(&rest, '\n', &line)) {
			/* "ref: refs/heads/main\tHEAD", "0123…\trefs/heads/main" */
			if (str_starts(line, "ref: refs/heads/") && str_ends(line, "\tHEAD") &&
			    !found)
				found = mem_dupn(line.p + 16, line.n - 16 - 5);
			there = there || (line.n > ref.n && line.p[line.n - ref.n - 1] == '\t' &&
			                  str_ends(line, buf_cstr(&ref)));
		}
	}
	if (there) {
		free(found);
		found = mem_dup(branch);
	}
	buf_free(&ref);
	buf_free(&out);
	return found;
}

char *git_address_here(struct deadline d)
{
	const char *const origin[] = { "git", "config", "--get", "remote.origin.url", NULL };
	const char *const top[] = { "git", "rev-parse", "--show-toplevel", NULL };
	struct buf out = { 0 }, address = { 0 };
	struct str line;

	if (ask_git(origin, &out, d)) {
		line = str_trim(buf_str(&out));
		if (line.n && line.p[0] == '/')
			buf_adds(&address, "file://");
		buf_add_str(&address, line);
	}
	buf_reset(&out);
	if (!address.n && ask_git(top, &out, d)) {
		line = str_trim(buf_str(&out));
		if (line.n && line.p[0] == '/')
			buf_addf(&address, "file://%.*s", STR_ARG(line));
	}
	buf_free(&out);
	return address.n ? buf_take(&address) : (buf_free(&address), NULL);
}
