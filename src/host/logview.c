/* SPDX-License-Identifier: Apache-2.0 */
/* See logview.h. */
#include "host/logview.h"

#include "api/logentry.h"
#include "base/deadline.h"
#include "base/jsonw.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 16384
#define TAIL_MAX 65536
#define BAR_WIDTH 20

/* Length of an escape sequence at the beginning of s: CSI, OSC, or two bytes. *colour: it only
 * sets colours. */
static size_t escape_length(struct str s, bool *colour)
{
	size_t i = 2;

	*colour = false;
	if (s.n < 2)
		return s.n;
	if (s.p[1] == '[') {
		while (i < s.n && s.p[i] >= 0x20 && s.p[i] < 0x40)
			i++;
		*colour = i < s.n && s.p[i] == 'm';
		return i < s.n ? i + 1 : s.n;
	}
	if (s.p[1] == ']') {
		while (i < s.n && s.p[i] != '\a' && s.p[i] != 0x1b)
			i++;
		return i < s.n && s.p[i] == '\a' ? i + 1 : i;
	}
	return 2;
}

static void add_plain(const struct logview *v, struct buf *out, struct str s)
{
	struct str rest = s, piece;
	bool first = true;

	if (!v->terminal) {
		buf_add_str(out, s);
		return;
	}
	/* A carriage return alone redraws a line, which could hide text: it ends the line
	 * instead. */
	while (str_next(&rest, '\r', &piece)) {
		if (!first && !(piece.n && piece.p[0] == '\n') && (piece.n || rest.p))
			buf_addc(out, '\n');
		first = false;
		buf_add_printable(out, piece, true);
	}
}

static void add_text(const struct logview *v, struct buf *out, struct str s)
{
	bool coloured = false;

	while (s.n) {
		const char *esc = memchr(s.p, 0x1b, s.n);
		size_t before = esc ? (size_t)(esc - s.p) : s.n, n;
		bool colour;

		if (before)
			add_plain(v, out, (struct str){ s.p, before });
		s = (struct str){ s.p + before, s.n - before };
		if (!s.n)
			break;
		n = escape_length(s, &colour);
		if (colour ? v->colours : !v->terminal) {
			buf_add(out, s.p, n);
			coloured = colour;
		}
		s = (struct str){ s.p + n, s.n - n };
	}
	if (coloured)
		buf_adds(out, "\033[0m");
}

void logview_bar(struct buf *out, unsigned percent)
{
	buf_addc(out, '[');
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		buf_addc(out, i * 100 < percent * BAR_WIDTH ? '#' : '-');
	buf_addc(out, ']');
}

/* A number at the front of s, which goes behind it. */
static bool take_number(struct str *s, int64_t *n)
{
	struct str digits = *s;

	for (digits.n = 0; digits.n < s->n && s->p[digits.n] >= '0' && s->p[digits.n] <= '9';)
		digits.n++;
	*s = (struct str){ s->p + digits.n, s->n - digits.n };
	return str_to_i64(digits, 0, INT32_MAX, n);
}

/* What providers say of a pull: "25 % of 12.3 MiB", "Downloading: 5 of 20 MB in 3 layers". */
static bool is_pull(struct str s, unsigned *percent)
{
	const char *colon = str_find(s, ": ");
	int64_t now, total;

	if (colon) {
		s.n -= (size_t)(colon + 2 - s.p);
		s.p = colon + 2;
	}
	if (!take_number(&s, &now))
		return false;
	if (str_starts(s, " of ") && colon) {
		s = (struct str){ s.p + 4, s.n - 4 };
		if (!take_number(&s, &total) || !str_starts(s, " MB in ") || total < 1)
			return false;
		now = now * 100 / total;
	} else if (!str_starts(s, " % of ") || colon) {
		return false;
	}
	*percent = (unsigned)now;
	return now <= 100;
}

/* One line that the next of its kind redraws, and nothing else does. */
static bool add_bar(struct logview *v, struct str msg, struct buf *out)
{
	unsigned percent;
	bool is = is_pull(msg, &percent);

	if (is && !v->bar && v->mid_line)
		buf_addc(out, '\n');
	if (is) {
		buf_adds(out, "\r\033[K");
		logview_bar(out, percent);
		buf_addc(out, ' ');
		buf_add_printable(out, str_trim(msg), true);
	} else if (v->bar) {
		buf_addc(out, '\n');
	}
	v->bar = v->mid_line = is;
	return is;
}

