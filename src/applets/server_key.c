/* SPDX-License-Identifier: Apache-2.0 */
/* See server_key.h. */
#include "applets/server_key.h"

#include "api/client.h"
#include "api/token.h"
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/out.h"
#include "server/srv.h"

#define CALL_MS 60000 /* a restart tries the new executable first */
#define CA_MAX 16384  /* of what still fits into a token */

struct options {
	const char *data, *ca_file, *key_file, *url, *name;
	bool join;
	int64_t for_ms;
};

static const char *type_of(const struct options *o)
{
	return o->join ? "join" : "client";
}

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
	/* It holds the port that it noted in its own directory, whatever its certificate is for. */
	ts.insecure = !o->ca_file && url_is_loopback(&u);
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
static void print_name(const char *name, const char *until)
{
	struct buf b = { 0 };

	buf_add_printable(&b, str_of(name), false);
	printf("%s%s%s\n", buf_cstr(&b), *until ? " until " : "", until);
	buf_free(&b);
}

/* What `server key` and `server join` do: straight in the store when no server has it, else through that server. */
struct action {
	const char *word;
	const char *method;
	bool named;
	int (*direct)(struct srv *s, const struct options *o, const char *name, struct err *e);
	int (*show)(const struct options *o, struct str body,
	            struct err *e); /* the server's answer */
};

/* With what only this side knows: how the runner gets there. */
static int print_token(const struct options *o, struct str text, struct err *e)
{
	struct kv settings = { 0 };
	struct buf token = { 0 }, ca = { 0 };
	struct url u = { 0 };
	struct err ignored = { 0 };
	const char *url;
	int rc = token_read(text, &settings, e);

	if (rc == 0 && o->ca_file)
		rc = file_read(o->ca_file, CA_MAX, &ca, e);
	if (rc == 0) {
		kv_set(&settings, TOKEN_CA, buf_cstr(&ca));
		if (o->url)
			kv_set(&settings, "server.url", o->url);
		token_write(&settings, &token);
		rc = print(buf_str(&token));
		url = kv_get(&settings, "server.url");
		fprintf(stderr,
		        "It registers one runner. On that one's host: daytona-runner configure "
		        "TOKEN\nTake it back: daytona-runner server join delete %s\n",
		        o->name);
		if (!url || !*url)
			fputs("It has no URL: give --runner-api-url here, or --api-url there.\n",
			      stderr);
		else if (url_parse(str_of(url), &u, &ignored) == 0 && url_is_loopback(&u))
			fputs("The URL in it is only good on this host; for another one give "
			      "--runner-api-url.\n",
			      stderr);
	}
	url_free(&u);
	kv_free(&settings);
	buf_free(&ca);
	buf_wipe(&token);
	return rc;
}

static int make(struct srv *s, const struct options *o, const char *name, struct err *e)
{
	char key[API_KEY_SIZE];
	struct buf token = { 0 };
	int rc;

	if (o->join) {
		rc = key_join(s, name, o->for_ms, "", &token, e);
		if (rc == 0)
			rc = print_token(o, buf_str(&token), e);
		buf_wipe(&token);
		return rc;
	}
	rc = key_create(s, "client", name, key, e);
	if (rc == 0)
		rc = print(str_of(key));
	mem_wipe(key, sizeof(key));
	return rc;
}

static int show_made(const struct options *o, struct str body, struct err *e)
{
	return o->join ? print_token(o, body, e) : print(body);
}

static int list(struct srv *s, const struct options *o, const char *name, struct err *e)
{
	const struct rec *key = store_find(&s->store, K_KEY, "type", type_of(o));

	(void)name;
	(void)e;
	for (; key; key = store_find_next(&s->store, key, "type")) {
		char until[TIME_TEXT_SIZE];

		key_until(key, until);
		if (!key_expired(key))
			print_name(rec_text(key, "name"), until);
	}
	return out_flush();
}

static int show_list(const struct options *o, struct str body, struct err *e)
{
	struct json_doc *doc = json_parse(body, body.n + 1, e);
	struct json keys = json_root(doc);

	(void)o;
	for (struct json key = json_first(keys); json_present(key); key = json_next(key)) {
		char *name = json_dup_or_empty(json_get(key, "name"));
		char *until = json_dup_or_empty(json_get(key, "expires"));

		print_name(name, until);
		free(until);
		free(name);
	}
	json_doc_free(doc);
	return doc ? out_flush() : -1;
}

/* Only these; the others go with what they belong to. */
static int revoke(struct srv *s, const struct options *o, const char *name, struct err *e)
{
	const struct rec *first = store_find(&s->store, K_KEY, "type", "client");
	const struct rec *key = key_named(s, type_of(o), name);

	if (!key)
		return err_set(e, ERR_NOT_FOUND, 0, "no %s is named %s; see `server %s list`",
		               o->join ? "join token" : "client key", name,
		               o->join ? "join" : "key");
	if (key == first && !store_find_next(&s->store, key, "type"))
		return err_set(e, ERR_LIMIT, 0, "%s is the only client key; make another one first",
		               name);
	struct change *ch = change_begin(&s->store);

	change_remove(ch, key);
	return change_commit(ch, e);
}

