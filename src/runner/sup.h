/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the supervisor share. Internal to runner/:
 *   supervisor.c  loop, signals, reload, drain      channel.c  requests to the Server
 *   tasks.c       jobs from claim to report         child.c    forked work with a result
 *   recover.c     jobs of an earlier process
 *   provset.c     providers: enabled, usable        health.c   listener and status file
 *   runlog.c      the runner's own log
 */
#ifndef RUNNER_SUP_H
#define RUNNER_SUP_H

#include "host/config.h"
#include "host/daemon.h"
#include "jobs/jobs.h"
#include "net/httpd.h"
#include "runner/journal.h"
#include "runner/supervisor.h"

/* ---- child.c: a forked process that works and hands back some bytes ---- */

struct child {
	struct proc_id id;       /* pid 0: none */
	int fd;                  /* result pipe; -1 when closed */
	struct buf out;          /* what came through it, bounded */
	struct deadline term_at; /* SIGTERM to its session, then SIGKILL after CHILD_GRACE_MS */
	struct deadline kill_at;
	bool overdue; /* it was ended because of term_at */
	bool told;    /* SIGTERM was sent */
};

/* Runs work in a new session: it appends its result to out, which is written to the pipe. stop becomes
 * non-zero on SIGTERM. Nothing of the supervisor but stderr and memory is there. */
int child_start(struct child *c, void (*work)(void *arg, const volatile int *stop, struct buf *out),
                void *arg, struct deadline term_at, struct err *e);
void child_poll(const struct child *c, struct pollset *ps);
void child_step(struct child *c);                   /* reads the pipe, sends due signals */
void child_tell(struct child *c, int64_t grace_ms); /* SIGTERM now, SIGKILL after grace_ms */
/* It has ended and is not reaped yet, so that its number is not another's: reads what is left and kills the rest of
 * its process group; unless it ended by itself, the rest of its session too (a git in a group of its own). */
void child_ended(struct child *c, int status);
/* SIGKILL to the members of leader's session that began between it and latest (ticks since boot): how many there were.
 * None when its number is another process's by now. */
size_t child_kill_session(struct proc_id leader, uint64_t latest);
void child_free(struct child *c);

/* ---- provset.c ---- */

struct provset_item {
	const struct provider *p;
	bool enabled;
	bool checked; /* the first check has ended */
	bool usable;
	char *why;     /* of not usable, or NULL */
	char *version; /* as reported; owned */
	bool preset_done;
	bool searched; /* for what an earlier life has left */
	struct child check;
	struct deadline check_at;
};

struct provset {
	struct provset_item *items;
	size_t n;
	struct buf json; /* array for heartbeats: the enabled ones */
};

struct sup;
void provset_load(struct sup *s); /* configuration and providers.json; keeps what checks found */
void provset_free(struct provset *ps);
void provset_poll(struct sup *s, struct pollset *ps);
void provset_step(struct sup *s);
bool provset_reaped(struct sup *s, pid_t pid, int status); /* true if it was one of ours */
bool provset_any_checked(const struct sup *s);
bool provset_all_checked(const struct sup *s);
bool provset_any_usable(const struct sup *s);
/* Enabled here, with requirements that are not met. name NULL: any. */
bool provset_unmet(const struct sup *s, const char *name);
bool provset_can_build(const struct sup *s);
void provset_recheck(struct sup *s); /* soon: after a job failed */
const struct kv *provset_options(void *sup, const char *name);
bool provset_usable(void *sup, const char *name, struct buf *why);
bool provset_enabled(void *sup, const char *name);

/* ---- tasks.c ---- */

enum task_stage {
	TASK_ASK,      /* not to be claimed before it is known that its provider can be used */
	TASK_CLAIM,    /* to be claimed */
	TASK_CLAIMING, /* the claim is under way */
	TASK_RUNNING,  /* its process works */
	TASK_UNKNOWN,  /* claimed by an earlier process: its fate is to be found out */
	TASK_FINDING,  /* … by a process that works on it */
	TASK_REPORT,   /* the result waits for the Server */
	TASK_REPORTING,
};

struct task {
	struct job job;
	enum task_stage stage;
	bool journaled;
	bool lost;      /* it was found on the Server alone */
	bool fresh;     /* of an earlier process, which had not begun it: it can still be run */
	bool ambiguous; /* a claim was sent and its answer lost */
	bool doubtful;  /* a lost claim may still reach the Server: the result is sent twice */
	bool recheck;   /* it waits for, or is in, its second sending */
	unsigned tries; /* of the request of this stage */
	struct deadline next_try;
	int64_t refused_ms,
		refused_at; /* for how long the Server refuses the result; since when it is counted */
	struct child child;
	int64_t started_ms;
	enum job_state result;
	char *text;
	struct task *next;
};

struct tasks {
	struct task *first;
	size_t n, running;          /* running: claimed and not finished */
	uint64_t succeeded, failed; /* since the start */
	char lost[129];             /* the last one that turned out not to be ours */
};

