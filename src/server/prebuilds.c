/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prebuilds of workspace templates: a push that a git host tells us of becomes a build, and old builds go. How many commits
 * lie between two pushes is counted as they come. The host's hook is signed with the hash of the client key that is named
 * "webhook"; what it asks to build is run by a runner.
 */
#include "server/builds.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "net/tls.h"
#include "server/git.h"

#include <stdlib.h>

#define HOOK_KEY "webhook"
#define SHA256_BLOCK 64 /* also the length of a key's hash as text: it is the HMAC's key as it is */
#define SHA256_SIZE 32

static void view(struct buf *b, const struct rec *p, bool whole)
{
	jw_obj(b);
	rec_write(p, b, "id", NULL);
	if (whole)
		rec_write(p, b, "workspaceTemplateName", NULL);
	rec_write(p, b, "branch", NULL);
	rec_write(p, b, "commitInterval", NULL);
	rec_write(p, b, "triggerFiles", NULL);
	rec_write(p, b, "retention", NULL);
	jw_obj_end(b);
}

static const struct rec *first_of(const struct srv *s, const char *template)
{
	return store_find(&s->store, K_PREBUILD, "workspaceTemplateName", template);
}

static const struct rec *next_of(const struct srv *s, const struct rec *p)
{
	return store_find_next(&s->store, p, "workspaceTemplateName");
}

bool prebuilds_wanted(const struct srv *s, const char *url)
{
	const struct rec *t = store_find(&s->store, K_TEMPLATE, "repositoryUrl", url);

	while (t && !first_of(s, rec_text(t, "name")))
		t = store_find_next(&s->store, t, "repositoryUrl");
	return t != NULL;
}

void prebuilds_moved(struct srv *s, const struct rec *t, const char *from)
{
	const char *config = rec_text(t, "gitProviderConfigId"), *to = rec_text(t, "repositoryUrl");

	if (!first_of(s, rec_text(t, "name")) || strcmp(from, to) == 0)
		return;
	struct change *ch = change_begin(&s->store);
	struct err ignored = { 0 }; /* it is asked for once, then */

	for (const struct rec *p = first_of(s, rec_text(t, "name")); p; p = next_of(s, p))
		rec_set_bool(change_edit(ch, p), "hookDue", true);
	hooks_leave(s, ch, from, config);
	change_commit(ch, &ignored);
	browse_hook(s, from, config);
	browse_hook(s, to, config);
}

static void set_hook(struct call *c)
{
	const struct rec *t = store_find(&c->s->store, K_TEMPLATE, "name", c->param[0]);

	browse_hook(c->s, rec_text(t, "repositoryUrl"), rec_text(t, "gitProviderConfigId"));
}

void prebuilds_view(const struct srv *s, struct buf *b, const struct rec *template)
{
	const struct rec *p = first_of(s, rec_text(template, "name"));

	if (!p) {
		jw_null(b);
		return;
	}
	jw_arr(b);
	for (; p; p = next_of(s, p))
		view(b, p, false);
	jw_arr_end(b);
}

void h_prebuild_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *p = store_first(&c->s->store, K_PREBUILD); p; p = store_next(p))
		view(&b, p, true);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

