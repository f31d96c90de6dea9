/* SPDX-License-Identifier: Apache-2.0 */
/* See prompt.h. Signals are read from a descriptor while a question is open. */
#include "host/prompt.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_MAX 8192
#define NAME_AT 5 /* behind an item's number */

bool prompt_locale_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *v = getenv(names[i]);

		if (v && *v)
			return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return false;
}

bool prompt_open(struct prompt *p)
{
	struct winsize ws = { 0 };

	*p = (struct prompt){ .in = STDIN_FILENO, .columns = 80, .utf8 = prompt_locale_is_utf8() };
	p->out = isatty(STDERR_FILENO) ? STDERR_FILENO : STDOUT_FILENO;
	if (!isatty(p->in) || !isatty(p->out))
		return false;
	if (ioctl(p->out, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 20)
		p->columns = ws.ws_col;
	return true;
}

void prompt_close(struct prompt *p)
{
	buf_wipe(&p->ahead);
}

static void write_out(struct prompt *p, struct str s)
{
	struct err ignored = { 0 };

	fflush(stdout); /* what was printed before comes first */
	(void)file_write_all(p->out, s, "terminal", &ignored);
}

void prompt_sayf(struct prompt *p, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	write_out(p, buf_str(&text));
	buf_free(&text);
}

void prompt_show(const struct prompt *p, struct buf *b, struct str s, int max)
{
	struct buf clean = { 0 };
	int columns = 0;
	size_t i = 0;

	buf_add_printable(&clean, s, false);
	while (i < clean.n) {
		int n = str_utf8_len(clean.p + i, clean.n - i);

		if (n < 1)
			n = 1;
		if (max && columns + 1 > max - 2 && i + (size_t)n < clean.n) {
			buf_adds(b, "..");
			break;
		}
		if (n > 1 && !p->utf8)
			buf_addc(b, '?');
		else
			buf_add(b, clean.p + i, (size_t)n);
		i += (size_t)n;
		columns++;
	}
	buf_wipe(&clean);
}

struct asking {
	int signals; /* descriptor */
	sigset_t mask_before;
	struct termios before;
	bool echo_off;
};

static int begin(struct prompt *p, struct asking *a, bool echo, struct err *e)
{
	struct termios t;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	if (!echo)
		sigaddset(&set, SIGTSTP); /* the shell would be left without echo */
	sigprocmask(SIG_BLOCK, &set, &a->mask_before);
	sigdelset(&set, SIGTSTP);
	a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	a->echo_off = false;
	if (a->signals < 0) {
		sigprocmask(SIG_SETMASK, &a->mask_before, NULL);
		return err_sys(e, errno, "signalfd");
	}
	if (!echo && tcgetattr(p->in, &a->before) == 0) {
		t = a->before;
		t.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK);
		t.c_lflag |= ECHONL;
		a->echo_off = tcsetattr(p->in, TCSADRAIN, &t) == 0;
	}
	return 0;
}

static void end(struct prompt *p, struct asking *a)
{
	struct signalfd_siginfo si;

	if (a->echo_off)
		tcsetattr(p->in, TCSADRAIN, &a->before);
	/* What was read as an answer must not end the program when it is unblocked. */
	while (read(a->signals, &si, sizeof(si)) > 0)
		;
	close(a->signals);
	sigprocmask(SIG_SETMASK, &a->mask_before, NULL);
}

static int canceled(struct prompt *p, struct err *e)
{
	write_out(p, STR_LIT("\n"));
	return err_set(e, ERR_CANCELED, 0, "canceled");
}

/* 1: bytes were added to p->ahead, 0: end of input, -1 canceled or failed. */
static int read_more(struct prompt *p, struct asking *a, struct err *e)
{
	struct pollfd fds[2] = { { .fd = p->in, .events = POLLIN },
		                 { .fd = a->signals, .events = POLLIN } };
	char chunk[1024];
	ssize_t n;

	if (poll(fds, 2, -1) < 0)
		return errno == EINTR ? 1 : err_sys(e, errno, "poll");
	if (fds[1].revents)
		return canceled(p, e);
	n = read(p->in, chunk, sizeof(chunk));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : canceled(p, e);
	if (n == 0)
		return 0;
	buf_add(&p->ahead, chunk, (size_t)n);
	mem_wipe(chunk, sizeof(chunk));
	return 1;
}

/* Shows the question, then reads one line without its end, appended to line. */
static int read_line(struct prompt *p, const char *question, bool echo, struct buf *line,
                     struct err *e)
{
	struct asking a;
	char *newline;
	int rc = 1;

	/* In this order: who sees the question may answer by Ctrl-C at once. */
	if (begin(p, &a, echo, e) < 0)
		return -1;
	write_out(p, str_of(question));
	while (!(newline = memchr(p->ahead.p ? p->ahead.p : "", '\n', p->ahead.n)) && rc > 0) {
		if (p->ahead.n > ANSWER_MAX)
			rc = err_set(e, ERR_LIMIT, 0, "the answer is too long");
		else
			rc = read_more(p, &a, e);
	}
	end(p, &a);
	if (rc < 0)
		return -1;
	if (!newline)
		return canceled(p, e);
	buf_add(line, p->ahead.p, (size_t)(newline - p->ahead.p));
	buf_drop(&p->ahead, (size_t)(newline - p->ahead.p) + 1);
	return 0;
}

