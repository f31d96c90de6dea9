/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the supervisor share: what it was started with, and each part by its own name. Every part
 * keeps its own state to itself and offers functions:
 *   supervisor.c  loop, signals, reload, drain     channel.h  requests to the Server, and when
 *   tasks.h       jobs from claim to report        health.h   how the Server stands; listener, status file
 *   provset.h     providers: enabled, usable       runlog.h   the runner's own log
 *   child.h       forked work with a result        journal.h  what survives a crash
 *   control.h     the operator's commands          pause.h    … and his pause
 *   lifespan.h    when it ends by itself           servconf.h the Server's configuration, for jobs
 */
#ifndef RUNNER_SUP_H
#define RUNNER_SUP_H

#include "host/config.h"
#include "host/daemon.h"
#include "jobs/jobs.h"
#include "runner/journal.h"
#include "runner/servconf.h"
#include "runner/supervisor.h"

enum sup_phase { PHASE_RUN, PHASE_DRAIN, PHASE_STOP, PHASE_FLUSH };

struct sup {
	struct config *c;
	const struct serve_options *o;
	struct server_link *link; /* its parts point to each other: never moved */
	struct daemon_lock lock;
	struct journal *journal;
	bool state_ok; /* state_dir can be written */
	int signal_fd;
	enum sup_phase phase;
	struct deadline phase_ends;
	const struct pollset *waited; /* what the last wait found; NULL: nothing is known */
	int64_t start_ms, start_wall_ms;
	int64_t idle_since_ms; /* no job was known since then */
	int64_t suspend_ms;    /* boot clock minus monotonic clock, to notice a suspend */

	struct channels *channels;
	struct servconf servconf; /* filled by channel.c */
	struct tasks *tasks;
	struct provset *provs;
	struct health *health;
	struct runlog *runlog;
	struct pause *pause;
	struct rotate *rotate; /* NULL until it is needed */
	struct httpd *control; /* control.h's; NULL: none */
	int control_dir;
	int ready_fd;
	char ready_said[256];
};

/* What a job needs, borrowed from s. *stop becomes non-zero when the job is to end; NULL: never. */
struct jobs_env sup_jobs_env(struct sup *s, const volatile int *stop);
/* Tells whoever started us, over ready_fd, what the start waits for; nothing if nobody asked or that was said. */
void sup_ready_say(struct sup *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The Server is asked with another key from now on. */
void sup_new_key(struct sup *s, const char *key);
/* 50 ms + uniform(0 … min(cap, 500 ms * 2^n)). */
int64_t backoff_ms(unsigned n, int64_t cap_ms);

#endif
