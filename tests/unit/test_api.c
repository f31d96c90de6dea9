/* SPDX-License-Identifier: Apache-2.0 */
/* The Server's calls against a peer that sends exact bytes and hands over the request it got. */
#include "api/client.h"

#include "base/file.h"
#include "base/mask.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT deadline_in_ms(10000)
#define KEY "NTUwZTg0MDAtZTI5Yi00MWQ0LWE3MTYtNDQ2NjU1NDQwMDAw"

struct peer {
	pid_t pid;
	int requests; /* reads what the peer received */
	struct url url;
	struct api_settings settings;
	struct api *api;
	struct buf request;
};

static bool request_is_complete(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
	int64_t n = 0;

	if (!end)
		return false;
	if (length && length < end) {
		struct str rest = str_of(length + 16), value;

		str_next(&rest, '\r', &value);
		str_to_i64(value, 0, 1 << 20, &n);
	}
	return strlen(end + 4) >= (size_t)n;
}

static _Noreturn void be_peer(int listener, int requests, struct str reply)
{
	struct buf got = { 0 };
	struct err e = { 0 };
	char chunk[4096];
	int fd;

	alarm(20);
	fd = accept(listener, NULL, NULL);
	while (!request_is_complete(buf_cstr(&got))) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n <= 0)
			_exit(1);
		buf_add(&got, chunk, (size_t)n);
	}
	file_write_all(requests, buf_str(&got), "pipe", &e);
	file_write_all(fd, reply, "socket", &e);
	shutdown(fd, SHUT_WR);
	while (read(fd, chunk, sizeof(chunk)) > 0) /* or unread bytes would reset what we sent */
		;
	_exit(0);
}

static void peer_start(struct peer *p, struct str reply)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct buf text = { 0 };
	struct err e = { 0 };
	int fd[2];

	*p = (struct peer){ 0 };
	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 5) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0 || pipe(fd) < 0)
		abort();
	p->pid = fork();
	if (p->pid == 0)
		be_peer(listener, fd[1], reply);
	close(listener);
	close(fd[1]);
	p->requests = fd[0];
	buf_addf(&text, "http://127.0.0.1:%u/base", ntohs(sa.sin_port));
	CHECK_INT(url_parse(buf_str(&text), &p->url, &e), 0);
	buf_free(&text);
	p->settings = (struct api_settings){ .url = &p->url, .key = KEY, .no_proxy = "*" };
	p->api = api_new(&p->settings);
}

/* Ends the peer and collects the request. */
static const char *peer_request(struct peer *p)
{
	char chunk[4096];
	ssize_t n;

	api_free(p->api);
	p->api = NULL;
	while ((n = read(p->requests, chunk, sizeof(chunk))) > 0)
		buf_add(&p->request, chunk, (size_t)n);
	close(p->requests);
	waitpid(p->pid, NULL, 0);
	return buf_cstr(&p->request);
}

static void peer_free(struct peer *p)
{
	buf_free(&p->request);
	url_free(&p->url);
}

/* One reply with the headers given ("A: b\r\n" or ""), always with its length. */
static void add_reply(struct buf *b, const char *status, const char *headers, const char *body)
{
	buf_addf(b, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body),
	         body);
}

static void start_with(struct peer *p, const char *status, const char *headers, const char *body)
{
	struct buf reply = { 0 };

	add_reply(&reply, status, headers, body);
	peer_start(p, buf_str(&reply)); /* the child has its own copy */
	buf_free(&reply);
}

static void request_has_key_version_and_base_path(void)
{
	struct peer p;
	struct err e = { 0 };
	struct kv env = { 0 };
	const char *request;

	start_with(&p, "200 OK", "Content-Type: application/json\r\n",
	           "[{\"key\":\"A\",\"value\":\"b\"},{\"key\":1},{\"key\":\"C\"}]");
	CHECK_INT(api_env(p.api, &env, LIMIT, &e), 0);
	CHECK_STR(kv_get(&env, "A"), "b");
	CHECK_INT((long long)env.n, 1);
	request = peer_request(&p);
	CHECK(strncmp(request, "GET /base/env HTTP/1.1\r\n", 24) == 0);
	CHECK(strstr(request, "\r\nAuthorization: Bearer " KEY "\r\n") != NULL);
	CHECK(strstr(request, "\r\nX-Client-Version: v" DR_VERSION "\r\n") != NULL);
	CHECK(strstr(request, "\r\nAccept: application/json\r\n") != NULL);
	CHECK(strstr(request, "\r\nHost: 127.0.0.1:") != NULL);
	CHECK(strcasestr(request, "Content-Type") == NULL);
	peer_free(&p);
	kv_free(&env);
}

