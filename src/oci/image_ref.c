/* SPDX-License-Identifier: Apache-2.0 */
/* Image references, see image_ref.h. */
#include "oci/image_ref.h"

#include "base/allow.h"
#include "base/attr.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define TAG_MAX_BYTES 128

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool all_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

/* Words of lower-case letters and digits joined by '.', '_', "__" or dashes. */
static bool valid_component(struct str s)
{
	size_t i = 0;

	if (!s.n || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1]))
		return false;
	while (i < s.n) {
		size_t from = i;

		while (i < s.n && !is_lower_alnum(s.p[i]))
			i++;
		if (i > from) {
			char c = s.p[from];
			size_t max = c == '-' ? s.n : c == '_' ? 2 : c == '.' ? 1 : 0;

			for (size_t k = from; k < i; k++)
				if (s.p[k] != c)
					return false;
			if (i - from > max)
				return false;
		}
		i++;
	}
	return true;
}

static bool valid_path(struct str s)
{
	struct str piece;

	if (!s.n || s.p[s.n - 1] == '/')
		return false;
	while (str_next(&s, '/', &piece))
		if (!valid_component(piece))
			return false;
	return true;
}

/* Names joined by dots: each begins and ends with a letter or digit. */
static bool valid_labels(struct str host)
{
	char before = '.';

	for (size_t i = 0; i <= host.n; i++) {
		char c = i < host.n ? host.p[i] : '.';

		if (!is_alnum(c) && c != '.' && c != '-')
			return false;
		if ((c == '.' && !is_alnum(before)) || (c == '-' && before == '.'))
			return false;
		before = c;
	}
	return true;
}

static bool valid_domain(struct str s)
{
	const char *colon = memchr(s.p, ':', s.n);
	struct str host = s;
	int64_t port;

	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end)
			return false;
		host = (struct str){ s.p + 1, (size_t)(end - s.p) - 1 };
		colon = (size_t)(end + 1 - s.p) < s.n ? end + 1 : NULL;
		for (size_t i = 0; i < host.n; i++)
			if (!is_alnum(host.p[i]) && host.p[i] != ':')
				return false;
	} else {
		if (colon)
			host.n = (size_t)(colon - s.p);
		if (!valid_labels(host))
			return false;
	}
	if (colon && (*colon != ':' ||
	              !str_to_i64((struct str){ colon + 1, s.n - (size_t)(colon + 1 - s.p) }, 1,
	                          65535, &port)))
		return false;
	return host.n > 0;
}

