/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-credential: a credential helper by Docker's protocol (docker-credential-helpers), which gets the login of a registry
 * out of the Server's variables and the workspace's. As docker-credential-daytona it is what "credsStore": "daytona" names.
 */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"docker-credential get|list|store|erase\n"
	"Answers docker's question for the login of a registry with what the Server has for it. Inside a workspace its own key is "
	"enough. Under the name docker-credential-daytona it is what \"credsStore\": \"daytona\" in ~/.docker/config.json names. "
	"store and erase do nothing: the Server keeps them.";

#define QUESTION_MAX 4096
#define NOT_FOUND \
	"credentials not found in native keychain" /* docker's words for going on without */

/* "https://index.docker.io/v1/" and "ghcr.io" alike. */
static struct str host_of(struct str asked)
{
	const char *scheme;

	asked = str_trim(asked);
	scheme = str_find(asked, "://");
	if (scheme)
		asked = (struct str){ scheme + 3, asked.n - (size_t)(scheme + 3 - asked.p) };
	for (size_t i = 0; i < asked.n; i++)
		if (asked.p[i] == '/')
			asked.n = i;
	return str_eq(asked, "index.docker.io") || str_eq(asked, "registry-1.docker.io")
	               ? STR_LIT("docker.io")
	               : asked;
}

/* 1: there is none. */
static int get(struct cli_admin *a, struct err *e)
{
	const char *workspace = getenv("DAYTONA_WORKSPACE_ID");
	struct buf asked = { 0 }, path = { 0 }, answer = { 0 };
	struct json_doc *doc = NULL;
	int rc = file_read_fd(STDIN_FILENO, "standard input", QUESTION_MAX, &asked, e);

	if (rc == 0)
		rc = cli_admin_open(a, "docker-credential", e);
	if (rc == 0) {
		buf_adds(&path, "/container-registry/");
		buf_add_urlenc(&path, host_of(buf_str(&asked)));
		if (workspace && *workspace) {
			buf_adds(&path, "?workspaceId=");
			buf_add_urlenc(&path, str_of(workspace));
		}
		rc = api_call(a->link.api, "GET", buf_cstr(&path), (struct str){ 0 }, &doc,
		              deadline_in_ms(CLI_CALL_MS), e);
		if (rc < 0 && api_verdict(e) == API_MISSING)
			rc = 1;
	}
	if (rc == 0) {
		char *user = json_dup_or_empty(json_get(json_root(doc), "username"));
		char *password = json_dup_or_empty(json_get(json_root(doc), "password"));
		struct str url = str_trim(buf_str(&asked));

		jw_obj(&answer);
		jw_key(&answer, "ServerURL");
		jw_str(&answer, url);
		jw_kstr(&answer, "Username", user);
		jw_kstr(&answer, "Secret", password);
		jw_obj_end(&answer);
		printf("%s\n", buf_cstr(&answer));
		free(user);
		mem_free_secret(password);
	}
	json_doc_free(doc);
	buf_wipe(&answer);
	buf_free(&path);
	buf_free(&asked);
	return rc;
}

static int docker_credential_run(int argc, char **argv)
{
	struct cli_admin a = {
		.allow_http = true
	}; /* as the agent, which was given this address */
	struct err e = { 0 };
	const struct opt opts[] = {
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int rc = 0;

	opts_parse(opts, usage, argc, argv, 1, 1);
	if (!a.ca_file)
		a.ca_file = getenv("DAYTONA_AGENT_CA_FILE");
	if (strcmp(argv[1], "get") == 0)
		rc = get(&a, &e);
	else if (strcmp(argv[1], "list") == 0)
		puts("{}");
	else if (strcmp(argv[1], "store") != 0 && strcmp(argv[1], "erase") != 0)
		opts_misuse(usage, "get, list, store or erase, not \"%s\"", argv[1]);
	cli_admin_close(&a);
	if (rc > 0)
		puts(NOT_FOUND);
	if (rc < 0)
		return applet_fail("docker-credential", &e);
	return out_flush() || rc;
}

const struct applet docker_credential_applet = { .name = "docker-credential",
	                                         .summary = "give docker logins",
	                                         .run = docker_credential_run,
	                                         .aliases = "docker-credential-daytona" };