void h_prebuild_of(struct call *c)
{
	struct buf b = { 0 };

	if (!template_param(c, 404, "list prebuilds"))
		return;
	jw_arr(&b);
	for (const struct rec *p = first_of(c->s, c->param[0]); p; p = next_of(c->s, p))
		view(&b, p, true);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

/* Of the template that the path names; NULL: answered. */
static const struct rec *asked(struct call *c)
{
	const struct rec *p = store_find(&c->s->store, K_PREBUILD, "id", c->param[1]);

	if (p && rec_is(p, "workspaceTemplateName", c->param[0]))
		return p;
	reply_error(c, 404, "failed to find prebuild: prebuild not found");
	return NULL;
}

void h_prebuild_get(struct call *c)
{
	const struct rec *p = asked(c);
	struct buf b = { 0 };

	if (!p)
		return;
	view(&b, p, true);
	reply_json(c, 200, &b);
}

/* ---- builds of a prebuild ---- */

static const struct rec *first_build(const struct srv *s, const char *id)
{
	return store_find(&s->store, K_BUILD, "prebuildId", id);
}

static const struct rec *next_build(const struct srv *s, const struct rec *build)
{
	return store_find_next(&s->store, build, "prebuildId");
}

static bool ended_so(const struct srv *s, const struct rec *build, const char *name)
{
	struct state st;

	state_of(s, build, &st);
	return strcmp(st.name, name) == 0;
}

/* One that could not be deleted counts among the failed ones, and is tried again. */
static void retire(struct srv *s, struct change *ch, const struct rec *p, const char *name)
{
	const struct rec *first = first_build(s, rec_text(p, "id"));
	struct err ignored = { 0 };
	int64_t n = 0;

	for (const struct rec *b = first; b; b = next_build(s, b))
		n += ended_so(s, b, name);
	for (const struct rec *b = first; b; b = next_build(s, b))
		if (ended_so(s, b, name) && n-- > rec_int(p, "retention"))
			build_delete_job(s, ch, b, false, &ignored);
}

void prebuild_retain(struct srv *s, const char *id)
{
	const struct rec *p = store_find(&s->store, K_PREBUILD, "id", id);
	struct change *ch = change_begin(&s->store);
	struct err ignored = { 0 };

	if (p) {
		retire(s, ch, p, "run-successful");
		retire(s, ch, p, "error");
	}
	/* What cannot be kept now is looked at again after the next build. */
	change_commit(ch, &ignored);
}

static int prebuild_remove(struct srv *s, struct change *ch, const struct rec *p, bool force,
                           struct err *e)
{
	for (const struct rec *b = first_build(s, rec_text(p, "id")); b; b = next_build(s, b))
		if (!is_deleted(s, b) && build_delete_job(s, ch, b, force, e) < 0 && !force)
			return -1;
	err_clear(e);
	change_remove(ch, p);
	return 0;
}

int prebuilds_remove(struct srv *s, struct change *ch, const char *template, bool force,
                     struct err *e)
{
	for (const struct rec *p = first_of(s, template); p; p = next_of(s, p))
		if (prebuild_remove(s, ch, p, force, e) < 0)
			return -1;
	return 0;
}

void h_prebuild_delete(struct call *c)
{
	bool force;
	const struct rec *p = call_force(c, &force) ? asked(c) : NULL;
	struct err e = { 0 };

	if (!p)
		return;
	struct change *ch = change_begin(&c->s->store);
	const struct rec *t = store_find(&c->s->store, K_TEMPLATE, "name", c->param[0]);
	int rc = prebuild_remove(c->s, ch, p, force, &e);

	if (rc < 0) {
		change_drop(ch);
	} else {
		hooks_leave(c->s, ch, rec_text(t, "repositoryUrl"),
		            rec_text(t, "gitProviderConfigId"));
		rc = change_commit(ch, &e);
	}
	if (rc < 0)
		reply_error(c, error_status(&e), "failed to delete prebuild: %s", e.msg);
	else
		reply_empty(c, 204);
	if (rc == 0)
		set_hook(c);
}

/* The one of that id, or NULL with e when another one has the branch, or the id is another template's. */
static int check(struct srv *s, const char *template, const char *id, const char *branch,
                 const struct rec **old, struct err *e)
{
	*old = id[0] ? store_find(&s->store, K_PREBUILD, "id", id) : NULL;
	if (*old && !rec_is(*old, "workspaceTemplateName", template))
		return err_set(e, ERR_EXISTS, 0, "prebuild belongs to another workspace template");
	for (const struct rec *p = first_of(s, template); p; p = next_of(s, p))
		if (p != *old && rec_is(p, "branch", branch))
			return err_set(
				e, ERR_EXISTS, 0,
				"prebuild for the specified workspace template and branch already exists");
	return 0;
}

static int save(struct srv *s, const char *template, struct json body, struct buf *id,
                struct err *e)
{
	struct json interval = json_get(body, "commitInterval"),
		    files = json_get(body, "triggerFiles");
	char *branch = json_dup_or_empty(json_get(body, "branch"));
	const struct rec *old = NULL;
	char fresh[ID_SIZE];
	int64_t retention = 0, n;
	int rc = 0;

	json_string(json_get(body, "id"), id);
	json_i64(json_get(body, "retention"), INT64_MIN, INT64_MAX, &retention);
	if (!branch[0]) {
		free(branch);
		branch = mem_dup("main");
	}
	if (json_is_null(interval) && !json_len(files))
		rc = err_set(e, ERR_USAGE, 0,
		             "either the commit interval or trigger files must be specified");
	else if (retention < 1 ||
	         (!json_is_null(interval) && !json_i64(interval, 1, INT64_MAX, &n)))
		rc = err_set(e, ERR_USAGE, 0,
		             "the retention and the commit interval must be greater than 0");
	else
		rc = check(s, template, buf_cstr(id), branch, &old, e);
	if (rc == 0 && !id->n && (rc = new_id(fresh, e)) == 0)
		buf_adds(id, fresh);
	if (rc == 0) {
		struct change *ch = change_begin(&s->store);
		struct rec *p = old ? change_edit(ch, old) : change_add(ch, K_PREBUILD);

		rec_set(p, "id", buf_cstr(id));
		rec_set(p, "workspaceTemplateName", template);
		rec_set(p, "branch", branch);
		rec_set_value(p, "commitInterval", interval);
		rec_set_value(p, "triggerFiles", files);
		rec_set_int(p, "retention", retention);
		rec_set_bool(p, "hookDue", true);
		rc = change_commit(ch, e);
	}
	free(branch);
	return rc;
}

void h_prebuild_set(struct call *c)
{
	struct json body;
	struct buf id = { 0 };
	struct err e = { 0 };

	if (!call_body(c, &dto_prebuild, &body) ||
	    !template_param(c, 404, "get workspace template"))
		return;
	if (save(c->s, c->param[0], body, &id, &e) < 0) {
		reply_error(c, error_status(&e), "failed to save prebuild: %s", e.msg);
	} else {
		prebuild_retain(c->s, buf_cstr(&id));
		reply_text(c, 201, buf_cstr(&id));
		set_hook(c);
	}
	buf_free(&id);
}

/* ---- what git hosts tell ---- */

#define TOLD_DIGITS 16   /* of the SHA-256 of a hook's body */
#define TOLD_MAX 128     /* bodies that a prebuild remembers */
#define WAITING_MAX 1000 /* builds that pushes may leave waiting */

/* What a git host sent. The id of a delivery is a header, which no signature covers: a body is known by its hash. */
struct event {
	struct json body;
	struct buf hash;
	int64_t at_ms;    /* of the push, by the git host's clock; 0: it does not say */
	const char *host; /* only what is there is meant; NULL: any */
};

/* One branch that was pushed to. */
struct push {
	char *branch, *sha;
	struct json commits; /* with the files that each changed, where the host says them */
	int64_t n;           /* of commits */
};

static bool touches(const struct rec *p, struct json commits)
{
	static const char *const lists[] = { "added", "modified", "removed" };
	struct err e = { 0 };
	struct json_doc *doc = json_parse(rec_json(p, "triggerFiles"), SIZE_MAX, &e);
	bool yes = false;

	for (struct json f = json_first(json_root(doc)); !yes && json_present(f);
	     f = json_next(f)) {
		char *name = json_dup_or_empty(f);

		for (struct json member = json_first(commits); json_present(member);
		     member = json_next(member))
			for (size_t i = 0; i < ARRAY_LEN(lists); i++)
				for (struct json value = json_first(json_get(member, lists[i]));
				     json_present(value); value = json_next(value))
					yes = yes || json_str_is(value, name);
		free(name);
	}
	json_doc_free(doc);
	return yes;
}

/* Was the prebuild told of it, or of a later push? Else it has been now. */
static bool is_old_news(struct change *ch, const struct rec *p, const struct event *event)
{
	struct str told = str_of(rec_text(p, "told"));
	struct buf b = { 0 };

	for (size_t i = 0; i + TOLD_DIGITS <= told.n; i += TOLD_DIGITS)
		if (memcmp(told.p + i, event->hash.p, TOLD_DIGITS) == 0)
			return true;
	if (event->at_ms && event->at_ms < rec_int(p, "toldAt"))
		return true;
	struct rec *draft = change_edit(ch, p);
	size_t skip = told.n >= TOLD_MAX * TOLD_DIGITS ? TOLD_DIGITS : 0;

	buf_addf(&b, "%s%.*s", told.p + skip, TOLD_DIGITS, event->hash.p);
	rec_set(draft, "told", buf_cstr(&b));
	if (event->at_ms)
		rec_set_int(draft, "toldAt", event->at_ms);
	buf_free(&b);
	return false;
}

/* No runner has begun it: its job waits. */
static bool waits(const struct srv *s, const struct rec *build)
{
	const struct rec *j = store_find(&s->store, K_JOB, "resourceId", rec_text(build, "id"));

	for (; j; j = store_find_next(&s->store, j, "resourceId"))
		if (rec_is(j, "resourceType", "build") && rec_is(j, "action", "run") &&
		    rec_is(j, "state", "pending"))
			return true;
	return false;
}

static bool too_many_wait(const struct srv *s)
{
	const struct rec *j = store_queue(&s->store, Q_PENDING, "");
	size_t n = 0;

	for (; j && n < WAITING_MAX; j = store_queue_next(j))
		n += rec_is(j, "resourceType", "build");
	return n >= WAITING_MAX;
}

/* Builds what the push makes due, or counts it. */
static int pushed(struct srv *s, struct change *ch, const struct rec *t, const struct rec *p,
                  const struct push *push, struct err *e)
{
	const struct rec *newest = NULL, *waiting = NULL;
	int64_t interval = rec_int(p, "commitInterval"), n = rec_int(p, "commits") + push->n;
	char id[ID_SIZE];

	for (const struct rec *b = first_build(s, rec_text(p, "id")); b; b = next_build(s, b))
		if (!is_deleted(s, b)) {
			newest = b;
			waiting = waits(s, b) ? b : waiting;
		}
	if (rec_is(p, "lastSha", push->sha))
		return 0; /* told twice */
	struct rec *draft = change_edit(ch, p);

	rec_set(draft, "lastSha", push->sha);
	if (newest && !(interval > 0 && n >= interval) && !touches(p, push->commits)) {
		rec_set_int(draft, "commits", n);
		return 0;
	}
	rec_set_int(draft, "commits", 0);
	if (waiting) {
		build_renew(ch, waiting, t, push->branch, push->sha, rec_json(t, "envVars"));
		return 0;
	}
	if (too_many_wait(s))
		return err_set(e, ERR_LIMIT, 0, "%d builds wait for a runner already", WAITING_MAX);
	return build_add(s, ch, t, push->branch, push->sha, rec_text(p, "id"),
	                 rec_json(t, "envVars"), id, e);
}

/* As people write a repository's address: with ".git" or not. */
static void plain_url(struct buf *b, struct json url)
{
	char *text = normal_repo_url(url);
	struct str s = str_of(text);

	if (str_ends(s, ".git"))
		s.n -= 4;
	buf_reset(b);
	buf_add_str(b, s);
	free(text);
}

/* Bitbucket Server names no address, but project and repository: ".../scm/PROJECT/NAME.git", or as a browser shows it. */
static bool is_named(const struct rec *t, struct json body)
{
	struct json repository = json_get(body, "repository");
	/* In small letters, as addresses are kept. */
	char *key = normal_repo_url(json_get(json_get(repository, "project"), "key"));
	char *slug = normal_repo_url(json_get(repository, "slug"));
	struct str own = str_of(rec_text(t, "repositoryUrl"));
	struct buf clone = { 0 }, shown = { 0 };
	bool yes;

	if (str_ends(own, ".git"))
		own.n -= 4;
	buf_addf(&clone, "/scm/%s/%s", key, slug);
	buf_addf(&shown, "/projects/%s/repos/%s", key, slug);
	yes = *key && *slug && (str_ends(own, buf_cstr(&clone)) || str_ends(own, buf_cstr(&shown)));
	buf_free(&clone);
	buf_free(&shown);
	free(key);
	free(slug);
	return yes;
}

static bool is_of(const struct rec *t, struct json body)
{
	static const char *const at[][2] = { { "repository", "html_url" },
		                             { "repository", "clone_url" },
		                             { "project", "web_url" },
		                             { "project", "git_http_url" } };
	struct buf url = { 0 };
	struct str own = str_of(rec_text(t, "repositoryUrl"));
	bool yes = false;

	if (str_ends(own, ".git"))
		own.n -= 4;
	for (size_t i = 0; i < ARRAY_LEN(at) && !yes; i++) {
		plain_url(&url, json_get(json_get(body, at[i][0]), at[i][1]));
		yes = url.n && str_eq(own, buf_cstr(&url));
	}
	if (!yes) {
		plain_url(&url, json_get(json_get(json_get(json_get(body, "repository"), "links"),
		                                  "html"),
		                         "href"));
		yes = url.n && str_eq(own, buf_cstr(&url));
	}
	buf_free(&url);
	return yes || is_named(t, body);
}

static bool is_at(const struct rec *t, const char *host)
{
	char *own = git_host(rec_text(t, "repositoryUrl"));
	bool yes = !host || (own && strcmp(own, host) == 0);

	free(own);
	return yes;
}

static int each_prebuild(struct srv *s, struct change *ch, const struct event *event,
                         const struct push *push, struct err *e)
{
	int rc = 0;

	for (const struct rec *t = store_first(&s->store, K_TEMPLATE); t; t = store_next(t)) {
		if (!is_at(t, event->host) || !is_of(t, event->body))
			continue;
		for (const struct rec *p = first_of(s, rec_text(t, "name")); rc == 0 && p;
		     p = next_of(s, p))
			if (rec_is(p, "branch", push->branch) && !is_old_news(ch, p, event))
				rc = pushed(s, ch, t, p, push, e);
	}
	return rc;
}

static int take_push(struct srv *s, struct change *ch, const struct event *event, struct push *push,
                     struct err *e)
{
	int rc = 0;

	/* A branch that was deleted has no commit, or one of zeros. */
	if (push->branch[0] && push->sha[strspn(push->sha, "0")])
		rc = each_prebuild(s, ch, event, push, e);
	free(push->branch);
	free(push->sha);
	return rc;
}

static char *branch_of(struct json ref)
{
	char *text = json_dup_or_empty(ref);
	char *branch = mem_dup(strncmp(text, "refs/heads/", 11) == 0 ? text + 11 : "");

	free(text);
	return branch;
}

/* Bitbucket: push.changes[].new; its Server: changes[].refId, which counts as one commit; the others: ref, after. */
static int take_event(struct srv *s, struct change *ch, const struct event *event, struct err *e)
{
	struct json body = event->body;
	struct json changes = json_get(json_get(body, "push"), "changes");
	bool cloud = json_is_array(changes);
	int rc = 0;

	if (!cloud)
		changes = json_get(body, "changes");
	for (struct json member = json_first(changes); rc == 0 && json_present(member);
	     member = json_next(member)) {
		struct json to = json_get(member, "new");
		struct push push = {
			cloud ? json_dup_or_empty(json_get(to, "name"))
			      : branch_of(json_get(member, "refId")),
			json_dup_or_empty(cloud ? json_get(json_get(to, "target"), "hash")
			                        : json_get(member, "toHash")),
			json_get(member, "commits"), (int64_t)json_len(json_get(member, "commits"))
		};

		push.n = cloud ? push.n : 1;
		rc = take_push(s, ch, event, &push, e);
	}
	if (!json_is_array(changes)) {
		struct push push = { branch_of(json_get(body, "ref")),
			             json_dup_or_empty(json_get(body, "after")),
			             json_get(body, "commits"),
			             (int64_t)json_len(json_get(body, "commits")) };

		json_i64(json_get(body, "total_commits_count"), 0, INT32_MAX, &push.n);
		rc = take_push(s, ch, event, &push, e);
	}
	return rc;
}

/* GitHub: repository.pushed_at; Gitea, Forgejo: repository.updated_at. Never later than now, so that a clock that was
 * wrong there for a while does no lasting harm. */
static void read_event(struct event *event, struct json_doc *doc, struct str body)
{
	struct json repository = json_get(json_root(doc), "repository");
	char *updated = json_dup_or_empty(json_get(repository, "updated_at"));
	int64_t now = clock_wall_ms(), *at = &event->at_ms;
	unsigned char hash[SHA256_SIZE];

	event->body = json_root(doc);
	crypto_sha256(body.p, body.n, hash);
	buf_add_hex(&event->hash, hash, TOLD_DIGITS / 2);
	if (json_i64(json_get(repository, "pushed_at"), 0, INT32_MAX, at))
		*at *= 1000;
	else if (!time_parse_rfc3339(updated, at))
		*at = 0;
	if (*at > now)
		*at = now;
	free(updated);
}

static bool is_push(const struct http_head *head, bool *known)
{
	static const char *const events[][2] = {
		{ "X-Gitea-Event", "push" },    { "X-Forgejo-Event", "push" },
		{ "X-GitHub-Event", "push" },   { "X-Gitlab-Event", "Push Hook" },
		{ "X-Event-Key", "repo:push" }, { "X-Event-Key", "repo:refs_changed" }
	};

	*known = false;
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		struct str event = http_head_get(head, events[i][0]);

		if (str_eq(event, events[i][1]))
			return true;
		*known = *known || event.n;
	}
	return false;
}

