/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a registry, see registry.h. */
#include "oci/registry.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/registry_int.h"
#include "oci/where.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ATTEMPTS_MAX 6
#define LOGINS_MAX 2 /* a token may have run out in between */
#define REDIRECTS_MAX 5
#define BACKOFF_MS 500
#define STALL_MS 60000
#define HUB "docker.io"
#define HUB_HOST "registry-1.docker.io" /* where it is served */

static const char accept_types[] = MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_INDEX
						   ", " MEDIA_DOCKER_MANIFEST;

int registry_open(struct registry **out, const char *host, const struct registry_options *o,
                  struct err *e)
{
	struct registry *r = mem_alloc(sizeof(*r));
	struct buf url = { 0 };
	int rc;

	r->o = o;
	r->host = mem_dup(host);
	for (size_t i = 0; i < o->n_plain_http; i++)
		r->plain = r->plain || strcasecmp(o->plain_http[i], host) == 0;
	r->plain = r->plain || where_is_plain(host);
	buf_addf(&url, "%s://%s", r->plain ? "http" : "https",
	         strcmp(host, HUB) == 0 ? HUB_HOST : host);
	rc = origin_open(&r->origin, buf_cstr(&url), o, e);
	buf_free(&url);
	if (rc < 0) {
		registry_close(r);
		return err_wrap(e, "registry %s", host);
	}
	*out = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	origin_close(&r->origin);
	login_free(&r->login);
	buf_wipe(&r->authorization);
	free(r->host);
	free(r);
}

/* {"errors":[{"code":"…","message":"…"}]} */
static void add_reason(const struct http_reply *reply, struct buf *b)
{
	struct err ignored = { 0 };
	struct json_doc *doc = json_parse(buf_str(&reply->body), HTTP_BODY_MAX, &ignored);
	struct json first = json_first(json_get(json_root(doc), "errors"));
	char *code = json_dup_or_empty(json_get(first, "code"));
	char *message = json_dup_or_empty(json_get(first, "message"));

	if (*code || *message)
		buf_adds(b, ": ");
	buf_add_printable(b, str_of(*message ? message : code), false);
	buf_cut(b, b->n < 200 ? b->n : 200);
	free(code);
	free(message);
	json_doc_free(doc);
}

int registry_refused(const struct registry *r, const struct http_reply *reply, const char *what,
                     struct err *e)
{
	int status = reply->status;
	struct buf why = { 0 };

	add_reason(reply, &why);
	if (status == 401 || status == 403)
		err_set(e, ERR_DENIED, status, "%s does not give %s to %s (HTTP %d%s)", r->host,
		        what, r->login.user ? r->login.user : "whoever has no login", status,
		        buf_cstr(&why));
	else if (status == 404)
		err_set(e, ERR_NOT_FOUND, status, "%s has no %s (HTTP 404%s)", r->host, what,
		        buf_cstr(&why));
	else
		err_set(e, ERR_HTTP, status, "%s answers HTTP %d to %s%s", r->host, status, what,
		        buf_cstr(&why));
	buf_free(&why);
	return -1;
}

bool registry_wait(const struct registry *r, int attempt, int64_t asked_ms, const char *why,
                   struct deadline d)
{
	int64_t ms = asked_ms >= 0 ? asked_ms : (int64_t)BACKOFF_MS << attempt;
	struct deadline until = deadline_in_ms(ms);

	if (ms >= deadline_left_ms(d))
		return false;
	if (r->o->say) {
		struct buf b = { 0 };

		buf_addf(&b, "%s: %s; trying again in %lld s", r->host, why,
		         (long long)(ms + 999) / 1000);
		r->o->say(r->o->arg, buf_cstr(&b));
		buf_free(&b);
	}
	while (!deadline_passed(until))
		(void)poll(NULL, 0, deadline_poll_ms(until));
	return true;
}

