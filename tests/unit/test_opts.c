/* SPDX-License-Identifier: Apache-2.0 */
#include "base/opts.h"

#include "tests/capture.h"
#include "tests/test.h"

#include <stdlib.h>

static const char usage[] =
	"show [-f] [-n NUMBER] [-c FILE] [--api-key KEY] [--job ID] [--colour] [WORKSPACE [TARGET]]\n"
	"Shows what the runner and its jobs wrote. This description is long enough that it has to be wrapped.\n"
	"\n"
	"Second paragraph.";

struct line {
	const char *args; /* split at '|' */
	int min, max;
};

/* Parses and prints what came out, for comparison as text. */
static int parse(void *arg)
{
	const struct line *l = arg;
	bool follow = false, colour = true;
	const char *config = "none", *key = "none";
	int64_t n = 10;
	struct opt_list labels = { 0 };
	const struct opt opts[] = {
		OPT_LIST('l', "label", "K=V", &labels, "may be repeated"),
		OPT_FLAG('f', "follow", &follow, "go on with what is written later"),
		OPT_INT('n', "lines", "NUMBER", &n, 0, 1000, "the last NUMBER lines"),
		OPT_FLAG(
			0, "colour", &colour,
			"do not use colours, even though the output is a terminal that knows them"),
		OPT_GROUP("Connection"),
		OPT_STR('c', "config", "FILE", &config, "read the configuration from FILE"),
		OPT_SECRET(0, "api-key-with-a-long-name", "KEY", &key, "the key"),
		OPT_END,
	};
	char text[256] = "", *argv[32] = { 0 };
	int argc = 1, operands;

	argv[0] = text + snprintf(text, sizeof(text), "%s", l->args) + 1;
	for (char *p = text; *l->args && p; argc++) {
		argv[argc] = p;
		p = strchr(p, '|');
		if (p)
			*p++ = '\0';
	}
	operands = opts_parse(opts, usage, argc, argv, l->min, l->max);
	printf("f=%d n=%lld colour=%d c=%s key=%s:", follow, (long long)n, colour, config, key);
	for (int i = 1; i <= operands; i++)
		printf(" %s", argv[i]);
	for (size_t i = 0; i < labels.n; i++)
		printf(" l=%s", labels.v[i]);
	free(labels.v);
	if (strcmp(key, "none") != 0)
		printf(" argv %s", memmem(text, sizeof(text), "s3cr3t", 6) ? "shows" : "hides");
	return 0;
}

static void accepted_lines(void)
{
	static const struct {
		struct line line;
		const char *want;
	} rows[] = {
		{ { "", 0, 0 }, "f=0 n=10 colour=1 c=none key=none:" },
		{ { "-f", 0, 0 }, "f=1 n=10 colour=1 c=none key=none:" },
		{ { "-fn5", 0, 0 }, "f=1 n=5 colour=1 c=none key=none:" },
		{ { "-fn|5|-cx", 0, 0 }, "f=1 n=5 colour=1 c=x key=none:" },
		{ { "--lines=7|--config|a=b", 0, 0 }, "f=0 n=7 colour=1 c=a=b key=none:" },
		{ { "--config=a=b", 0, 0 }, "f=0 n=10 colour=1 c=a=b key=none:" },
		{ { "--config=", 0, 0 }, "f=0 n=10 colour=1 c= key=none:" },
		{ { "--no-colour", 0, 0 }, "f=0 n=10 colour=0 c=none key=none:" },
		{ { "--no-colour|--colour", 0, 0 }, "f=0 n=10 colour=1 c=none key=none:" },
		{ { "--follow=false|--colour=no", 0, 0 }, "f=0 n=10 colour=0 c=none key=none:" },
		{ { "--follow=true|--no-follow", 0, 0 }, "f=0 n=10 colour=1 c=none key=none:" },
		{ { "a|-f|b|-", 0, 3 }, "f=1 n=10 colour=1 c=none key=none: a b -" },
		{ { "-f|--|-n|--lines", 0, -1 }, "f=1 n=10 colour=1 c=none key=none: -n --lines" },
		{ { "-l|a=b|-lc|x|--label=|--label|d", 0, 1 },
		  "f=0 n=10 colour=1 c=none key=none: x l=a=b l=c l= l=d" },
		{ { "-c|-f", 0, 0 }, "f=0 n=10 colour=1 c=-f key=none:" },
		{ { "--api-key-with-a-long-name|s3cr3t", 0, 0 },
		  "f=0 n=10 colour=1 c=none key=s3cr3t: argv hides" },
		{ { "--api-key-with-a-long-name=s3cr3t|x", 1, 1 },
		  "f=0 n=10 colour=1 c=none key=s3cr3t: x argv hides" },
	};
	struct capture c;

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct line line = rows[i].line;

		TEST_ROW(i);
		capture_run(&c, parse, &line);
		CHECK_INT(c.status, 0);
		CHECK_STR(c.err, "");
		CHECK_STR(c.out, rows[i].want);
	}
}

