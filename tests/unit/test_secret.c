/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No copy of a key is left in freed memory. The linker puts the two functions below in the place of free and realloc
 * for all of the program but the C library: each block is searched before it is given back.
 */
#include "api/client.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/kv.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "git/url.h"
#include "host/config.h"
#include "providers/docker/engine/images.h"
#include "providers/docker/engine/options.h"
#include "providers/provider.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT deadline_in_ms(20000)
#define KEY "NTUwZTg0MDAtZTI5Yi00MWQ0LWE3MTYtNDQ2NjU1NDQwMDAw"

void __real_free(void *p);
void *__real_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_realloc(void *p, size_t n);

static struct {
	struct buf v[4]; /* the key, and its base64 wherever it may begin */
	size_t n;
	unsigned found, blocks;
	bool on;
} needle;

static void look_into(const void *p)
{
	size_t size = needle.on && p ? malloc_usable_size((void *)(uintptr_t)p) : 0;

	needle.blocks += size > 0;
	for (size_t i = 0; size && i < needle.n; i++)
		needle.found += memmem(p, size, needle.v[i].p, needle.v[i].n) != NULL;
}

void __wrap_free(void *p)
{
	look_into(p);
	__real_free(p);
}

void *__wrap_realloc(void *p, size_t n)
{
	void *to;

	if (!needle.on)
		return __real_realloc(p, n);
	look_into(p); /* as if it moved each time */
	to = malloc(n);
	if (to && p) {
		size_t old = malloc_usable_size(p);

		memcpy(to, p, old < n ? old : n);
		__real_free(p);
	}
	return to;
}

static void begin(void)
{
	if (!needle.n) {
		buf_adds(&needle.v[needle.n++], KEY);
		for (size_t before = 0; before < 3; before++) {
			struct buf plain = { 0 }, *b = &needle.v[needle.n++];

			buf_add(&plain, "xx", before);
			buf_adds(&plain, KEY);
			buf_add_base64(b, plain.p, plain.n, false, false);
			buf_cut(b, b->n - 2); /* what depends on the bytes behind */
			buf_drop(b, before ? before + 1 : 0);
			buf_wipe(&plain);
		}
	}
	needle.found = needle.blocks = 0;
	needle.on = true;
}

/* How many blocks were given back with the key in them. */
static unsigned end(void)
{
	needle.on = false;
	CHECK(needle.blocks > 0);
	return needle.found;
}

/* The test can fail: what is freed as it is, is found. */
static void a_copy_is_found(void)
{
	char *copy;

	begin();
	copy = mem_dup("before" KEY "behind");
	free(copy);
	CHECK_INT(end(), 1);
	begin();
	copy = mem_realloc(mem_dup(KEY), 5000);
	mem_free_secret(copy);
	CHECK_INT(end(), 1);
}

static void growth_leaves_nothing(void)
{
	struct buf b = { 0 }, half = { 0 };
	char *taken;

	begin();
	buf_adds(&b, KEY);
	for (int i = 0; i < 100000; i++)
		buf_addc(&b, 'x');
	buf_free(&b);
	CHECK_INT(end(), 0);

	begin(); /* what was dropped or cut is still there */
	buf_adds(&b, KEY KEY);
	buf_drop(&b, sizeof(KEY) - 1);
	buf_cut(&b, 1);
	buf_add(&b, NULL, 0);
	buf_adds(&half, KEY);
	buf_reset(&half);
	taken = buf_take(&b);
	mem_free_secret(taken);
	buf_free(&half);
	CHECK_INT(end(), 0);
}

