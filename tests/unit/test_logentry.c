/* SPDX-License-Identifier: Apache-2.0 */
#include "api/logentry.h"

#include "base/mask.h"
#include "tests/test.h"

#include <stdlib.h>

static void entry_has_the_servers_form(void)
{
	static const char head[] =
		"{\"source\":\"provider\",\"label\":\"my-ws\",\"msg\":\"Pulling \\u001b[1m\xC3\xA9\xEF\xBF\xBD...\\r\\n\",\"level\":\"\",\"time\":\"2";
	struct buf b = { 0 };

	log_entry_add(&b, "provider", "my-ws", STR_LIT("Pulling \x1b[1m\xC3\xA9\x80...\r\n"));
	CHECK(str_starts(buf_str(&b), head));
	CHECK(str_ends(buf_str(&b), "\"}!-#_^*|\n"));
	log_entry_add(&b, "s", "l", STR_LIT("x"));
	CHECK(strstr(buf_cstr(&b), "\"}!-#_^*|\n{\"source\":\"s\"") != NULL);
	buf_free(&b);
}

static void entries_read_back(void)
{
	static const struct {
		const char *line;
		const char *msg; /* NULL: refused */
	} rows[] = {
		{ "{\"source\":\"a\",\"label\":\"b\",\"msg\":\"m\\n\",\"level\":\"\",\"time\":\"t\"}!-#_^*|\n",
		  "m\n" },
		{ "{\"source\":\"a\",\"label\":\"b\",\"msg\":\"m\",\"level\":\"\",\"time\":\"t\"}!-#_^*|",
		  "m" },
		{ "{\"source\":\"a\",\"label\":\"b\",\"msg\":\"m\",\"level\":\"\",\"time\":\"t\"}\n",
		  "m" },
		{ "{\"msg\":\"\\u003ca\\u003e\"}\r\n", "<a>" },
		{ "{\"source\":\"a\",\"msg\":\"\"}", "" },
		{ "{\"source\":\"\",\"label\":\"\",\"msg\":\"\",\"level\":\"\",\"time\":\"\"}\n",
		  NULL }, /* end marker */
		{ "{\"source\":\"a\"}", NULL },
		{ "{\"msg\":\"m\"", NULL },
		{ "{\"msg\":\"m\"}{\"msg\":\"m\"}", NULL },
		{ "{\"msg\":1}", NULL },
		{ "[\"msg\"]", NULL },
		{ "plain text", NULL },
		{ "!-#_^*|\n", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct log_entry en;
		bool ok = log_entry_parse(str_of(rows[i].line), &en);

		TEST_ROW(i);
		CHECK_INT(ok, rows[i].msg != NULL);
		CHECK_STR(en.msg, rows[i].msg);
		CHECK(!ok || (en.source && en.label && en.level && en.time));
		log_entry_free(&en);
		log_entry_free(&en);
	}
	CHECK(!log_entry_parse((struct str){ "\0\0\0\0", 4 }, &(struct log_entry){ 0 }));
}

struct got {
	struct buf all;
	int entries;
	size_t longest;
	bool broken; /* an entry that cuts a character */
};

static void take(void *arg, struct str msg)
{
	struct got *g = arg;

	g->entries++;
	if (msg.n > g->longest)
		g->longest = msg.n;
	for (size_t i = 0; i < msg.n;) {
		int len = str_utf8_len(msg.p + i, msg.n - i);

		g->broken |= len <= 0;
		i += len > 0 ? (size_t)len : 1;
	}
	buf_add_str(&g->all, msg);
}

static void got_free(struct got *g)
{
	buf_free(&g->all);
	*g = (struct got){ 0 };
}

static void any_cut_gives_the_same_text(void)
{
	static const char text[] =
		"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 plain\nkey s3cr3tValue42 https://u:p@h/\r\n\xF0\x9F\x98\x80 end";
	static const char want[] =
		"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 plain\nkey *** https://***@h/\r\n\xF0\x9F\x98\x80 end";
	size_t n = sizeof(text) - 1;

	mask_add(STR_LIT("s3cr3tValue42"));
	for (size_t at = 0; at <= n; at++) {
		for (int flush = 0; flush < 2; flush++) {
			struct got g = { 0 };
			struct log_cutter *c = log_cutter_new(take, &g);

			TEST_ROW(at);
			log_cutter_feed(c, (struct str){ text, at });
			if (flush)
				log_cutter_flush(c);
			log_cutter_feed(c, (struct str){ text + at, n - at });
			log_cutter_free(c);
			CHECK_STR(buf_cstr(&g.all), want);
			CHECK(!g.broken);
			got_free(&g);
		}
	}
	mask_clear();
	log_cutter_free(NULL);
}

static void bad_bytes_pass_and_do_not_stop(void)
{
	static const struct str rows[] = {
		{ "hi\x80\n", 4 },
		{ "\0a\0", 3 },
		{ "\xC3", 1 },
		{ "\xF0\x9F", 2 },
		{ "\xFF\xFE\x80\x80\x80\x80", 6 },
		{ "\x1f\x8b\x08\x00", 4 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct got g = { 0 };
		struct log_cutter *c = log_cutter_new(take, &g);

		TEST_ROW(i);
		for (size_t k = 0; k < rows[i].n; k++) {
			log_cutter_feed(c, (struct str){ rows[i].p + k, 1 });
			log_cutter_flush(c);
		}
		log_cutter_free(c);
		CHECK(g.all.n == rows[i].n && memcmp(g.all.p, rows[i].p, g.all.n) == 0);
		got_free(&g);
	}
}

static void prompts_come_with_a_flush(void)
{
	struct got g = { 0 };
	struct log_cutter *c = log_cutter_new(take, &g);

	log_cutter_feed(c, STR_LIT("prompt> "));
	CHECK_INT(g.entries, 0);
	log_cutter_flush(c);
	CHECK_STR(buf_cstr(&g.all), "prompt> ");
	log_cutter_flush(c);
	CHECK_INT(g.entries, 1);
	log_cutter_free(c);
	CHECK_INT(g.entries, 1);
	got_free(&g);
}

static void long_lines_come_in_bounded_pieces(void)
{
	struct got g = { 0 };
	struct log_cutter *c = log_cutter_new(take, &g);
	struct buf text = { 0 };

	buf_addc(&text, 'x'); /* so that the limit falls inside a character */
	while (text.n < 5000000)
		buf_adds(&text, "\xF0\x9F\x98\x80");
	log_cutter_feed(c, buf_str(&text));
	CHECK(g.all.n > text.n - 20000); /* it does not wait for the line's end */
	log_cutter_free(c);
	CHECK(g.all.n == text.n && memcmp(g.all.p, text.p, text.n) == 0);
	CHECK(!g.broken && g.longest <= 16384);
	got_free(&g);
	buf_free(&text);
}

static void many_short_lines_share_entries(void)
{
	struct got g = { 0 };
	struct log_cutter *c = log_cutter_new(take, &g);
	struct buf text = { 0 };

	for (int i = 0; i < 10000; i++)
		buf_addf(&text, "line %d\n", i);
	log_cutter_feed(c, buf_str(&text));
	log_cutter_free(c);
	CHECK(g.all.n == text.n && memcmp(g.all.p, text.p, text.n) == 0);
	CHECK(g.entries < 50);
	got_free(&g);
	buf_free(&text);
}

TEST_MAIN(TEST(entry_has_the_servers_form), TEST(entries_read_back),
          TEST(any_cut_gives_the_same_text), TEST(bad_bytes_pass_and_do_not_stop),
          TEST(prompts_come_with_a_flush), TEST(long_lines_come_in_bounded_pieces),
          TEST(many_short_lines_share_entries))
