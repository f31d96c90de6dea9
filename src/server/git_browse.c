/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a git provider config: its user, namespaces, repositories, branches and pull requests, asked from the git
 * host's API while others are served. Where a request goes is said by the config alone, which only a client key sets:
 * redirects are not followed, answers are bounded, and the token is in no message. For prebuilds a hook of ours is
 * entered there, brought up to date or removed, whichever it takes.
 */
#include "server/builds.h"
#include "server/git.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"

#include <stdlib.h>

#define AT_ONCE 4
#define ANSWER_MAX (4u << 20)
#define ANSWER_MS 20000
#define CONTEXT_MS 5000 /* then what the address says has to do */
#define PER_PAGE 50
#define PER_PAGE_MAX 100
#define HOOK_PAGES_MAX 20
#define LOOKUPS_MAX 20        /* other repositories that pull requests of a page come from */
#define PERSONAL "<PERSONAL>" /* id of the user's own namespace, as the reference calls it */

enum what {
	USER,
	NAMESPACES,
	REPOSITORIES,
	BRANCHES,
	PULLS,
	OWN_REPOSITORIES,
	REPOSITORY,
	HOOKS,
	DEFAULT, /* the branch that a repository has by itself; of these the answer is one thing */
	BRANCH,
	PULL,
	WHATS
};
#define CONTEXT WHATS /* what is asked for DEFAULT, BRANCH and PULL */

/* Of the answers, in their order: lists of words. */
static const char *const members[REPOSITORY] = {
	[USER] = "id username name email",
	[NAMESPACES] = "id name",
	[REPOSITORIES] = "id url name branch sha owner",
	[BRANCHES] = "name sha",
	[PULLS] = "name branch sha sourceRepoId sourceRepoUrl sourceRepoOwner sourceRepoName",
};

/* A path below the API: {n} namespace, {r} repository, {u} the config's user name; and where in each thing of its answer the
 * members of ours are, in their order: "a.b"; none: "-". */
struct ask {
	const char *path, *at;
};

