/* SPDX-License-Identifier: Apache-2.0 */
/* See allow.h. */
#include "base/allow.h"

#include "base/buf.h"
#include "base/glob.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static char *lists[ALLOW_KINDS];
static const char *const keys[ALLOW_KINDS] = { "allow_images", "allow_registries",
	                                       "allow_repositories", "agent_sha256" };

void allow_set(enum allow_kind kind, const char *patterns)
{
	free(lists[kind]);
	lists[kind] = patterns && *patterns ? mem_dup(patterns) : NULL;
}

bool allow_limits(enum allow_kind kind)
{
	return lists[kind] != NULL;
}

static bool matches(const char *pattern, const char *name)
{
	return glob_match(pattern, name, true);
}

bool allow_match(const char *pattern, const char *name)
{
	size_t n = strlen(pattern), depth = 0, at = 0;
	char *head, *front;
	bool is;

	if (n < 3 || strcmp(pattern + n - 3, "/**") != 0)
		return matches(pattern, name);
	head = mem_dupn(pattern, n - 3);
	for (const char *c = head; *c; c++)
		depth += *c == '/';
	for (; name[at] && (name[at] != '/' || depth > 0); at++)
		depth -= name[at] == '/';
	is = depth == 0 && name[at] == '/' && name[at + 1];
	front = mem_dupn(name, at);
	is = is && matches(head, front);
	free(front);
	free(head);
	return is;
}

int allow_check(enum allow_kind kind, const char *what, const char *const *names, size_t n,
                struct err *e)
{
	const char *rest = lists[kind];
	struct buf shown = { 0 };

	while (rest && *rest) {
		size_t skip = strspn(rest, ", \t"), len = strcspn(rest + skip, ", \t");
		char *pattern = mem_dupn(rest + skip, len);
		bool is = false;

		for (size_t i = 0; len && i < n && !is; i++)
			is = allow_match(pattern, names[i]);
		free(pattern);
		if (is)
			return 0;
		rest += skip + len;
	}
	if (!lists[kind])
		return 0;
	buf_add_printable(&shown, str_of(what), false);
	err_set(e, ERR_DENIED, 0, "%.300s is not allowed on this runner ([runner] %s)",
	        buf_cstr(&shown), keys[kind]);
	buf_free(&shown);
	return -1;
}
