/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/mask.h"
#include "base/mem.h"
#include "base/out.h"
#include "tests/capture.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void level_names_are_those_of_logrus(void)
{
	static const struct {
		const char *name;
		bool ok;
		enum log_level level;
	} rows[] = {
		{ "panic", true, LOG_ERROR },  { "FATAL", true, LOG_ERROR },
		{ "error", true, LOG_ERROR },  { "warn", true, LOG_WARN },
		{ "warning", true, LOG_WARN }, { "Info", true, LOG_INFO },
		{ "debug", true, LOG_DEBUG },  { "trace", true, LOG_DEBUG },
		{ "loud", false, 0 },          { "", false, 0 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		enum log_level level = LOG_INFO;

		TEST_ROW(i);
		CHECK_INT(log_level_parse(str_of(rows[i].name), &level), rows[i].ok);
		if (rows[i].ok)
			CHECK_INT(level, rows[i].level);
	}
}

static int log_some(void *arg)
{
	(void)arg;
	mask_add(STR_LIT("s3cr3tValue42"));
	log_info("key s3cr3tValue42 of http://u:p@h/ line\nbreak \x1b[31m");
	log_debug("not shown");
	log_set_level(LOG_DEBUG);
	log_debug("shown");
	log_set_level(LOG_ERROR);
	log_warn("not shown");
	log_error("%s %d", "bad", 7);
	log_say("stop", "s3cr3tValue42\n");
	log_say(NULL, "x");
	return 0;
}

static void lines_are_stamped_masked_and_harmless(void)
{
	static const char *const want[] = {
		"INFO  key *** of http://***@h/ line\\x0abreak \\x1b[31m\n",
		"DEBUG shown\n",
		"ERROR bad 7\n",
	};
	struct capture c;
	char *at = c.err;

	capture_run(&c, log_some, NULL);
	CHECK_INT(c.status, 0);
	CHECK_STR(c.out, "");
	for (size_t i = 0; i < TEST_N(want); i++) {
		TEST_ROW(i);
		CHECK(strlen(at) > 21 && at[4] == '-' && at[10] == 'T' && at[19] == 'Z' &&
		      at[20] == ' ');
		CHECK(strncmp(at + 21, want[i], strlen(want[i])) == 0);
		at = strchr(at, '\n');
		if (!CHECK(at != NULL))
			return;
		at++;
	}
	CHECK_STR(at, "daytona-runner stop: ***\\x0a\ndaytona-runner: x\n");
}

struct sunk {
	int n;
	enum log_level level;
	char text[64];
};

static void sink(void *arg, enum log_level level, struct str line)
{
	struct sunk *s = arg;

	s->n++;
	s->level = level;
	snprintf(s->text, sizeof(s->text), "%.*s", STR_ARG(line));
	log_error("from the sink"); /* must not come back here */
}

static void sink_gets_the_masked_text(void)
{
	struct sunk s = { 0 };

	mask_add(STR_LIT("s3cr3tValue42"));
	log_to_stderr(false);
	log_set_sink(sink, &s);
	errno = EBADF;
	log_warn("s3cr3tValue42!");
	CHECK_INT(errno, EBADF);
	log_set_sink(NULL, NULL);
	log_warn("nobody hears this");
	log_to_stderr(true);
	mask_clear();
	CHECK_INT(s.n, 1);
	CHECK_INT(s.level, LOG_WARN);
	CHECK_STR(s.text, "***!");
}

static int log_long(void *arg)
{
	char *text = mem_alloc(100001);

	(void)arg;
	memset(text, 'x', 100000);
	log_info("%s", text);
	free(text);
	return 0;
}

static void long_texts_are_cut_and_say_so(void)
{
	struct capture c;

	capture_run(&c, log_long, NULL);
	CHECK(strlen(c.err) < 9000 && strstr(c.err, "xx [cut]\n") != NULL);
}

static int print_to(void *arg)
{
	int fd = *(const int *)arg;

	signal(SIGPIPE, SIG_IGN);
	if (fd >= 0)
		dup2(fd, 1);
	printf("text\n");
	fd = out_flush();
	return out_flush() == 0 ? fd : 99; /* one failure is reported once */
}

static void lost_output_is_a_failure(void)
{
	struct capture c;
	int fd[2] = { -1, -1 };

	capture_run(&c, print_to, &fd[0]);
	CHECK_INT(c.status, 0);
	CHECK_STR(c.out, "text\n");
	fd[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (fd[0] >= 0) {
		capture_run(&c, print_to, &fd[0]);
		CHECK_INT(c.status, 1);
		CHECK_STR(c.err,
		          "daytona-runner: write to standard output: No space left on device\n");
		close(fd[0]);
	}
	CHECK_INT(pipe(fd), 0);
	close(fd[0]);
	capture_run(&c, print_to, &fd[1]);
	CHECK_INT(c.status, 141);
	CHECK_STR(c.err, "");
	close(fd[1]);
}

TEST_MAIN(TEST(level_names_are_those_of_logrus), TEST(lines_are_stamped_masked_and_harmless),
          TEST(sink_gets_the_masked_text), TEST(long_texts_are_cut_and_say_so),
          TEST(lost_output_is_a_failure))