static const struct host {
	const char *ids;    /* of providers, each between spaces */
	const char *base;   /* of the first, where the config names none; the others' has to */
	const char *suffix; /* of what the config names */
	const char *scheme; /* of Authorization; NULL: basic with a user name, else bearer */
	const char *size,
		*page; /* query's names of the number of things and of the page; "start" counts things */
	const char *list; /* member that has the list; NULL: the answer is one */
	struct ask asks[WHATS];
	/* Of hooks: the method that brings one up to date, and the body in pieces, between which are URL and secret.
	 * What is asked of a list of them: id, url. */
	const char *change, *body[3];
} hosts[] = {
	{ " github github-enterprise-server ",
	  "https://api.github.com",
	  "/api/v3",
	  "Bearer",
	  "per_page",
	  "page",
	  NULL,
	  {
		  [USER] = { "/user", "id login name email" },
		  [NAMESPACES] = { "/user/orgs", "login login" },
		  [REPOSITORIES] = { "/orgs/{n}/repos",
	                             "name html_url name default_branch - owner.login" },
		  [BRANCHES] = { "/repos/{n}/{r}/branches", "name commit.sha" },
		  [PULLS] = { "/repos/{n}/{r}/pulls?state=open",
	                      "title head.ref head.sha head.repo.name head.repo.html_url head.repo.owner.login head.repo.name" },
		  [OWN_REPOSITORIES] = { "/user/repos?affiliation=owner", NULL },
		  [HOOKS] = { "/repos/{n}/{r}/hooks", "id config.url" },
		  [DEFAULT] = { "/repos/{n}/{r}", "default_branch" },
		  [BRANCH] = { "/repos/{n}/{r}/branches/", "commit.sha" },
		  [PULL] = { "/repos/{n}/{r}/pulls/", NULL },
	  },
	  "PATCH",
	  { "{\"name\":\"web\",\"active\":true,\"events\":[\"push\"],\"config\":{\"content_type\":\"json\",\"url\":",
	    ",\"secret\":\"", "\"}}" } },
	{ " gitlab gitlab-self-managed ",
	  "https://gitlab.com/api/v4",
	  "/api/v4",
	  "Bearer",
	  "per_page",
	  "page",
	  NULL,
	  {
		  [USER] = { "/user", "id username name email" },
		  [NAMESPACES] = { "/groups", "id name" },
		  [REPOSITORIES] = { "/groups/{n}/projects",
	                             "id web_url name default_branch - namespace.path" },
		  [BRANCHES] = { "/projects/{r}/repository/branches", "name commit.id" },
		  [PULLS] = { "/projects/{r}/merge_requests?state=opened",
	                      "title source_branch sha source_project_id - - -" },
		  [OWN_REPOSITORIES] = { "/users/{n}/projects", NULL },
		  [REPOSITORY] = { "/projects/", "web_url namespace.path name" },
		  [HOOKS] = { "/projects/{n}%2F{r}/hooks", "id url" },
		  [DEFAULT] = { "/projects/{n}%2F{r}", "default_branch" },
		  [BRANCH] = { "/projects/{n}%2F{r}/repository/branches/", "commit.id" },
		  [PULL] = { "/projects/{n}%2F{r}/merge_requests/", NULL },
	  },
	  "PUT",
	  { "{\"push_events\":true,\"url\":", ",\"token\":\"", "\"}" } },
	{ " codeberg gitea gogs ",
	  "https://codeberg.org/api/v1",
	  "/api/v1",
	  "token",
	  "limit",
	  "page",
	  NULL,
	  {
		  [USER] = { "/user", "id login full_name email" },
		  [NAMESPACES] = { "/user/orgs", "username username" },
		  [REPOSITORIES] = { "/orgs/{n}/repos",
	                             "name html_url name default_branch - owner.login" },
		  [BRANCHES] = { "/repos/{n}/{r}/branches", "name commit.id" },
		  [PULLS] = { "/repos/{n}/{r}/pulls?state=open",
	                      "title head.ref head.sha head.repo.name head.repo.html_url head.repo.owner.login head.repo.name" },
		  [OWN_REPOSITORIES] = { "/user/repos", NULL },
		  [HOOKS] = { "/repos/{n}/{r}/hooks", "id config.url" },
		  [DEFAULT] = { "/repos/{n}/{r}", "default_branch" },
		  [BRANCH] = { "/repos/{n}/{r}/branches/", "commit.id" },
		  [PULL] = { "/repos/{n}/{r}/pulls/", NULL },
	  },
	  "PATCH",
	  { "{\"type\":\"gitea\",\"active\":true,\"events\":[\"push\"],\"config\":{\"content_type\":\"json\",\"url\":",
	    ",\"secret\":\"", "\"}}" } },
	{ " bitbucket ",
	  "https://api.bitbucket.org/2.0",
	  "/2.0",
	  NULL,
	  "pagelen",
	  "page",
	  "values",
	  {
		  [USER] = { "/user", "account_id username display_name -" },
		  [NAMESPACES] = { "/workspaces", "slug name" },
		  [REPOSITORIES] = { "/repositories/{n}",
	                             "slug links.html.href name mainbranch.name - workspace.slug" },
		  [BRANCHES] = { "/repositories/{n}/{r}/refs/branches", "name target.hash" },
		  [PULLS] = { "/repositories/{n}/{r}/pullrequests?state=OPEN",
	                      "title source.branch.name source.commit.hash source.repository.full_name source.repository.links.html.href source.repository.full_name source.repository.name" },
		  [HOOKS] = { "/repositories/{n}/{r}/hooks", "uuid url" },
		  [DEFAULT] = { "/repositories/{n}/{r}", "mainbranch.name" },
		  [BRANCH] = { "/repositories/{n}/{r}/refs/branches/", "target.hash" },
		  [PULL] = { "/repositories/{n}/{r}/pullrequests/", NULL },
	  },
	  "PUT",
	  { "{\"description\":\"daytona-runner\",\"active\":true,\"events\":[\"repo:push\"],\"url\":",
	    ",\"secret\":\"", "\"}" } },
	{ " bitbucket-server ",
	  "",
	  "/rest/api/1.0",
	  "Bearer",
	  "limit",
	  "start",
	  "values",
	  {
		  [USER] = { "/users/{u}", "id slug displayName emailAddress" },
		  [NAMESPACES] = { "/projects", "key name" },
		  [REPOSITORIES] = { "/projects/{n}/repos",
	                             "slug links.self.href name - - project.key" },
		  [BRANCHES] = { "/projects/{n}/repos/{r}/branches", "displayId latestCommit" },
		  [PULLS] = { "/projects/{n}/repos/{r}/pull-requests?state=OPEN",
	                      "title fromRef.displayId fromRef.latestCommit fromRef.repository.slug fromRef.repository.links.self.href fromRef.repository.project.key fromRef.repository.name" },
		  [HOOKS] = { "/projects/{n}/repos/{r}/webhooks", "id url" },
		  [DEFAULT] = { "/projects/{n}/repos/{r}/branches/default", "displayId" },
		  [PULL] = { "/projects/{n}/repos/{r}/pull-requests/", NULL },
	  },
	  "PUT",
	  { "{\"name\":\"daytona-runner\",\"active\":true,\"events\":[\"repo:refs_changed\"],\"url\":",
	    ",\"configuration\":{\"secret\":\"", "\"}}" } },
};

enum told { TOLD_BRANCH, TOLD_SHA, TOLD_URL, TOLD_OWNER, TOLD_NAME, TOLD };

