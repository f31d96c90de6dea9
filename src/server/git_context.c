/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the URL that somebody copied from a browser, or gives to git, tells of a repository: the part
 * that is the repository's own, and the branch, commit, pull request or file behind it. No git host
 * is asked here: a branch that the URL does not name is taken for "main". See git.h.
 */
#include "server/git.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "net/url.h"

#define PARTS_MAX 32

struct context {
	struct buf origin; /* "https://host", or "git@host" */
	struct buf host;
	bool scp;                   /* "git@host:path" */
	struct str part[PARTS_MAX]; /* of the path */
	size_t n, repo;             /* the first are the repository, the others say what of it */
	struct str query;
	struct buf branch, sha, path;
	bool commit; /* the URL is of one */
	int64_t pr;  /* 0: none */
};

static bool is_one_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, words[i]))
			return true;
	return false;
}

/* Hosts whose repositories all can be had over https, which is where a stored token is of use. */
static bool is_public(const struct context *context)
{
	static const char *const hosts[] = { "github.com", "gitlab.com", "bitbucket.org",
		                             "codeberg.org", "gitee.com" };

	struct str host = buf_str(&context->host);

	if (str_starts(host, "www."))
		host = (struct str){ host.p + 4, host.n - 4 };
	return is_one_of(host, hosts, ARRAY_LEN(hosts));
}

static bool is_nested(const struct context *context)
{
	return str_find(buf_str(&context->host), "gitlab") != NULL;
}

static struct str until(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (struct str){ s.p, (size_t)(at - s.p) } : s;
}

static void split(struct context *context, struct str path)
{
	struct str piece;

	while (context->n < PARTS_MAX && str_next(&path, '/', &piece))
		if (piece.n)
			context->part[context->n++] = piece;
}

/* "git@host:path", "[git@host:port]:path", "git@[address]:path", as git takes them. False: it is none. */
static bool take_scp(struct context *context, struct str text)
{
	struct str before = until(text, '/'), host = before;
	const char *open = before.n ? memchr(before.p, '[', before.n) : NULL, *at;

	if (open && (open == before.p || open[-1] == '@'))
		host = until(before, ']');
	host.n = open && host.n < before.n ? host.n + 1 : until(before, ':').n;
	at = host.n ? memrchr(host.p, '@', host.n) : NULL;
	if (!at || host.n == before.n || host.p[host.n] != ':' || str_find(text, "://"))
		return false;
	context->scp = true;
	buf_add_str(&context->origin, host);
	split(context, (struct str){ text.p + host.n + 1, text.n - host.n - 1 });
	host = (struct str){ at + 1, host.n - (size_t)(at + 1 - host.p) };
	if (str_starts(host, "["))
		host = (struct str){ host.p + 1, host.n - 1 };
	if (str_ends(host, "]"))
		host.n--;
	if (memchr(host.p, ':', host.n) == memrchr(host.p, ':', host.n))
		host = until(host, ':'); /* of an address all is the host */
	buf_add_str(&context->host, host);
	return true;
}

/* url_parse knows no ssh; what is behind the scheme is of the same form. */
static void take_host(struct context *context, struct str authority)
{
	struct buf plain = { 0 };
	struct url u = { 0 };
	struct err e = { 0 };

	buf_addf(&plain, "https://%.*s", STR_ARG(authority));
	if (url_parse(buf_str(&plain), &u, &e) == 0)
		buf_adds(&context->host, u.host);
	url_free(&u);
	buf_free(&plain);
}

/* Host, origin and parts. text outlives context. */
static void take_apart(struct context *context, struct str text)
{
	text = until(text, '#');

	const char *scheme = str_find(text, "://");
	struct str authority = text, rest;

	if (take_scp(context, text))
		return;
	if (scheme) {
		size_t skip = (size_t)(scheme + 3 - text.p);

		authority = (struct str){ scheme + 3, text.n - skip };
		buf_add(&context->origin, text.p, skip);
	} else {
		buf_adds(&context->origin, "https://");
	}
	rest = authority;
	authority = until(until(authority, '/'), '?');
	rest.p += authority.n;
	rest.n -= authority.n;
	buf_add_str(&context->origin, authority);
	take_host(context, authority);
	context->query = rest;
	rest = until(rest, '?');
	context->query.p += rest.n;
	context->query.n -= rest.n;
	if (context->query.n) {
		context->query.p++;
		context->query.n--;
	}
	split(context, rest);
}

static bool is_marker(struct str s)
{
	static const char *const words[] = {
		"tree",          "blob",           "raw",     "blame",       "edit",
		"commit",        "commits",        "compare", "actions",     "issues",
		"releases",      "pull",           "pulls",   "src",         "branch",
		"pull-requests", "merge_requests", "browse",  "pullrequest",
	};

	return is_one_of(s, words, ARRAY_LEN(words));
}