/* host: NULL or which git host tells it. */
static void take_told(struct call *c, const char *host)
{
	struct err e = { 0 };
	bool known, push = is_push(c->r->head, &known);

	if (!push && !known) {
		reply_error(c, 400,
		            "failed to get git provider for request: no header names an event "
		            "of GitHub, GitLab, Gitea or Bitbucket");
		return;
	}
	c->doc = push ? json_parse(c->r->body, JSON_BODY_MAX, &e) : NULL;
	if (push && !json_is_object(json_root(c->doc))) {
		reply_error(c, 400, "failed to parse event data: %s",
		            e.msg[0] ? e.msg : "no object");
		return;
	}
	struct change *ch = change_begin(&c->s->store);
	struct event event = { .host = host };

	read_event(&event, c->doc, c->r->body);
	if (take_event(c->s, ch, &event, &e) < 0)
		change_drop(ch);
	else
		change_commit(ch, &e);
	buf_free(&event.hash);
	if (e.kind != ERR_NONE)
		reply_error(c, error_status(&e), "failed to process git event: %s", e.msg);
	else
		reply_empty(c, 200);
}

void h_prebuild_event(struct call *c)
{
	take_told(c, NULL);
}

static void hmac(const char key[SHA256_BLOCK], struct str body, struct buf *hex)
{
	unsigned char digest[SHA256_SIZE], pad[SHA256_BLOCK];

	for (int outer = 0; outer < 2; outer++) {
		struct sha256 *h = sha256_new();

		for (size_t i = 0; i < sizeof(pad); i++)
			pad[i] = (unsigned char)(key[i] ^ (outer ? 0x5c : 0x36));
		sha256_add(h, pad, sizeof(pad));
		sha256_add(h, outer ? (const void *)digest : body.p,
		           outer ? sizeof(digest) : body.n);
		sha256_end(h, digest);
	}
	buf_add_hex(hex, digest, sizeof(digest));
}

