/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and splits repository URLs; see giturl.h. Forms: git-clone(1), "GIT URLS". */
#include "git/url.h"

#include "base/allow.h"
#include "base/buf.h"
#include "base/mem.h"
#include "git/clone.h"

#include <ctype.h>

static const char *const schemes[] = { "https", "http", "ssh", "git", "file", NULL };

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	}
	return false;
}

static size_t find(struct str s, const char *set)
{
	size_t i = 0;

	while (i < s.n && !strchr(set, s.p[i]))
		i++;
	return i;
}

static struct str after(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

/* "ext::…", "fd::…": the part before "::" is a program that git would run. */
static bool is_remote_helper(struct str s)
{
	size_t n = 0;

	while (n < s.n && (isalnum((unsigned char)s.p[n]) || strchr("+.-_", s.p[n])))
		n++;
	return n > 0 && n + 1 < s.n && s.p[n] == ':' && s.p[n + 1] == ':';
}

/* The length of "[user@host:port]" or "user@[address]" before a colon; 0: no brackets. */
static size_t bracketed(struct str s)
{
	size_t open = find(s, "[:/"), close = find(s, "]/");

	if (open >= s.n || s.p[open] != '[' || (open > 0 && s.p[open - 1] != '@') ||
	    close + 1 >= s.n || s.p[close] != ']' || s.p[close + 1] != ':')
		return 0;
	return close + 1;
}

/* "user@host:path", "host:path"; but "host:8080/path" is a host with a port, and "user:password@host"
 * an authority without its scheme. */
static bool is_scp_like(struct str s)
{
	size_t colon = find(s, ":/"), digits;

	if (bracketed(s))
		return true;
	if (colon == 0 || colon >= s.n || s.p[colon] != ':' || s.p[0] == '[')
		return false;
	for (size_t i = 0; i < colon; i++) {
		if (s.p[i] == '@')
			return true;
	}
	if (find(s, "@") < find(s, "/"))
		return false;
	digits = colon + 1;
	while (digits < s.n && isdigit((unsigned char)s.p[digits]))
		digits++;
	return digits == colon + 1 || (digits < s.n && s.p[digits] != '/');
}

static char *decode(struct str s, struct err *e)
{
	struct buf b = { 0 };

	if (!buf_add_urldec(&b, s, false) || has_control(buf_str(&b)) ||
	    memchr(buf_cstr(&b), '\0', b.n)) {
		buf_wipe(&b);
		err_set(e, ERR_PARSE, 0, "the repository URL's user part is malformed");
		return NULL;
	}
	return buf_take(&b);
}

static bool is_address(struct str s)
{
	size_t colon = find(s, ":@");

	return colon < s.n && s.p[colon] == ':' &&
	       find(after(s, colon + 1), ":@") + colon + 1 < s.n;
}

/* "host", "host:port", "[address]", "[address]:port". Elsewhere brackets are refused: git takes what is in them for the
 * host, and leaves out what stands beside. */
static bool host_ok(struct str host)
{
	size_t close = find(host, "]");
	struct str rest = host;

	if (host.n == 0 || host.p[0] == '-')
		return false;
	if (host.p[0] == '[' && close < host.n) {
		if (!is_address((struct str){ host.p + 1, close - 1 }) ||
		    !host_ok((struct str){ host.p + 1, close - 1 }))
			return false;
		rest = after(host, close + 1);
		if (rest.n && rest.p[0] != ':')
			return false;
	}
	for (size_t i = 0; i < rest.n; i++) {
		if (!isalnum((unsigned char)rest.p[i]) && !strchr(".-_:%", rest.p[i]))
			return false;
	}
	return true;
}

static char *lower(struct str s)
{
	char *p = mem_dupn(s.p, s.n);

	for (char *c = p; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return p;
}

/* user: the raw text before '@' in the authority. */
static int take_user(struct str user, struct git_source *out, struct err *e)
{
	size_t colon = find(user, ":");

	out->user = decode((struct str){ user.p, colon }, e);
	if (!out->user)
		return -1;
	if (colon < user.n) {
		out->password = decode(after(user, colon + 1), e);
		if (!out->password)
			return -1;
	}
	return 0;
}

static int parse_authority(struct str rest, struct git_source *out, struct buf *url, struct err *e)
{
	size_t end = find(rest, "/?#"), at = end;
	struct str host;

	while (at > 0 && rest.p[at - 1] != '@')
		at--;
	host = (struct str){ rest.p + at, end - at };
	if (!host_ok(host))
		return err_set(e, ERR_PARSE, 0, "the repository URL has no usable host: \"%.*s\"",
		               STR_ARG(host));
	out->host = lower(host);
	if (at > 0) {
		struct str user = { rest.p, at - 1 };

		if (take_user(user, out, e) < 0)
			return -1;
		if (strcmp(out->scheme, "ssh") == 0) {
			if (find(user, ":") == 0 || user.p[0] == '-')
				return err_set(e, ERR_PARSE, 0,
				               "the repository URL's user name is not usable");
			buf_add(url, user.p, find(user, ":"));
			buf_addc(url, '@');
		}
	}
	buf_add_str(url, after(rest, at));
	return 0;
}

/* Always as file://, since git copies a plain path's objects by hard links and follows links in
 * it. */
static int parse_local(struct str s, bool allow_file, struct git_source *out, struct err *e)
{
	struct buf b = { 0 };

	if (!allow_file)
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "the repository \"%.*s\" is a local path; local repositories are "
		               "not allowed here",
		               STR_ARG(s));
	out->scheme = mem_dup("file");
	out->host = mem_dup("");
	if (s.p[0] == '/')
		buf_adds(&b, "file://");
	buf_add_str(&b, s);
	out->url = buf_take(&b);
	return 0;
}

static int parse_scp(struct str s, struct git_source *out, struct err *e)
{
	size_t in = bracketed(s), colon = in ? in : find(s, ":"), begin = 0, end = colon, at;
	struct str host;

	if (in && s.p[0] == '[' && !is_address((struct str){ s.p + 1, in - 2 })) {
		begin = 1; /* "[user@host:port]" */
		end = in - 1;
	}
	at = begin;
	for (size_t i = begin; i < end; i++) {
		if (s.p[i] == '@')
			at = i + 1;
	}
	host = (struct str){ s.p + at, end - at };
	if (in && host.n > 2 && host.p[0] == '[' &&
	    !is_address((struct str){ host.p + 1, host.n - 2 }))
		host = (struct str){ host.p + 1, host.n - 2 }; /* "user@[host:port]" */
	if (!host_ok(host) || s.p[begin] == '-' || colon + 1 == s.n || s.p[colon + 1] == '-')
		return err_set(e, ERR_PARSE, 0, "the repository URL \"%.*s\" is malformed",
		               STR_ARG(after(s, at)));
	out->scheme = mem_dup("ssh");
	out->host = lower(host);
	if (at > begin + 1)
		out->user = mem_dupn(s.p + begin, at - begin - 1);
	out->url = mem_dupn(s.p, s.n);
	return 0;
}

static int parse_scheme(struct str s, size_t colon, bool allow_file, struct git_source *out,
                        struct err *e)
{
	struct str rest = after(s, colon + 3);
	struct buf url = { 0 };
	size_t i = 0;
	int rc;

	out->scheme = lower((struct str){ s.p, colon });
	if (strcmp(out->scheme, "git+ssh") == 0 || strcmp(out->scheme, "ssh+git") == 0) {
		free(out->scheme);
		out->scheme = mem_dup("ssh");
	}
	while (schemes[i] && strcmp(schemes[i], out->scheme) != 0)
		i++;
	if (!schemes[i])
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "the repository URL's scheme \"%s\" is not supported; use https, "
		               "http, ssh or git",
		               out->scheme);
	if (strcmp(out->scheme, "file") == 0) {
		free(out->scheme);
		out->scheme = NULL;
		if (rest.n == 0 || rest.p[0] != '/')
			return err_set(e, ERR_PARSE, 0, "the repository URL \"%.*s\" has no path",
			               STR_ARG(s));
		return parse_local(s, allow_file, out, e);
	}
	buf_addf(&url, "%s://", out->scheme);
	rc = parse_authority(rest, out, &url, e);
	if (rc == 0)
		out->url = buf_take(&url);
	buf_wipe(&url);
	return rc;
}

