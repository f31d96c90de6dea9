/* SPDX-License-Identifier: Apache-2.0 */
/* See server_key.h. */
#include "applets/server_key.h"

#include "api/server.h"
#include "applets/applets.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"
#include "server/srv.h"

#define CALL_MS 15000

struct options {
	const char *data, *ca_file, *key_file;
};

static int read_line(const char *path, struct buf *out, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(path, 4096, &text, e);

	if (rc == 0)
		buf_add_str(out, str_trim(buf_str(&text)));
	buf_wipe(&text);
	return rc;
}

/* POSTs to the running server with its own first key. */
static int post(const struct options *o, const char *data, const char *path,
                struct http_reply *reply, struct err *e)
{
	struct buf url = { 0 }, key = { 0 };
	struct url u = { 0 };
	struct tls_settings ts = { .ca_file = o->ca_file };
	struct tls_ctx *tls = NULL;
	char *lock = path_join(data, STORE_LOCK_FILE);
	char *key_file = o->key_file ? mem_dup(o->key_file) : path_join(data, CLIENT_KEY_FILE);
	int rc = read_line(lock, &url, e);

	if (rc == 0)
		rc = read_line(key_file, &key, e);
	if (rc == 0)
		rc = url_parse(buf_str(&url), &u, e);
	if (rc == 0 && url_is_tls(&u))
		rc = tls_ctx_new(&tls, &ts, false, e);
	if (rc == 0) {
		struct api_settings s = { .url = &u, .key = buf_cstr(&key), .tls = tls };
		struct api *api = api_new(&s);
		struct api_request req = { 0 };

		api_prepare(api, &req, "POST", path, (struct str){ NULL, 0 }, false);
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
	free(lock);
	free(key_file);
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
	int rc = srv_open(&s, data, e);

	if (rc == 0) {
		rc = key_create(&s, "client", name, key, e);
		srv_close(&s);
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
	rc = post(o, data, buf_cstr(&path), &reply, e);
	if (rc == 0)
		rc = print(buf_str(&reply.body));
	buf_wipe(&reply.body);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

int server_key(int argc, char **argv)
{
	static const char usage[] =
		"server key [--data DIR] NAME\nMakes a client API key and prints it, once.";
	struct options o = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR('d', "data", "DIR", &o.data, "the server's directory"),
		OPT_STR(0, "key-file", "FILE", &o.key_file, "where the first client key is"),
		OPT_STR(0, "ca-file", "FILE", &o.ca_file, "CA certificates, if the server has TLS"),
		OPT_END,
	};

	opts_parse(opts, usage, argc, argv, 1, 1);
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e);
	int rc = data ? add_key(&o, data, argv[1], &e) : -1;

	free(data);
	return rc < 0 ? applet_fail("server", &e) : rc;
}
