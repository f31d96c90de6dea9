/* SPDX-License-Identifier: Apache-2.0 */
/* See tunnel.h. */
#include "api/tunnel.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (16u << 10) /* bytes of one message */
#define CAREFUL_PIECE \
	4096 /* so much a pipe or terminal that polls writable takes at once: PIPE_BUF */
#define QUEUE_GOAL (32u << 10) /* bytes to the Server under way */
#define QUEUE_MAX (4u << 20) /* with all messages that are no data: else the Server does not read */
#define KEPT (64u << 10)     /* bytes of an empty buffer that are kept for more */
#define GRANT_AT (TUNNEL_WINDOW / 4)
#define READS_PER_STEP 8
#define CLOSE_MS 30000 /* as long as the Server waits for who takes no byte */
#define SILENT_MS 5000 /* the Server pings more often */

enum nature { BLOCKS, NONBLOCK, SOCKET };

struct flow {
	int fd; /* -1: none, or no more */
	enum nature nature;
	bool used;   /* there was one */
	bool ended;  /* source: the end was sent; sink: it was told */
	bool broken; /* sink */
	struct buf waiting;
	size_t done; /* of it: passed on */
};

struct tunnel {
	struct ws_client *ws;
	struct flow source[TUNNEL_DATA_CHANNELS], sink[TUNNEL_DATA_CHANNELS];
	size_t may_send;           /* bytes */
	size_t taken, granted_not; /* received since the last grant; of these, passed on */
	void (*note)(void *arg, enum tunnel_channel ch, struct str s);
	void *arg;
	bool opened, heard, closing, closed_by_us;
	bool drains;       /* a clean end waits for the sinks */
	bool drained;      /* it does so now */
	const char *fault; /* of the other side */
};

struct tunnel *tunnel_on(const struct api *a, const char *path, struct deadline d)
{
	struct tunnel *t = mem_alloc(sizeof(*t));

	t->ws = api_log_socket(a, path, d);
	t->may_send = TUNNEL_WINDOW;
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		t->source[i].fd = t->sink[i].fd = -1;
	return t;
}

struct tunnel *tunnel_open(const struct api *a, const char *workspace, const char *query,
                           struct deadline d)
{
	struct buf path = { 0 };
	struct tunnel *t;

	buf_adds(&path, "/workspace/");
	buf_add_urlenc(&path, str_of(workspace));
	buf_addf(&path, "/tunnel?%s", query);
	t = tunnel_on(a, buf_cstr(&path), d);
	t->drains = true;
	buf_free(&path);
	return t;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++) {
		fd_close(&t->source[i].fd);
		fd_close(&t->sink[i].fd);
		buf_free(&t->sink[i].waiting);
	}
	ws_client_free(t->ws);
	free(t);
}

/* A pipe or terminal opened once more, since not blocking would be not blocking for all who have it. -1: it cannot be. */
static int open_again(int fd, int access)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void take(struct flow *f, int fd, int access)
{
	struct stat st = { 0 };
	int again = -1;

	f->used = true;
	f->nature = BLOCKS;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		f->nature = SOCKET;
	else if (S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_NONBLOCK))
		f->nature = NONBLOCK;
	else if (S_ISFIFO(st.st_mode) || isatty(fd))
		again = open_again(fd, access);
	if (again >= 0) {
		close(fd);
		fd = again;
		f->nature = NONBLOCK;
	}
	f->fd = fd;
}

void tunnel_source(struct tunnel *t, enum tunnel_channel ch, int fd)
{
	take(&t->source[ch], fd, O_RDONLY);
}

void tunnel_sink(struct tunnel *t, enum tunnel_channel ch, int fd)
{
	take(&t->sink[ch], fd, O_WRONLY);
}

void tunnel_socket(struct tunnel *t, enum tunnel_channel from, enum tunnel_channel to, int fd)
{
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	tunnel_source(t, from, fd);
	if (other >= 0)
		tunnel_sink(t, to, other);
	else
		t->sink[to].used = t->sink[to].broken = true;
}

void tunnel_notes(struct tunnel *t, void (*note)(void *arg, enum tunnel_channel ch, struct str s),
                  void *arg)
{
	t->note = note;
	t->arg = arg;
}

void tunnel_send(struct tunnel *t, enum tunnel_channel ch, struct str s)
{
	struct buf b = { 0 };

	buf_addc(&b, (char)ch);
	buf_add_str(&b, s);
	if (!ws_client_send_binary(t->ws, buf_str(&b), QUEUE_MAX) && !t->closing)
		t->fault = "the Server takes nothing";
	buf_wipe(&b);
}

