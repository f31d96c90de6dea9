/* SPDX-License-Identifier: Apache-2.0 */
/* What answers mean: every status in every dress, and the Server's words. */
#include "api/verdict.h"

#include "tests/test.h"

#include <string.h>

static enum api_verdict judge(int status, const char *fields, const char *body)
{
	struct http_reply r = { .status = status };
	struct buf raw = { 0 };
	enum api_verdict v;
	struct err e = { 0 };

	buf_addf(&raw, "HTTP/1.1 %d X\r\n%s\r\n", status, fields);
	CHECK(http_parse_response(buf_str(&raw), "GET", &r.h, &e) > 0);
	buf_adds(&r.body, body);
	v = api_judge(&r);
	buf_free(&r.body);
	buf_free(&raw);
	return v;
}

/* No status alone says anything, in whatever dress it comes. */
static void a_status_is_nobodys_word(void)
{
	static const char *const dresses[][2] = {
		{ "", "" },
		{ "Content-Type: text/html\r\n", "<html><body>job not found</body></html>" },
		{ "Content-Type: text/plain\r\n", "job does not belong to runner" },
		{ "Content-Type: text/plain\r\n", "404 page not found" },
		{ "Content-Type: application/json\r\n", "{\"message\":\"job not found\"}" },
		{ "Content-Type: application/json\r\n",
		  "{\"error\":{\"text\":\"job not found\"}}" },
		{ "Content-Type: application/json\r\n", "[{\"error\":\"job not found\"}]" },
		{ "Content-Type: application/json\r\n", "{\"error\":\"job not found\"" },
		{ "Content-Type: text/html\r\nX-Server-Version: v0.53.0\r\n",
		  "<p>404 page not found" },
	};

	for (int status = 300; status < 600; status++) {
		for (size_t i = 0; i < TEST_N(dresses); i++) {
			TEST_ROW((size_t)status * 100 + i);
			CHECK_INT(judge(status, dresses[i][0], dresses[i][1]), API_AGAIN);
		}
		TEST_ROW((size_t)status);
		CHECK_INT(judge(status, "", "{\"error\":\"upstream connect error\"}"),
		          status < 400 ? API_AGAIN : API_TROUBLE);
	}
}

static void the_servers_words_decide(void)
{
	static const struct {
		int status;
		const char *words;
		enum api_verdict want;
	} rows[] = {
		{ 500, "failed to delete api key: api key not found", API_MISSING },
		{ 404, "failed to get current api key name: api key not found", API_KEY },
		{ 500, "failed to update job state: job is already in the specified state",
		  API_ALREADY },
		{ 500,
		  "failed to set target config: target config with the same name already exists",
		  API_ALREADY },
		{ 401, "job does not belong to runner", API_NEVER },
		{ 401, "the job does not belong to runner", API_TROUBLE },
		{ 400,
		  "Key: 'UpdateJobStateDTO.State' Error:Field validation for 'State' failed on the 'required' tag",
		  API_NEVER },
		{ 400, "json: cannot unmarshal string into Go struct field X.uptime of type uint64",
		  API_NEVER },
		{ 400, "EOF", API_TROUBLE }, /* the body was cut on its way */
		{ 400, "unexpected EOF", API_TROUBLE },
		{ 401, "unauthorized", API_KEY },
		{ 403, "forbidden", API_KEY },
		{ 403, "forbidden: a client key may not do this", API_KEY },
		{ 401, "invalid_token", API_TROUBLE }, /* a gateway's */
		{ 404, "API key not found", API_KEY },
		{ 500, "failed to get job: job not found", API_MISSING },
		{ 404, "failed to get runner: runner not found", API_MISSING },
		{ 500, "failed to delete runner: runner not found", API_MISSING },
		{ 500, "failed to set runner metadata for x: runner metadata not found",
		  API_MISSING },
		{ 404, "failed to find workspace: workspace not found", API_MISSING },
		{ 404, "failed to find target: target is deleted", API_MISSING },
		{ 404, "failed to find build: build not found", API_MISSING },
		{ 500, "failed to find build: database is locked", API_TROUBLE },
		{ 404, "failed to handle successful creation of target: target not found",
		  API_MISSING },
		{ 404, "failed to handle successful creation of target: database is locked",
		  API_TROUBLE },
		{ 500, "failed to update workspace provider metadata for x: workspace not found",
		  API_MISSING },
		{ 500, "git provider config not found", API_MISSING },
		{ 500, "database is locked", API_TROUBLE },
		{ 500, "failed to install provider: another job is in progress", API_TROUBLE },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf body = { 0 };

		TEST_ROW(i);
		buf_addf(&body, "{\"error\":\"%s\"}", rows[i].words);
		CHECK_INT(judge(rows[i].status, "Content-Type: text/plain; charset=utf-8\r\n",
		                buf_cstr(&body)),
		          rows[i].want);
		buf_free(&body);
	}
	CHECK_INT(judge(404, "X-Server-Version: v0.53.0\r\n", "404 page not found"), API_NO_ROUTE);
}

static void success_is_no_page(void)
{
	CHECK_INT(judge(200, "", ""), API_DONE);
	CHECK_INT(judge(204, "", ""), API_DONE);
	CHECK_INT(judge(200, "Content-Type: text/html\r\n", "sign in"), API_AGAIN);
	CHECK_INT(judge(200, "", "\n<html>"), API_AGAIN);
}

static void errors_carry_it(void)
{
	for (int v = API_ALREADY; v <= API_AGAIN; v++) {
		struct err e = { .kind = api_verdict_kind((enum api_verdict)v) };

		err_wrap(&e, "more");
		CHECK_INT(api_verdict(&e), v);
	}
	for (int k = ERR_SYS; k <= ERR_TIMEOUT; k++) /* no answer at all */
		CHECK_INT(api_verdict(&(struct err){ .kind = (enum err_kind)k }), API_AGAIN);
}

TEST_MAIN(TEST(a_status_is_nobodys_word), TEST(the_servers_words_decide), TEST(success_is_no_page),
          TEST(errors_carry_it))
