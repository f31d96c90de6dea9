/* SPDX-License-Identifier: Apache-2.0 */
/* What tables and descriptions of resources hold. */
#include "applets/show.h"
#include "applets/verbs.h"
#include "base/jsonw.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

/* "resourceType" as "Resource type". */
static void add_title(struct buf *b, const char *key)
{
	buf_addc(b, (char)toupper((unsigned char)*key));
	for (const char *p = key + 1; *p; p++) {
		if (isupper((unsigned char)*p))
			buf_addc(b, ' ');
		buf_addc(b, (char)tolower((unsigned char)*p));
	}
}

static void add_age(struct buf *b, struct json v)
{
	char *text = json_dup_or_empty(v);
	int64_t at, s;

	if (time_parse_rfc3339(text, &at)) {
		s = (clock_wall_ms() - at) / 1000;
		s = s < 0 ? 0 : s;
		if (s >= 2 * 86400)
			buf_addf(b, "%lldd", (long long)s / 86400);
		else if (s >= 2 * 3600)
			buf_addf(b, "%lldh", (long long)s / 3600);
		else if (s >= 2 * 60)
			buf_addf(b, "%lldm", (long long)s / 60);
		else
			buf_addf(b, "%llds", (long long)s);
	}
	free(text);
}

static void add_map(struct buf *b, struct json v)
{
	for (struct json member = json_first(v); json_present(member); member = json_next(member)) {
		if (member.tok != json_first(v).tok)
			buf_addc(b, ' ');
		json_key(member, b);
		buf_addc(b, '=');
		json_string(member, b);
	}
}

static void add_text(struct buf *b, const struct api_field *f, struct json element)
{
	struct json v = api_kind_get(element, f->path);
	struct buf raw = { 0 };

	if (f->show == SHOW_COUNT)
		buf_addf(&raw, "%zu", json_len(v));
	else if (f->show == SHOW_AGE)
		add_age(&raw, v);
	else if (json_is_object(v))
		add_map(&raw, v);
	else if (!json_is_null(v) && !json_string(v, &raw))
		buf_add_str(&raw, json_raw(v));
	if (f->show == SHOW_STATE) {
		for (size_t i = 0; i < raw.n; i++)
			raw.p[i] = (char)toupper((unsigned char)raw.p[i]);
		/* Of a target without a process of its own that is all the Server says. */
		if (str_eq(buf_str(&raw), "UNDEFINED"))
			buf_reset(&raw);
	}
	buf_add_printable(b, buf_str(&raw), false); /* a person reads it */
	buf_free(&raw);
}

static void print_table(const struct api_kind *kind, struct json list)
{
	char ranks[SHOW_COLUMNS_MAX + 1] = { 0 };
	struct buf rows = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < kind->n; i++) {
		if (!kind->fields[i].rank)
			continue;
		add_title(&rows, kind->fields[i].key);
		buf_addc(&rows, '\t');
		ranks[n++] = (char)('0' + kind->fields[i].rank);
		assert(n < sizeof(ranks));
	}
	for (size_t i = 0; i < rows.n; i++)
		rows.p[i] = (char)toupper((unsigned char)rows.p[i]);
	buf_addc(&rows, '\n');
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		for (size_t i = 0; i < kind->n; i++) {
			struct buf text = { 0 };

			if (!kind->fields[i].rank)
				continue;
			add_text(&text, &kind->fields[i], member);
			show_cell(&rows, buf_cstr(&text));
			buf_free(&text);
		}
		buf_addc(&rows, '\n');
	}
	show_table(buf_str(&rows), ranks);
	buf_free(&rows);
}

static void add_json(struct buf *b, const struct api_kind *kind, struct json element)
{
	jw_obj(b);
	for (size_t i = 0; i < kind->n; i++) {
		struct json v = api_kind_get(element, kind->fields[i].path);
		struct str raw = json_raw(v);

		if (kind->fields[i].show == SHOW_COUNT) {
			jw_kint(b, kind->fields[i].key, (int64_t)json_len(v));
			continue;
		}
		jw_key(b, kind->fields[i].key);
		jw_raw(b, raw.n ? raw : STR_LIT("null"));
	}
	jw_obj_end(b);
}

void verbs_show_list(const struct verbs *v, const struct api_kind *kind, struct json list)
{
	struct buf b = { 0 };

	if (v->format == CLI_TEXT) {
		print_table(kind, list);
		return;
	}
	jw_arr(&b);
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		add_json(&b, kind, member);
	jw_arr_end(&b);
	cli_print(v->format, buf_str(&b));
	buf_free(&b);
}

void verbs_show_one(const struct verbs *v, const struct api_kind *kind, struct json element)
{
	struct buf b = { 0 };

	if (v->format != CLI_TEXT) {
		add_json(&b, kind, element);
		cli_print(v->format, buf_str(&b));
		buf_free(&b);
		return;
	}
	for (size_t i = 0; i < kind->n; i++) {
		struct buf title = { 0 }, text = { 0 };

		add_title(&title, kind->fields[i].key);
		buf_addc(&title, ':');
		add_text(&text, &kind->fields[i], element);
		if (text.n)
			buf_addf(&b, "%-14s  %s\n", buf_cstr(&title), buf_cstr(&text));
		buf_free(&title);
		buf_free(&text);
	}
	show_lines(buf_str(&b));
	buf_free(&b);
}