static void bodies_are_sent_as_documented(void)
{
	static const char expected[] = "{\"state\":\"error\",\"errorMessage\":\"a \\\"b\\\"\"}";
	struct peer p;
	struct err e = { 0 };
	const char *request, *body;
	struct buf b = { 0 };

	start_with(&p, "200 OK", "", "");
	api_job_state_body(&b, JOB_ERROR, "a \"b\"");
	CHECK_INT(api_call(p.api, "POST", "/runner/r1/jobs/j1/state", buf_str(&b), NULL, LIMIT, &e),
	          0);
	buf_free(&b);
	request = peer_request(&p);
	CHECK(strncmp(request, "POST /base/runner/r1/jobs/j1/state HTTP/1.1\r\n", 45) == 0);
	CHECK(strstr(request, "\r\nContent-Type: application/json; charset=utf-8\r\n") != NULL);
	CHECK(strstr(request, "\r\nAccept:") == NULL);
	body = strstr(request, "\r\n\r\n");
	CHECK_STR(body ? body + 4 : NULL, expected);
	peer_free(&p);
}

static void metadata_is_json_inside_json(void)
{
	struct peer p;
	struct err e = { 0 };
	const char *body;

	start_with(&p, "200 OK", "", "");
	CHECK_INT(
		api_workspace_provider_metadata(p.api, "w/1", STR_LIT("{\"a\":\"b\"}"), LIMIT, &e),
		0);
	body = strstr(peer_request(&p), "\r\n\r\n");
	CHECK_STR(body ? body + 4 : NULL, "{\"metadata\":\"{\\\"a\\\":\\\"b\\\"}\"}");
	CHECK(strncmp(buf_cstr(&p.request), "POST /base/workspace/w%2F1/provider-metadata ", 45) ==
	      0);
	peer_free(&p);
}

static void repository_urls_are_encoded_twice(void)
{
	struct peer p;
	struct err e = { 0 };
	struct git_provider git = { 0 };

	start_with(
		&p, "200 OK", "",
		"[{\"id\":\"g1\",\"providerId\":\"github\",\"username\":\"a%40b\",\"token\":\"t%2Bk+x\"}]");
	CHECK_INT(api_git_provider_for_url(p.api, "https://github.com/acme/app", &git, LIMIT, &e),
	          0);
	CHECK_STR(git.username, "a@b");
	CHECK_STR(git.token, "t+k x");
	CHECK(strstr(peer_request(&p),
	             " /base/gitprovider/for-url/https%253A%252F%252Fgithub.com%252Facme%252Fapp HTTP") !=
	      NULL);
	git_provider_free(&git);
	peer_free(&p);
	start_with(&p, "200 OK", "Content-Type: application/json\r\n", "null");
	CHECK_INT(api_git_provider_for_url(p.api, "https://x.test/a", &git, LIMIT, &e), 0);
	CHECK(git.id == NULL);
	peer_request(&p);
	peer_free(&p);
}

