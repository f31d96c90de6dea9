/* SPDX-License-Identifier: Apache-2.0 */
/* See cli.h. */
#include "applets/server/cli.h"

#include "api/server.h"
#include "applets/applets.h"
#include "applets/server/srv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"

#include <errno.h>
#include <unistd.h>

#define CALL_MS 90000 /* longer than a long poll */

struct options {
	const char *data, *url, *key_file, *ca_file;
};

/* A one-line file of the store's directory. */
static int read_line(const char *dir, const char *name, struct buf *out, struct err *e)
{
	char *path = path_join(dir, name);
	struct buf text = { 0 };
	int rc = file_read(path, 4096, &text, e);

	if (rc == 0)
		buf_add_str(out, str_trim(buf_str(&text)));
	else if (e->kind == ERR_NOT_FOUND)
		err_wrap(e, "is a server running with this --data?");
	buf_wipe(&text);
	free(path);
	return rc;
}

static int send_call(const struct options *o, const char *data, const char *method, const char *path,
		     struct str body, struct http_reply *reply, struct err *e)
{
	struct buf url = { 0 }, key = { 0 };
	struct url u = { 0 };
	struct tls_settings ts = { .ca_file = o->ca_file };
	struct tls_ctx *tls = NULL;
	struct api *api = NULL;
	struct api_request req = { 0 };
	int rc = o->url ? (buf_adds(&url, o->url), 0) : read_line(data, ADDRESS_FILE, &url, e);

	if (rc == 0 && o->key_file) {
		rc = file_read(o->key_file, 4096, &key, e);
		while (key.n && (key.p[key.n - 1] == '\n' || key.p[key.n - 1] == '\r'))
			key.p[--key.n] = '\0';
	} else if (rc == 0) {
		rc = read_line(data, CLIENT_KEY_FILE, &key, e);
	}
	if (rc == 0)
		rc = url_parse(buf_str(&url), &u, e);
	if (rc == 0 && url_is_tls(&u))
		rc = tls_ctx_new(&tls, &ts, false, e);
	if (rc == 0) {
		struct api_settings s = { .url = &u, .key = buf_cstr(&key), .tls = tls };

		api = api_new(&s);
		api_prepare(api, &req, method, path, body, true);
		rc = http_do(api_http(api), &req.http, reply, deadline_in_ms(CALL_MS), e);
		if (rc == 0)
			rc = api_check(api, reply, path, e);
		api_request_free(&req);
		api_free(api);
	}
	tls_ctx_free(tls);
	url_free(&u);
	buf_wipe(&key);
	buf_free(&url);
	return rc;
}

static int print(struct str text)
{
	fwrite(text.p, 1, text.n, stdout);
	if (text.n && text.p[text.n - 1] != '\n')
		putchar('\n');
	return out_flush();
}

/* Straight into the store when no server has it, else through the server. */
static int add_key(const struct options *o, const char *data, const char *name, struct err *e)
{
	struct srv s = { 0 };
	char key[API_KEY_SIZE];
	int rc = store_open(&s.store, data, e);

	if (rc == 0) {
		rc = key_create(&s, "client", name, key, e);
		store_close(&s.store);
		if (rc < 0)
			return -1;
		rc = print(str_of(key));
		mem_wipe(key, sizeof(key));
		return rc;
	}
	if (e->kind != ERR_BUSY)
		return -1;
	struct buf path = { 0 };
	struct http_reply reply = { 0 };

	err_clear(e);
	buf_adds(&path, "/apikey/");
	buf_add_urlenc(&path, str_of(name));
	rc = send_call(o, data, "POST", buf_cstr(&path), (struct str){ NULL, 0 }, &reply, e);
	if (rc == 0)
		rc = print(buf_str(&reply.body));
	buf_wipe(&reply.body);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

static int read_stdin(struct buf *b, struct err *e)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "read standard input");
		if (n > 0 && buf_add_max(b, chunk, (size_t)n, JSON_BODY_MAX, e) < 0)
			return err_wrap(e, "standard input");
	}
	return 0;
}

static int one_call(const struct options *o, const char *data, char **argv, int n, struct err *e)
{
	struct buf body = { 0 };
	struct http_reply reply = { 0 };
	int rc = 0;

	if (n == 3 && strcmp(argv[3], "-") == 0)
		rc = read_stdin(&body, e);
	else if (n == 3)
		buf_adds(&body, argv[3]);
	if (rc == 0)
		rc = send_call(o, data, argv[1], argv[2], buf_str(&body), &reply, e);
	if (rc == 0)
		rc = print(buf_str(&reply.body));
	http_reply_free(&reply);
	buf_wipe(&body);
	return rc;
}

int server_cli(int argc, char **argv)
{
	static const char key_usage[] = "server key [--data DIR] NAME\nMakes a client API key and prints it, once.";
	static const char call_usage[] =
		"server call [OPTION]… METHOD PATH [BODY]\n"
		"Sends one request to the server of this machine and prints the answer's body;\n"
		"BODY \"-\" is read from standard input.";
	bool key = strcmp(argv[0], "key") == 0;
	struct options o = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR('d', "data", "DIR", &o.data, "the server's directory"),
		OPT_STR(0, "api-url", "URL", &o.url, "another address of the server"),
		OPT_STR(0, "api-key-file", "FILE", &o.key_file, "another API key"),
		OPT_STR(0, "ca-file", "FILE", &o.ca_file, "CA certificates to trust"),
		OPT_END,
	};
	int n = opts_parse(opts, key ? key_usage : call_usage, argc, argv, key ? 1 : 2, key ? 1 : 3);
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e);
	int rc = data ? 0 : -1;

	if (rc == 0)
		rc = key ? add_key(&o, data, argv[1], &e) : one_call(&o, data, argv, n, &e);
	free(data);
	return rc < 0 ? applet_fail("server", &e) : rc;
}
