/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as repository URL, branch, commit and name: what is accepted keeps the promises of
 * giturl.h. */
#include "base/mem.h"
#include "git/clone.h"
#include "git/url.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void check_source(const struct git_source *s)
{
	struct git_source again;
	struct err e = { 0 };

	REQUIRE(s->url[0] != '-' && s->url[0] != '\0');
	for (const char *c = s->url; *c; c++)
		REQUIRE((unsigned char)*c >= ' ' && *c != 0x7f);
	REQUIRE(strstr(s->url, "://") || strcmp(s->scheme, "ssh") == 0);
	/* Given to us again it means the same, and holds no password any more. */
	REQUIRE(git_source_parse(s->url, true, &again, &e) == 0);
	REQUIRE(strcmp(again.scheme, s->scheme) == 0 && strcmp(again.host, s->host) == 0);
	REQUIRE(strcmp(again.url, s->url) == 0 && !again.password);
	if (strncmp(s->scheme, "http", 4) == 0)
		REQUIRE(!again.user);
	git_source_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_dupn((const char *)data, size);
	struct repository repo = { .url = text, .name = text };
	struct git_source s;
	struct err e = { 0 };
	char *name = git_dir_name(&repo);

	REQUIRE(str_is_id(str_of(name)) && name[0] != '.' && name[0] != '-');
	free(name);
	if (git_source_parse(text, true, &s, &e) == 0)
		check_source(&s);
	else
		REQUIRE(e.kind != ERR_NONE && !s.url && !s.password);
	git_source_free(&s);
	if (git_branch_ok(text))
		REQUIRE(text[0] != '-' && !strpbrk(text, " \n~^:?*[\\"));
	if (git_sha_ok(text))
		REQUIRE(strlen(text) <= 64);
	free(text);
	return 0;
}
