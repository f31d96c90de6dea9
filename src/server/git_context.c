/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the URL that somebody copied from a browser, or gives to git, tells of a repository: the part
 * that is the repository's own, and the branch, commit, pull request or file behind it. No git host
 * is asked: a branch that the URL does not name is taken for "main". See git.h.
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

/* Hosts whose repositories all can be had over https, which is where a stored token is of use. */
static bool is_public(const struct context *x)
{
	static const char *const hosts[] = { "github.com", "gitlab.com", "bitbucket.org",
		                             "codeberg.org", "gitee.com" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (str_eq(buf_str(&x->host), hosts[i]))
			return true;
	return false;
}

static struct str until(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (struct str){ s.p, (size_t)(at - s.p) } : s;
}

static void split(struct context *x, struct str path)
{
	struct str piece;

	while (x->n < PARTS_MAX && str_next(&path, '/', &piece))
		if (piece.n)
			x->part[x->n++] = piece;
}

/* "git@host:path", as git takes it. False: it is none. */
static bool take_scp(struct context *x, struct str text)
{
	struct str before = until(text, '/'), host = until(before, ':');
	const char *at = host.n ? memchr(host.p, '@', host.n) : NULL;

	if (!at || host.n == before.n || str_find(text, "://"))
		return false;
	x->scp = true;
	buf_add_str(&x->origin, host);
	buf_add_str(&x->host, (struct str){ at + 1, host.n - (size_t)(at + 1 - host.p) });
	split(x, (struct str){ text.p + host.n + 1, text.n - host.n - 1 });
	return true;
}

/* url_parse knows no ssh; what is behind the scheme is of the same form. */
static void take_host(struct context *x, struct str authority)
{
	struct buf plain = { 0 };
	struct url u = { 0 };
	struct err e = { 0 };

	buf_addf(&plain, "https://%.*s", STR_ARG(authority));
	if (url_parse(buf_str(&plain), &u, &e) == 0)
		buf_adds(&x->host, u.host);
	url_free(&u);
	buf_free(&plain);
}

/* Host, origin and parts. text outlives x. */
static void take_apart(struct context *x, struct str text)
{
	text = until(text, '#');

	const char *scheme = str_find(text, "://");
	struct str authority = text, rest;

	if (take_scp(x, text))
		return;
	if (scheme) {
		size_t skip = (size_t)(scheme + 3 - text.p);

		authority = (struct str){ scheme + 3, text.n - skip };
		buf_add(&x->origin, text.p, skip);
	} else {
		buf_adds(&x->origin, "https://");
	}
	rest = authority;
	authority = until(until(authority, '/'), '?');
	rest.p += authority.n;
	rest.n -= authority.n;
	buf_add_str(&x->origin, authority);
	take_host(x, authority);
	x->query = rest;
	rest = until(rest, '?');
	x->query.p += rest.n;
	x->query.n -= rest.n;
	if (x->query.n) {
		x->query.p++;
		x->query.n--;
	}
	split(x, rest);
}

static bool is_marker(struct str s)
{
	static const char *const words[] = { "tree", "blob",   "commit",        "commits",
		                             "pull", "pulls",  "pull-requests", "merge_requests",
		                             "src",  "branch", "pullrequest",   "browse" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(s, words[i]))
			return true;
	return false;
}

/* How many parts are the repository's. */
static size_t repository_of(const struct context *x)
{
	bool nested = str_find(buf_str(&x->host), "gitlab") != NULL;

	for (size_t i = 0; i < x->n; i++) {
		if (str_eq(x->part[i], "-") && i >= 2)
			return i;
		if (str_ends(x->part[i], ".git"))
			return i + 1;
		if (str_eq(x->part[i], "_git") && i + 1 < x->n)
			return i + 2;
		if (str_eq(x->part[i], "repos") && i == 2 && i + 1 < x->n)
			return i + 2; /* Bitbucket Server: projects/KEY/repos/NAME */
	}
	/* Groups of GitLab may have any name; its addresses have a "-" there. */
	for (size_t i = 2; !nested && i + 1 < x->n; i++)
		if (is_marker(x->part[i]))
			return i;
	return x->n;
}

static void add_parts(struct buf *b, const struct context *x, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (i > from)
			buf_addc(b, '/');
		if (!buf_add_urldec(b, x->part[i], false))
			buf_add_str(b, x->part[i]);
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
static void take_ref(struct context *x, size_t i)
{
	add_parts(is_commit(x->part[i]) ? &x->sha : &x->branch, x, i, i + 1);
	add_parts(&x->path, x, i + 1, x->n);
}

static void take_query(struct context *x)
{
	struct buf v = { 0 };

	/* Azure: GBname; Bitbucket Server: refs/heads/name. */
	if (httpd_query_get(x->query, "version", &v) && str_starts(buf_str(&v), "GB"))
		buf_add(&x->branch, v.p + 2, v.n - 2);
	else if (httpd_query_get(x->query, "at", &v) && str_starts(buf_str(&v), "refs/heads/"))
		buf_add(&x->branch, v.p + 11, v.n - 11);
	buf_free(&v);
}

/* What the parts behind the repository say. */
static void take_rest(struct context *x)
{
	size_t i = x->repo;
	struct str word = { NULL, 0 };

	take_query(x);
	if (i < x->n && str_eq(x->part[i], "-"))
		i++;
	if (i + 1 >= x->n)
		return;
	word = x->part[i++];
	if (str_starts(word, "pull") || str_eq(word, "merge_requests")) {
		if (!str_to_i64(x->part[i], 1, UINT32_MAX, &x->pr))
			x->pr = 0;
	} else if (str_eq(word, "commit")) {
		add_parts(&x->sha, x, i, i + 1);
	} else if (str_eq(word, "tree") || str_eq(word, "branch")) {
		/* A branch may have slashes, and a folder below it cannot be told from them. */
		if (is_commit(x->part[i]))
			take_ref(x, i);
		else
			add_parts(&x->branch, x, i, x->n);
	} else if (str_eq(word, "src") && i + 1 < x->n &&
	           (str_eq(x->part[i], "branch") || str_eq(x->part[i], "commit") ||
	            str_eq(x->part[i], "tag"))) {
		take_ref(x, i + 1);
	} else if (!str_eq(word, "browse")) {
		take_ref(x, i);
	}
}

static bool is_bitbucket_server(const struct context *x)
{
	return x->repo == 4 && str_eq(x->part[2], "repos");
}

/* Which part is its name: not the ".git" of a checkout. */
static size_t name_of(const struct context *x)
{
	size_t at = x->repo - 1;

	return at && str_eq(x->part[at], ".git") ? at - 1 : at;
}

static void add_owner(struct buf *b, const struct context *x)
{
	size_t to = name_of(x);

	if (is_bitbucket_server(x)) {
		add_parts(b, x, 1, 2);
		return;
	}
	if (to && str_eq(x->part[to - 1], "_git"))
		to--;
	add_parts(b, x, 0, to);
}

static void add_url(struct buf *b, const struct context *x, const char *as_given)
{
	bool ssh = x->scp || str_starts(buf_str(&x->origin), "ssh://");

	if (ssh && is_public(x))
		buf_addf(b, "https://%s", buf_cstr(&x->host));
	else
		buf_add_str(b, buf_str(&x->origin));
	if (!x->repo) { /* nothing that we know */
		buf_reset(b);
		buf_adds(b, as_given);
		return;
	}
	if (is_bitbucket_server(x)) {
		buf_addf(b, "/scm/%.*s/%.*s.git", STR_ARG(x->part[1]), STR_ARG(x->part[3]));
		return;
	}
	for (size_t i = 0; i < x->repo; i++) {
		buf_addc(b, i || !x->scp || is_public(x) ? '/' : ':');
		buf_add_str(b, x->part[i]);
	}
}

static void write(struct buf *b, const struct context *x, struct str name, struct str owner,
                  const char *url)
{
	jw_obj(b);
	jw_key(b, "id");
	jw_str(b, name);
	jw_kstr(b, "url", url);
	jw_key(b, "name");
	jw_str(b, name);
	jw_kstr(b, "branch", x->branch.n ? buf_cstr(&x->branch) : "main");
	jw_kstr(b, "sha", buf_cstr(&x->sha));
	jw_key(b, "owner");
	jw_str(b, owner);
	if (x->pr)
		jw_kint(b, "prNumber", x->pr);
	jw_kstr(b, "source", buf_cstr(&x->host));
	if (x->path.n)
		jw_kstr(b, "path", buf_cstr(&x->path));
	if (x->commit)
		jw_kstr(b, "cloneTarget", "commit");
	jw_obj_end(b);
}

void git_repository(struct buf *b, const char *url, const char *branch, const char *sha)
{
	struct context x = { 0 };
	struct buf own = { 0 }, owner = { 0 };
	struct str name = { NULL, 0 };

	take_apart(&x, str_trim(str_of(url)));
	x.repo = repository_of(&x);
	if (x.repo) {
		name = x.part[name_of(&x)];
		if (str_ends(name, ".git"))
			name.n -= 4;
		if (!name.n)
			name = buf_str(&x.host);
		add_owner(&owner, &x);
	}
	/* The same routes that answer without these ask for them. */
	if (!x.host.n)
		buf_adds(&x.host, "local");
	if (!owner.n)
		buf_add_str(&owner, buf_str(&x.host));
	take_rest(&x);
	x.commit = x.sha.n > 0;
	/* What was said beside the URL counts more. */
	if (branch[0]) {
		buf_reset(&x.branch);
		buf_adds(&x.branch, branch);
	}
	if (sha[0]) {
		buf_reset(&x.sha);
		buf_adds(&x.sha, sha);
	}
	add_url(&own, &x, url);
	write(b, &x, name, buf_str(&owner), buf_cstr(&own));
	buf_free(&x.origin);
	buf_free(&x.host);
	buf_free(&x.branch);
	buf_free(&x.sha);
	buf_free(&x.path);
	buf_free(&own);
	buf_free(&owner);
}

char *git_host(const char *url)
{
	struct context x = { 0 };
	char *host = NULL;

	take_apart(&x, str_trim(str_of(url)));
	if (x.host.n)
		host = buf_take(&x.host);
	buf_free(&x.host);
	buf_free(&x.origin);
	return host;
}