static int show_nothing(const struct options *o, struct str body, struct err *e)
{
	(void)o;
	(void)body;
	(void)e;
	return 0;
}

static const struct action actions[] = {
	{ "create", "POST", true, make, show_made },
	{ "list", "GET", false, list, show_list },
	{ "delete", "DELETE", true, revoke, show_nothing },
};

static int act(const struct options *o, const char *data, const struct action *a, struct err *e)
{
	const char *name = o->name;
	struct srv s = { .who = "owner" };
	struct buf path = { 0 };
	struct http_reply reply = { 0 };
	int rc = srv_open(&s, data, e);

	if (rc == 0) {
		rc = a->direct(&s, o, name, e);
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
	if (o->join)
		buf_addf(&path, "?type=join&for=%lld", (long long)o->for_ms);
	rc = ask(o, data, a->method, buf_cstr(&path), &reply, e);
	if (rc == 0)
		rc = a->show(o, buf_str(&reply.body), e);
	buf_wipe(&reply.body);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

/* What other programs call these: a word alone is a name, but hardly one of these. */
static bool is_other_verb(struct str word)
{
	static const char *const words[] = { "create", "list", "delete", "add", "new",
		                             "make",   "ls",   "show",   "rm",  "remove",
		                             "revoke", "help", "get" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq(word, words[i]))
			return true;
	return false;
}

/* The action that argv asks for, and its name. A name alone makes a key, as it always did; a join token needs none. */
static const struct action *choose(int operands, char **argv, bool join, const char *usage,
                                   const char **name)
{
	for (size_t i = 0; operands && i < ARRAY_LEN(actions); i++) {
		const struct action *a = &actions[i];

		if (strcmp(argv[1], a->word) != 0)
			continue;
		if ((operands == 2) != a->named && !(join && i == 0))
			opts_misuse(usage,
			            a->named ? "the name of a %s is missing" : "list takes no name",
			            join ? "join token" : "key");
		*name = operands == 2 ? argv[2] : NULL;
		return a;
	}
	if (operands == 2 || (join && operands))
		opts_misuse(usage, "only create, list and delete are known");
	if (operands && is_other_verb(str_of(argv[1])))
		opts_misuse(usage,
		            "%s is none of create, list and delete; a key of that name: create %s",
		            argv[1], argv[1]);
	*name = operands ? argv[1] : NULL;
	return &actions[0];
}

#define OPTIONS(o) \
	OPT_STR('d', "data", "DIR", &(o).data, "the server's directory"), \
		OPT_STR(0, "key-file", "FILE", &(o).key_file, "where the first client key is"), \
		OPT_STR(0, "ca-file", "FILE", &(o).ca_file, \
	                "CA certificates, if the server has TLS; a token carries them"), \
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
	static const char key_usage[] =
		"server key [--data DIR] create NAME|list|delete NAME\n"
		"Client API keys, which may do everything: create makes one and prints it, once; "
		"delete takes it back. NAME alone makes one, too.";
	static const char join_usage[] =
		"server join [--for TIME] [create [NAME]|list|delete NAME]\n"
		"Join tokens: each registers one runner, once, and does nothing else. Prints one, "
		"for: daytona-runner configure TOKEN";
	struct options o = { .join = strcmp(argv[0], "join") == 0, .for_ms = KEY_JOIN_MS };
	const char *usage = o.join ? join_usage : key_usage, *time = NULL;
	struct err e = { 0 };
	char made_up[] = "join-0123456789ab";
	const struct opt key_opts[] = { OPTIONS(o) };
	const struct opt join_opts[] = {
		OPT_STR(0, "for", "TIME", &time, "how long a token is good: 30m, 2h (1h)"),
		OPT_STR(0, "runner-api-url", "URL", &o.url,
		        "how the runner reaches the server; default: its public URL"),
		OPTIONS(o),
	};

	int operands = opts_parse(o.join ? join_opts : key_opts, usage, argc, argv, !o.join, 2);
	const struct action *a = choose(operands, argv, o.join, usage, &o.name);

	if (time && !str_to_ms(str_of(time), 1000, 1000, KEY_JOIN_MAX_MS, &o.for_ms))
		opts_misuse(usage, "a time is seconds or 15m, 2h, not \"%s\"", time);
	char *data = o.data ? mem_dup(o.data) : server_default_data(&e);
	int rc = data ? 0 : -1;

	if (rc == 0 && a->named && !o.name) {
		rc = cli_new_id(made_up + 5, &e);
		o.name = made_up;
	}
	if (rc == 0)
		rc = act(&o, data, a, &e);
	free(data);
	return rc < 0 ? applet_fail("server", &e) : rc;
}