/* How many parts are the repository's. */
static size_t repository_of(const struct context *context)
{
	for (size_t i = 0; i < context->n; i++) {
		if (str_eq(context->part[i], "-") && i >= 2)
			return i;
		if (str_ends(context->part[i], ".git"))
			return i + 1;
		if (str_eq(context->part[i], "_git") && i + 1 < context->n)
			return i + 2;
		if (str_eq(context->part[i], "repos") && i == 2 && i + 1 < context->n)
			return i + 2; /* Bitbucket Server: projects/KEY/repos/NAME */
	}
	/* Groups of GitLab may have any name; its addresses have a "-" there. */
	if (is_nested(context))
		return context->n;
	if (is_public(context) && context->n > 2)
		return 2;
	for (size_t i = 2; i + 1 < context->n; i++)
		if (is_marker(context->part[i]))
			return i;
	return context->n;
}

static void add_parts(struct buf *b, const struct context *context, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (i > from)
			buf_addc(b, '/');
		if (!buf_add_urldec(b, context->part[i], false))
			buf_add_str(b, context->part[i]);
	}
}

static bool is_commit(struct str s)
{
	if (s.n != 40 && s.n != 64)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (str_hex_digit(s.p[i]) < 0)
			return false;
	return true;
}

/* A branch or commit at part i, and a file behind it. */
static void take_ref(struct context *context, size_t i)
{
	add_parts(is_commit(context->part[i]) ? &context->sha : &context->branch, context, i,
	          i + 1);
	add_parts(&context->path, context, i + 1, context->n);
}

static void add_ref(struct context *context, struct str ref)
{
	buf_add_str(is_commit(ref) ? &context->sha : &context->branch, ref);
}

static void take_query(struct context *context)
{
	struct buf version = { 0 }, at = { 0 };

	/* Azure: a branch GBname, a tag GT, a commit GC; Bitbucket Server: refs/heads/name, name, a commit. */
	if (httpd_query_get(context->query, "version", &version) && version.n > 2 &&
	    version.p[0] == 'G' && strchr("BTC", version.p[1])) {
		add_ref(context, (struct str){ version.p + 2, version.n - 2 });
	} else if (httpd_query_get(context->query, "at", &at)) {
		size_t skip = str_starts(buf_str(&at), "refs/heads/")  ? 11
		              : str_starts(buf_str(&at), "refs/tags/") ? 10
		                                                       : 0;

		add_ref(context, (struct str){ at.p + skip, at.n - skip });
	}
	buf_free(&version);
	buf_free(&at);
}

/* What the parts behind the repository say. */
static void take_rest(struct context *context)
{
	static const char *const before_ref[] = { "blob", "raw", "blame",   "edit",
		                                  "tags", "src", "commits", "browse" };
	static const char *const kinds[] = { "branch", "commit", "tag" };
	size_t i = context->repo;
	struct str word = { NULL, 0 };

	take_query(context);
	if (i < context->n && str_eq(context->part[i], "-"))
		i++;
	if (i + 1 >= context->n)
		return;
	word = context->part[i++];
	if (str_starts(word, "pull") || str_eq(word, "merge_requests")) {
		if (!str_to_i64(context->part[i], 1, UINT32_MAX, &context->pr))
			context->pr = 0;
		return;
	}
	if (str_eq(word, "releases") && i + 1 < context->n && str_eq(context->part[i], "tag"))
		i++;
	else if (is_one_of(word, before_ref, ARRAY_LEN(before_ref)) && i + 1 < context->n &&
	         is_one_of(context->part[i], kinds, ARRAY_LEN(kinds)))
		i++; /* Gitea, Forgejo; Bitbucket's commits/branch/NAME */
	else if (str_eq(word, "releases"))
		return;
	if (str_eq(word, "commit")) {
		add_parts(&context->sha, context, i, i + 1);
	} else if (str_eq(word, "tree") || str_eq(word, "branch") || str_eq(word, "releases") ||
	           (str_eq(word, "commits") && str_eq(context->part[i - 1], "branch"))) {
		/* A branch may have slashes, and a folder below it cannot be told from them. */
		if (is_commit(context->part[i]))
			take_ref(context, i);
		else
			add_parts(&context->branch, context, i, context->n);
	} else if (str_eq(word, "browse")) {
		add_parts(&context->path, context, i, context->n);
	} else if (is_one_of(word, before_ref, ARRAY_LEN(before_ref))) {
		take_ref(context, i);
	}
}

static bool is_bitbucket_server(const struct context *context)
{
	return context->repo == 4 && str_eq(context->part[2], "repos");
}