struct browse {
	struct browse *next;
	struct srv *s;
	struct httpd_req *r;
	const struct host *host;
	const char *suffix;
	enum what what, step; /* step: what is asked now */
	char *name;           /* of the config, for messages */
	char *user, *namespace, *repository;
	int64_t page, per_page,
		start; /* start: of the next page, where a host says it; 0: it did not */
	struct url url;
	struct tls_ctx *tls;
	struct url proxy;
	struct conn_target to;
	struct http_client *http;
	struct http_request request;
	struct http_field fields[2];
	struct http_reply reply;
	struct buf target, auth;
	struct deadline until;
	/* Pull requests whose source is still looked up. */
	struct json_doc *doc;
	struct json item;
	unsigned lookups;
	struct buf out; /* the answer; a hook's: what is sent */
	/* Of a context: what is answered where the host says nothing else; what it says, by "branch sha url owner name"; the
	 * pull request's number, as text. */
	struct json_doc *said;
	char *told[TOLD], *number;
	/* Of a hook: the repository's address; the hook's id there, once known; the provider config's. */
	char *hook, *hook_id, *config;
	bool again;   /* what is wanted may have changed meanwhile */
	bool later;   /* a hook that fails is tried again */
	bool waits;   /* for a git provider that could be asked */
	bool unknown; /* where we are, for hooks: at the next start it may be known */
	bool done;
};

static void browse_free(struct browse *w)
{
	http_client_free(w->http);
	tls_ctx_free(w->tls);
	url_free(&w->url);
	url_free(&w->proxy);
	http_reply_free(&w->reply);
	json_doc_free(w->doc);
	json_doc_free(w->said);
	for (size_t i = 0; i < TOLD; i++)
		free(w->told[i]);
	free(w->number);
	buf_wipe(&w->auth);
	buf_free(&w->target);
	buf_wipe(&w->out);
	free(w->hook);
	free(w->hook_id);
	free(w->config);
	free(w->name);
	free(w->user);
	free(w->namespace);
	free(w->repository);
	free(w);
}

static void gone(struct httpd_req *r)
{
	struct browse *w = r->user;

	w->r = NULL;
	w->done = true;
}

#define HOOK_PATH "/prebuild/webhook-event"
#define HOOK_QUERY "?host="

/* The repository's address may have a password in it. */
static void hook_said(const struct browse *w, const char *why)
{
	const char *base = w->s->opt.public_url;
	bool waits = why && w->waits && hooks_wait(w->s, w->hook, w->config);
	int64_t pause = why && w->later ? hooks_failed(w->s, w->hook, w->config) : 0;
	struct buf again = { 0 };

	if (waits)
		buf_adds(&again, "It is tried again when a git provider is set. ");
	if (pause)
		buf_addf(&again, "It is tried again in %lld s. ", (long long)pause / 1000);
	if (!why)
		log_info("server: %s knows the hook for prebuilds of %s/%s", w->url.host,
		         w->namespace, w->repository);
	else
		log_warn("server: the hook for prebuilds of %s/%s could not be set: %s. %sEnter or "
		         "remove it there: URL %s" HOOK_PATH
		         ", JSON, pushes; its secret: docs/server.md, Prebuilds",
		         w->namespace, w->repository, why, buf_cstr(&again),
		         base ? base : "https://SERVER");
	if (!w->again && (!why || !(w->later || w->waits || w->unknown)))
		hooks_settled(w->s, w->hook);
	buf_free(&again);
}

/* The members are those of what is answered without a host. The branch of a pull request is of no use without the repository
 * that has it, which may not be seen or be gone. */
static void write_context(struct browse *w)
{
	static const struct {
		const char *key;
		enum told told;
	} keys[] = { { "branch", TOLD_BRANCH }, { "sha", TOLD_SHA },   { "url", TOLD_URL },
		     { "owner", TOLD_OWNER },   { "name", TOLD_NAME }, { "id", TOLD_NAME } };

	bool half = (w->step == PULL || w->step == REPOSITORY) && !w->told[TOLD_URL];

	jw_obj(&w->out);
	for (struct json member = json_first(json_root(w->said)); json_present(member);
	     member = json_next(member)) {
		const char *value = NULL;
		struct buf key = { 0 };
		char *host = NULL;

		json_key(member, &key);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (!half && str_eq(buf_str(&key), keys[i].key))
				value = w->told[keys[i].told];
		if (w->told[TOLD_URL] && str_eq(buf_str(&key), "source"))
			value = host = git_host(w->told[TOLD_URL]);
		jw_key(&w->out, buf_cstr(&key));
		if (value)
			jw_str(&w->out, str_of(value));
		else
			jw_raw(&w->out, json_raw(member));
		free(host);
		buf_free(&key);
	}
	jw_obj_end(&w->out);
}

static void answer(struct browse *w, int status, const char *why)
{
	struct call c = { .s = w->s, .r = w->r };

	w->done = true;
	if (w->said) {
		write_context(w);
		reply_json(&c, 200, &w->out);
	} else if (w->hook)
		hook_said(w, why);
	else if (why)
		reply_error(&c, status, "git provider %s (%s): %s", w->name, w->url.host, why);
	else
		reply_json(&c, status, &w->out);
}

/* One word of a list; empty: it has not so many. */
static struct str word(const char *list, size_t i)
{
	struct str rest = str_of(list), one = { NULL, 0 };

	do {
		if (!str_next(&rest, ' ', &one))
			return (struct str){ NULL, 0 };
	} while (i--);
	return one;
}

