/* SPDX-License-Identifier: Apache-2.0 */
/* Which one is meant: by name, by id, or by asking. See verbs.h. */
#include "applets/verbs.h"
#include "base/mem.h"
#include "base/spell.h"
#include "host/prompt.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 10 /* names in an error */

struct json_doc *verbs_list_at(struct verbs *v, const char *path, struct err *e)
{
	struct json_doc *doc = NULL;
	struct json root;

	if (api_call(v->admin.link.api, "GET", path, (struct str){ 0 }, &doc,
	             deadline_in_ms(CLI_CALL_MS), e) < 0) {
		err_wrap(e, "list on %s", v->admin.config.url);
		return NULL;
	}
	if (!doc)
		doc = json_parse(STR_LIT("[]"), 2, e);
	root = json_root(doc);
	if (doc && json_is_null(root)) { /* as good as an empty list (protocol 8.8) */
		json_doc_free(doc);
		doc = json_parse(STR_LIT("[]"), 2, e);
	} else if (doc && !json_is_array(root)) {
		json_doc_free(doc);
		doc = NULL;
		err_set(e, ERR_PARSE, 0, "GET %s: the answer is no list", path);
	}
	return doc;
}

struct json_doc *verbs_list_of(struct verbs *v, const struct api_kind *kind, struct err *e)
{
	return verbs_list_at(v, kind->path, e);
}

/* "a, b, c …": so that a person need not ask for the list. */
static void add_names(struct json list, const struct api_kind *kind, struct buf *b)
{
	size_t n = 0;

	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *name = json_dup_or_empty(json_get(member, kind->called));

		if (n == SHOWN_MAX)
			buf_addf(b, " and %zu more", json_len(list) - SHOWN_MAX);
		if (n < SHOWN_MAX) {
			buf_adds(b, n ? ", " : "");
			buf_add_printable(b, str_of(name), false);
		}
		n++;
		free(name);
	}
}

static int ask(struct json list, const struct api_kind *kind, struct json *out, struct err *e)
{
	size_t n = json_len(list), picked = 0, i = 0;
	struct prompt_item *items;
	struct buf title = { 0 }, names = { 0 };
	struct prompt p;
	int rc;

	if (!prompt_open(&p)) {
		add_names(list, kind, &names);
		err_set(e, ERR_USAGE, 0, "which %s? There is %s", kind->name, buf_cstr(&names));
		buf_free(&names);
		return -1;
	}
	items = mem_array(n, sizeof(*items));
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member), i++) {
		bool same = strcmp(kind->id, kind->called) == 0;

		items[i].name = json_dup_or_empty(json_get(member, kind->called));
		items[i].id = same ? mem_dup("") : json_dup_or_empty(json_get(member, kind->id));
		items[i].note = json_dup_or_empty(api_kind_get(member, kind->note));
	}
	buf_addf(&title, "Which %s?", kind->name);
	rc = prompt_pick(&p, buf_cstr(&title), items, n, &picked, e);
	i = 0;
	for (struct json member = json_first(list); rc == 0 && json_present(member);
	     member = json_next(member), i++)
		if (i == picked)
			*out = member;
	for (i = 0; i < n; i++) {
		free((void *)(uintptr_t)items[i].name);
		free((void *)(uintptr_t)items[i].id);
		free((void *)(uintptr_t)items[i].note);
	}
	free(items);
	buf_free(&title);
	prompt_close(&p);
	return rc;
}

static int not_found(struct json list, const struct api_kind *kind, const char *name, struct err *e)
{
	struct spell near = { .word = str_of(name) };
	struct buf shown = { 0 };
	char hint[96] = "", *best = NULL;

	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *text = json_dup_or_empty(json_get(member, kind->called));

		if (spell_try(&near, text)) {
			free(best);
			best = text;
		} else {
			free(text);
		}
	}
	spell_hint(&near, "", hint);
	if (!*hint)
		add_names(list, kind, &shown);
	err_set(e, ERR_NOT_FOUND, 0, "the Server has no %s \"%s\"%s%s", kind->name, name,
	        *hint ? hint : "; it has ", buf_cstr(&shown));
	free(best);
	buf_free(&shown);
	return -1;
}

int verbs_pick(struct json list, const struct api_kind *kind, const char *name, const char *none,
               struct json *out, struct err *e)
{
	size_t n = 0;

	if (json_len(list) == 0)
		return err_set(e, ERR_NOT_FOUND, 0, "%s", none);
	if (!name)
		return ask(list, kind, out, e);
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		if (json_str_is(json_get(member, kind->id), name)) {
			*out = member;
			return 0;
		}
	}
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		if (json_str_is(json_get(member, kind->called), name)) {
			*out = member;
			n++;
		}
	}
	if (n > 1)
		return err_set(e, ERR_USAGE, 0, "%zu %ss are called %s: give the id", n, kind->name,
		               name);
	return n == 1 ? 0 : not_found(list, kind, name, e);
}

/* Without the list, however long that is. NULL: it takes the list to say what there is. */
static struct json_doc *find_one(struct verbs *v, const char *name)
{
	const struct api_kind *kind = v->noun->kind;
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	struct err ignored = { 0 };

	if (!kind->one || !name || !str_is_id(str_of(name)))
		return NULL;
	buf_addf(&path, "%s/%s", kind->path, name);
	if (api_call(v->admin.link.api, "GET", buf_cstr(&path), (struct str){ 0 }, &doc,
	             deadline_in_ms(CLI_CALL_MS), &ignored) == 0 &&
	    !json_str_is(json_get(json_root(doc), kind->id), name) &&
	    !json_str_is(json_get(json_root(doc), kind->called), name)) {
		json_doc_free(doc);
		doc = NULL;
	}
	buf_free(&path);
	return doc;
}

int verbs_find(struct verbs *v, const char *name, struct json_doc **doc, struct json *out,
               struct err *e)
{
	*doc = find_one(v, name);
	if (*doc) {
		*out = json_root(*doc);
		return 0;
	}
	*doc = verbs_list_of(v, v->noun->kind, e);
	return *doc ? verbs_pick(json_root(*doc), v->noun->kind, name, v->noun->none, out, e) : -1;
}

int verbs_confirm(const struct verbs *v, const char *question, struct err *e)
{
	struct buf q = { 0 };
	struct prompt p;
	bool yes = false;
	int rc;

	if (v->yes)
		return 0;
	if (!prompt_open(&p))
		return err_set(e, ERR_USAGE, 0,
		               "there is no terminal to ask on; confirm with --yes");
	prompt_show(&p, &q, str_of(question), 0);
	rc = prompt_yes(&p, buf_cstr(&q), &yes, e);
	buf_free(&q);
	prompt_close(&p);
	if (rc == 0 && !yes)
		return err_set(e, ERR_CANCELED, 0, "not confirmed: nothing was changed");
	return rc;
}

static bool is_taken(struct json list, const struct api_kind *kind, const char *name)
{
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		if (json_str_is(json_get(member, kind->called), name) ||
		    json_str_is(json_get(member, kind->id), name))
			return true;
	return false;
}

char *verbs_free_name(struct json list, const struct api_kind *kind, const char *name)
{
	struct buf b = { 0 };

	buf_adds(&b, name);
	for (unsigned i = 2; is_taken(list, kind, buf_cstr(&b)); i++) {
		buf_reset(&b);
		buf_addf(&b, "%s-%u", name, i);
	}
	return buf_take(&b);
}