void tunnel_end(struct tunnel *t, enum tunnel_channel ch)
{
	char which = (char)ch;

	t->source[ch].used = t->source[ch].ended = true;
	tunnel_send(t, TUNNEL_END, (struct str){ &which, 1 });
}

void tunnel_close(struct tunnel *t, int code, const char *reason)
{
	t->closing = t->closed_by_us = true;
	ws_client_close_with(t->ws, code, reason, CLOSE_MS);
}

/* ---- what comes ---- */

/* Four bytes, big endian. */
static bool number(struct str s, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < s.n && i < 4; i++)
		*n = *n << 8 | (unsigned char)s.p[i];
	return s.n == 4;
}

static void got_data(struct tunnel *t, unsigned ch, struct str s)
{
	struct flow *f = &t->sink[ch];

	t->taken += s.n;
	if (t->taken > TUNNEL_WINDOW)
		t->fault = "more bytes came than were allowed";
	else if (!f->ended && (f->fd >= 0 || !f->used)) /* it may be told where to only later */
		buf_add_str(&f->waiting, s);
	else
		t->granted_not += s.n;
}

static void got_message(void *arg, struct str s)
{
	struct tunnel *t = arg;
	unsigned ch = s.n ? (unsigned char)s.p[0] : TUNNEL_END;
	struct str rest = { s.p + 1, s.n ? s.n - 1 : 0 };
	size_t n;

	t->heard = true;
	if (t->fault)
		return;
	if (ch < TUNNEL_DATA_CHANNELS) {
		got_data(t, ch, rest);
	} else if (ch == TUNNEL_GRANT) {
		if (!number(rest, &n) || n > TUNNEL_WINDOW - t->may_send)
			t->fault = "more was granted than there is";
		else
			t->may_send += n;
	} else if (ch == TUNNEL_END) {
		if (rest.n != 1 || (unsigned char)rest.p[0] >= TUNNEL_DATA_CHANNELS)
			t->fault = "an end of no channel came";
		else
			t->sink[(unsigned char)rest.p[0]].ended = true;
	} else if (t->note) {
		t->note(t->arg, (enum tunnel_channel)ch, rest);
	}
}

/* Would a read or write not wait? */
static bool ready(const struct flow *f, short events)
{
	struct pollfd p = { .fd = f->fd, .events = events };

	return f->nature != BLOCKS || poll(&p, 1, 0) > 0;
}

static ssize_t put(const struct flow *f, const char *p, size_t n)
{
	if (f->nature == SOCKET)
		return send(f->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return write(f->fd, p, f->nature == BLOCKS && n > CAREFUL_PIECE ? CAREFUL_PIECE : n);
}

static size_t waits(const struct flow *f)
{
	return f->waiting.n - f->done;
}

/* What was passed on goes when it is much, or all: moving the rest costs. */
static void tidy(struct flow *f)
{
	if (f->done == f->waiting.n && f->waiting.cap > KEPT)
		buf_free(&f->waiting);
	else if (f->done == f->waiting.n || f->done >= KEPT)
		buf_drop(&f->waiting, f->done);
	else
		return;
	f->done = 0;
}

static void drop(struct tunnel *t, struct flow *f)
{
	f->broken = true;
	t->granted_not += waits(f);
	buf_free(&f->waiting);
	f->done = 0;
	fd_close(&f->fd);
}

static void write_sink(struct tunnel *t, struct flow *f)
{
	while (waits(f) && ready(f, POLLOUT)) {
		ssize_t n = put(f, f->waiting.p + f->done, waits(f));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			drop(t, f);
			return;
		}
		f->done += (size_t)n;
		t->granted_not += (size_t)n;
	}
	tidy(f);
	if (f->fd >= 0 && f->ended && !waits(f)) {
		if (f->nature == SOCKET)
			shutdown(f->fd, SHUT_WR);
		fd_close(&f->fd);
	}
}

static void grant(struct tunnel *t)
{
	size_t n = t->granted_not;
	char bytes[4] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

	if (n < GRANT_AT)
		return;
	t->taken -= n;
	t->granted_not = 0;
	tunnel_send(t, TUNNEL_GRANT, (struct str){ bytes, 4 });
}

/* ---- what goes ---- */

static bool may_read(const struct tunnel *t, const struct flow *f)
{
	return f->fd >= 0 && !t->closing && t->may_send && ws_client_queued(t->ws) < QUEUE_GOAL;
}