/* The text of a member, also of a number; of a list on the way its first element counts. */
static char *text_at(struct json v, struct str path)
{
	struct str rest = path, name;

	while (str_next(&rest, '.', &name)) {
		char *key = mem_dupn(name.p, name.n);

		if (json_is_array(v))
			v = json_first(v);
		v = json_get(v, key);
		free(key);
	}
	if (json_is_number(v))
		return mem_dupn(json_raw(v).p, json_raw(v).n);
	return json_dup_or_empty(v);
}

static const struct ask *ask_of(const struct host *h, enum what what)
{
	/* The user's own repositories look like all others. */
	return &h->asks[what == OWN_REPOSITORIES ? REPOSITORIES : what];
}

static void add_text(struct buf *b, struct str key, struct json v, struct str path)
{
	char *text = text_at(v, path);

	/* Bitbucket has "owner/name" where others have the owner. */
	if (str_eq(key, "sourceRepoOwner"))
		text[strcspn(text, "/")] = '\0';
	jw_str(b, key);
	buf_addc(b, ':');
	jw_str(b, str_of(text));
	free(text);
}

/* Opens an object and leaves it open. */
static void add_item(struct browse *w, enum what as, struct json v)
{
	const struct ask *a = ask_of(w->host, as);

	jw_obj(&w->out);
	for (size_t i = 0; word(members[as], i).n; i++)
		if (!(as == PULLS && w->host->asks[REPOSITORY].path && i > 3))
			add_text(&w->out, word(members[as], i), v, word(a->at, i));
	if (as == REPOSITORIES) {
		char *url = text_at(v, word(a->at, 1)), *host = git_host(url);

		jw_kstr(&w->out, "source", host ? host : "");
		free(host);
		free(url);
	}
}

static void ask(struct browse *w, enum what step);

/* Goes on with a list; false: another question comes first. */
static bool add_items(struct browse *w)
{
	for (; json_present(w->item); w->item = json_next(w->item)) {
		add_item(w, w->what, w->item);
		if (w->what == PULLS && w->host->asks[REPOSITORY].path) {
			if (w->lookups++ < LOOKUPS_MAX) {
				ask(w, REPOSITORY);
				return false;
			}
			for (size_t i = 4; word(members[PULLS], i).n; i++)
				add_text(&w->out, word(members[PULLS], i), w->item, STR_LIT("-"));
		}
		jw_obj_end(&w->out);
	}
	jw_arr_end(&w->out);
	return true;
}

static void begin_list(struct browse *w, struct json root)
{
	struct json list = w->host->list ? json_get(root, w->host->list) : root;

	if (!json_is_array(list)) {
		answer(w, 500, "the answer is no list");
		return;
	}
	jw_arr(&w->out);
	if (w->what == NAMESPACES && w->page == 1 && w->host->asks[OWN_REPOSITORIES].path) {
		jw_obj(&w->out);
		jw_kstr(&w->out, "id", PERSONAL);
		jw_kstr(&w->out, "name", w->namespace);
		jw_obj_end(&w->out);
	}
	w->item = json_first(list);
	if (add_items(w))
		answer(w, 200, NULL);
}

/* The namespace is the user's, whose name had to be asked. */
static void take_user(struct browse *w, struct json root)
{
	free(w->namespace);
	w->namespace = text_at(root, word(w->host->asks[USER].at, 1));
	ask(w, w->what == REPOSITORIES ? OWN_REPOSITORIES : w->what);
}

/* The source of a pull request: one that may not be seen, or is gone, has no address. */
static void take_repository(struct browse *w, struct json root)
{
	const struct ask *a = &w->host->asks[REPOSITORY];

	for (size_t i = 0; i < 3; i++)
		add_text(&w->out, word(members[PULLS], 4 + i), root, word(a->at, i));
	jw_obj_end(&w->out);
	w->item = json_next(w->item);
	if (add_items(w))
		answer(w, 200, NULL);
}

/* Enters, changes or removes the one that has that URL. */
static void send_hook(struct browse *w, struct buf *url)
{
	const char *const *body = w->host->body;
	struct err e = { 0 };
	bool wanted = prebuilds_wanted(w->s, w->hook);
	struct buf secret = { 0 };

	if (wanted && prebuild_hook_secret(w->s, w->hook, &secret, &e) < 0) {
		answer(w, 500, e.msg);
		return;
	}
	if (!wanted && !w->hook_id) {
		answer(w, 200, NULL);
		return;
	}
	w->request.method = !wanted ? "DELETE" : w->hook_id ? w->host->change : "POST";
	if (wanted) {
		buf_adds(&w->out, body[0]);
		jw_str(&w->out, buf_str(url));
		buf_addf(&w->out, "%s%s%s", body[1], buf_cstr(&secret), body[2]);
		w->request.body = buf_str(&w->out);
		w->request.content_type = "application/json";
	}
	buf_free(&secret);
	ask(w, HOOKS);
}

