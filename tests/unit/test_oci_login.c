/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry asks for, and whose name it is asked in. */
#include "base/mem.h"
#include "oci/challenge.h"
#include "oci/login.h"
#include "tests/test.h"

#include <stdlib.h>

static void challenges_are_read(void)
{
	static const struct {
		const char *field, *second; /* second: another field of the same answer, or NULL */
		int kind;
		const char *realm, *service, *scope; /* "": not given */
	} rows[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", NULL,
		  CHALLENGE_BEARER, "https://a/t", "s", "repository:x:pull" },
		{ "bearer realm=x", NULL, CHALLENGE_BEARER, "x", "", "" },
		{ "Bearer realm = \"x\" , service = s", NULL, CHALLENGE_BEARER, "x", "s", "" },
		{ "Bearer realm=\"a\\\"b\\\\c,d\",service=\"\"", NULL, CHALLENGE_BEARER,
		  "a\"b\\c,d", "", "" },
		{ "Basic realm=\"r\"", NULL, CHALLENGE_BASIC, "r", "", "" },
		{ "BASIC", NULL, CHALLENGE_BASIC, "", "", "" },
		{ "Basic realm=\"r\", Bearer realm=\"t\"", NULL, CHALLENGE_BEARER, "t", "", "" },
		{ "Bearer realm=\"t\", Basic realm=\"r\"", NULL, CHALLENGE_BEARER, "t", "", "" },
		{ "Basic realm=\"r\"", "Bearer realm=\"t\"", CHALLENGE_BEARER, "t", "", "" },
		{ "Negotiate", "Basic realm=\"r\"", CHALLENGE_BASIC, "r", "", "" },
		{ "Negotiate abc/def==, Basic realm=\"r\"", NULL, CHALLENGE_BASIC, "r", "", "" },
		{ "Digest realm=\"d\",nonce=\"Basic realm=x\"", NULL, CHALLENGE_NONE, "", "", "" },
		{ ", ,Basic realm=r,, charset=\"UTF-8\" ,", NULL, CHALLENGE_BASIC, "r", "", "" },
		{ "Bearer service=\"s\"", NULL, CHALLENGE_NONE, "", "", "" }, /* no place to go */
		{ "Bearer realm=\"t\",error=\"invalid_token\"", NULL, CHALLENGE_BEARER, "t", "",
		  "" },
		{ "", NULL, CHALLENGE_NONE, "", "", "" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct challenge c = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(challenge_add(&c, str_of(rows[i].field), &e), 0);
		if (rows[i].second)
			CHECK_INT(challenge_add(&c, str_of(rows[i].second), &e), 0);
		CHECK_INT(c.kind, rows[i].kind);
		CHECK_STR(c.realm ? c.realm : "", rows[i].realm);
		CHECK_STR(c.service ? c.service : "", rows[i].service);
		CHECK_STR(c.scope ? c.scope : "", rows[i].scope);
		challenge_free(&c);
		/* Cut anywhere it is read or refused, within its bytes. */
		for (size_t n = 0; n < strlen(rows[i].field); n++) {
			char *exact = mem_dupn(rows[i].field, n);
			char *tight = malloc(n ? n : 1);

			memcpy(tight, exact, n);
			(void)challenge_add(&c, (struct str){ tight, n }, &e);
			challenge_free(&c);
			free(exact);
			free(tight);
		}
	}
}

static void malformed_challenges_are_refused(void)
{
	static const char *const rows[] = {
		"=",
		"\"",
		"Bearer realm=\"x",
		"Bearer realm=\"x\\",
		"Bearer realm=\"x\" service=\"y\"",
		"Bearer realm=\"x\",realm=\"y\"",
		"Bearer realm=\"x\";service=\"y\"",
		"Basic \x01",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct challenge c = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(challenge_add(&c, str_of(rows[i]), &e), -1);
		CHECK_INT(e.kind, ERR_PARSE);
		challenge_free(&c);
	}
}

/* "user:password" and "a:b:c" in base64. */
#define AUTH_USER "dXNlcjpwYXNzd29yZA=="
#define AUTH_COLON "YTpiOmM="

