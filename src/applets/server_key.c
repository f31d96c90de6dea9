/* SPDX-License-Identifier: Apache-2.0 */
/* See server_key.h. */
#include "applets/server_key.h"

#include "api/client.h"
#include "applets/applets.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"
#include "server/srv.h"

#define CALL_MS 60000 /* a restart tries the new executable first */

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

/* Asks the running server, with its own first key. */
static int ask(const struct options *o, const char *data, const char *method, const char *path,
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

		api_prepare(api, &req, method, path, (struct str){ NULL, 0 }, false);
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

/* On a line of its own: whoever made the key may have put anything into its name. */
static void print_name(const char *name)
{
	struct buf b = { 0 };

	buf_add_printable(&b, str_of(name), false);
	printf("%s\n", buf_cstr(&b));
	buf_free(&b);
}

/* What `server key` does: straight in the store when no server has it, else through that server. */
struct action {
	const char *word;
	const char *method;
	bool named;
	int (*direct)(struct srv *s, const char *name, struct err *e);
	int (*show)(struct str body, struct err *e); /* the server's answer */
};

static int make(struct srv *s, const char *name, struct err *e)
{
	char key[API_KEY_SIZE];
	int rc = key_create(s, "client", name, key, e);

	if (rc == 0)
		rc = print(str_of(key));
	mem_wipe(key, sizeof(key));
	return rc;
}

static int show_made(struct str body, struct err *e)
{
	(void)e;
	return print(body);
}

static int list(struct srv *s, const char *name, struct err *e)
{
	const struct rec *k = store_find(&s->store, K_KEY, "type", "client");

	(void)name;
	(void)e;
	for (; k; k = store_find_next(&s->store, k, "type"))
		print_name(rec_text(k, "name"));
	return out_flush();
}

static int show_list(struct str body, struct err *e)
{
	struct json_doc *doc = json_parse(body, body.n + 1, e);
	struct json keys = json_root(doc);

	for (struct json k = json_first(keys); json_present(k); k = json_next(k)) {
		char *name = json_dup_or_empty(json_get(k, "name"));

		print_name(name);
		free(name);
	}
	json_doc_free(doc);
	return doc ? out_flush() : -1;
}

/* Only an administrator's; the others go with what they belong to. */
static int revoke(struct srv *s, const char *name, struct err *e)
{
	const struct rec *first = store_find(&s->store, K_KEY, "type", "client");
	const struct rec *k = key_client(s, name);

	if (!k)
		return err_set(e, ERR_NOT_FOUND, 0,
		               "no client key is named %s; see `server key list`", name);
	if (k == first && !store_find_next(&s->store, k, "type"))
		return err_set(e, ERR_LIMIT, 0, "%s is the only client key; make another one first",
		               name);
	struct change *ch = change_begin(&s->store);

	change_remove(ch, k);
	return change_commit(ch, e);
}

static int show_nothing(struct str body, struct err *e)
{
	(void)body;
	(void)e;
	return 0;
}

static const struct action actions[] = {
	{ "create", "POST", true, make, show_made },
	{ "list", "GET", false, list, show_list },
	{ "delete", "DELETE", true, revoke, show_nothing },
};

static int act(const struct options *o, const char *data, const struct action *a, const char *name,
               struct err *e)
{
	struct srv s = { .who = "owner" };
	struct buf path = { 0 };
	struct http_reply reply = { 0 };
	int rc = srv_open(&s, data, e);

	if (rc == 0) {
		rc = a->direct(&s, name, e);
		srv_close(&s);
		return rc;
	}
	if (e->kind != ERR_BUSY)
		return -1;
	err_clear(e);
	buf_adds(&path, "/apikey");
	if (a->named) {
		buf_addc(&path, '/');
		buf_add_urlenc(&path, str_of(name));
	}
	rc = ask(o, data, a->method, buf_cstr(&path), &reply, e);
	if (rc == 0)
		rc = a->show(buf_str(&reply.body), e);
	buf_wipe(&reply.body);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

/* The action that argv asks for, and its name. A name alone makes a key, as it always did. */
static const struct action *choose(int operands, char **argv, const char *usage, const char **name)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		const struct action *a = &actions[i];

		if (strcmp(argv[1], a->word) != 0)
			continue;
		if ((operands == 2) != a->named)
			opts_misuse(usage, a->named ? "the name of a key is missing"
			                            : "list takes no name");
		*name = a->named ? argv[2] : NULL;
		return a;
	}
	if (operands == 2)
		opts_misuse(usage, "only create, list and delete are known");
	*name = argv[1];
	return &actions[0];
}

#define OPTIONS(o) \
	OPT_STR('d', "data", "DIR", &(o).data, "the server's directory"), \
		OPT_STR(0, "key-file", "FILE", &(o).key_file, "where the first client key is"), \
		OPT_STR(0, "ca-file", "FILE", &(o).ca_file, \
	                "CA certificates, if the server has TLS"), \
		OPT_END

int server_restart(int argc, char **argv)
{
	static const char usage[] =
		"server restart [--data DIR]\n"
		"Has the server that runs go on as a new process of its executable, after an upgrade for instance: under the "
		"same process id, with the same options and sockets, and no connection is refused.";
	static const struct {
		const char *method, *path;
	} calls[] = { { "POST", "/server/restart" },
		      { "GET", "/health" } }; /* the new one's word */
	struct options o = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = { OPTIONS(o) };

	opts_parse(opts, usage, argc, argv, 0, 0);
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e);
	int rc = data ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(calls); i++) {
		struct http_reply reply = { 0 };

		rc = ask(&o, data, calls[i].method, calls[i].path, &reply, &e);
		http_reply_free(&reply);
	}
	free(data);
	return rc < 0 ? applet_fail("server restart", &e) : print(STR_LIT("Restarted"));
}

int server_key(int argc, char **argv)
{
	static const char usage[] =
		"server key [--data DIR] create NAME|list|delete NAME\n"
		"Client API keys, which may do everything: create makes one and prints it, once; "
		"delete takes it back. NAME alone makes one, too.";
	struct options o = { 0 };
	struct err e = { 0 };
	const struct opt opts[] = { OPTIONS(o) };
	const char *name = NULL;

	int operands = opts_parse(opts, usage, argc, argv, 1, 2);
	const struct action *a = choose(operands, argv, usage, &name);
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e);
	int rc = data ? act(&o, data, a, name, &e) : -1;

	free(data);
	return rc < 0 ? applet_fail("server", &e) : rc;
}