/* A page may be shorter than was asked for, and not the last. */
static bool is_more(const struct browse *w, struct json root, size_t n)
{
	struct str link = http_head_get(&w->reply.h, "Link");

	return n >= (size_t)w->per_page || str_find(link, "rel=\"next\"") ||
	       json_is_string(json_get(root, "next")) ||
	       !json_bool(json_get(root, "isLastPage"), true);
}

/* With the host, which says whose secret it is signed with; a hook that somebody entered may be without. */
static void take_hooks(struct browse *w, struct json root)
{
	struct json list = w->host->list ? json_get(root, w->host->list) : root;
	const char *at = w->host->asks[HOOKS].at;
	struct buf ours = { 0 };
	size_t plain, n = json_len(list);
	char *host = git_host(w->hook);

	buf_addf(&ours, "%s" HOOK_PATH, w->s->opt.public_url);
	plain = ours.n;
	buf_adds(&ours, HOOK_QUERY);
	buf_add_urlenc(&ours, str_of(host ? host : ""));
	for (struct json hook = json_first(list); !w->hook_id && json_present(hook);
	     hook = json_next(hook)) {
		char *url = text_at(hook, word(at, 1));

		if (strcmp(url, buf_cstr(&ours)) == 0 ||
		    (strlen(url) == plain && memcmp(url, ours.p, plain) == 0))
			w->hook_id = text_at(hook, word(at, 0));
		free(url);
	}
	if (w->hook_id || !n || !is_more(w, root, n)) {
		send_hook(w, &ours);
	} else if (w->page >= HOOK_PAGES_MAX) {
		answer(w, 500, "it has more hooks than are looked at");
	} else {
		w->page++;
		if (!json_i64(json_get(root, "nextPageStart"), 1, INT32_MAX, &w->start))
			w->start = 0;
		w->until = deadline_in_ms(ANSWER_MS);
		ask(w, HOOKS);
	}
	free(host);
	buf_free(&ours);
}

/* Text that is not empty; else what was there stays. */
static void tell(struct browse *w, enum told told, struct json v, struct str path)
{
	char *text = text_at(v, path);

	if (!text[0]) {
		free(text);
		return;
	}
	free(w->told[told]);
	w->told[told] = text;
}

static void ask_or_answer(struct browse *w, enum what step)
{
	if (w->host->asks[step].path)
		ask(w, step);
	else
		answer(w, 200, NULL);
}

/* Where the branch of a pull request is. */
static void take_source(struct browse *w, struct json root, const char *at, size_t from)
{
	tell(w, TOLD_URL, root, word(at, from));
	tell(w, TOLD_OWNER, root, word(at, from + 1));
	tell(w, TOLD_NAME, root, word(at, from + 2));
	/* Bitbucket has "owner/name" where others have the owner. */
	if (w->told[TOLD_OWNER])
		w->told[TOLD_OWNER][strcspn(w->told[TOLD_OWNER], "/")] = '\0';
	answer(w, 200, NULL);
}

/* What did not come is absent, and what is known without it has to do. */
static void take_context(struct browse *w, struct json root)
{
	const char *at = w->host->asks[PULLS].at;

	if (w->step == PULL && json_present(root)) {
		tell(w, TOLD_BRANCH, root, word(at, 1));
		tell(w, TOLD_SHA, root, word(at, 2));
		if (w->host->asks[REPOSITORY].path)
			ask(w, REPOSITORY);
		else
			take_source(w, root, at, 4);
	} else if (w->step == REPOSITORY) {
		take_source(w, root, w->host->asks[REPOSITORY].at, 0);
	} else if (w->step == DEFAULT && json_present(root)) {
		tell(w, TOLD_BRANCH, root, str_of(w->host->asks[DEFAULT].at));
		if (w->told[TOLD_BRANCH])
			ask_or_answer(w, BRANCH);
		else
			answer(w, 200, NULL);
	} else {
		if (w->step == BRANCH)
			tell(w, TOLD_SHA, root, str_of(w->host->asks[BRANCH].at));
		answer(w, 200, NULL);
	}
}

static void take_answer(struct browse *w)
{
	int status = w->reply.status;
	struct err e = { 0 };
	struct json_doc *doc = NULL;
	struct buf why = { 0 };

	if (w->request.body.n || w->request.method[0] == 'D') {
		if (status >= 200 && status <= 299) {
			answer(w, 200, NULL);
			return;
		}
	} else if (status == 200)
		doc = json_parse(buf_str(&w->reply.body), ANSWER_MAX, &e);
	if (w->said) {
		w->item = json_root(doc); /* GitLab's pull request names its source by this */
		json_doc_free(w->doc);
		w->doc = doc;
		take_context(w, w->item);
		return;
	}
	if (w->step == REPOSITORY) {
		take_repository(w, json_root(doc));
	} else if (!doc) {
		buf_addf(&why, "HTTP %d%s", status,
		         status == 200                    ? ", but no JSON"
		         : status == 401                  ? "; is its token right?"
		         : status == 429                  ? "; too many requests, try again later"
		         : status >= 300 && status <= 399 ? "; correct its API URL"
		                                          : "");
		answer(w,
		       status == 401 || status == 403 || status == 404 || status == 429 ? status
		                                                                        : 500,
		       buf_cstr(&why));
		buf_free(&why);
	} else if (w->step == USER && w->what == USER) {
		add_item(w, USER, json_root(doc));
		jw_obj_end(&w->out);
		answer(w, 200, NULL);
	} else if (w->step == USER) {
		take_user(w, json_root(doc));
	} else if (w->step == HOOKS) {
		take_hooks(w, json_root(doc));
	} else {
		w->doc = doc;
		begin_list(w, json_root(doc));
		return;
	}
	json_doc_free(doc);
}