/* Takes as long whatever is wrong. */
static bool same(struct str a, const char *b)
{
	unsigned char differs = 0;

	if (a.n != SHA256_BLOCK)
		return false;
	for (size_t i = 0; i < SHA256_BLOCK; i++)
		differs |= (unsigned char)(a.p[i] ^ b[i]);
	return !differs;
}

static const char *const signatures[] = { "X-Gitlab-Token", "X-Hub-Signature-256",
	                                  "X-Gitea-Signature", "X-Hub-Signature" };

/* Without what says how it was made. The first is the secret itself. */
static struct str signature(const struct call *c, size_t i)
{
	struct str given = http_head_get(c->r->head, signatures[i]);

	if (str_starts(given, "sha256="))
		given = (struct str){ given.p + 7, given.n - 7 };
	return given;
}

static const char *hook_secret(const struct rec *key)
{
	return key ? rec_text(key, "hash") : "";
}

/* Each git host has a secret of its own: none can sign for another's repositories. */
static void secret_of(const char *secret, const char *host, struct buf *out)
{
	buf_reset(out);
	hmac(secret, str_of(host), out);
}

int prebuild_hook_secret(struct srv *s, const char *repository, struct buf *out, struct err *e)
{
	char key[API_KEY_SIZE];

	if (!key_named(s, "client", HOOK_KEY)) {
		if (key_create(s, "client", HOOK_KEY, key, e) < 0)
			return -1;
		mem_wipe(key, sizeof(key)); /* nobody needs it */
	}
	char *host = git_host(repository);

	secret_of(hook_secret(key_named(s, "client", HOOK_KEY)), host ? host : "", out);
	free(host);
	return 0;
}

