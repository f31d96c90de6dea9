/* SPDX-License-Identifier: Apache-2.0 */
/* See exec.h: a program in a container whose standard streams are descriptors of ours. */
#include "providers/docker/engine/exec.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 32768
#define LOOK_MS 700
#define RESIZE_MS 5000

struct input {
	char bytes[READ_SIZE];
	size_t at, n;
	bool over, closed; /* read to its end; told to the engine */
};

static bool take_input(struct input *in, int fd)
{
	ssize_t n = read(fd, in->bytes, sizeof(in->bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	in->at = 0;
	in->n = n > 0 ? (size_t)n : 0;
	in->over = n <= 0;
	return n > 0;
}

/* A program that reads no more may have closed its side; its output still counts. */
static void give_input(struct exec *exec, struct input *in)
{
	struct err ignored;

	while (in->n && exec->conn) {
		long n = conn_write(exec->conn, in->bytes + in->at, in->n, &ignored);

		if (n == CONN_AGAIN)
			return;
		if (n == CONN_ERROR) {
			in->n = 0;
			in->over = in->closed = true;
			return;
		}
		in->at += (size_t)n;
		in->n -= (size_t)n;
	}
	if (in->over && !in->closed && exec->conn) {
		in->closed = true;
		(void)conn_shutdown_write(exec->conn);
	}
}

void exec_resize(struct exec *exec, unsigned rows, unsigned cols)
{
	struct buf path = { 0 };
	struct err ignored;

	buf_addf(&path, "/exec/%s/resize?h=%u&w=%u", exec->id, rows, cols);
	if (exec->tty && rows && cols)
		(void)engine_call(exec->engine, "POST", buf_cstr(&path), (struct str){ 0 }, NULL,
		                  deadline_in_ms(RESIZE_MS), &ignored);
	buf_free(&path);
}

/* A terminal's signals are characters that it sends; for the others an engine has no call, but its process may be here. If
 * it is not, they are for us. */
static int pass_on(struct exec *exec, const struct exec_side *side, struct err *e)
{
	struct exec_event ev;

	while (side->next(side->arg, &ev)) {
		if (!ev.signal)
			exec_resize(exec, ev.rows, ev.cols);
		else if (!proc_signal(side->process(side->process_arg), ev.signal))
			return err_set(e, ERR_CANCELED, ev.signal,
			               "the program is on another host, and goes on there");
	}
	return 0;
}

int exec_join(struct exec *exec, struct exec_side *side, struct deadline d, struct err *e)
{
	struct input in = { .over = exec->std[0] < 0 };
	struct pollset ps = { 0 };
	int rc = 0;

	while (rc == 0 && !exec->ended && !exec->write_error) {
		bool reads = !in.over && !in.n;

		pollset_reset(&ps);
		if (reads)
			pollset_add(&ps, exec->std[0], POLLIN);
		if (exec->conn)
			conn_poll(exec->conn, &ps, in.n ? POLLIN | POLLOUT : POLLIN);
		pollset_add(&ps, side->fd, POLLIN);
		pollset_until(&ps, deadline_min(d, deadline_in_ms(LOOK_MS)));
		rc = pollset_wait(&ps, e);
		if (rc == 0 && engine_stopped(exec->engine))
			rc = err_set(e, ERR_CANCELED, 0,
			             "stopped because the runner was told to end");
		if (rc == 0 && deadline_passed(d))
			rc = err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
		if (rc == 0 && side->fd >= 0 && pollset_revents(&ps, side->fd))
			rc = pass_on(exec, side, e);
		if (rc == 0 && reads && pollset_revents(&ps, exec->std[0]))
			(void)take_input(&in, exec->std[0]);
		if (rc == 0) {
			give_input(exec, &in);
			rc = exec_step(exec, e);
		}
	}
	pollset_free(&ps);
	if (rc == 0 && exec->write_error)
		rc = err_sys(e, exec->write_error, "write what the program says");
	return rc;
}
