/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and descriptions. On a terminal a table fits its width: the least columns go first, then the widest cells are
 * cut. Elsewhere it is whole, for programs that read it.
 */
#include "applets/verbs.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP 2
#define CUT_MIN 4 /* no cell is cut shorter */
#define COLUMNS_MAX 16

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
	for (struct json m = json_first(v); json_present(m); m = json_next(m)) {
		if (m.tok != json_first(v).tok)
			buf_addc(b, ' ');
		json_key(m, b);
		buf_addc(b, '=');
		json_string(m, b);
	}
}

/* What a person reads: no control bytes. */
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
	buf_add_printable(b, buf_str(&raw), false);
	buf_free(&raw);
}

static size_t columns_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80; /* characters, not bytes */
	return n;
}

struct table {
	const struct api_field *fields[COLUMNS_MAX];
	size_t width[COLUMNS_MAX], n;
	char **cells; /* row by row, headings first */
	size_t rows;
};

static void fill(struct table *t, const struct api_kind *kind, struct json list)
{
	size_t at = 0;

	for (size_t i = 0; i < kind->n && t->n < COLUMNS_MAX; i++)
		if (kind->fields[i].rank)
			t->fields[t->n++] = &kind->fields[i];
	t->rows = json_len(list) + 1;
	t->cells = mem_array(t->rows * t->n, sizeof(*t->cells));
	for (size_t i = 0; i < t->n; i++) {
		struct buf b = { 0 };

		add_title(&b, t->fields[i]->key);
		for (size_t k = 0; k < b.n; k++)
			b.p[k] = (char)toupper((unsigned char)b.p[k]);
		t->cells[at++] = buf_take(&b);
	}
	for (struct json m = json_first(list); json_present(m); m = json_next(m)) {
		for (size_t i = 0; i < t->n; i++) {
			struct buf b = { 0 };

			add_text(&b, t->fields[i], m);
			if (!b.n)
				buf_addc(&b, '-');
			t->cells[at++] = buf_take(&b);
		}
	}
	for (size_t i = 0; i < t->rows * t->n; i++) {
		size_t n = columns_of(t->cells[i]);

		if (n > t->width[i % t->n])
			t->width[i % t->n] = n;
	}
}

/* A width of 0 is a column that is left out. */
static size_t total(const struct table *t)
{
	size_t sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->width[i])
			sum += t->width[i] + (sum ? GAP : 0);
	return sum;
}

static void fit(struct table *t, size_t columns)
{
	while (total(t) > columns) {
		size_t least = t->n, widest = 0;

		for (size_t i = 0; i < t->n; i++) {
			if (t->width[i] > t->width[widest])
				widest = i;
			if (t->width[i] && t->fields[i]->rank > 2 &&
			    (least == t->n || t->fields[i]->rank > t->fields[least]->rank))
				least = i;
		}
		if (least < t->n)
			t->width[least] = 0;
		else if (t->width[widest] > CUT_MIN)
			t->width[widest]--;
		else
			return;
	}
}

static void print_cell(const char *s, size_t width, bool last)
{
	size_t n = columns_of(s), kept = n > width ? width - 2 : n, shown = 0;
	size_t end = 0;

	while (s[end] && (shown < kept || (s[end] & 0xc0) == 0x80)) {
		shown += (s[end] & 0xc0) != 0x80;
		end++;
	}
	if (shown > kept)
		shown = kept;
	printf("%.*s%s", (int)end, s, n > width ? ".." : "");
	if (!last)
		printf("%*s", (int)(width - (n > width ? width : n) + GAP), "");
}

static size_t terminal_columns(void)
{
	struct winsize ws = { 0 };

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col == 0)
		return 0;
	return ws.ws_col;
}

static void print_table(const struct api_kind *kind, struct json list)
{
	struct table t = { 0 };
	size_t columns = terminal_columns(), last = 0;

	fill(&t, kind, list);
	if (columns)
		fit(&t, columns);
	for (size_t i = 0; i < t.n; i++)
		if (t.width[i])
			last = i;
	for (size_t i = 0; i < t.rows * t.n; i++) {
		if (t.width[i % t.n])
			print_cell(t.cells[i], t.width[i % t.n], i % t.n == last);
		if (i % t.n == t.n - 1)
			putchar('\n');
		free(t.cells[i]);
	}
	free(t.cells);
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
	for (struct json m = json_first(list); json_present(m); m = json_next(m))
		add_json(&b, kind, m);
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
	}
	for (size_t i = 0; v->format == CLI_TEXT && i < kind->n; i++) {
		struct buf title = { 0 }, text = { 0 };

		add_title(&title, kind->fields[i].key);
		buf_addc(&title, ':');
		add_text(&text, &kind->fields[i], element);
		if (text.n)
			printf("%-14s %s\n", buf_cstr(&title), buf_cstr(&text));
		buf_free(&title);
		buf_free(&text);
	}
	buf_free(&b);
}