static bool is_busy(int status)
{
	return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool registry_again(const struct registry *r, const struct http_reply *reply, int *attempts,
                    struct deadline d)
{
	char why[40];

	snprintf(why, sizeof(why), "HTTP %d", reply->status);
	return is_busy(reply->status) && ++*attempts < ATTEMPTS_MAX &&
	       registry_wait(r, *attempts - 1, reply->retry_after_ms, why, d);
}

/* A file that no digest is known of. */
struct file_in {
	int fd;
	int64_t got, max;
};

/* One thing that is asked for, over all attempts. */
struct ask {
	const char *path; /* the repository's, for the scope of a token */
	const char *what; /* for messages */
	const char *accept;
	struct buf target;
	struct blob_in *blob; /* NULL: into the file */
	struct file_in *file; /* NULL: into the reply */
	/* Of what is pushed: */
	const char *method, *type; /* NULL: GET */
	struct str body;
	int want; /* status; 0: 200 */
	struct http_reply *reply;
	struct origin away; /* where a redirect led */
	struct buf away_target;
	bool is_away;
	int logins, redirects, attempts;
};

static int reset_blob(struct ask *a, struct err *e)
{
	if (a->file) {
		a->file->got = 0;
		return ftruncate(a->file->fd, 0) < 0 || lseek(a->file->fd, 0, SEEK_SET) < 0
		               ? err_sys(e, errno, "write %s", a->what)
		               : 0;
	}
	return a->blob && blob_have(a->blob) ? blob_restart(a->blob, e) : 0;
}

struct flow {
	struct registry *r;
	struct ask *a;
	uint64_t from; /* asked for */
	bool begun;
};

/* A part only counts if it is the one that was asked for. */
static int begin_body(struct flow *f, struct err *e)
{
	struct str range = http_head_get(&f->a->reply->h, "Content-Range");
	char want[48];

	f->begun = true;
	if (f->a->reply->status != 206)
		return reset_blob(f->a, e);
	snprintf(want, sizeof(want), "bytes %llu-", (unsigned long long)f->from);
	return str_starts(range, want)
	               ? 0
	               : err_set(e, ERR_PARSE, 0, "%s sends another part than the one asked for",
	                         f->r->host);
}

static int take(void *arg, struct str bytes, struct err *e)
{
	struct flow *f = arg;

	if (!f->begun && begin_body(f, e) < 0)
		return -1;
	if (f->a->file && (f->a->file->got += (int64_t)bytes.n) > f->a->file->max)
		return err_set(e, ERR_LIMIT, 0, "it is larger than %lld MiB",
		               (long long)(f->a->file->max >> 20));
	if (f->a->file)
		return file_write_all(f->a->file->fd, bytes, f->a->what, e);
	if (blob_add(f->a->blob, bytes, e) < 0)
		return -1;
	if (f->r->o->came)
		f->r->o->came(f->r->o->arg, bytes.n);
	return 0;
}

static int exchange(struct registry *r, struct ask *a, struct deadline d, struct err *e)
{
	struct http_field fields[3];
	struct flow f = { .r = r, .a = a, .from = a->blob ? blob_have(a->blob) : 0 };
	char range[48];
	struct http_request req = { .method = a->method ? a->method : "GET",
		                    .body = a->body,
		                    .content_type = a->type,
		                    .fields = fields,
		                    .target = buf_cstr(a->is_away ? &a->away_target : &a->target),
		                    .max_body = MANIFEST_MAX };

	fields[req.n_fields++] = (struct http_field){ "Accept", a->accept };
	if (!a->is_away && r->authorization.n)
		fields[req.n_fields++] = (struct http_field){ "Authorization",
			                                      buf_cstr(&r->authorization) };
	if (f.from) {
		snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)f.from);
		fields[req.n_fields++] = (struct http_field){ "Range", range };
	}
	if (a->blob || a->file) {
		req.sink = take;
		req.sink_arg = &f;
		req.stall_ms = STALL_MS;
	}
	http_reply_free(a->reply);
	/* A blob may take as long as something comes. */
	return http_do(a->is_away ? a->away.http : r->origin.http, &req, a->reply,
	               req.sink || a->body.n > MANIFEST_MAX
	                       ? d
	                       : deadline_min(d, deadline_in_ms(REGISTRY_CALL_MS)),
	               e);
}

/* Storage elsewhere gets the path with its own signature in it, and nothing else of ours. */
static int redirect(struct registry *r, struct ask *a, struct err *e)
{
	const struct url *from = a->is_away ? &a->away.url : &r->origin.url;
	struct str location = http_head_get(&a->reply->h, "Location");
	struct url base = { 0 }, to = { 0 };
	struct buf b = { 0 };
	int rc = -1;

	url_origin(from, &b);
	buf_adds(&b, buf_cstr(a->is_away ? &a->away_target : &a->target));
	if (++a->redirects > REDIRECTS_MAX || !location.n)
		err_set(e, ERR_HTTP, a->reply->status, "%s redirects %s without end", r->host,
		        a->what);
	else if (url_parse(buf_str(&b), &base, e) == 0 &&
	         url_resolve(&base, location, &to, e) == 0) {
		if (url_is_tls(from) && !url_is_tls(&to)) {
			err_set(e, ERR_DENIED, a->reply->status,
			        "%s redirects %s to %s, which is not encrypted", r->host, a->what,
			        to.host);
		} else {
			origin_close(&a->away);
			buf_reset(&a->away_target);
			buf_addf(&a->away_target, "%s%s%s", *to.path ? to.path : "/",
			         to.query ? "?" : "", to.query ? to.query : "");
			a->is_away = true;
			rc = origin_open_url(&a->away, &to, r->o, e);
		}
	}
	url_free(&base);
	url_free(&to);
	buf_free(&b);
	return rc;
}