/* Which part is its name: not the ".git" of a checkout. */
static size_t name_of(const struct context *context)
{
	size_t at = context->repo - 1;

	return at && str_eq(context->part[at], ".git") ? at - 1 : at;
}

static void add_owner(struct buf *b, const struct context *context)
{
	size_t to = name_of(context);

	if (is_bitbucket_server(context)) {
		add_parts(b, context, 1, 2);
		return;
	}
	/* What is before it is of the address: Bitbucket Server's scm/KEY/NAME.git, Azure's v3/ORG/PROJECT/NAME. */
	if ((to == 2 && str_eq(context->part[0], "scm") && !is_public(context)) ||
	    (to == 3 && str_eq(context->part[0], "v3") && context->scp)) {
		add_parts(b, context, 1, to);
		return;
	}
	if (to && str_eq(context->part[to - 1], "_git"))
		to--;
	add_parts(b, context, 0, to);
}

static void add_url(struct buf *b, const struct context *context, const char *as_given)
{
	struct str origin = buf_str(&context->origin);
	bool ssh = context->scp || str_starts(origin, "ssh://") ||
	           str_starts(origin, "git+ssh://") || str_starts(origin, "ssh+git://");

	if (ssh && is_public(context))
		buf_addf(b, "https://%s", buf_cstr(&context->host));
	else
		buf_add_str(b, origin);
	if (!context->repo) { /* nothing that we know */
		buf_reset(b);
		buf_adds(b, as_given);
		return;
	}
	if (is_bitbucket_server(context)) {
		/* A person's repositories are a project "~NAME". */
		buf_addf(b, "/scm/%s%.*s/%.*s.git", str_eq(context->part[0], "users") ? "~" : "",
		         STR_ARG(context->part[1]), STR_ARG(context->part[3]));
		return;
	}
	for (size_t i = 0; i < context->repo; i++) {
		buf_addc(b, i || !context->scp || is_public(context) ? '/' : ':');
		buf_add_str(b, context->part[i]);
	}
}

static void write(struct buf *b, const struct context *context, struct str name, struct str owner,
                  const char *url)
{
	jw_obj(b);
	jw_key(b, "id");
	jw_str(b, name);
	jw_kstr(b, "url", url);
	jw_key(b, "name");
	jw_str(b, name);
	jw_kstr(b, "branch", context->branch.n ? buf_cstr(&context->branch) : "main");
	jw_kstr(b, "sha", buf_cstr(&context->sha));
	jw_key(b, "owner");
	jw_str(b, owner);
	if (context->pr)
		jw_kint(b, "prNumber", context->pr);
	jw_kstr(b, "source", buf_cstr(&context->host));
	if (context->path.n)
		jw_kstr(b, "path", buf_cstr(&context->path));
	if (context->commit)
		jw_kstr(b, "cloneTarget", "commit");
	jw_obj_end(b);
}

bool git_repository(struct buf *b, const char *url, const char *branch, const char *sha)
{
	bool named;
	struct context context = { 0 };
	struct buf own = { 0 }, owner = { 0 };
	struct str name = { NULL, 0 };

	take_apart(&context, str_trim(str_of(url)));
	context.repo = repository_of(&context);
	if (context.repo) {
		name = context.part[name_of(&context)];
		if (str_ends(name, ".git"))
			name.n -= 4;
		if (!name.n)
			name = buf_str(&context.host);
		add_owner(&owner, &context);
	}
	/* The same routes that answer without these ask for them. */
	if (!context.host.n)
		buf_adds(&context.host, "local");
	if (!owner.n)
		buf_add_str(&owner, buf_str(&context.host));
	take_rest(&context);
	context.commit = context.sha.n > 0;
	/* What was said beside the URL counts more. */
	if (branch[0]) {
		buf_reset(&context.branch);
		buf_adds(&context.branch, branch);
	}
	if (sha[0]) {
		buf_reset(&context.sha);
		buf_adds(&context.sha, sha);
	}
	named = context.branch.n || context.sha.n;
	add_url(&own, &context, url);
	write(b, &context, name, buf_str(&owner), buf_cstr(&own));
	buf_free(&context.origin);
	buf_free(&context.host);
	buf_free(&context.branch);
	buf_free(&context.sha);
	buf_free(&context.path);
	buf_free(&own);
	buf_free(&owner);
	return named;
}

char *git_host(const char *url)
{
	struct context context = { 0 };
	char *host = NULL;

	take_apart(&context, str_trim(str_of(url)));
	if (context.host.n)
		host = buf_take(&context.host);
	buf_free(&context.host);
	buf_free(&context.origin);
	return host;
}