/* What the base's path ends with and the suffix begins with is there once: ".../api" and "/api/v4". */
static void add_base(struct buf *b, const char *path, const char *suffix)
{
	size_t shared = strlen(suffix), n = strlen(path);

	while (shared && (n < shared || memcmp(path + n - shared, suffix, shared) != 0 ||
	                  (suffix[shared] && suffix[shared] != '/')))
		shared--;
	buf_addf(b, "%s%s", path, suffix + shared);
}

/* The one whose commit is asked for. */
static const char *branch_of(struct browse *w)
{
	if (!w->told[TOLD_BRANCH])
		w->told[TOLD_BRANCH] = text_at(json_root(w->said), STR_LIT("branch"));
	return w->told[TOLD_BRANCH];
}

static void ask(struct browse *w, enum what step)
{
	const char *p = w->host->asks[step].path;
	char *id = step == REPOSITORY ? text_at(w->item, word(w->host->asks[PULLS].at, 3)) : NULL;
	const char *sub = id               ? id
	                  : step == PULL   ? w->number
	                  : step == BRANCH ? branch_of(w)
	                                   : w->hook_id;

	w->step = step;
	buf_reset(&w->target);
	add_base(&w->target, w->url.path, w->suffix);
	for (; *p; p++) {
		const char *value = p[0] != '{'   ? NULL
		                    : p[1] == 'n' ? w->namespace
		                    : p[1] == 'r' ? w->repository
		                                  : w->user;

		if (value)
			buf_add_urlenc(&w->target, str_of(value));
		else
			buf_addc(&w->target, *p);
		p += value ? 2 : 0;
	}
	if (w->hook_id)
		buf_addc(&w->target, '/');
	if (sub)
		buf_add_urlenc(&w->target, str_of(sub));
	if (step != USER && step != REPOSITORY && step < DEFAULT && w->request.method[0] == 'G')
		buf_addf(&w->target, "%s%s=%lld&%s=%lld",
		         strchr(buf_cstr(&w->target), '?') ? "&" : "?", w->host->size,
		         (long long)w->per_page, w->host->page,
		         (long long)(w->host->page[0] != 's' ? w->page
		                     : w->start              ? w->start
		                                             : (w->page - 1) * w->per_page));
	free(id);
	w->request.target = buf_cstr(&w->target);
	http_reply_free(&w->reply);
	http_start(w->http, &w->request, &w->reply, w->until);
}

/* ---- as the loop goes on ---- */

void browse_poll(struct srv *s, struct pollset *ps)
{
	hooks_poll(s, ps);
	for (struct browse *w = s->browses; w; w = w->next)
		http_poll(w->http, ps);
}

static void step(struct browse *w)
{
	struct err e = { 0 };

	switch (http_step(w->http, &e)) {
	case HTTP_PENDING:
		break;
	case HTTP_DONE:
		take_answer(w);
		break;
	case HTTP_FAILED:
		answer(w, 500, e.msg);
		break;
	}
}

void browse_step(struct srv *s)
{
	struct browse **at = &s->browses, *w;

	hooks_step(s);
	while ((w = *at) != NULL) {
		if (!w->done)
			step(w);
		if (w->done) {
			*at = w->next;
			if (w->again)
				browse_hook(s, w->hook, w->config);
			browse_free(w);
		} else {
			at = &w->next;
		}
	}
}

void browse_end(struct srv *s)
{
	for (struct browse *w = s->browses; w; w = w->next) {
		w->done = true;
		w->again = false;
	}
	hooks_end(s);
	s->hooks_begun = true;
	browse_step(s);
}

/* ---- the routes ---- */

/* A name that becomes a piece of a path; NULL: answered. */
static char *name_param(struct call *c, const char *text)
{
	struct buf b = { 0 };

	if (buf_add_urldec(&b, str_of(text), true) && b.n && !str_eq(buf_str(&b), ".") &&
	    !str_eq(buf_str(&b), ".."))
		return buf_take(&b);
	buf_free(&b);
	reply_error(c, 400, "failed to decode query param: invalid URL escape, or no name");
	return NULL;
}

/* False: answered. */
static bool number(struct call *c, const char *name, int64_t max, int64_t *out)
{
	struct buf b = { 0 };
	bool ok = !call_query(c, name, &b) || !b.n || str_to_i64(buf_str(&b), 1, INT32_MAX, out);

	if (*out > max)
		*out = max;
	buf_free(&b);
	if (!ok)
		reply_error(c, 400, "invalid value for query param '%s'", name);
	return ok;
}

