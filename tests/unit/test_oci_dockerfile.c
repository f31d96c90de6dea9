/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/dockerfile.h"

#include "base/kv.h"
#include "base/mem.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

/* "LINE WORD REST" of each, or the error. */
static void read_all(const char *text, struct buf *out)
{
	struct dockerfile f;
	struct err e = { 0 };
	char *copy = mem_dupn(text, strlen(text));

	if (dockerfile_parse(&f, (struct str){ copy, strlen(text) }, &e) < 0)
		buf_adds(out, e.msg);
	for (size_t i = 0; !e.kind && i < f.n; i++)
		buf_addf(out, "%u %s %s\n", f.list[i].line, dockerfile_words[f.list[i].kind],
		         f.list[i].rest);
	dockerfile_free(&f);
	free(copy);
}

static void instructions_are_told_apart(void)
{
	static const struct {
		const char *text, *is;
	} rows[] = {
		{ "FROM a\nRUN b  c\n", "1 FROM a\n2 RUN b  c\n" },
		{ "\n# c\n  from a AS b\r\n\tcmd [\"x\"]\r\n", "3 FROM a AS b\n4 CMD [\"x\"]\n" },
		{ "ARG X=1\nFROM a\nRUN a && \\\n  b\\ \n# between\n\n   c\nENV A=b",
		  "1 ARG X=1\n2 FROM a\n3 RUN a &&   b   c\n8 ENV A=b\n" },
		{ "# escape=`\nFROM a\nRUN b `\n c\\\nUSER x",
		  "2 FROM a\n3 RUN b  c\\\n5 USER x\n" },
		{ "# syntax=x\n#escape = `\nFROM `\na", "3 FROM a\n" },
		{ "# a comment\n# escape=`\nFROM a\\\nb", "3 FROM ab\n" },
		{ "\n# escape=`\nFROM a\\\nb", "3 FROM ab\n" },
		{ "FROM a\n# escape=`\nRUN b\\\nc", "1 FROM a\n3 RUN bc\n" },
		{ "\xef\xbb\xbf"
		  "FROM a",
		  "1 FROM a\n" },
		{ "FROM a\nRUN b \\", "1 FROM a\n2 RUN b\n" },
		{ "FROM a\nRUN # no comment", "1 FROM a\n2 RUN # no comment\n" },
		{ "FROM a\n\nONBUILD RUN x", "line 3: \"ONBUILD\" is not done by this builder" },
		{ "FROM a\nRUNx y", "line 2: \"RUNx\" is not done by this builder" },
		{ "FROM a\nRUN\n", "line 2: \"RUN\" needs arguments" },
		{ "RUN x\nFROM a\n", "line 1: \"RUN\" comes before FROM" },
		{ "FROM a\nRUN <<EOF\nx\nEOF",
		  "line 2: \"<<EOF\" is a here-document, which is not done by this builder" },
		{ "FROM a\nCOPY <<A <<B /x\n",
		  "line 2: \"<<A <<B /x\" is a here-document, which is not done by this builder" },
		{ "FROM a\nRUN cat <<<x",
		  "line 2: \"cat <<<x\" is a here-document, which is not done "
		  "by this builder" },
		{ "# escape=x\nFROM a", "escape is neither \\ nor `" },
		{ "", "it holds no instruction" },
		{ "# only", "it holds no instruction" },
		{ "\\", "it holds no instruction" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		read_all(rows[i].text, &b);
		CHECK_STR(buf_cstr(&b), rows[i].is);
		buf_free(&b);
	}
}

static const char *get(const void *arg, const char *name)
{
	return kv_get(arg, name);
}

static void words_lose_quotes_and_gain_values(void)
{
	static const struct {
		const char *text, *is;
		bool whole;
	} rows[] = {
		{ "a  b\tc", "a|b|c|", false },
		{ "", "", false },
		{ "\"a b\"c 'd e'", "a bc|d e|", false },
		{ "$X ${X}y $Xy x$X", "1|1y||x1|", false },
		{ "'$X' \"$X\" \\$X \"\\$X\" '\\'", "$X|1|$X|$X|\\|", false },
		{ "a\\ b \"a\\b\" \"a\\\"b\"", "a b|a\\b|a\"b|", false },
		{ "${X:-d} ${N:-d} ${E:-d} ${E-d} ${N-d}", "1|d|d||d|", false },
		{ "${X:+d} ${N:+d} ${E:+d} ${E+d} ${N+d}", "d|||d||", false },
		{ "${N:-a b} ${N:-\"a b\"} ${N:-$X${X}}", "a b|a b|11|", false },
		{ "${N:-${N:-${X}}}", "1|", false },
		{ "$ $$X a$", "$|$1|a$|", false },
		{ "  a \"b\" $X  ", "a b 1|", true },
		{ "\"\"", "|", false },
		{ "${X", "!", false },
		{ "${}", "!", false },
		{ "${X/1/2}", "!", false },
		{ "${X:-a", "!", false },
		{ "${X:", "!", false },
		{ "${X:-", "!", false },
		{ "\"a", "!", false },
		{ "'a", "!", false },
		{ "${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-a}}}}}}}}}}", "!", false },
	};
	struct kv vars = { 0 };
	struct dockerfile_scope scope = { get, &vars, '\\' };

	kv_set(&vars, "X", "1");
	kv_set(&vars, "E", "");
	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *copy = mem_dupn(rows[i].text, strlen(rows[i].text));
		struct str rest = { copy, strlen(copy) };
		struct buf word = { 0 }, all = { 0 };
		struct err e = { 0 };
		int rc;

		TEST_ROW(i);
		while ((rc = dockerfile_word(&rest, rows[i].whole, &scope, &word, &e)) > 0)
			buf_addf(&all, "%s|", buf_cstr(&word));
		if (rc < 0)
			CHECK_STR(rows[i].is, "!");
		else
			CHECK_STR(buf_cstr(&all), rows[i].is);
		CHECK_INT(rc < 0, e.kind != ERR_NONE);
		buf_free(&word);
		buf_free(&all);
		free(copy);
	}
	kv_free(&vars);
}

/* ENV A=$A$A again and again would be more than there is memory. */
static void a_word_is_bounded(void)
{
	struct kv vars = { 0 };
	struct dockerfile_scope scope = { get, &vars, '\\' };
	struct buf word = { 0 };
	struct err e = { 0 };
	int rc = 1;

	kv_set(&vars, "A", "x");
	for (int i = 0; rc > 0 && i < 40; i++) {
		struct str rest = STR_LIT("$A$A");

		rc = dockerfile_word(&rest, false, &scope, &word, &e);
		kv_set(&vars, "A", buf_cstr(&word));
	}
	CHECK_INT(rc, -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	buf_free(&word);
	kv_free(&vars);
}

static void flags_come_first(void)
{
	struct str rest = STR_LIT(" --from=a  --link --x= b --c"), name, value;
	struct buf b = { 0 };

	while (dockerfile_flag(&rest, &name, &value))
		buf_addf(&b, "%.*s=%.*s|", STR_ARG(name), STR_ARG(value));
	buf_add_str(&b, rest);
	CHECK_STR(buf_cstr(&b), "from=a|link=|x=| b --c");
	buf_free(&b);
}

TEST_MAIN(TEST(instructions_are_told_apart), TEST(words_lose_quotes_and_gain_values),
          TEST(a_word_is_bounded), TEST(flags_come_first))