/* Reads until the answer holds no control character. *answer: trimmed, "" for an empty one. */
static int ask(struct prompt *p, const char *question, bool echo, char **answer, struct err *e)
{
	for (;;) {
		struct buf line = { 0 };
		struct str s;
		bool clean = true;

		if (read_line(p, question, echo, &line, e) < 0) {
			buf_wipe(&line);
			return -1;
		}
		s = str_trim(buf_str(&line));
		for (size_t i = 0; i < s.n; i++)
			clean = clean && (unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f;
		*answer = clean ? mem_dupn(s.n ? s.p : "", s.n) : NULL;
		buf_wipe(&line);
		if (*answer)
			return 0;
		prompt_sayf(
			p,
			"That holds a control character (an arrow key?). Please type it again.\n");
	}
}

int prompt_line(struct prompt *p, const char *label, const char *fallback, char **answer,
                struct err *e)
{
	struct buf question = { 0 };
	int rc;

	buf_adds(&question, label);
	if (fallback && *fallback) {
		buf_adds(&question, " [");
		prompt_show(p, &question, str_of(fallback), 0);
		buf_addc(&question, ']');
	}
	buf_adds(&question, ": ");
	rc = ask(p, buf_cstr(&question), true, answer, e);
	buf_free(&question);
	if (rc == 0 && !**answer && fallback) {
		free(*answer);
		*answer = mem_dup(fallback);
	}
	return rc;
}

int prompt_secret(struct prompt *p, const char *label, bool has_fallback, char **answer,
                  struct err *e)
{
	struct buf question = { 0 };
	int rc;

	buf_addf(&question, "%s%s (is not shown): ", label, has_fallback ? " [unchanged]" : "");
	rc = ask(p, buf_cstr(&question), false, answer, e);
	buf_free(&question);
	if (rc == 0 && !**answer) {
		free(*answer);
		*answer = NULL;
	}
	return rc;
}

int prompt_yes(struct prompt *p, const char *question, bool *yes, struct err *e)
{
	struct buf text = { 0 };
	int rc = 0;

	buf_addf(&text, "%s Yes/No [No]: ", question);
	for (bool done = false; !done && rc == 0;) {
		char *answer = NULL;
		struct str s;

		rc = ask(p, buf_cstr(&text), true, &answer, e);
		s = str_of(answer);
		*yes = str_ieq(s, "yes") || str_ieq(s, "y");
		done = *yes || s.n == 0 || str_ieq(s, "no") || str_ieq(s, "n");
		if (rc == 0 && !done)
			prompt_sayf(p, "Please answer Yes or No.\n");
		free(answer);
	}
	buf_free(&text);
	return rc;
}

/* All of it, over as many lines as it takes. */
static void show_name(struct prompt *p, struct buf *b, const char *name)
{
	size_t room = (size_t)p->columns - NAME_AT - 1, n = 0;
	struct buf all = { 0 };

	prompt_show(p, &all, str_of(name), 0);
	for (size_t i = 0; i < all.n; i++) {
		if ((all.p[i] & 0xc0) != 0x80 && n++ && n % room == 1)
			buf_addf(b, "\n%*s", NAME_AT, "");
		buf_addc(b, all.p[i]);
	}
	buf_free(&all);
}

static void show_items(struct prompt *p, const struct prompt_item *items, size_t n)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++) {
		const char *const more[] = { items[i].id, items[i].note ? items[i].note : "" };
		bool fits = NAME_AT + strlen(items[i].name) + strlen(more[0]) + strlen(more[1]) +
		                    sizeof("    ") <=
		            (size_t)p->columns;

		buf_addf(&b, "%3zu) ", i + 1);
		show_name(p, &b, items[i].name);
		for (size_t k = 0; k < ARRAY_LEN(more) && *more[k]; k++) {
			if (fits)
				buf_adds(&b, "  ");
			else
				buf_addf(&b, "\n%*s", NAME_AT, "");
			prompt_show(p, &b, str_of(more[k]), p->columns - NAME_AT - 1);
		}
		buf_addc(&b, '\n');
	}
	write_out(p, buf_str(&b));
	buf_free(&b);
}

static bool find_item(const struct prompt_item *items, size_t n, struct str answer, size_t *picked)
{
	int64_t number;

	for (size_t i = 0; i < n; i++) {
		if (str_eq(answer, items[i].id) || str_eq(answer, items[i].name)) {
			*picked = i;
			return true;
		}
	}
	if (!str_to_i64(answer, 1, (int64_t)n, &number))
		return false;
	*picked = (size_t)number - 1;
	return true;
}

int prompt_pick(struct prompt *p, const char *title, const struct prompt_item *items, size_t n,
                size_t *picked, struct err *e)
{
	prompt_sayf(p, "%s\n", title);
	show_items(p, items, n);
	for (;;) {
		char *answer = NULL;
		bool none, found;

		if (ask(p, "Number, name or id (empty: none): ", true, &answer, e) < 0)
			return -1;
		none = !*answer || strcmp(answer, "q") == 0;
		found = !none && find_item(items, n, str_of(answer), picked);
		free(answer);
		if (none)
			return err_set(e, ERR_CANCELED, 0, "nothing was selected");
		if (found)
			return 0;
		prompt_sayf(p, "There is no such entry: give a number from 1 to %zu.\n", n);
	}
}