static int parse(const char *url, bool allow_file, struct git_source *out, struct err *e)
{
	struct str s = str_trim(str_of(url));
	size_t colon = find(s, ":");
	int rc;

	*out = (struct git_source){ 0 };
	if (s.n == 0)
		return err_set(e, ERR_PARSE, 0, "the repository URL is empty");
	if (s.n > GIT_URL_MAX)
		return err_set(e, ERR_LIMIT, 0, "the repository URL is longer than %d bytes",
		               GIT_URL_MAX);
	if (has_control(s))
		return err_set(e, ERR_PARSE, 0, "the repository URL contains a control byte");
	if (s.p[0] == '-')
		return err_set(e, ERR_PARSE, 0, "the repository URL begins with '-'");
	if (is_remote_helper(s))
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"the repository URL \"%.*s\" names a remote helper; use https, http, "
			"ssh or git",
			(int)colon + 2, s.p);
	if (strchr("/.~", s.p[0]))
		rc = s.p[0] == '/'
		             ? parse_local(s, allow_file, out, e)
		             : err_set(e, ERR_UNSUPPORTED, 0,
		                       "the repository \"%.*s\" is a relative path", STR_ARG(s));
	else if (colon > 0 && colon + 2 < s.n && s.p[colon + 1] == '/' && s.p[colon + 2] == '/' &&
	         find(s, "/@") > colon)
		rc = parse_scheme(s, colon, allow_file, out, e);
	else if (is_scp_like(s))
		rc = parse_scp(s, out, e);
	else {
		struct buf b = { 0 };

		buf_adds(&b, "https://");
		buf_add_str(&b, s);
		rc = parse_scheme(buf_str(&b), strlen("https"), false, out, e);
		buf_wipe(&b);
	}
	if (rc < 0)
		git_source_free(out);
	return rc;
}