struct task *tasks_add(struct sup *s, struct job *j); /* takes over what is in j */
/* A pending job from the poll: taken if it is new, ours, and there is room. False: it may come back with the next poll. */
bool tasks_offer(struct sup *s, struct job *j);
size_t tasks_room(const struct sup *s);
struct task *tasks_next_claim(struct sup *s, bool retries);
struct task *tasks_next_report(struct sup *s);
void tasks_claimed(struct sup *s, struct task *t); /* the Server said yes */
/* Somebody else's, or gone. */
void tasks_claim_lost(struct sup *s, struct task *t, const char *why);
void tasks_claim_again(struct task *t, bool ambiguous, int64_t after_ms);
void tasks_lost(struct sup *s, struct job *j); /* running on the Server, but maybe not known here */
bool tasks_knows(struct sup *s, const char *job_id);
void tasks_reported(struct sup *s, struct task *t); /* accepted, or never will be */
void tasks_report_again(struct task *t, int64_t after_ms);
/* In the Server's own words: it is sent again all the same, and kept aside when that went on for hours. */
void tasks_report_refused(struct sup *s, struct task *t, const char *why);
void tasks_poll(struct sup *s, struct pollset *ps);
void tasks_step(struct sup *s);
bool tasks_reaped(struct sup *s, pid_t pid, int status);
void tasks_stop_all(struct sup *s, int64_t grace_ms); /* SIGTERM to every job's process */
bool tasks_any_running(const struct sup *s);
void tasks_settle_claims(struct sup *s); /* when no more are made: what was not claimed for sure */
bool tasks_claiming(const struct sup *s);
bool tasks_reporting(const struct sup *s);
void tasks_free(struct sup *s);
void tasks_log(const struct task *t, const char *phrase, const char *text);

/* ---- recover.c ---- */

void tasks_replay(struct sup *s); /* jobs of an earlier process, from the journal */

/* ---- channel.c ---- */

enum chan_use { CHAN_IDLE, CHAN_POLL, CHAN_CLAIM, CHAN_HEARTBEAT, CHAN_REPORT };

struct chan {
	struct api *api;
	enum chan_use use;
	struct task *task;
	struct api_request req;
	struct http_reply reply;
	struct buf body;
	int64_t started_ms;
	struct deadline not_before;
	unsigned failures; /* in a row */
	bool answered;     /* the last request got an answer, whoever's */
};

struct health {
	bool ok; /* the last heartbeat was accepted */
	bool key_refused;
	int64_t last_ok_ms; /* monotonic; 0: never */
	int64_t last_poll_ok_ms;
	int64_t changed_ms, last_told_ms;
	char last_error[640];
	uint64_t heartbeats, polls;
};

void channels_open(struct sup *s);
void channels_close(struct sup *s);
void channels_poll(struct sup *s, struct pollset *ps);
void channels_step(struct sup *s);
void channels_drop(struct sup *s); /* connections are stale (suspend, reload): start over */
bool channels_busy(const struct sup *s);
void channels_hurry(struct sup *s); /* the last reports: no more waiting after failures */
/* 50 ms + uniform(0 … min(cap, 500 ms * 2^n)). */
int64_t backoff_ms(unsigned n, int64_t cap_ms);

/* ---- runlog.c ---- */

struct runlog;
void runlog_open(struct sup *s);
void runlog_close(struct sup *s, int64_t flush_ms);
void runlog_poll(struct sup *s, struct pollset *ps);
void runlog_step(struct sup *s);
void runlog_hang_up(struct sup *s); /* before the link to the Server goes, which its socket uses */
void runlog_reopen(struct sup *s);  /* after external rotation or a changed configuration */

/* ---- health.c ---- */

void health_open(struct sup *s);
void health_close(struct sup *s);
void health_poll(struct sup *s, struct pollset *ps);
void health_step(struct sup *s);
void health_touch(struct sup *s); /* its time stamp is the last accepted heartbeat */
void health_dump(struct sup *s);  /* SIGUSR1 */

/* ---- all ---- */

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
	int64_t start_ms, start_wall_ms;
	int64_t suspend_ms; /* boot clock minus monotonic clock, to notice a suspend */

	struct chan poll, aux;
	struct deadline heartbeat_at;
	bool beat_last;      /* the aux channel's last request was a heartbeat */
	unsigned idle_polls; /* answered empty at once, in a row */
	struct deadline take_builds,
		builds_gone;           /* builds that are beyond us are left to others at first */
	struct deadline bad_job_again; /* when unreadable jobs are told of again */
	struct health health;

	struct provset provs;
	struct child presets;
	unsigned preset_tries;
	struct deadline presets_at;

	struct tasks tasks;
	struct runlog *runlog;
	struct httpd *httpd;
	bool status_dirty;
	int ready_fd;
	char ready_said[256];
};

/* What a job needs, borrowed from s. *stop becomes non-zero when the job is to end; NULL: never. */
struct jobs_env sup_jobs_env(struct sup *s, const volatile int *stop);
/* Tells whoever started us, over ready_fd, what the start waits for; nothing if nobody asked or that was said. */
void sup_ready_say(struct sup *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