static void failures_carry_the_servers_words(void)
{
	static const struct {
		const char *status, *headers, *body;
		int code;
		const char *want[3]; /* parts of the message */
		const char *never;   /* must not be in it */
	} rows[] = {
		{ "404 Not Found",
		  "Content-Type: text/plain; charset=utf-8\r\n",
		  "{\"error\":\"failed to find workspace: not there\"}",
		  404,
		  { "GET /workspace/w1: 404: failed to find workspace: not there" },
		  NULL },
		{ "404 Not Found",
		  "Content-Type: text/plain\r\n",
		  "404 page not found",
		  404,
		  { "404 page not found; something answers in the Server's place" },
		  NULL },
		{ "404 Not Found",
		  "X-Server-Version: v0.53.0\r\n",
		  "404 page not found",
		  404,
		  { "404 page not found; the Server has no such call; is the path in the URL http://127.0.0.1:" },
		  "place" },
		{ "403 Forbidden",
		  "Content-Type: text/html\r\n",
		  "<p>Please sign in",
		  502,
		  { "403: a text/html page of 17 bytes",
		    "something answers in the Server's place" },
		  "sign" },
		{ "401 Unauthorized",
		  "",
		  "{\"error\":\"unauthorized\"}",
		  401,
		  { "refuses our API key", "http://127.0.0.1:" },
		  KEY },
		{ "403 Forbidden",
		  "",
		  "",
		  403,
		  { "403: Forbidden; something answers in the Server's place",
		    "are the URL http://127.0.0.1:", "and its proxy right?" },
		  KEY },
		{ "404 Not Found",
		  "",
		  "{\"error\":\"API key not found\"}",
		  401,
		  { "refuses our API key" },
		  KEY },
		{ "401 Unauthorized",
		  "",
		  "{\"error\":\"job does not belong to runner\"}",
		  401,
		  { "401: job does not belong to runner" },
		  "refuses" },
		{ "502 Bad Gateway",
		  "Content-Type: text/html\r\n",
		  "<html>token=abc</html>",
		  502,
		  { "text/html", "22 bytes" },
		  "abc" },
		{ "500 Internal Server Error",
		  "",
		  "",
		  500,
		  { "500", "in the Server's place" },
		  NULL },
		{ "500 Internal Server Error",
		  "",
		  "{\"x\":\"secret-thing\"}",
		  500,
		  { "500" },
		  "secret-thing" },
		{ "500 Internal Server Error",
		  "",
		  "{\"error\":\"a\\u001b[31m\\nb\"}",
		  500,
		  { "500: a" },
		  "\x1b" },
		{ "301 Moved Permanently",
		  "Location: https://other.test/\r\n",
		  "",
		  301,
		  { "https://other.test/" },
		  NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct peer p;
		struct err e = { 0 };
		struct workspace w = { 0 };

		TEST_ROW(i);
		start_with(&p, rows[i].status, rows[i].headers, rows[i].body);
		CHECK_INT(api_workspace(p.api, "w1", &w, LIMIT, &e), -1);
		CHECK(api_verdict(&e) != API_DONE);
		CHECK_INT(e.code, rows[i].code);
		for (size_t k = 0; k < 3 && rows[i].want[k]; k++) {
			if (!CHECK(strstr(e.msg, rows[i].want[k]) != NULL))
				fprintf(stderr, "  have: %s\n  want: %s\n", e.msg, rows[i].want[k]);
		}
		CHECK(!rows[i].never || !strstr(e.msg, rows[i].never));
		CHECK(!strchr(e.msg, '\n'));
		peer_request(&p);
		peer_free(&p);
		workspace_free(&w);
	}
}

static void success_with_a_wrong_body_is_a_failure(void)
{
	static const struct {
		const char *headers, *body, *want;
	} rows[] = {
		{ "Content-Type: text/html\r\n", "<html>token=abc</html>", "text/html" },
		{ "Content-Type: application/json\r\n", "{\"id\":\"w1\"", "no JSON" },
		{ "", "", "empty" },
		{ "", "[]", "not an object" },
		{ "", "{}", "id is missing" },
		{ "", "null", "not an object" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct peer p;
		struct err e = { 0 };
		struct workspace w = { 0 };

		TEST_ROW(i);
		start_with(&p, "200 OK", rows[i].headers, rows[i].body);
		CHECK_INT(api_workspace(p.api, "w1", &w, LIMIT, &e), -1);
		CHECK_INT(e.kind, ERR_PARSE);
		if (!CHECK(strstr(e.msg, rows[i].want) != NULL))
			fprintf(stderr, "  have: %s\n", e.msg);
		CHECK(!strstr(e.msg, "abc"));
		peer_request(&p);
		peer_free(&p);
		workspace_free(&w);
	}
}

static void a_cut_reply_is_no_success(void)
{
	static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"id\":\"w1\"}";

	for (size_t n = 0; n <= sizeof(whole) - 1; n++) {
		struct peer p;
		struct err e = { 0 };
		struct workspace w = { 0 };
		int rc;

		TEST_ROW(n);
		peer_start(&p, (struct str){ whole, n });
		rc = api_workspace(p.api, "w1", &w, LIMIT, &e);
		CHECK_INT(rc, n == sizeof(whole) - 1 ? 0 : -1);
		CHECK(rc == 0 || (*e.msg && e.kind != ERR_NONE));
		peer_request(&p);
		peer_free(&p);
		workspace_free(&w);
	}
}

static void special_answers_are_understood(void)
{
	struct peer p;
	struct err e = { 0 };
	struct git_provider git = { 0 };
	struct runner_info r = { 0 }, *list = NULL;
	size_t n = 9;

	start_with(&p, "500 Internal Server Error", "",
	           "{\"error\":\"git provider config not found\"}");
	CHECK_INT(api_git_provider(p.api, "g1", &git, LIMIT, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	peer_request(&p);
	peer_free(&p);

	start_with(
		&p, "500 Internal Server Error", "",
		"{\"error\":\"failed to update job state: job is already in the specified state\"}");
	CHECK_INT(
		api_call(p.api, "POST", "/x", STR_LIT("{\"state\":\"running\"}"), NULL, LIMIT, &e),
		-1);
	CHECK_INT(api_verdict(&e), API_ALREADY);
	CHECK(strstr(peer_request(&p), "\r\n\r\n{\"state\":\"running\"}") != NULL);
	peer_free(&p);

	start_with(
		&p, "500 Internal Server Error", "",
		"{\"error\":\"failed to set target config: target config with the same name already exists\"}");
	CHECK_INT(
		api_target_config_create(p.api, "n", "{}", STR_LIT("{\"name\":\"p\"}"), LIMIT, &e),
		0);
	CHECK_STR(e.msg, "");
	CHECK(strstr(peer_request(&p),
	             "{\"name\":\"n\",\"options\":\"{}\",\"providerInfo\":{\"name\":\"p\"}}") !=
	      NULL);
	peer_free(&p);

	start_with(&p, "404 Not Found", "",
	           "{\"error\":\"failed to get runner: runner not found\"}");
	CHECK_INT(api_runner(p.api, "a b", &r, LIMIT, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	CHECK(strstr(peer_request(&p), "GET /base/runner/a%20b ") != NULL);
	peer_free(&p);

	start_with(&p, "200 OK", "", "null");
	CHECK_INT(api_runners(p.api, &list, &n, LIMIT, &e), 0);
	CHECK_INT((long long)n, 0);
	free(list);
	peer_request(&p);
	peer_free(&p);

	start_with(&p, "200 OK", "", "{\"id\":\"a\",\"name\":\"b\"}");
	CHECK_INT(api_runner_create(p.api, "a", "b", &r, LIMIT, &e),
	          -1); /* without a key it is useless */
	runner_info_free(&r);
	peer_request(&p);
	peer_free(&p);

	start_with(&p, "200 OK", "", "{\"status\":\"ok\"}");
	CHECK_INT(api_health(p.api, LIMIT, &e), 0);
	peer_request(&p);
	peer_free(&p);

	start_with(&p, "200 OK", "", "{\"status\":\"other\"}");
	CHECK_INT(api_health(p.api, LIMIT, &e), -1);
	peer_request(&p);
	peer_free(&p);
}

static void a_silent_server_ends_with_the_deadline(void)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sa);
	int64_t before = clock_mono_ms();
	struct buf text = { 0 };
	struct url url = { 0 };
	struct api_settings s = { .url = &url, .key = KEY, .no_proxy = "*" };
	struct err e = { 0 };
	struct api *a;

	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 5) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0)
		abort();
	buf_addf(&text, "http://127.0.0.1:%u", ntohs(sa.sin_port));
	CHECK_INT(url_parse(buf_str(&text), &url, &e), 0);
	a = api_new(&s);
	CHECK_INT(api_health(a, deadline_in_ms(200), &e), -1);
	CHECK_INT(e.kind, ERR_TIMEOUT);
	CHECK(clock_mono_ms() - before >= 200);
	api_free(a);
	api_free(NULL);
	close(listener);
	url_free(&url);
	buf_free(&text);
}

static void supervisor_bodies(void)
{
	struct buf b = { 0 };

	api_heartbeat_body(&b, 0, 3, STR_LIT("[{\"name\":\"p\"}]"));
	CHECK_STR(buf_cstr(&b),
	          "{\"uptime\":1,\"runningJobs\":3,\"providers\":[{\"name\":\"p\"}]}");
	buf_reset(&b);
	api_heartbeat_body(&b, 42, 0, (struct str){ 0 });
	CHECK_STR(buf_cstr(&b), "{\"uptime\":42,\"runningJobs\":0,\"providers\":[]}");
	buf_reset(&b);
	api_job_state_body(&b, JOB_SUCCESS, "ignored");
	CHECK_STR(buf_cstr(&b), "{\"state\":\"success\"}");
	buf_reset(&b);
	api_job_state_body(&b, JOB_ERROR, NULL);
	CHECK(strstr(buf_cstr(&b), "\"errorMessage\":\"failed") !=
	      NULL); /* never without a reason */
	buf_free(&b);
}

static void count_bad(void *arg, const char *why)
{
	*(int *)arg += *why != '\0';
}

static void one_bad_job_fails_alone(void)
{
	static const struct {
		const char *body;
		int jobs, bad; /* jobs -1: refused */
	} rows[] = {
		{ "[{\"id\":\"a\",\"action\":\"create\",\"resourceType\":\"workspace\"},{\"id\":\"..\"},7,{\"id\":\"b\",\"action\":\"new\"}]",
		  2, 2 },
		/* Which of two members counts is nobody's to guess, however they are written. */
		{ "[{\"id\":\"a\",\"id\":\"b\",\"action\":\"create\",\"resourceType\":\"workspace\"}]",
		  0, 1 },
		{ "[{\"id\":\"a\",\"\\u0069d\":\"b\",\"action\":\"create\",\"resourceType\":\"workspace\"}]",
		  0, 1 },
		{ "[{\"id\":\"a\",\"action\":\"create\",\"Action\":\"delete\",\"resourceType\":\"workspace\"}]",
		  0, 1 },
		{ "[{\"id\":\"a\",\"action\":\"create\",\"state\":\"pending\",\"state\":\"running\"},{\"id\":\"b\",\"action\":\"new\"}]",
		  1, 1 },
		{ "[]", 0, 0 },
		{ "null", 0, 0 },
		{ "[null]", 0, 1 },
		{ "{}", -1, 0 },
		{ "", -1, 0 },
		{ "[{\"id\":\"a\"}", -1, 0 },
		{ "<html>", -1, 0 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct job *list = NULL;
		struct err e = { 0 };
		size_t n = 0;
		int bad = 0;
		int rc = api_jobs_parse(str_of(rows[i].body), &list, &n, count_bad, &bad, &e);

		TEST_ROW(i);
		CHECK_INT(rc, rows[i].jobs < 0 ? -1 : 0);
		CHECK_INT((long long)n, rows[i].jobs < 0 ? 0 : rows[i].jobs);
		CHECK_INT(bad, rows[i].bad);
		CHECK(rc == 0 || (e.kind == ERR_PARSE && strstr(e.msg, "job list")));
		for (size_t k = 0; k < n; k++)
			job_free(&list[k]);
		free(list);
	}
}

static void long_job_lists_are_read(void)
{
	struct buf b = { 0 };
	struct job *list = NULL;
	struct err e = { 0 };
	size_t n = 0;
	int bad = 0;

	buf_addc(&b, '[');
	for (int i = 0; i < 5000; i++)
		buf_addf(
			&b,
			"%s{\"id\":\"j%d\",\"resourceId\":\"w\",\"runnerId\":\"r\",\"resourceType\":\"workspace\",\"state\":\"pending\","
			"\"action\":\"create\",\"metadata\":null,\"error\":null,\"createdAt\":\"t\",\"updatedAt\":\"t\"}",
			i ? "," : "", i);
	buf_addc(&b, ']');
	CHECK_INT(api_jobs_parse(buf_str(&b), &list, &n, count_bad, &bad, &e), 0);
	CHECK_INT((long long)n, 5000);
	CHECK_STR(n ? list[4999].id : NULL, "j4999");
	for (size_t k = 0; k < n; k++)
		job_free(&list[k]);
	free(list);
	buf_free(&b);
}

static void ignore_sigpipe(void)
{
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

TEST_MAIN(TEST(ignore_sigpipe), TEST(request_has_key_version_and_base_path),
          TEST(bodies_are_sent_as_documented), TEST(metadata_is_json_inside_json),
          TEST(repository_urls_are_encoded_twice), TEST(failures_carry_the_servers_words),
          TEST(success_with_a_wrong_body_is_a_failure), TEST(a_cut_reply_is_no_success),
          TEST(special_answers_are_understood), TEST(a_silent_server_ends_with_the_deadline),
          TEST(supervisor_bodies), TEST(one_bad_job_fails_alone), TEST(long_job_lists_are_read))
