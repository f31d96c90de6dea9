/* SPDX-License-Identifier: Apache-2.0 */
/* See verdict.h. */
#include "api/verdict.h"

#include "base/attr.h"
#include "base/json.h"

#include <string.h>
#include <strings.h>

enum place { AT_END, AT_START, WITHIN, WHOLE };

/* The Server's words (protocol 2, 3, 4). The first row that fits counts; status 0: any that is no success. */
static const struct {
	int status;
	enum place place;
	const char *words;
	enum api_verdict verdict;
} rows[] = {
	{ 0, AT_END, "job is already in the specified state", API_ALREADY },
	{ 0, AT_END, "with the same name already exists", API_ALREADY },
	{ 0, WHOLE, "job does not belong to runner", API_NEVER },
	{ 400, WITHIN, "Error:Field validation for ", API_NEVER },
	{ 400, AT_START, "json: cannot unmarshal ", API_NEVER },
	{ 401, WHOLE, "unauthorized", API_KEY },
	{ 403, AT_START, "forbidden", API_KEY }, /* alone, or with what the key may not */
	/* The key that is to be revoked, not the one that asks. */
	{ 0, WHOLE, "failed to delete api key: api key not found", API_MISSING },
	{ 404, WITHIN, "API key", API_KEY }, /* of some Servers to the key of a deleted runner */
	{ 404, WITHIN, "api key", API_KEY },
	{ 0, AT_END, "workspace template not found", API_MISSING },
	{ 0, AT_END, "job not found", API_MISSING },
	{ 0, AT_END, "runner not found", API_MISSING },
	{ 0, AT_END, "runner metadata not found", API_MISSING },
	{ 0, AT_END, "git provider config not found", API_MISSING },
	{ 0, AT_END, "workspace not found", API_MISSING },
	{ 0, AT_END, "target not found", API_MISSING },
	{ 0, AT_END, "build not found", API_MISSING },
	{ 0, AT_END, "workspace metadata not found", API_MISSING },
	{ 0, AT_END, "target metadata not found", API_MISSING },
	{ 404, AT_START, "failed to find workspace: ", API_MISSING },
	{ 404, AT_START, "failed to find target: ", API_MISSING },
	{ 404, AT_START, "failed to find build: ", API_MISSING },
	{ 404, AT_START, "failed to find container registry for server: ", API_MISSING },
};

static bool fits(struct str said, enum place place, struct str words)
{
	switch (place) {
	case WHOLE:
		return str_eq(said, words.p);
	case AT_START:
		return said.n >= words.n && memcmp(said.p, words.p, words.n) == 0;
	case AT_END:
		return str_ends(said, words.p);
	default:
		return str_find(said, words.p);
	}
}

bool api_is_page(const struct http_reply *reply)
{
	struct str type = http_head_get(&reply->h, "Content-Type");
	struct str body = str_trim(buf_str(&reply->body));

	return (type.n >= 9 && strncasecmp(type.p, "text/html", 9) == 0) ||
	       (body.n && body.p[0] == '<');
}

bool api_error_words(const struct http_reply *reply, struct buf *words)
{
	struct str body = str_trim(buf_str(&reply->body));
	struct json_doc *doc = NULL;
	struct err ignored;
	bool said;

	if (body.n && body.p[0] == '{')
		doc = json_parse(body, HTTP_BODY_MAX, &ignored);
	said = json_string(json_get(json_root(doc), "error"), words);
	json_doc_free(doc);
	return said;
}

static enum api_verdict judge_words(int status, struct str said)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if ((rows[i].status == 0 || rows[i].status == status) &&
		    fits(said, rows[i].place, str_of(rows[i].words)))
			return rows[i].verdict;
	}
	return API_TROUBLE;
}

enum api_verdict api_judge(const struct http_reply *reply)
{
	enum api_verdict v = API_AGAIN;
	struct buf words = { 0 };

	if (reply->status >= 200 && reply->status < 300)
		return api_is_page(reply) ? API_AGAIN : API_DONE;
	if (reply->status < 400)
		return API_AGAIN;
	if (api_error_words(reply, &words))
		v = judge_words(reply->status, str_trim(buf_str(&words)));
	else if (reply->status == 404 && http_head_get(&reply->h, "X-Server-Version").p &&
	         str_eq(str_trim(buf_str(&reply->body)), "404 page not found"))
		v = API_NO_ROUTE; /* proxies say the same of a Server that is away, but not that header */
	buf_free(&words);
	return v;
}

static const enum err_kind kinds[] = {
	[API_DONE] = ERR_NONE,      [API_ALREADY] = ERR_EXISTS, [API_MISSING] = ERR_NOT_FOUND,
	[API_NEVER] = ERR_REFUSED,  [API_KEY] = ERR_DENIED,     [API_NO_ROUTE] = ERR_UNSUPPORTED,
	[API_TROUBLE] = ERR_REMOTE, [API_AGAIN] = ERR_HTTP,
};

enum err_kind api_verdict_kind(enum api_verdict v)
{
	return kinds[v];
}

enum api_verdict api_verdict(const struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i] == e->kind)
			return (enum api_verdict)i;
	}
	return API_AGAIN;
}
