/* SPDX-License-Identifier: Apache-2.0 */
/* See json_skim.h. */
#include "base/json_skim.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

/* p: at the quote. */
static const char *behind_string(const char *p, const char *end)
{
	for (p++; (p += str_plain_run(p, (size_t)(end - p))) < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\' && p + 1 < end)
			p++;
	}
	return end;
}

static const char *behind_value(const char *p, const char *end)
{
	unsigned depth = 0;

	while (p < end) {
		char c = *p;

		if (c == '"') {
			p = behind_string(p, end);
			if (!depth)
				return p;
			continue;
		}
		if (!depth && (c == ',' || c == '}' || c == ']' || is_space(c)))
			return p;
		p++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return p;
	}
	return p;
}

struct json_skim json_skim(struct str container)
{
	const char *end = container.p + container.n, *p = skip_space(container.p, end);

	if (p == end || (*p != '{' && *p != '['))
		return (struct json_skim){ end, end, false };
	return (struct json_skim){ p + 1, end, *p == '{' };
}

static const char *skip_comma(const struct json_skim *k)
{
	const char *p = skip_space(k->p, k->end);

	return p < k->end && *p == ',' ? skip_space(p + 1, k->end) : p;
}

bool json_skim_into(struct json_skim *k, struct json_skim *inner)
{
	const char *p = skip_comma(k);

	*inner = json_skim((struct str){ p, (size_t)(k->end - p) });
	return inner->p < inner->end || inner->object;
}

void json_skim_out(struct json_skim *k, const struct json_skim *inner)
{
	const char *p = skip_space(inner->p, k->end);

	k->p = p < k->end ? p + 1 : p;
}

bool json_skim_next(struct json_skim *k, struct str *key, struct str *value)
{
	const char *p = skip_comma(k), *from;

	*key = (struct str){ p, 0 };
	if (k->object && p < k->end && *p == '"') {
		from = p + 1;
		p = behind_string(p, k->end);
		*key = (struct str){ from, (size_t)(p - from) - (p > from) };
		p = skip_space(p, k->end);
		if (p < k->end && *p == ':')
			p = skip_space(p + 1, k->end);
	}
	from = p;
	p = behind_value(p, k->end);
	*value = (struct str){ from, (size_t)(p - from) };
	k->p = p;
	return value->n > 0;
}

struct str json_skim_string(struct str value)
{
	if (value.n < 2 || value.p[0] != '"')
		return (struct str){ 0 };
	return (struct str){ value.p + 1, value.n - 2 };
}