static const struct host *host_of(const struct rec *provider)
{
	struct buf word = { 0 };
	const struct host *found = NULL;

	buf_addf(&word, " %s ", rec_text(provider, "providerId"));
	for (size_t i = 0; i < ARRAY_LEN(hosts) && !found; i++)
		if (strstr(hosts[i].ids, buf_cstr(&word)))
			found = &hosts[i];
	buf_free(&word);
	return found;
}

static int reach(struct browse *w, const struct rec *provider, struct err *e)
{
	const char *base = rec_text(provider, "baseApiUrl"), *proxy;
	struct tls_settings ts = { 0 };

	w->suffix = base[0] ? w->host->suffix : "";
	if (!base[0] && str_starts(str_of(w->host->ids + 1), rec_text(provider, "providerId")))
		base = w->host->base;
	if (url_parse(str_of(base), &w->url, e) < 0)
		return err_wrap(e, "its API URL");
	if (strcmp(w->url.scheme, "https") != 0 &&
	    (strcmp(w->url.scheme, "http") != 0 ||
	     !(w->s->opt.allow_http || url_is_loopback(&w->url))))
		return err_set(e, ERR_DENIED, 0,
		               "its API URL is not https: the token would cross the network in the "
		               "clear (--allow-http)");
	if (url_is_tls(&w->url) && tls_ctx_new(&w->tls, &ts, false, e) < 0)
		return -1;
	proxy = proxy_for(&w->url, NULL, NULL);
	if (proxy && proxy_parse(proxy, &w->proxy, e) < 0)
		return -1;
	w->to = (struct conn_target){ .url = &w->url,
		                      .tls = w->tls,
		                      .proxy = proxy ? &w->proxy : NULL };
	w->http = http_client_new(&w->to, "daytona-runner/" DR_VERSION);
	return 0;
}

static void authorize(struct browse *w, const struct rec *provider)
{
	const char *token = rec_text(provider, "token"), *scheme = w->host->scheme;

	if (!scheme && w->user[0]) {
		struct buf pair = { 0 };

		buf_addf(&pair, "%s:%s", w->user, token);
		buf_adds(&w->auth, "Basic ");
		buf_add_base64(&w->auth, pair.p, pair.n, false, true);
		buf_wipe(&pair);
	} else {
		buf_addf(&w->auth, "%s %s", scheme ? scheme : "Bearer", token);
	}
	w->fields[0] = (struct http_field){ "Authorization", buf_cstr(&w->auth) };
	w->fields[1] = (struct http_field){ "Accept", "application/json" };
	w->request = (struct http_request){ .method = "GET",
		                            .fields = w->fields,
		                            .n_fields = ARRAY_LEN(w->fields),
		                            .max_body = ANSWER_MAX };
}

/* False: answered. */
static bool names(struct call *c, struct browse *w)
{
	w->page = 1;
	w->per_page = PER_PAGE;
	if (!number(c, "page", INT32_MAX, &w->page) ||
	    !number(c, "per_page", PER_PAGE_MAX, &w->per_page))
		return false;
	if (w->what != USER && w->what != NAMESPACES &&
	    !(w->namespace = name_param(c, c->param[1])))
		return false;
	return (w->what != BRANCHES && w->what != PULLS) ||
	       (w->repository = name_param(c, c->param[2])) != NULL;
}

/* provider NULL: there is none that could be asked. */
static struct browse *browse_new(struct srv *s, const struct rec *provider, enum what what)
{
	struct browse *w = mem_alloc(sizeof(*w));

	w->s = s;
	w->what = what;
	w->until = deadline_in_ms(ANSWER_MS);
	if (provider) {
		w->host = host_of(provider);
		w->name = mem_dup(rec_text(provider, "alias"));
		w->user = mem_dup(rec_text(provider, "username"));
	}
	return w;
}

static void name_repository(struct browse *w, struct json repository)
{
	char *scm;

	w->namespace = json_dup_or_empty(json_get(repository, "owner"));
	w->repository = json_dup_or_empty(json_get(repository, "name"));
	/* Bitbucket Server: what is cloned is below "scm". */
	scm = w->host && w->host->page[0] == 's' ? strstr(w->namespace, "scm/") : NULL;
	if (scm)
		memmove(w->namespace, scm + 4, strlen(scm + 4) + 1);
}

/* NULL: no provider can be asked now. */
static struct browse *context_new(struct call *c, const char *url)
{
	char *id = mem_dup("");
	struct err e = { 0 };
	const struct rec *provider = NULL;
	struct browse *w = NULL;
	size_t n = 0;

	for (const struct browse *other = c->s->browses; other; other = other->next)
		n++;
	if (n < AT_ONCE && git_adopt(c->s, url, &id, &e) == 0 && id[0])
		provider = store_find(&c->s->store, K_GIT, "id", id);
	free(id);
	if (!provider || !host_of(provider))
		return NULL;
	w = browse_new(c->s, provider, CONTEXT);
	w->until = deadline_in_ms(CONTEXT_MS);
	w->r = c->r;
	if (reach(w, provider, &e) < 0) {
		browse_free(w);
		return NULL;
	}
	authorize(w, provider);
	return w;
}