static void come_home(struct ask *a)
{
	origin_close(&a->away);
	a->is_away = false;
	a->redirects = 0;
}

static int log_in(struct registry *r, struct ask *a, struct deadline d, struct err *e)
{
	struct buf scope = { 0 };
	int rc;

	if (a->is_away || ++a->logins > LOGINS_MAX)
		return registry_refused(r, a->reply, a->what, e);
	buf_addf(&scope, "repository:%s:pull%s", a->path, a->method ? ",push" : "");
	rc = registry_authorize(r, a->reply, buf_cstr(&scope), d, e);
	buf_free(&scope);
	return rc;
}

static bool may_pass(const struct err *e)
{
	return e->kind == ERR_CLOSED || e->kind == ERR_CONNECT || e->kind == ERR_TIMEOUT ||
	       e->kind == ERR_RESOLVE;
}

/* The connection broke. What came counts, and as long as something comes it is no failure. */
static int broken(struct registry *r, struct ask *a, uint64_t before, struct deadline d,
                  struct err *e)
{
	if (a->blob && blob_have(a->blob) > before)
		a->attempts = 0;
	come_home(a);
	if (!may_pass(e) || ++a->attempts >= ATTEMPTS_MAX || deadline_passed(d) ||
	    !registry_wait(r, a->attempts - 1, -1, e->msg, d))
		return -1;
	err_clear(e);
	return 1;
}

/* 0 it is there; 1 once more; -1. */
static int attempt(struct registry *r, struct ask *a, struct deadline d, struct err *e)
{
	uint64_t before = a->blob ? blob_have(a->blob) : 0;
	int status;

	if (exchange(r, a, d, e) < 0)
		return broken(r, a, before, d, e);
	status = a->reply->status;
	if (status == (a->want ? a->want : 200) || (status == 206 && a->blob && before))
		return 0;
	if (status == 401)
		return log_in(r, a, d, e) < 0 ? -1 : 1;
	if (status == 416 && before) /* it has no more than that, or other bytes */
		return reset_blob(a, e) < 0 ? -1 : 1;
	if (status / 100 == 3 && status != 304 && !a->method)
		return redirect(r, a, e) < 0 ? -1 : 1;
	come_home(a);
	return registry_again(r, a->reply, &a->attempts, d)
	               ? 1
	               : registry_refused(r, a->reply, a->what, e);
}

static int ask(struct registry *r, struct ask *a, struct deadline d, struct err *e)
{
	int rc;

	do
		rc = attempt(r, a, d, e);
	while (rc > 0);
	origin_close(&a->away);
	buf_free(&a->away_target);
	buf_free(&a->target);
	return rc;
}

static int check_digest(const struct http_reply *reply, const char *what, struct err *e)
{
	struct str said = http_head_get(&reply->h, "Docker-Content-Digest");
	struct digest is, want;

	digest_of(buf_str(&reply->body), &is);
	if (digest_parse(str_of(what), &want) && !digest_eq(&is, &want))
		return err_set(e, ERR_PARSE, 0, "its digest is %s", is.text);
	if (digest_parse(said, &want) && !digest_eq(&is, &want))
		return err_set(e, ERR_PARSE, 0, "its digest is %s, and the registry says %s",
		               is.text, want.text);
	return 0;
}

int registry_manifest(struct registry *r, const char *path, const char *what, struct buf *text,
                      char **media_type, struct deadline d, struct err *e)
{
	struct http_reply reply = { 0 };
	struct buf name = { 0 };
	struct ask a = { .path = path, .accept = accept_types, .reply = &reply };
	struct str type;
	int rc;

	buf_addf(&name, "%s%s%s", path, strchr(what, ':') ? "@" : ":", what);
	a.what = buf_cstr(&name);
	buf_addf(&a.target, "/v2/%s/manifests/%s", path, what);
	rc = ask(r, &a, d, e);
	if (rc == 0 && (rc = check_digest(&reply, what, e)) < 0)
		err_wrap(e, "manifest %s of %s", a.what, r->host);
	if (rc == 0) {
		const char *cut;

		type = http_head_get(&reply.h, "Content-Type");
		cut = type.n ? memchr(type.p, ';', type.n) : NULL;
		type = str_trim((struct str){ type.p, cut ? (size_t)(cut - type.p) : type.n });
		*media_type = mem_dupn(type.p ? type.p : "", type.n);
		buf_add_str(text, buf_str(&reply.body));
	}
	http_reply_free(&reply);
	buf_free(&name);
	return rc;
}