static void json_leaves_nothing(void)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	struct json_doc *doc;
	struct runner_info r = { 0 };
	struct workspace w = { 0 };
	struct git_provider git = { 0 };

	begin();
	jw_obj(&b);
	jw_kstr(&b, "id", "abc");
	jw_kstr(&b, "name", "abc");
	jw_kstr(&b, "apiKey", KEY);
	jw_kstr(&b, "token", KEY);
	jw_kstr(&b, "providerId", "github");
	jw_key(&b, "envVars");
	jw_obj(&b);
	jw_kstr(&b, "SECRET", "\"\\" KEY);
	jw_obj_end(&b);
	jw_obj_end(&b);
	doc = json_parse(buf_str(&b), 1 << 20, &e);
	if (CHECK(doc != NULL)) {
		(void)runner_info_parse(json_root(doc), &r, &e);
		(void)workspace_parse(json_root(doc), &w, &e);
		(void)git_provider_parse(json_root(doc), &git, &e);
		CHECK_STR(r.api_key, KEY);
		CHECK_STR(w.api_key, KEY);
		CHECK_STR(git.token, KEY);
	}
	runner_info_free(&r);
	workspace_free(&w);
	git_provider_free(&git);
	json_doc_free(doc);
	buf_free(&b);
	CHECK(json_parse(STR_LIT("{\"apiKey\": \"" KEY "\""), 1 << 20, &e) == NULL);
	CHECK_INT(end(), 0);
}

static void environments_leave_nothing(void)
{
	struct kv own = { 0 }, into = { 0 }, none = { 0 };
	struct registries regs = { 0 };
	struct buf header = { 0 };
	char **env;

	begin();
	for (int i = 0; i < 20; i++) {
		struct buf name = { 0 };

		buf_addf(&name, "NAME_%d", i);
		kv_set(&own, buf_cstr(&name), KEY);
		buf_free(&name);
	}
	kv_set(&own, "A_CONTAINER_REGISTRY_SERVER", "registry.example");
	kv_set(&own, "A_CONTAINER_REGISTRY_USERNAME", "u");
	kv_set(&own, "A_CONTAINER_REGISTRY_PASSWORD", KEY);
	env_merge(&into, &none, &own, NULL);
	registries_split(&into, &regs);
	if (CHECK_INT(regs.n, 1)) {
		registry_auth_header(&regs.list[0], &header);
		registry_config_header(&regs, &header);
	}
	env = kv_to_env(&into);
	kv_env_free(env);
	buf_free(&header);
	registries_free(&regs);
	kv_free(&own);
	kv_free(&into);
	CHECK_INT(end(), 0);
}

static void urls_and_options_leave_nothing(void)
{
	struct url u = { 0 };
	struct git_source g = { 0 };
	struct docker_options o = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	begin();
	CHECK_INT(url_parse(STR_LIT("https://user:" KEY "@host/path"), &u, &e), 0);
	CHECK_STR(u.password, KEY);
	url_display(&u, &b);
	url_free(&u);
	CHECK(url_parse(STR_LIT("https://user:" KEY "@host:port/"), &u, &e) < 0);
	url_free(&u);
	CHECK_INT(git_source_parse("https://user:" KEY "@host/path.git", false, &g, &e), 0);
	CHECK_STR(g.password, KEY);
	git_source_free(&g);
	CHECK_INT(docker_options_parse(&o, NULL,
	                               "{\"Remote Hostname\": \"h\", \"Remote User\": \"u\", "
	                               "\"Remote Password\": \"" KEY "\"}",
	                               &e),
	          0);
	CHECK_STR(o.remote_password, KEY);
	docker_options_free(&o);
	buf_free(&b);
	CHECK_INT(end(), 0);
}

static void drop(void *arg, struct str s)
{
	(void)arg;
	(void)s;
}

static void texts_leave_nothing(void)
{
	struct provider_env env = { .log = drop };
	struct mask_stream mask = { 0 };
	struct mask_tail t = { .max = 40 };
	struct buf out = { 0 };
	struct err e = { 0 };

	begin();
	mask_add(STR_LIT(KEY));
	for (size_t i = 0; i < sizeof(KEY) - 1; i++)
		mask_stream_feed(&mask, &out, (struct str){ &(KEY)[i], 1 });
	mask_stream_feed(&mask, &out, (struct str){ KEY, 20 });
	mask_tail_add(&t, STR_LIT("text " KEY));
	mask_tail_free(&t);
	mask_text(&out, STR_LIT("a " KEY " b"));
	err_set(&e, ERR_OTHER, 0, "what %s said", KEY);
	err_wrap(&e, "with %s", KEY);
	CHECK(!strstr(e.msg, KEY) && strstr(e.msg, "***"));
	log_error("the key is %s", KEY);
	provider_logf(&env, "the key is %s", KEY);
	mask_stream_end(&mask, &out);
	buf_free(&out);
	mask_clear();
	CHECK_INT(end(), 0);
}

