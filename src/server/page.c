/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page for people. It holds no data and needs no key: its script asks with one that is typed in. A browser that runs no
 * scripts posts the key instead, and gets the tables as they are at that moment.
 */
#include "server/page.h"

#include "server/role.h"

#include "base/unpack.h"

#define ROWS_MAX 500 /* of one table, the newest */

void html_add(struct buf *b, struct str text)
{
	static const char special[] = "&<>\"'";
	static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&#34;", "&#39;" };

	for (size_t i = 0; i < text.n; i++) {
		const char *at = text.p[i] ? strchr(special, text.p[i]) : NULL;

		if (at)
			buf_adds(b, names[at - special]);
		else
			buf_addc(b, text.p[i]);
	}
}

static void reply_page(struct call *c, int status, struct buf *page)
{
	struct buf fields = { 0 };

	buf_addf(&fields,
	         "Content-Security-Policy: %s\r\nX-Content-Type-Options: nosniff\r\n"
	         "Referrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
	         "Cross-Origin-Opener-Policy: same-origin\r\nX-Server-Version: %s\r\n",
	         page_policy, c->s->opt.version);
	httpd_respond(c->r, status, "text/html; charset=utf-8", buf_cstr(&fields), buf_str(page));
	buf_free(&fields);
	buf_wipe(page);
}

void h_page(struct call *c)
{
	struct buf page = { 0 };

	unpack(&page, page_html, page_html_n);
	reply_page(c, 200, &page);
}

/* The page up to its header's end, without the script. */
static void add_top(struct buf *b)
{
	struct buf page = { 0 };
	const char *end;

	unpack(&page, page_html, page_html_n);
	end = str_find(buf_str(&page), "<header>");
	buf_add(b, page.p, end ? (size_t)(end - page.p) : 0);
	buf_adds(b, "<header><h1>Daytona Server</h1><p><a href=\"/\">Back</a></p></header>");
	buf_free(&page);
}

static void cell(struct buf *b, const char *text)
{
	buf_adds(b, "<td>");
	html_add(b, str_of(text));
}

static void cell_state(struct buf *b, const struct state *st)
{
	/* A target without an agent has no state of its own when it is done. */
	cell(b, strcmp(st->name, "undefined") == 0 ? "ready" : st->name);
	if (st->error && *st->error) {
		buf_adds(b, "<span class=\"why\">");
		html_add(b, str_of(st->error));
		buf_adds(b, "</span>");
	}
}

static void cell_member(struct buf *b, const struct rec *r, const char *field, const char *member)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(rec_json(r, field), SIZE_MAX, &e);
	char *text = json_dup_or_empty(json_get(json_root(doc), member));

	cell(b, text);
	free(text);
	json_doc_free(doc);
}

static void cell_name_of(struct buf *b, const struct srv *s, enum kind kind, const char *id)
{
	const struct rec *r = store_find(&s->store, kind, "id", id);

	cell(b, r ? rec_text(r, "name") : id);
}

static void runner_row(const struct srv *s, struct buf *b, const struct rec *r)
{
	struct state st;

	(void)s;
	state_of_runner(r, &st);
	st.error = NULL; /* the reference's says the opposite of the state */
	cell(b, rec_text(r, "name"));
	cell_state(b, &st);
	cell(b, rec_text(r, "mdUpdated"));
}

static void target_row(const struct srv *s, struct buf *b, const struct rec *r)
{
	struct state st;

	state_of(s, r, &st);
	cell(b, rec_text(r, "name"));
	cell_state(b, &st);
	cell_name_of(b, s, K_CONFIG, rec_text(r, "targetConfigId"));
}

static void workspace_row(const struct srv *s, struct buf *b, const struct rec *r)
{
	struct state st;

	state_of(s, r, &st);
	cell(b, rec_text(r, "name"));
	cell_state(b, &st);
	cell_member(b, r, "repository", "url");
	cell_name_of(b, s, K_TARGET, rec_text(r, "targetId"));
}

static void job_row(const struct srv *s, struct buf *b, const struct rec *r)
{
	const char *type = rec_text(r, "resourceType"), *id = rec_text(r, "resourceId");
	struct state st = { .name = rec_text(r, "state"), .error = rec_text(r, "error") };

	cell(b, rec_text(r, "createdAt"));
	cell(b, rec_text(r, "action"));
	cell(b, type);
	if (strcmp(type, "workspace") == 0)
		cell_name_of(b, s, K_WORKSPACE, id);
	else
		cell_name_of(b, s, strcmp(type, "target") == 0 ? K_TARGET : K_RUNNER, id);
	cell_state(b, &st);
}

static const struct table {
	const char *title, *heads, *path;
	enum kind kind;
	void (*row)(const struct srv *s, struct buf *b, const struct rec *r);
} tables[] = {
	{ "Workspaces", "Name,State,Repository,Target", "/workspace", K_WORKSPACE, workspace_row },
	{ "Targets", "Name,State,Target config", "/target", K_TARGET, target_row },
	{ "Runners", "Name,State,Last heard of", "/runner", K_RUNNER, runner_row },
	{ "Jobs", "Began,Action,Kind,Of,State", "/job", K_JOB, job_row },
};

static bool is_shown(const struct call *c, const struct table *t, const struct rec *r)
{
	return role_owns(c, r) &&
	       ((t->kind != K_TARGET && t->kind != K_WORKSPACE) || !is_deleted(c->s, r));
}

static void add_table(const struct call *c, struct buf *b, const struct table *t)
{
	struct str heads = str_of(t->heads), head;
	size_t n = 0, skip;

	for (const struct rec *r = store_first(&c->s->store, t->kind); r; r = store_next(r))
		n += is_shown(c, t, r);
	skip = n > ROWS_MAX ? n - ROWS_MAX : 0;
	buf_addf(b, "<section class=\"scroll\"><table><caption>%s: %zu", t->title, n);
	if (skip)
		buf_addf(b, ", of which the newest %d", ROWS_MAX);
	buf_adds(b, "</caption><thead><tr>");
	while (str_next(&heads, ',', &head))
		buf_addf(b, "<th scope=\"col\">%.*s", STR_ARG(head));
	buf_adds(b, "</thead><tbody>");
	n = 0;
	for (const struct rec *r = store_first(&c->s->store, t->kind); r; r = store_next(r)) {
		if (!is_shown(c, t, r) || n++ < skip)
			continue;
		buf_adds(b, "<tr>");
		t->row(c->s, b, r);
	}
	buf_adds(b, "</tbody></table></section>\n");
}

/* The key comes in the body: each table is for whom the route of its list is. */
void h_page_tables(struct call *c)
{
	struct buf page = { 0 }, key = { 0 };
	size_t shown = 0;

	if (httpd_query_get(c->r->body, "key", &key))
		call_take_key(c, str_trim(buf_str(&key)));
	buf_wipe(&key);
	add_top(&page);
	buf_adds(&page, "<main>");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (!c->key || !call_may(c, "GET", tables[i].path))
			continue;
		add_table(c, &page, &tables[i]);
		shown++;
	}
	if (!shown)
		buf_adds(
			&page,
			"<p role=\"alert\">The Server does not know this key, or it may see nothing. "
			"<code>daytona-runner server key create NAME</code> makes one.</p>");
	buf_adds(&page, "</main></body></html>\n");
	reply_page(c, shown ? 200 : 401, &page);
}
