/* SPDX-License-Identifier: Apache-2.0 */
/* What poll(2) says and what a set says that the kernel remembers are the same, in every turn. */
#include "net/pollset.h"

#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS 40

static int pairs[PAIRS][2];

static void open_pair(int i)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[i]) < 0)
		abort();
}

/* One turn: all that wanted[i] says of the first ends, without waiting. */
static void turn(struct pollset *ps, const short *wanted, const bool *fresh)
{
	struct err e = { 0 };

	pollset_reset(ps);
	for (int i = 0; i < PAIRS; i++) {
		if (wanted[i] < 0)
			continue;
		pollset_add(ps, pairs[i][0], wanted[i]);
		if (fresh && fresh[i])
			pollset_renew(ps, ps->n - 1);
	}
	pollset_until(ps, deadline_in_ms(0));
	CHECK(pollset_wait(ps, &e) == 0);
}

/* Random changes of what is wanted, ready, closed and opened under the same number. */
static void both_ways_say_the_same(void)
{
	struct pollset plain = { 0 }, many = { .many = true };
	short wanted[PAIRS];
	unsigned random = 12345;

	for (int i = 0; i < PAIRS; i++)
		open_pair(i);
	for (int n = 0; n < 3000; n++) {
		bool fresh[PAIRS] = { false };

		for (int i = 0; i < PAIRS; i++) {
			static const short choices[] = { -1, 0, POLLIN, POLLOUT, POLLIN | POLLOUT };
			char bytes[8];

			random = random * 1103515245u + 12345u;
			wanted[i] = choices[(random >> 16) % ARRAY_LEN(choices)];
			switch (random >> 24 & 15) {
			case 0:
				CHECK(write(pairs[i][1], "x", 1) == 1);
				break;
			case 1:
				if (read(pairs[i][0], bytes, sizeof(bytes)) < 0)
					CHECK(errno == EAGAIN);
				break;
			case 2: /* the same numbers, another pair */
				close(pairs[i][0]);
				close(pairs[i][1]);
				open_pair(i);
				for (int k = 0; k < PAIRS; k++)
					fresh[k] = fresh[k] || pairs[k][0] == pairs[i][0];
				break;
			default:
				break;
			}
		}
		/* A new one is told of even if it is not wanted yet. */
		for (int i = 0; i < PAIRS; i++)
			if (fresh[i] && wanted[i] < 0)
				wanted[i] = 0;
		TEST_ROW(n);
		turn(&plain, wanted, NULL);
		turn(&many, wanted, fresh);
		CHECK(plain.n == many.n);
		for (size_t i = 0; i < plain.n; i++)
			CHECK(plain.fds[i].fd == many.fds[i].fd &&
			      plain.fds[i].revents == many.fds[i].revents);
	}
	TEST_ROW(-1);
	for (int i = 0; i < PAIRS; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	pollset_free(&plain);
	pollset_free(&many);
}

/* One that is ready and asked for no more does not end the waits that follow; a copy of a closed one
 * that is open elsewhere neither. */
static void what_nobody_asks_for_wakes_nobody(void)
{
	struct pollset ps = { .many = true };
	struct err e = { 0 };

	for (int copied = 0; copied < 2; copied++) {
		int copy = -1, woken = 0;

		TEST_ROW(copied);
		open_pair(0);
		open_pair(1);
		CHECK(write(pairs[0][1], "x", 1) == 1);
		pollset_reset(&ps);
		pollset_add(&ps, pairs[0][0], POLLIN);
		pollset_renew(&ps, 0);
		pollset_until(&ps, deadline_in_ms(0));
		CHECK(pollset_wait(&ps, &e) == 0);
		CHECK(ps.fds[0].revents == POLLIN);
		if (copied) {
			copy = fcntl(pairs[0][0], F_DUPFD_CLOEXEC, 100);
			close(pairs[0][0]);
		}
		/* What wakes before the end of the wait is the one event, once. */
		for (int n = 0; n < 3; n++) {
			struct deadline end = deadline_in_ms(20);

			pollset_reset(&ps);
			pollset_add(&ps, pairs[1][0], POLLIN);
			if (n == 0)
				pollset_renew(&ps, 0);
			pollset_until(&ps, end);
			CHECK(pollset_wait(&ps, &e) == 0);
			woken += !deadline_passed(end);
			CHECK(ps.fds[0].revents == 0);
		}
		CHECK(woken <= 1);
		if (copied)
			close(copy);
		else
			close(pairs[0][0]);
		close(pairs[0][1]);
		close(pairs[1][0]);
		close(pairs[1][1]);
	}
	TEST_ROW(-1);
	pollset_free(&ps);
}

static void one_that_is_wanted_twice(void)
{
	struct pollset ps = { .many = true };
	struct err e = { 0 };

	open_pair(0);
	CHECK(write(pairs[0][1], "x", 1) == 1);
	for (int n = 0; n < 3; n++) {
		pollset_reset(&ps);
		pollset_add(&ps, pairs[0][0], POLLIN);
		pollset_add(&ps, pairs[0][0], POLLOUT);
		pollset_add(&ps, -1, POLLIN);
		CHECK(pollset_wait(&ps, &e) == 0);
		CHECK(pollset_revents(&ps, pairs[0][0]) == (POLLIN | POLLOUT));
	}
	close(pairs[0][0]);
	close(pairs[0][1]);
	pollset_free(&ps);
}

TEST_MAIN(TEST(both_ways_say_the_same), TEST(what_nobody_asks_for_wakes_nobody),
          TEST(one_that_is_wanted_twice))
