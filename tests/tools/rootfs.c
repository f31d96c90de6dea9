/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one call that gives a root file system, for black-box tests:
 *   rootfs DIR REF HOLDER missing|always|never [HOST]
 * prints one line a lower directory, the uppermost first, then "env K=V" lines and "user NAME". HOST is spoken to
 * without TLS.
 */
#include "base/log.h"
#include "oci/pull.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void say(void *arg, const char *line)
{
	(void)arg;
	log_say("rootfs", line);
}

static void print(const struct rootfs *r)
{
	for (size_t i = 0; i < r->n; i++)
		puts(r->lower[i]);
	for (char **env = r->config.env; env && *env; env++)
		printf("env %s\n", *env);
	printf("user %s\n", r->config.user);
}

int main(int argc, char **argv)
{
	struct unpack_owner owner = unpack_owner_here();
	const char *plain[] = { argc > 5 ? argv[5] : NULL };
	struct tls_settings settings = { 0 };
	struct registry_options o = { .plain_http = plain, .n_plain_http = argc > 5 ? 1 : 0 };
	struct pull_progress progress = { say, NULL, NULL };
	struct platform p = platform_here();
	struct imgstore *s = NULL;
	struct rootfs r = { 0 };
	struct err e = { 0 };
	enum pull_when when;

	if (argc < 5)
		return 2;
	when = strcmp(argv[4], "always") == 0  ? PULL_ALWAYS
	       : strcmp(argv[4], "never") == 0 ? PULL_NEVER
	                                       : PULL_MISSING;
	if (tls_ctx_new(&o.tls, &settings, false, &e) == 0 &&
	    imgstore_open(&s, argv[1], &owner, deadline_in_ms(60000), &e) == 0 &&
	    images_get(s, argv[2], when, &o, &p, &progress, argv[3], deadline_in_ms(60000), &r,
	               &e) == 0)
		print(&r);
	rootfs_free(&r);
	imgstore_close(s);
	tls_ctx_free(o.tls);
	if (e.kind)
		log_say("rootfs", e.msg);
	return e.kind ? 1 : 0;
}