static void configurations_leave_nothing(void)
{
	char dir[TEST_PATH_SIZE];
	struct kv changes = { 0 };
	struct config c = { 0 };
	struct buf text = { 0 };
	struct err e = { 0 };
	int key = config_key_index("server.key");

	if (!CHECK(test_mkdtemp(dir)))
		return;
	setenv("HOME", dir, 1);
	begin();
	kv_set(&changes, "server.url", "https://host.example");
	kv_set(&changes, "server.key", KEY);
	CHECK_INT(config_save(dir, &changes, &e), 0);
	CHECK_INT(config_save(dir, &changes, &e), 0); /* with one there */
	CHECK_INT(config_load(&c, dir, NULL, &e), 0);
	if (CHECK(key >= 0))
		config_value_text(&c, (size_t)key, &text);
	CHECK_STR(buf_cstr(&text), KEY);
	config_free(&c);
	CHECK_INT(config_load(&c, dir, &changes, &e), 0);
	config_free(&c);
	setenv("DAYTONA_RUNNER_SERVER_KEY", KEY, 1);
	CHECK_INT(config_load(&c, dir, NULL, &e), 0);
	config_free(&c);
	unsetenv("DAYTONA_RUNNER_SERVER_KEY");
	kv_free(&changes);
	buf_free(&text);
	mask_clear();
	CHECK_INT(end(), 0);
	CHECK_STR(e.msg, "");
}

static const char answer[] = "{\"id\": \"x\", \"name\": \"x\", \"apiKey\": \"" KEY "\"}";

static _Noreturn void be_peer(int listener)
{
	char request[4096] = { 0 }, reply[600];
	int fd = accept(listener, NULL, NULL);
	size_t n = 0;
	ssize_t k;

	alarm(20);
	while (!strstr(request, "\r\n\r\n") &&
	       (k = read(fd, request + n, sizeof(request) - 1 - n)) > 0)
		n += (size_t)k;
	k = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
	             strlen(answer), answer);
	_exit(!strstr(request, KEY) || write(fd, reply, (size_t)k) != k);
}

static void calls_leave_nothing(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct api_settings settings = { .key = KEY, .no_proxy = "*" };
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = -1;
	struct json_doc *doc = NULL;
	struct url url = { 0 };
	struct buf text = { 0 };
	struct err e = { 0 };
	struct api *api;
	pid_t pid;

	if (!CHECK(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	           listen(listener, 5) == 0 &&
	           getsockname(listener, (struct sockaddr *)&sa, &len) == 0))
		return;
	pid = fork();
	if (pid == 0)
		be_peer(listener);
	buf_addf(&text, "http://127.0.0.1:%u", ntohs(sa.sin_port));
	CHECK_INT(url_parse(buf_str(&text), &url, &e), 0);
	settings.url = &url;
	begin();
	api = api_new(&settings);
	CHECK_INT(api_call(api, "GET", "/runner/x", (struct str){ 0 }, &doc, LIMIT, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK(json_str_is(json_get(json_root(doc), "apiKey"), KEY));
	json_doc_free(doc);
	api_free(api);
	CHECK_INT(end(), 0);
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	close(listener);
	url_free(&url);
	buf_free(&text);
}

static void needles_are_freed(void)
{
	for (size_t i = 0; i < needle.n; i++)
		buf_free(&needle.v[i]);
	CHECK_INT(needle.n, 4);
}

TEST_MAIN(TEST(a_copy_is_found), TEST(growth_leaves_nothing), TEST(json_leaves_nothing),
          TEST(environments_leave_nothing), TEST(urls_and_options_leave_nothing),
          TEST(texts_leave_nothing), TEST(configurations_leave_nothing), TEST(calls_leave_nothing),
          TEST(needles_are_freed))
