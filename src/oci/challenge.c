/* SPDX-License-Identifier: Apache-2.0 */
/* See challenge.h. */
#include "oci/challenge.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 8192

struct reader {
	const char *p, *end;
};

static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

/* A list may have empty elements. */
static void skip_commas(struct reader *r)
{
	while (r->p < r->end && (*r->p == ',' || *r->p == ' ' || *r->p == '\t'))
		r->p++;
}

static struct str token(struct reader *r)
{
	struct str s = { r->p, 0 };

	while (r->p < r->end && is_token_char(*r->p))
		r->p++;
	s.n = (size_t)(r->p - s.p);
	return s;
}

static bool quoted(struct reader *r, struct buf *out)
{
	for (r->p++; r->p < r->end && *r->p != '"'; r->p++) {
		if (*r->p == '\\' && ++r->p == r->end)
			return false;
		if (!*r->p)
			return false;
		buf_addc(out, *r->p);
	}
	return r->p++ < r->end;
}

/* "name = value" at r: 1; something else, r unmoved: 0; malformed: -1. */
static int parameter(struct reader *r, struct str *name, struct buf *value)
{
	struct reader at = *r;
	struct str v;

	*name = token(&at);
	skip_blanks(&at);
	if (!name->n || at.p == at.end || *at.p != '=')
		return 0;
	at.p++;
	skip_blanks(&at);
	if (at.p == at.end || (*at.p != '"' && !is_token_char(*at.p)))
		return 0; /* the padding of a token68 */
	if (*at.p == '"') {
		if (!quoted(&at, value))
			return -1;
	} else {
		v = token(&at);
		buf_add_str(value, v);
	}
	*r = at;
	return 1;
}

/* What follows some schemes in place of parameters. */
static void skip_token68(struct reader *r)
{
	while (r->p < r->end && (is_token_char(*r->p) || *r->p == '/' || *r->p == '='))
		r->p++;
}

static bool put(char **to, struct buf *value)
{
	if (*to)
		return false; /* twice: which one counts would be a guess */
	*to = buf_take(value);
	return true;
}

static bool take(struct challenge *c, struct str name, struct buf *value)
{
	if (str_ieq(name, "realm"))
		return put(&c->realm, value);
	if (str_ieq(name, "service"))
		return put(&c->service, value);
	if (str_ieq(name, "scope"))
		return put(&c->scope, value);
	return true;
}

static bool parameters(struct reader *r, struct challenge *c)
{
	bool any = false;

	for (;;) {
		struct reader before = *r;
		struct buf value = { 0 };
		struct str name;
		int rc;
		bool ok;

		skip_blanks(r);
		rc = parameter(r, &name, &value);
		ok = rc == 0 || (rc > 0 && take(c, name, &value));
		buf_free(&value);
		if (!ok)
			return false;
		if (rc == 0) {
			if (any)
				*r = before;
			else
				skip_token68(r);
			return true;
		}
		any = true;
		skip_blanks(r);
		if (r->p < r->end && *r->p != ',')
			return false;
		skip_commas(r);
	}
}

void challenge_free(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}

static int malformed(struct str field, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, field, false);
	err_set(e, ERR_PARSE, 0, "WWW-Authenticate is not understood: %.200s", buf_cstr(&b));
	buf_free(&b);
	return -1;
}

int challenge_add(struct challenge *c, struct str field, struct err *e)
{
	struct reader r = { field.p, field.p + field.n };

	if (field.n > FIELD_MAX)
		return err_set(e, ERR_LIMIT, 0, "WWW-Authenticate: %zu bytes", field.n);
	skip_commas(&r);
	while (r.p < r.end) {
		struct challenge one = { 0 };
		struct str scheme = token(&r);

		if (!scheme.n || !parameters(&r, &one)) {
			challenge_free(&one);
			return malformed(field, e);
		}
		if (str_ieq(scheme, "bearer") && one.realm)
			one.kind = CHALLENGE_BEARER;
		else if (str_ieq(scheme, "basic"))
			one.kind = CHALLENGE_BASIC;
		if (one.kind > c->kind) {
			challenge_free(c);
			*c = one;
			one = (struct challenge){ 0 };
		}
		challenge_free(&one);
		skip_commas(&r);
	}
	return 0;
}