static void configurations_of_docker_are_read(void)
{
	static const struct {
		const char *config, *host;
		const char *user, *password, *token, *helper; /* "": none */
	} rows[] = {
		{ "{}", "h", "", "", "", "" },
		{ "{\"auths\":{\"h\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "user", "password", "",
		  "" },
		{ "{\"auths\":{\"h\":{\"auth\":\"" AUTH_COLON "\"}}}", "h", "a", "b:c", "", "" },
		{ "{\"auths\":{\"https://h/v1/\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "user",
		  "password", "", "" },
		{ "{\"auths\":{\"http://H:5000\":{\"auth\":\"" AUTH_USER "\"}}}", "h:5000", "user",
		  "password", "", "" },
		{ "{\"auths\":{\"h:5000\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "", "", "", "" },
		{ "{\"auths\":{\"h.example\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "", "", "", "" },
		{ "{\"auths\":{\"x.h\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "", "", "", "" },
		{ "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"" AUTH_USER "\"}}}",
		  "docker.io", "user", "password", "", "" },
		{ "{\"auths\":{\"https://h/v2/\":{\"auth\":\"" AUTH_COLON
		  "\"},\"h\":{\"auth\":\"" AUTH_USER "\"}}}",
		  "h", "user", "password", "", "" },
		{ "{\"auths\":{\"h\":{\"auth\":\"" AUTH_USER "\",\"identitytoken\":\"t\"}}}", "h",
		  "user", "password", "t", "" },
		{ "{\"auths\":{\"h\":{\"username\":\"u\",\"password\":\"p\"}}}", "h", "u", "p", "",
		  "" },
		{ "{\"auths\":{\"h\":{}},\"credsStore\":\"desktop\"}", "h", "", "", "", "desktop" },
		{ "{\"auths\":{\"h\":{\"auth\":\"" AUTH_USER "\"}},\"credsStore\":\"d\"}", "h",
		  "user", "password", "", "" },
		{ "{\"credHelpers\":{\"h\":\"ecr-login\"},\"credsStore\":\"d\"}", "h", "", "", "",
		  "ecr-login" },
		{ "{\"credHelpers\":{\"g\":\"ecr-login\"}}", "h", "", "", "", "" },
		{ "{\"credsStore\":\"\"}", "h", "", "", "", "" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct login l;
		char *helper;
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(login_parse(str_of(rows[i].config), rows[i].host, &l, &helper, &e), 0);
		CHECK_STR(l.user ? l.user : "", rows[i].user);
		CHECK_STR(l.password ? l.password : "", rows[i].password);
		CHECK_STR(l.identity_token ? l.identity_token : "", rows[i].token);
		CHECK_STR(helper ? helper : "", rows[i].helper);
		login_free(&l);
		free(helper);
		for (size_t n = 0; n < strlen(rows[i].config); n++) {
			err_clear(&e);
			CHECK_INT(login_parse((struct str){ rows[i].config, n }, rows[i].host, &l,
			                      &helper, &e),
			          -1);
			CHECK(!helper && !l.user);
		}
	}
}

static void bad_configurations_are_named(void)
{
	static const char *const rows[] = {
		"",
		"[",
		"{\"auths\":{\"h\":{\"auth\":\"!!!\"}}}",
		"{\"auths\":{\"h\":{\"auth\":\"YWJj\"}}}",
		"{\"credsStore\":\"../x\"}",
		"{\"credsStore\":\"a b\"}",
		"{\"credHelpers\":{\"h\":\"a;b\"}}",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct login l;
		char *helper;
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(login_parse(str_of(rows[i]), "h", &l, &helper, &e), -1);
		CHECK(*e.msg && !helper && !l.user && !l.password);
	}
}

static void helpers_are_understood(void)
{
	struct login l;
	struct err e = { 0 };

	CHECK_INT(login_parse_helper(
			  STR_LIT("{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"s\"}\n"),
			  &l, &e),
	          0);
	CHECK_STR(l.user, "u");
	CHECK_STR(l.password, "s");
	login_free(&l);
	CHECK_INT(
		login_parse_helper(STR_LIT("{\"Username\":\"<token>\",\"Secret\":\"s\"}"), &l, &e),
		0);
	CHECK(!l.user);
	CHECK_STR(l.identity_token, "s");
	login_free(&l);
	CHECK_INT(login_parse_helper(STR_LIT("{\"Username\":\"u\"}"), &l, &e), -1);
	CHECK_INT(login_parse_helper(STR_LIT("oops"), &l, &e), -1);
	login_free(&l);
}

TEST_MAIN(TEST(challenges_are_read), TEST(malformed_challenges_are_refused),
          TEST(configurations_of_docker_are_read), TEST(bad_configurations_are_named),
          TEST(helpers_are_understood))