static bool valid_tag(struct str s)
{
	if (!s.n || s.n > TAG_MAX_BYTES || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-')
			return false;
	return true;
}

/* The algorithms that engines and registries know. */
static bool valid_digest(struct str s)
{
	static const struct {
		const char *prefix;
		size_t hex;
	} known[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t n = strlen(known[i].prefix);

		if (str_starts(s, known[i].prefix))
			return s.n == n + known[i].hex && all_hex((struct str){ s.p + n, s.n - n });
	}
	return false;
}

static bool is_image_id(struct str s)
{
	if (str_starts(s, "sha256:"))
		s = (struct str){ s.p + 7, s.n - 7 };
	return s.n == 64 && all_hex(s);
}

/* The first component, if it is a host. */
static struct str cut_domain(struct str *s)
{
	const char *slash = memchr(s->p, '/', s->n);
	struct str first;
	bool upper = false;

	if (!slash)
		return (struct str){ 0 };
	first = (struct str){ s->p, (size_t)(slash - s->p) };
	for (size_t i = 0; i < first.n; i++)
		upper |= first.p[i] >= 'A' && first.p[i] <= 'Z';
	if (!memchr(first.p, '.', first.n) && !memchr(first.p, ':', first.n) &&
	    !str_eq(first, "localhost") && !upper)
		return (struct str){ 0 };
	*s = (struct str){ slash + 1, s->n - first.n - 1 };
	return first;
}

static int split(struct str s, struct image_ref *r)
{
	struct str rest = s, domain, tag = { 0 }, digest = { 0 };
	const char *at = memchr(s.p, '@', s.n);
	bool hub;

	if (at) {
		digest = (struct str){ at + 1, s.n - (size_t)(at + 1 - s.p) };
		rest.n = (size_t)(at - s.p);
		if (!valid_digest(digest))
			return -1;
	}
	for (size_t i = rest.n; i-- > 0 && rest.p[i] != '/';)
		if (rest.p[i] == ':') {
			tag = (struct str){ rest.p + i + 1, rest.n - i - 1 };
			rest.n = i;
			if (!valid_tag(tag))
				return -1;
			break;
		}
	r->name = mem_dupn(rest.p, rest.n);
	domain = cut_domain(&rest);
	if ((domain.n && !valid_domain(domain)) || !valid_path(rest))
		return -1;
	hub = !domain.n || str_eq(domain, "docker.io") || str_eq(domain, "index.docker.io");
	r->domain = hub ? mem_dup("docker.io") : mem_dupn(domain.p, domain.n);
	if (hub && !memchr(rest.p, '/', rest.n)) {
		struct buf b = { 0 };

		buf_adds(&b, "library/");
		buf_add_str(&b, rest);
		r->path = buf_take(&b);
	} else {
		r->path = mem_dupn(rest.p, rest.n);
	}
	r->tag = tag.n ? mem_dupn(tag.p, tag.n) : mem_dup(digest.n ? "" : "latest");
	r->digest = mem_dupn(digest.p ? digest.p : "", digest.n);
	return 0;
}

/* By its full name and Docker's short one; with the digest, which decides where there is one, else the tag, and without. */
static int admit(const struct image_ref *r, const char *text, struct err *e)
{
	static const char hub[] = "docker.io/library/";
	const char *const domain[] = { r->domain };
	struct buf full = { 0 }, bare = { 0 }, digest = { 0 };
	const char *names[6];
	size_t n = 0;
	int rc = 0;

	if (allow_limits(ALLOW_REGISTRIES))
		rc = allow_check(ALLOW_REGISTRIES, text, domain, 1, e);
	if (rc < 0 || !allow_limits(ALLOW_IMAGES))
		return rc;
	image_ref_full(r, &full);
	buf_addf(&bare, "%s/%s", r->domain, r->path);
	buf_addf(&digest, "%s@%s", buf_cstr(&bare), r->digest);
	names[n++] = buf_cstr(&full);
	if (!r->is_id) {
		names[n++] = buf_cstr(&bare);
		names[n++] = *r->digest ? buf_cstr(&digest) : names[0];
	}
	for (size_t i = 0, own = n; i < own; i++) {
		if (str_starts(str_of(names[i]), hub))
			names[n++] = names[i] + sizeof(hub) - 1;
		else if (str_starts(str_of(names[i]), "docker.io/"))
			names[n++] = names[i] + strlen("docker.io/");
	}
	rc = allow_check(ALLOW_IMAGES, text, names, n, e);
	buf_free(&digest);
	buf_free(&bare);
	buf_free(&full);
	return rc;
}

static int parse(const char *text, struct image_ref *r, struct err *e)
{
	struct str s = str_of(text);

	*r = (struct image_ref){ 0 };
	if (!s.n)
		return err_set(e, ERR_PARSE, 0, "the image name is empty");
	if (is_image_id(s)) {
		*r = (struct image_ref){ .domain = mem_dup(""),
			                 .path = mem_dup(""),
			                 .name = mem_dup(text),
			                 .tag = mem_dup(""),
			                 .digest = mem_dup(""),
			                 .is_id = true };
		return 0;
	}
	if (s.n > NAME_MAX_BYTES + TAG_MAX_BYTES + 140 || split(s, r) < 0 ||
	    strlen(r->name) > NAME_MAX_BYTES) {
		struct buf b = { 0 };

		image_ref_free(r);
		buf_add_printable(&b, s, false);
		err_set(e, ERR_PARSE, 0,
		        "image \"%.200s\" is no valid reference ([host[:port]/]name[:tag][@digest])",
		        buf_cstr(&b));
		buf_free(&b);
		return -1;
	}
	return 0;
}

int image_ref_parse(const char *text, struct image_ref *r, struct err *e)
{
	if (parse(text, r, e) < 0)
		return -1;
	if (admit(r, text, e) == 0)
		return 0;
	image_ref_free(r);
	return -1;
}

void image_ref_free(struct image_ref *r)
{
	free(r->domain);
	free(r->path);
	free(r->name);
	free(r->tag);
	free(r->digest);
	*r = (struct image_ref){ 0 };
}

void image_ref_full(const struct image_ref *r, struct buf *b)
{
	if (r->is_id) {
		buf_adds(b, r->name);
		return;
	}
	buf_addf(b, "%s/%s", r->domain, r->path);
	if (*r->tag)
		buf_addf(b, ":%s", r->tag);
	if (*r->digest)
		buf_addf(b, "@%s", r->digest);
}