static void read_source(struct tunnel *t, enum tunnel_channel ch)
{
	struct flow *f = &t->source[ch];
	char piece[1 + PIECE];

	piece[0] = (char)ch;
	for (int i = 0; i < READS_PER_STEP && may_read(t, f) && ready(f, POLLIN); i++) {
		size_t want = t->may_send < PIECE ? t->may_send : PIECE;
		ssize_t n = f->nature == SOCKET ? recv(f->fd, piece + 1, want, MSG_DONTWAIT)
		                                : read(f->fd, piece + 1, want);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0) { /* of a terminal that nobody has open any more it is EIO */
			fd_close(&f->fd);
			tunnel_end(t, ch);
			return;
		}
		t->may_send -= (size_t)n;
		ws_client_send_binary(t->ws, (struct str){ piece, (size_t)n + 1 }, QUEUE_MAX);
	}
}

void tunnel_poll(const struct tunnel *t, struct pollset *ps)
{
	ws_client_poll(t->ws, ps);
	if (!t->opened)
		return;
	if (!t->drained)
		pollset_until(ps, (struct deadline){ ws_client_heard_ms(t->ws) + SILENT_MS });
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++) {
		if (may_read(t, &t->source[i]))
			pollset_add(ps, t->source[i].fd, POLLIN);
		if (waits(&t->sink[i]) && t->sink[i].fd >= 0)
			pollset_add(ps, t->sink[i].fd, POLLOUT);
	}
}

static enum tunnel_status closed(struct tunnel *t, struct err *e)
{
	const char *reason = ws_client_close_reason(t->ws);
	int code = ws_client_close_code(t->ws);

	if (code == WS_CLOSE_NORMAL || (t->closed_by_us && !code))
		err_clear(e);
	else if (code && *reason)
		err_set(e, code == TUNNEL_CLOSE_REFUSED ? ERR_REFUSED : ERR_REMOTE, code, "%s",
		        reason);
	else if (t->opened)
		err_wrap(e, "the stream broke off");
	return TUNNEL_CLOSED;
}

static enum tunnel_status broke(struct tunnel *t, struct err *e)
{
	struct err ignored = { 0 };

	err_set(e, ERR_CLOSED, 0, "the stream broke off: %s", t->fault);
	tunnel_close(t, WS_CLOSE_POLICY, t->fault);
	ws_client_step(t->ws, NULL, NULL, &ignored);
	return TUNNEL_CLOSED;
}

/* Bytes that came before a clean end, and a reader who is slow. */
static bool must_drain(const struct tunnel *t)
{
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		if (t->sink[i].fd >= 0 && waits(&t->sink[i]))
			return t->drains && ws_client_close_code(t->ws) == WS_CLOSE_NORMAL;
	return false;
}

enum tunnel_status tunnel_step(struct tunnel *t, struct err *e)
{
	enum ws_status s;

	for (int i = 0; i < TUNNEL_DATA_CHANNELS && t->opened; i++)
		if (t->source[i].fd >= 0)
			read_source(t, (enum tunnel_channel)i);
	s = ws_client_step(t->ws, got_message, t, e);
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		if (t->sink[i].fd >= 0)
			write_sink(t, &t->sink[i]);
	if (s == WS_CLOSED) {
		t->closing = t->drained = true;
		return must_drain(t) ? TUNNEL_OPENED : closed(t, e);
	}
	t->opened = t->opened || s == WS_OPEN;
	if (t->opened)
		grant(t);
	if (t->opened && clock_mono_ms() - ws_client_heard_ms(t->ws) > SILENT_MS)
		t->fault = "the Server does not answer";
	if (t->fault)
		return broke(t, e);
	return t->opened ? TUNNEL_OPENED : TUNNEL_OPENING;
}

int tunnel_close_code(const struct tunnel *t)
{
	return ws_client_close_code(t->ws);
}

bool tunnel_heard(const struct tunnel *t)
{
	return t->heard;
}

bool tunnel_sources_ended(const struct tunnel *t)
{
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		if (t->source[i].used && !t->source[i].ended)
			return false;
	return true;
}

bool tunnel_done(const struct tunnel *t)
{
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++) {
		const struct flow *f = &t->sink[i];

		if (f->used && !f->broken && (!f->ended || waits(f)))
			return false;
	}
	return tunnel_sources_ended(t);
}

bool tunnel_broken(const struct tunnel *t, enum tunnel_channel ch)
{
	return t->sink[ch].broken;
}
