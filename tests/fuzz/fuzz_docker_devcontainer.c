/* SPDX-License-Identifier: Apache-2.0 */
/* Dev container configurations: no mount but below the checkout, no privileges, no path outside. */
#include "providers/devcontainer/dclife.h"
#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/workspace/dchelper.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

static bool stays(const char *path)
{
	size_t n = strlen(path);

	return *path != '/' && strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0 &&
	       !strstr(path, "/../") && (n < 3 || strcmp(path + n - 3, "/..") != 0);
}

static void visit(struct devcontainer *dc)
{
	const struct docker_options none = { 0 };
	const struct policy policy = { .options = &none,
		                       .id = "w",
		                       .from = { "/host/app", "/host/app", ignore, NULL } };
	struct spec s = { 0 };
	struct dc_build b;
	struct strlist argv;
	struct buf body = { 0 };
	struct err e = { 0 };
	bool has = false, made;
	struct admitted *a;
	struct str admitted;

	dc_fill_spec(dc, &policy.from, &s);
	a = policy_admit(&policy, &s);
	made = admitted_body(a, &admitted, &e) == 0;
	e = (struct err){ 0 };
	admitted_free(a);
	require(!s.privileged && (s.n_mounts > 0 ||
	                          !made)); /* a checkout that may not be there makes no container */
	for (size_t i = 0; i < s.n_mounts; i++)
		require((strcmp(s.mounts[i].type, "volume") == 0 &&
		         (!*s.mounts[i].source ||
		          strncmp(s.mounts[i].source, "daytona-1-w.", 12) == 0)) ||
		        strcmp(s.mounts[i].type, "tmpfs") == 0 ||
		        (strncmp(s.mounts[i].source, "/host/app", 9) == 0 &&
		         !strstr(s.mounts[i].source, "/..")));
	dc_name_unknown(dc, &policy.from);
	spec_write(&s, NULL, &body);
	json_doc_free(json_parse(buf_str(&body), 1 << 24, &e));
	require(e.kind == ERR_NONE || e.kind == ERR_LIMIT);
	if (dc_build(dc, &policy.from, &b, &has, &e) == 0 && has)
		require(stays(b.dockerfile) && stays(b.context));
	dc_build_free(&b);
	if (dc_command(dc, json_get(dc->root, "onCreateCommand"), &argv))
		require(argv.n > 0);
	strlist_free(&argv);
	buf_free(&body);
	spec_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct devcontainer dc;
	struct err e = { 0 };
	char *id, *user;

	if (dc_parse(&dc, in, ".devcontainer/devcontainer.json", "/host/app", "app", "id", &e) ==
	    0) {
		visit(&dc);
		dc_free(&dc);
	}
	if (dc_helper_result(in, &id, &user, &e) == 0)
		require(id && *id);
	free(id);
	free(user);
	return 0;
}
