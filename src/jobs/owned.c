/* SPDX-License-Identifier: Apache-2.0 */
/* See owned.h. */
#include "jobs/owned.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct once {
	struct kv seen;
	provider_owned_fn *each;
	void *arg;
};

static int once(void *arg, const struct provider_owned *t, struct err *e)
{
	struct once *o = arg;

	if (kv_get(&o->seen, t->id))
		return 0;
	kv_set(&o->seen, t->id, "");
	return o->each(o->arg, t, e);
}

int owned_each(struct provider_handle *h, struct api *api, const char *runner_id,
               provider_owned_fn *each, void *arg, struct deadline d, struct err *e)
{
	struct once o = { .each = each, .arg = arg };
	struct json_doc *doc = NULL;
	int rc;

	if (!h->p->owned)
		return 0;
	rc = h->p->owned(h->self, "", once, &o, d, e);
	if (rc == 0 && api)
		rc = api_call(api, "GET", "/target-config?showOptions=true", (struct str){ 0 },
		              &doc, d, e);
	for (struct json member = json_first(json_root(doc)); rc == 0 && json_present(member);
	     member = json_next(member)) {
		struct json p = json_get(member, "providerInfo");
		char *options = json_dup_or_empty(json_get(member, "options"));
		struct err away = { 0 }; /* an engine that only this one leads to */

		if (json_str_is(json_get(p, "name"), h->p->name) &&
		    json_str_is(json_get(p, "runnerId"), runner_id))
			(void)h->p->owned(h->self, options, once, &o, d, &away);
		mem_free_secret(options);
	}
	json_doc_free(doc);
	kv_free(&o.seen);
	return rc;
}

enum owned_use owned_use(struct api *api, const struct provider_owned *t, char **job,
                         struct deadline d)
{
	static const char *const kinds[] = { "workspace", "build" };
	enum owned_use use = OWNED_ORPHAN;
	struct json_doc *doc = NULL;
	struct json last;

	*job = NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && use == OWNED_ORPHAN; i++) {
		struct buf path = { 0 };
		struct err e = { 0 };

		buf_addf(&path, "/%s/", kinds[i]);
		buf_add_urlenc(&path, str_of(t->resource_id));
		if (api_call(api, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, &e) == 0)
			use = OWNED_USED;
		else if (api_verdict(&e) != API_MISSING)
			use = OWNED_UNKNOWN;
		buf_free(&path);
	}
	last = json_get(json_root(doc), "lastJob");
	if (json_str_is(json_get(last, "state"), "running"))
		*job = json_dup(json_get(last, "id"));
	if (json_str_is(json_get(last, "action"), "create") &&
	    !json_str_is(json_get(last, "state"), "success"))
		use = OWNED_UNBORN;
	json_doc_free(doc);
	return use;
}