/* What a server might read as another path than it says. */
static bool is_plain_path(struct str path)
{
	struct str piece;

	if (find(path, "?#\\") < path.n)
		return false;
	for (size_t i = 0; i + 2 < path.n; i++) {
		if (path.p[i] == '%' && path.p[i + 1] == '2' && strchr("5eEfF", path.p[i + 2]))
			return false;
		if (path.p[i] == '%' && path.p[i + 1] == '5' && strchr("cC", path.p[i + 2]))
			return false;
	}
	while (str_next(&path, '/', &piece))
		if (piece.n == 0 || str_eq(piece, ".") || str_eq(piece, ".."))
			return false;
	return true;
}

/* Without ".git": "scheme://host/path" and "host/path"; a local one by its path as well. */
static int admit(const struct git_source *s, struct err *e)
{
	struct str url = str_of(s->url), path;
	size_t begin = find(url, ":");
	struct buf name = { 0 };
	const char *names[2];
	int rc;

	if (!allow_limits(ALLOW_REPOSITORIES))
		return 0;
	if (str_starts(after(url, begin), "://")) {
		path = after(url, begin + 3);
		path = after(path, find(path, "/"));
	} else { /* user@host:path, [user@host:port]:path */
		size_t in = bracketed(url);

		path = after(url, (in ? in : begin) + 1);
	}
	if (str_starts(path, "/"))
		path = after(path, 1);
	while (str_ends(path, "/"))
		path.n--;
	if (str_ends(path, ".git"))
		path.n -= strlen(".git");
	buf_addf(&name, "%s://%s/%.*s", s->scheme, s->host, STR_ARG(path));
	names[0] = buf_cstr(&name);
	names[1] = names[0] + strlen(s->scheme) + 3;
	rc = allow_check(ALLOW_REPOSITORIES, s->url, names, is_plain_path(path) ? 2 : 0, e);
	buf_free(&name);
	return rc;
}

int git_source_parse(const char *url, bool allow_file, struct git_source *out, struct err *e)
{
	if (parse(url, allow_file, out, e) < 0)
		return -1;
	if (admit(out, e) == 0)
		return 0;
	git_source_free(out);
	return -1;
}

void git_source_free(struct git_source *s)
{
	free(s->url);
	free(s->scheme);
	free(s->host);
	free(s->user);
	mem_free_secret(s->password);
	*s = (struct git_source){ 0 };
}

int git_url_normalize(const char *url, bool allow_file, struct buf *out, struct err *e)
{
	struct git_source s;

	if (git_source_parse(url, allow_file, &s, e) < 0)
		return -1;
	buf_adds(out, s.url);
	git_source_free(&s);
	return 0;
}

bool git_branch_ok(const char *b)
{
	size_t n = strlen(b);
	char prev = '/';

	if (n == 0 || n > 250 || b[0] == '-' || b[n - 1] == '/' || b[n - 1] == '.' ||
	    strcmp(b, "@") == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = b[i];

		if ((unsigned char)c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c))
			return false;
		if ((c == '.' || c == '/') && prev == '/')
			return false;
		if ((c == '.' && prev == '.') || (c == '{' && prev == '@'))
			return false;
		if (strncmp(b + i, ".lock", 5) == 0 && (b[i + 5] == '/' || b[i + 5] == '\0'))
			return false;
		prev = c;
	}
	return true;
}

bool git_sha_ok(const char *sha)
{
	size_t n = strspn(sha, "0123456789abcdefABCDEF");

	return n >= 4 && n <= 64 && sha[n] == '\0';
}

/* A directory's name beside our own hidden one: no leading dot, nothing that a program could take
 * for an option. */
static bool dir_name_ok(struct str s)
{
	return str_is_id(s) && s.p[0] != '.' && s.p[0] != '-';
}

char *git_dir_name(const struct repository *repo)
{
	struct str name = str_of(repo->name), url = str_of(repo->url);
	size_t start = 0;

	if (dir_name_ok(name))
		return mem_dupn(name.p, name.n);
	url.n = find(url, "?#");
	while (url.n > 0 && url.p[url.n - 1] == '/')
		url.n--;
	if (str_ends(url, ".git"))
		url.n -= strlen(".git");
	for (size_t i = 0; i < url.n; i++) {
		if (url.p[i] == '/' || url.p[i] == ':')
			start = i + 1;
	}
	if (start < url.n && dir_name_ok(after(url, start)))
		return mem_dupn(url.p + start, url.n - start);
	return mem_dup("repository");
}
