/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP and WebSocket clients as a program, for the black-box tests of src/net:
 *   httpget [OPTION]... URL TARGET...
 * asks for each target in turn on one client and prints one JSON object a line: what came back, or the error.
 * Options are the letters below. Between targets it waits for a line on stdin if -w is given.
 */
#include "base/deadline.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/ws.h"

#include <signal.h>
#include <unistd.h>

#define FIELDS_MAX 8

struct options {
	struct tls_settings tls;
	struct http_request req;
	struct http_field fields[FIELDS_MAX];
	struct conn_target target;
	struct url url, proxy;
	int64_t timeout_ms, gen_bytes;
	const char *proxy_text, *no_proxy, *command, *message;
	struct buf body;
	bool env_proxy, stream_body, use_sink, wait, ws, print_proxy;
};

struct sink {
	struct sha256 *sha;
	size_t n;
};

static int on_bytes(void *arg, struct str s, struct err *e)
{
	struct sink *k = arg;

	(void)e;
	sha256_add(k->sha, s.p, s.n);
	k->n += s.n;
	return 0;
}

struct source {
	struct str rest;
};

static int next_bytes(void *arg, struct buf *b, struct err *e)
{
	struct source *s = arg;
	size_t n = s->rest.n < 5000 ? s->rest.n : 5000;

	(void)e;
	buf_add(b, s->rest.p, n);
	s->rest.p += n;
	s->rest.n -= n;
	return s->rest.n > 0;
}

static void print_line(struct buf *b)
{
	jw_obj_end(b);
	buf_addc(b, '\n');
	fwrite(b->p, 1, b->n, stdout);
	fflush(stdout);
	buf_reset(b);
}

static void print_err(struct buf *b, const struct err *e)
{
	jw_kstr(b, "error", e->msg);
	jw_kint(b, "kind", e->kind);
	jw_kint(b, "code", e->code);
}

static void print_digest(struct buf *out, const unsigned char digest[32])
{
	struct buf hex = { 0 };

	buf_add_hex(&hex, digest, 32);
	jw_kstr(out, "sha256", buf_cstr(&hex));
	buf_free(&hex);
}

static int ask(struct http_client *c, struct options *o, const char *target, struct buf *out)
{
	struct http_reply reply = { 0 };
	struct err e = { 0 };
	struct sink sink = { .sha = sha256_new() };
	struct source source = { buf_str(&o->body) };
	unsigned char digest[32];
	int64_t start = clock_mono_ms();
	int rc;

	o->req.target = target;
	if (o->use_sink) {
		o->req.sink = on_bytes;
		o->req.sink_arg = &sink;
	}
	if (o->stream_body) {
		o->req.body_source = next_bytes;
		o->req.body_arg = &source;
	} else {
		o->req.body = buf_str(&o->body);
	}
	rc = http_do(c, &o->req, &reply, deadline_in_ms(o->timeout_ms), &e);
	if (rc == 0 && !o->use_sink)
		on_bytes(&sink, buf_str(&reply.body), &e);
	sha256_end(sink.sha, digest);
	jw_obj(out);
	if (rc < 0) {
		print_err(out, &e);
	} else {
		jw_kint(out, "status", reply.status);
		jw_kint(out, "length", (int64_t)sink.n);
		print_digest(out, digest);
		jw_kint(out, "retry_after_ms", reply.retry_after_ms);
		jw_key(out, "body");
		jw_str(out, reply.body.n < 4096 ? buf_str(&reply.body) : (struct str){ 0 });
	}
	jw_kint(out, "sent", http_request_sent(c));
	jw_kint(out, "connects", (int64_t)http_client_stats(c).connects);
	jw_kint(out, "ms", clock_mono_ms() - start);
	print_line(out);
	http_reply_free(&reply);
	return rc;
}

static void on_message(void *arg, struct str payload)
{
	struct buf *out = arg;

	jw_obj(out);
	jw_key(out, "message");
	jw_str(out, payload);
	print_line(out);
}

/* Sends the message if there is one, then prints what comes until the end. */
static void websocket(struct options *o, const char *target, struct buf *out)
{
	struct ws_client *w = ws_client_new(&o->target, target, o->fields, o->req.n_fields,
	                                    deadline_in_ms(o->timeout_ms));
	struct deadline end = deadline_in_ms(o->timeout_ms);
	struct pollset ps = { 0 };
	struct err e = { 0 };
	bool said = false;
	enum ws_status s;

	while ((s = ws_client_step(w, on_message, out, &e)) != WS_CLOSED) {
		if (s == WS_OPEN && o->message && !said)
			said = ws_client_send(w, str_of(o->message), 1 << 20);
		if (deadline_passed(end)) {
			ws_client_close(w);
			end = DEADLINE_NEVER;
		}
		pollset_reset(&ps);
		ws_client_poll(w, &ps);
		pollset_until(&ps, end);
		if (said && ws_client_queued(w))
			pollset_until(&ps, (struct deadline){ 0 });
		if (pollset_wait(&ps, &e) < 0)
			break;
	}
	jw_obj(out);
	print_err(out, &e);
	jw_kint(out, "close_code", ws_client_close_code(w));
	print_line(out);
	pollset_free(&ps);
	ws_client_free(w);
}