void browse_context(struct call *c, const char *url, const char *branch, const char *sha)
{
	struct buf b = { 0 };
	struct err ignored = { 0 };
	bool named = git_repository(&b, url, branch, sha);
	struct json_doc *said = json_parse(buf_str(&b), SIZE_MAX, &ignored);
	struct json number = json_get(json_root(said), "prNumber");
	bool whole = !json_str_is(json_get(json_root(said), "sha"), "");
	struct browse *w = whole ? NULL : context_new(c, url);

	if (!w) {
		json_doc_free(said);
		reply_json(c, 200, &b);
		return;
	}
	buf_free(&b);
	w->said = said;
	name_repository(w, json_root(said));
	if (json_present(number))
		w->number = mem_dupn(json_raw(number).p, json_raw(number).n);
	w->next = c->s->browses;
	c->s->browses = w;
	c->r->user = w;
	c->r->gone = gone;
	ask_or_answer(w, w->number && !branch[0] ? PULL : named ? BRANCH : DEFAULT);
}

void browse_hook(struct srv *s, const char *url, const char *config)
{
	const struct rec *provider;
	struct browse *w;
	struct err e = { 0 }, ignored = { 0 };
	struct buf b = { 0 };
	struct json_doc *doc;
	char *id = mem_dup(config);
	size_t n = 0;

	if (!id[0])
		git_adopt(s, url, &id, &e);
	provider = store_find(&s->store, K_GIT, "id", id);
	for (w = s->browses; w; w = w->next, n++) {
		if (!w->hook || w->done || strcmp(w->hook, url) != 0)
			continue;
		w->again = true;
		free(id);
		return;
	}
	w = browse_new(s, provider, HOOKS);
	w->hook = mem_dup(url);
	w->config = id;
	w->page = 1;
	w->per_page = PER_PAGE;
	w->unknown = !s->opt.public_url;
	git_repository(&b, url, "", "");
	doc = json_parse(buf_str(&b), SIZE_MAX, &ignored);
	name_repository(w, json_root(doc));
	json_doc_free(doc);
	buf_free(&b);
	if (!s->opt.public_url)
		err_set(&e, ERR_USAGE, 0, "the server has no --public-url");
	else if (e.kind == ERR_NONE && !provider)
		err_set(&e, ERR_USAGE, 0, "no git provider config fits it");
	else if (e.kind == ERR_NONE && (!w->host || !w->host->change))
		err_set(&e, ERR_USAGE, 0, "%s is not asked for hooks",
		        rec_text(provider, "providerId"));
	else if (n >= AT_ONCE)
		err_set(&e, ERR_BUSY, 0, "too many git hosts are being asked");
	w->later = e.kind == ERR_NONE || e.kind == ERR_BUSY;
	w->waits = s->opt.public_url && !provider && prebuilds_wanted(s, url);
	if (e.kind != ERR_NONE || reach(w, provider, &e) < 0) {
		answer(w, 500, e.msg);
		browse_free(w);
		return;
	}
	authorize(w, provider);
	w->next = s->browses;
	s->browses = w;
	ask(w, HOOKS);
}

static void begin(struct call *c, enum what what)
{
	const struct rec *provider = store_find(&c->s->store, K_GIT, "id", c->param[0]);
	const struct host *h = provider ? host_of(provider) : NULL;
	struct browse *w;
	struct err e = { 0 };
	size_t n = 0;

	for (w = c->s->browses; w; w = w->next)
		n++;
	if (!provider) {
		reply_error(c, 500, "git provider config not found");
		return;
	}
	if (!h) {
		reply_error(c, 501, "what is at %s cannot be listed here",
		            rec_text(provider, "providerId"));
		return;
	}
	if (n >= AT_ONCE) {
		reply_error(c, 503, "too many git hosts are being asked; try again");
		return;
	}
	w = browse_new(c->s, provider, what);
	w->r = c->r;
	if (!names(c, w)) {
		browse_free(w);
		return;
	}
	if (reach(w, provider, &e) < 0) {
		answer(w, 500, e.msg);
		browse_free(w);
		return;
	}
	authorize(w, provider);
	w->next = c->s->browses;
	c->s->browses = w;
	c->r->user = w;
	c->r->gone = gone;
	bool personal = h->asks[OWN_REPOSITORIES].path &&
	                (what == NAMESPACES ||
	                 (w->namespace && strcmp(w->namespace, PERSONAL) == 0));

	ask(w, personal ? USER : what);
}

void h_git_user(struct call *c)
{
	begin(c, USER);
}

void h_git_namespaces(struct call *c)
{
	begin(c, NAMESPACES);
}

void h_git_repositories(struct call *c)
{
	begin(c, REPOSITORIES);
}

void h_git_branches(struct call *c)
{
	begin(c, BRANCHES);
}

void h_git_pulls(struct call *c)
{
	begin(c, PULLS);
}