/* head: the body is not here yet, and whatever may sign it will do. */
static bool is_signed(const struct call *c, const char *secret, bool head)
{
	struct buf hex = { 0 };
	bool yes = same(signature(c, 0), secret);

	if (!head)
		hmac(secret, c->r->body, &hex);
	for (size_t i = 1; i < ARRAY_LEN(signatures); i++) {
		struct str given = signature(c, i);

		yes = yes || (head ? given.n == SHA256_BLOCK : same(given, buf_cstr(&hex)));
	}
	buf_free(&hex);
	return yes;
}

/* The git host that it says it is from, if a prebuild is there; NULL: nobody is told. */
static char *host_named(struct call *c)
{
	struct buf host = { 0 };
	const struct rec *t = store_first(&c->s->store, K_TEMPLATE);

	if (!call_query(c, "host", &host) || !host.n)
		return buf_take(&host);
	while (t && !(is_at(t, buf_cstr(&host)) && first_of(c->s, rec_text(t, "name"))))
		t = store_next(t);
	if (t)
		return buf_take(&host);
	buf_free(&host);
	return NULL;
}

/* The git host whose secret it was signed with, "" for the secret of hooks that somebody entered; NULL: nobody's. It is
 * said which, so that a body costs one HMAC however many hosts there are. */
static char *signer(struct call *c, bool head)
{
	const char *secret = hook_secret(key_named(c->s, "client", HOOK_KEY));
	char *host = strlen(secret) == SHA256_BLOCK ? host_named(c) : NULL;
	struct buf own = { 0 };

	if (host && *host)
		secret_of(secret, host, &own);
	if (host && !is_signed(c, own.n ? buf_cstr(&own) : secret, head)) {
		free(host);
		host = NULL;
	}
	buf_free(&own);
	return host;
}

bool prebuild_hook_may(struct call *c)
{
	char *host = signer(c, true);

	if (!host)
		reply_error(c, 401, "unauthorized");
	free(host);
	return host != NULL;
}

void h_prebuild_hook(struct call *c)
{
	char *host = signer(c, false);

	if (host) {
		c->key = key_named(c->s, "client", HOOK_KEY); /* whose change it is */
		take_told(c, host[0] ? host : NULL);
	} else {
		reply_error(c, 401, "unauthorized");
	}
	free(host);
}