static void misuse_is_one_line_and_exit_2(void)
{
	static const struct {
		struct line line;
		const char *want;
	} rows[] = {
		{ { "--foo", 0, 0 }, "unknown option --foo" },
		{ { "--foo=s3cr3t", 0, 0 }, "unknown option --foo" },
		{ { "-x", 0, 0 }, "unknown option -x" },
		{ { "-fx", 0, 0 }, "unknown option -x" },
		{ { "---", 0, 0 }, "unknown option ---" },
		{ { "--no-config", 0, 0 }, "unknown option --no-config" },
		{ { "--=x", 0, 0 }, "unknown option --" },
		{ { "--config", 0, 0 }, "option --config needs FILE" },
		{ { "-n", 0, 0 }, "option -n needs NUMBER" },
		{ { "-n|x", 0, 0 }, "option -n needs a number from 0 to 1000, not \"x\"" },
		{ { "--lines=1001", 0, 0 },
		  "option --lines needs a number from 0 to 1000, not \"1001\"" },
		{ { "--follow=maybe", 0, 0 }, "option --follow is true or false, not \"maybe\"" },
		{ { "a|b", 0, 1 }, "unexpected operand \"b\"" },
		{ { "-f", 1, 1 }, "an operand is missing" },
	};
	struct capture c;
	char want[256];

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct line line = rows[i].line;

		TEST_ROW(i);
		capture_run(&c, parse, &line);
		CHECK_INT(c.status, 2);
		CHECK_STR(c.out, "");
		snprintf(want, sizeof(want),
		         "daytona-runner show: %s; see daytona-runner show --help\n", rows[i].want);
		CHECK_STR(c.err, want);
	}
}

static void help_fits_the_screen(void)
{
	static const char want[] =
		"Usage: daytona-runner show [-f] [-n NUMBER] [-c FILE] [--api-key KEY]\n"
		"                           [--job ID] [--colour] [WORKSPACE [TARGET]]\n"
		"\n"
		"Shows what the runner and its jobs wrote. This description is long enough that\n"
		"it has to be wrapped.\n"
		"\n"
		"Second paragraph.\n"
		"\n"
		"Options:\n"
		"  -l, --label K=V     may be repeated\n"
		"  -f, --follow        go on with what is written later\n"
		"  -n, --lines NUMBER  the last NUMBER lines\n"
		"      --no-colour     do not use colours, even though the output is a terminal\n"
		"                      that knows them\n"
		"\n"
		"Connection:\n"
		"  -c, --config FILE   read the configuration from FILE\n"
		"      --api-key-with-a-long-name KEY\n"
		"                      the key\n"
		"  -h, --help          show this and exit\n";
	static const char *const ways[] = { "--help", "-h", "-fh", "x|--no-colour|--help" };
	struct capture c;

	for (size_t i = 0; i < TEST_N(ways); i++) {
		struct line line = { ways[i], 0, 0 };

		TEST_ROW(i);
		capture_run(&c, parse, &line);
		CHECK_INT(c.status, 0);
		CHECK_STR(c.err, "");
		CHECK_STR(c.out, want);
	}
}

static void table_is_printed_for_completion(void)
{
	struct line line = { "--print-options", 0, 0 };
	struct capture c;

	capture_run(&c, parse, &line);
	CHECK_INT(c.status, 0);
	CHECK_STR(
		c.out,
		"l\tlabel\tK=V\tmay be repeated\n"
		"f\tfollow\t\tgo on with what is written later\n"
		"n\tlines\tNUMBER\tthe last NUMBER lines\n"
		"\tno-colour\t\tdo not use colours, even though the output is a terminal that knows them\n"
		"c\tconfig\tFILE\tread the configuration from FILE\n"
		"\tapi-key-with-a-long-name\tKEY\tthe key\n"
		"h\thelp\t\tshow this and exit\n");
}

static int misuse_of(void *arg)
{
	opts_misuse(arg, "x");
}

static void applet_is_the_first_words_of_the_usage(void)
{
	static const struct {
		const char *usage, *want;
	} rows[] = {
		{ "stop", "daytona-runner stop: x; see daytona-runner stop --help\n" },
		{ "provider list [-f]",
		  "daytona-runner provider list: x; see daytona-runner provider list --help\n" },
		{ "service install|print",
		  "daytona-runner service: x; see daytona-runner service --help\n" },
		{ "show -n 5", "daytona-runner show: x; see daytona-runner show --help\n" },
		{ "delete RUNNER\nText",
		  "daytona-runner delete: x; see daytona-runner delete --help\n" },
		{ "", "daytona-runner: x; see daytona-runner --help\n" },
	};
	struct capture c;
	char copy[64];

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		snprintf(copy, sizeof(copy), "%s", rows[i].usage);
		capture_run(&c, misuse_of, copy);
		CHECK_INT(c.status, 2);
		CHECK_STR(c.err, rows[i].want);
	}
}

TEST_MAIN(TEST(accepted_lines), TEST(misuse_is_one_line_and_exit_2), TEST(help_fits_the_screen),
          TEST(table_is_printed_for_completion), TEST(applet_is_the_first_words_of_the_usage))