static void add_entry(struct logview *v, const struct log_entry *en, struct buf *out)
{
	struct str rest = str_of(en->msg), line;

	if (v->json) {
		jw_obj(out);
		jw_kstr(out, "time", en->time);
		jw_kstr(out, "source", en->source);
		jw_kstr(out, "label", en->label);
		jw_kstr(out, "msg", en->msg);
		jw_obj_end(out);
		buf_addc(out, '\n');
		return;
	}
	if (v->bars && add_bar(v, rest, out))
		return;
	if (!v->times) {
		add_text(v, out, rest);
		v->mid_line = rest.n && rest.p[rest.n - 1] != '\n';
		return;
	}
	while (str_next(&rest, '\n', &line)) {
		if (line.n == 0 && !rest.p)
			break; /* behind the last newline */
		if (!v->mid_line) {
			add_text(v, out, str_of(en->time));
			buf_addc(out, ' ');
		}
		add_text(v, out, line);
		v->mid_line = !rest.p;
		if (rest.p)
			buf_addc(out, '\n');
	}
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word)) {
		if ((p == text || p[-1] == ' ') && (p[n] == '\0' || strchr(" :,\n", p[n])))
			return true;
	}
	return false;
}

static bool is_wanted(const struct logview *v, const struct log_entry *en)
{
	int64_t at;

	if (v->since_wall_ms && time_parse_rfc3339(en->time, &at) && at < v->since_wall_ms)
		return false;
	return !v->word || has_word(en->msg, v->word);
}

static void mark_damage(struct logview *v, size_t n, struct buf *out)
{
	if (v->json) {
		jw_obj(out);
		jw_kint(out, "damagedBytes", (int64_t)n);
		jw_obj_end(out);
		buf_addc(out, '\n');
		return;
	}
	buf_addf(out, "%s-- %zu bytes of the log are damaged here --\n", v->mid_line ? "\n" : "",
	         n);
	v->mid_line = false;
}

static void add_clean(struct logview *v, struct str line, struct buf *out)
{
	struct log_entry en = { 0 };

	if (log_entry_parse(line, &en)) {
		if (is_wanted(v, &en))
			add_entry(v, &en, out);
		log_entry_free(&en);
		return;
	}
	line = str_trim(line);
	if (line.n == 0 || line.p[0] == '{' || v->word)
		return; /* an empty entry, or half of one */
	if (v->json) {
		jw_obj(out);
		jw_key(out, "msg");
		jw_str(out, line);
		jw_obj_end(out);
	} else {
		add_text(v, out, line);
	}
	buf_addc(out, '\n');
}

void logview_add(struct logview *v, struct str line, struct buf *out)
{
	struct buf clean = { 0 };
	size_t nuls = 0;

	if (!line.p || !memchr(line.p, '\0', line.n)) {
		add_clean(v, line, out);
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\0')
			nuls++;
		else
			buf_addc(&clean, line.p[i]);
	}
	mark_damage(v, nuls, out);
	add_clean(v, buf_str(&clean), out);
	buf_free(&clean);
}

off_t logview_tail(int fd, off_t end, size_t n, size_t *found)
{
	char block[BLOCK];
	off_t at = end;

	*found = 0;
	while (at > 0 && n > 0) {
		size_t want = at < BLOCK ? (size_t)at : BLOCK;
		ssize_t got = pread(fd, block, want, at - (off_t)want);

		if (got <= 0)
			break;
		for (size_t i = (size_t)got; i > 0; i--) {
			if (block[i - 1] != '\n' || at - (off_t)want + (off_t)i == end)
				continue;
			if (++*found == n)
				return at - (off_t)want + (off_t)i;
		}
		at -= (off_t)want;
	}
	if (end > 0 && *found < n)
		++*found; /* the first line has no newline before it */
	return 0;
}

void logview_last(const char *path, size_t n, struct buf *out)
{
	struct logview v = { .times = true, .terminal = true };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct buf text = { 0 };
	struct str rest, line;
	off_t end, from;
	size_t found;
	ssize_t got;

	if (fd < 0)
		return;
	end = lseek(fd, 0, SEEK_END);
	from = logview_tail(fd, end, n, &found);
	if (end - from > TAIL_MAX)
		from = end - TAIL_MAX;
	got = end > from ? pread(fd, buf_reserve(&text, (size_t)(end - from)), (size_t)(end - from),
	                         from)
	                 : 0;
	text.n = got > 0 ? (size_t)got : 0;
	close(fd);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line))
		logview_add(&v, line, out);
	if (v.mid_line)
		buf_addc(out, '\n');
	buf_free(&text);
}