int registry_blob(struct registry *r, const char *path, const struct digest *digest,
                  struct blob_in *b, struct deadline d, struct err *e)
{
	struct http_reply reply = { 0 };
	struct ask a = {
		.path = path, .what = digest->text, .accept = "*/*", .blob = b, .reply = &reply
	};
	int rc;

	buf_addf(&a.target, "/v2/%s/blobs/%s", path, digest->text);
	rc = ask(r, &a, d, e);
	http_reply_free(&reply);
	return rc;
}

int registry_file(struct registry *r, const char *target, int fd, int64_t max, struct deadline d,
                  struct err *e)
{
	struct http_reply reply = { 0 };
	struct file_in file = { .fd = fd, .max = max };
	struct ask a = { .what = target,
		         .accept = "*/*",
		         .file = &file,
		         .reply = &reply,
		         .logins = LOGINS_MAX };
	int rc;

	buf_adds(&a.target, target);
	rc = ask(r, &a, d, e);
	http_reply_free(&reply);
	return rc;
}

/* ---- push ---- */

/* Where the blob goes: below the registry itself, since the login goes with it. */
static int upload_target(const struct registry *r, const struct http_reply *reply,
                         const struct digest *d, struct buf *target, struct err *e)
{
	struct str location = http_head_get(&reply->h, "Location");
	struct url base = { 0 }, to = { 0 };
	struct buf own = { 0 }, its = { 0 };
	int rc = -1;

	url_origin(&r->origin.url, &own);
	if (url_parse(buf_str(&own), &base, e) == 0 && url_resolve(&base, location, &to, e) == 0) {
		url_origin(&to, &its);
		rc = strcmp(buf_cstr(&own), buf_cstr(&its)) == 0
		             ? 0
		             : err_set(e, ERR_DENIED, 0, "%s wants uploads sent to %s", r->host,
		                       to.host);
	}
	if (rc == 0) {
		buf_addf(target, "%s?%s%s", *to.path ? to.path : "/", to.query ? to.query : "",
		         to.query ? "&" : "");
		buf_adds(target, "digest=");
		buf_add_urlenc(target, str_of(d->text));
	}
	url_free(&base);
	url_free(&to);
	buf_free(&own);
	buf_free(&its);
	return rc;
}

int registry_push_blob(struct registry *r, const char *path, const struct digest *digest,
                       struct str bytes, struct deadline d, struct err *e)
{
	struct http_reply reply = { 0 };
	struct err missing = { 0 };
	struct ask head = { .path = path,
		            .what = digest->text,
		            .accept = "*/*",
		            .method = "HEAD",
		            .reply = &reply };
	struct ask post = { .path = path,
		            .what = digest->text,
		            .accept = "*/*",
		            .method = "POST",
		            .want = 202,
		            .reply = &reply };
	struct ask put = { .path = path,
		           .what = digest->text,
		           .accept = "*/*",
		           .method = "PUT",
		           .want = 201,
		           .type = "application/octet-stream",
		           .body = bytes,
		           .reply = &reply };
	int rc;

	buf_addf(&head.target, "/v2/%s/blobs/%s", path, digest->text);
	rc = ask(r, &head, d, &missing);
	if (rc < 0 && missing.kind == ERR_NOT_FOUND) {
		buf_addf(&post.target, "/v2/%s/blobs/uploads/", path);
		rc = ask(r, &post, d, e);
		if (rc == 0)
			rc = upload_target(r, &reply, digest, &put.target, e);
		if (rc == 0)
			rc = ask(r, &put, d, e);
		buf_free(&put.target);
	} else if (rc < 0) {
		*e = missing;
	}
	http_reply_free(&reply);
	return rc;
}

int registry_push_manifest(struct registry *r, const char *path, const char *tag,
                           const char *media_type, struct str text, struct deadline d,
                           struct err *e)
{
	struct http_reply reply = { 0 };
	struct ask a = { .path = path,
		         .what = tag,
		         .accept = "*/*",
		         .method = "PUT",
		         .want = 201,
		         .type = media_type,
		         .body = text,
		         .reply = &reply };
	int rc;

	buf_addf(&a.target, "/v2/%s/manifests/%s", path, tag);
	rc = ask(r, &a, d, e);
	http_reply_free(&reply);
	return rc;
}