static int misuse(const char *what)
{
	fprintf(stderr, "httpget: %s\n", what);
	return 2;
}

static int parse(struct options *o, int argc, char **argv)
{
	int64_t n;
	char *colon;

	for (int opt;
	     (opt = getopt(argc, argv, "X:d:G:H:c:C:p:IikK:e:x:N:Et:fFSs:m:wWM:r:uPaT:")) != -1;) {
		switch (opt) {
		case 'X':
			o->req.method = optarg;
			break;
		case 'd':
			buf_adds(&o->body, optarg);
			break;
		case 'G':
			if (!str_to_i64(str_of(optarg), 0, 1 << 28, &n))
				return -1;
			for (int64_t i = 0; i < n; i++)
				buf_addc(&o->body, (char)('a' + i * 7 % 26));
			break;
		case 'H':
			colon = strchr(optarg, ':');
			if (!colon || o->req.n_fields == FIELDS_MAX)
				return -1;
			*colon = '\0';
			o->fields[o->req.n_fields++] = (struct http_field){
				optarg, colon + 1 + (colon[1] == ' ')
			};
			break;
		case 'c':
			o->tls.ca_file = optarg;
			break;
		case 'C':
			o->tls.ca_dir = optarg;
			break;
		case 'p':
			o->tls.pin_sha256 = optarg;
			break;
		case 'i':
			o->tls.insecure = true;
			break;
		case 'K':
			o->tls.client_cert = optarg;
			break;
		case 'e':
			o->tls.client_key = optarg;
			break;
		case 'x':
			o->proxy_text = optarg;
			break;
		case 'N':
			o->no_proxy = optarg;
			break;
		case 'E':
			o->env_proxy = true;
			break;
		case 'f':
			o->req.follow = true;
			break;
		case 'F':
			o->stream_body = true;
			break;
		case 'S':
			o->use_sink = true;
			break;
		case 's':
		case 't':
		case 'm':
			if (!str_to_i64(str_of(optarg), 1, INT32_MAX, &n))
				return -1;
			if (opt == 's')
				o->req.stall_ms = n;
			else if (opt == 't')
				o->timeout_ms = n;
			else
				o->req.max_body = (size_t)n;
			break;
		case 'w':
			o->wait = true;
			break;
		case 'W':
			o->ws = true;
			break;
		case 'M':
			o->message = optarg;
			break;
		case 'r':
			o->command = optarg;
			break;
		case 'u':
			o->req.upgrade = true;
			break;
		case 'P':
			o->print_proxy = true;
			break;
		case 'I':
			o->req.idempotent = true;
			break;
		case 'a':
			o->req.no_keep_alive = true;
			break;
		case 'T':
			o->req.content_type = optarg;
			break;
		default:
			return -1;
		}
	}
	return argc - optind < 2 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .req.method = "GET", .timeout_ms = 10000 };
	const char *command[] = { "sh", "-c", NULL, NULL };
	struct tls_ctx *tls = NULL;
	struct http_client *c;
	struct buf out = { 0 };
	struct err e = { 0 };
	const char *proxy;
	int rc = 0;

	signal(SIGPIPE, SIG_IGN);
	o.req.fields = o.fields;
	if (parse(&o, argc, argv) < 0)
		return misuse("wrong options, see the source");
	if (url_parse(str_of(argv[optind]), &o.url, &e) < 0 ||
	    tls_ctx_new(&tls, &o.tls, false, &e) < 0)
		goto failed;
	o.target = (struct conn_target){ .url = &o.url, .tls = tls };
	if (strcmp(o.url.scheme, "tcp") == 0 || strcmp(o.url.scheme, "unix") == 0)
		o.target.tls = NULL;
	proxy = o.env_proxy || o.proxy_text ? proxy_for(&o.url, o.proxy_text, o.no_proxy) : NULL;
	if (o.proxy_text && !proxy && url_is_loopback(&o.url))
		proxy = o.proxy_text; /* the tests have loopback only */
	if (o.print_proxy) {
		printf("%s\n", proxy ? proxy : "direct");
		goto out;
	}
	if (proxy && proxy_parse(proxy, &o.proxy, &e) < 0)
		goto failed;
	o.target.proxy = proxy ? &o.proxy : NULL;
	command[2] = o.command;
	o.target.command = o.command ? command : NULL;
	c = http_client_new(&o.target, "httpget/1");
	for (int i = optind + 1; i < argc; i++) {
		if (o.wait && i > optind + 1)
			while (getchar() != '\n' && !feof(stdin))
				;
		if (o.ws)
			websocket(&o, argv[i], &out);
		else if (ask(c, &o, argv[i], &out) < 0)
			rc = 1;
	}
	http_client_free(c);
	goto out;
failed:
	jw_obj(&out);
	print_err(&out, &e);
	print_line(&out);
	rc = 1;
out:
	tls_ctx_free(tls);
	url_free(&o.url);
	url_free(&o.proxy);
	buf_free(&o.body);
	buf_free(&out);
	return rc;
}
