/* SPDX-License-Identifier: Apache-2.0 */
/* What the functions of one job share. Internal to jobs/. */
#ifndef JOBS_CTX_H
#define JOBS_CTX_H

#include "jobs/joblog.h"
#include "jobs/jobs.h"

struct ctx {
	const struct jobs_env *env;
	const struct job *job;
	struct api *api;
	struct joblog *log;      /* NULL before the resource is known */
	char *label;             /* the resource's name; NULL before ctx_begin */
	struct deadline d;       /* of the whole job */
	struct deadline give_up; /* on the call that is being repeated */
	bool untouched; /* it failed before anything was done, since what it needs here is away */
	bool worked; /* the provider has done its part: the Server is waited for as long as the job may take */
	struct server_config asked;
	const struct server_config *server; /* handed down, or asked; NULL: could not be read */
	char *url;                          /* the Server's, for agents */
	char *own; /* what programs that the job starts are left, once there is a provider */
	struct provider_env penv; /* borrowed by the handle */
	struct provider_handle provider;
};

void ctx_open(struct ctx *c, const struct jobs_env *env, const struct job *j);
void ctx_close(struct ctx *c);
/* The resource is known: opens its log and runs hook_before_job, whose failure is the job's. */
int ctx_begin(struct ctx *c, enum resource_type kind, const char *id, const char *name,
              struct err *e);
/* The job's work ended with rc and e: hook_after_job. */
void ctx_end(struct ctx *c, int rc, const struct err *e);
/* Fills c->server: GET /server/config unless it was handed down; ws is for whom, or NULL. A failure is only told in the log. */
void ctx_server_config(struct ctx *c, const struct workspace *ws);
/* Opens the provider of that name: ERR_NOT_FOUND "provider not found: …" lists what this binary has; ERR_UNSUPPORTED when it
 * is disabled or its requirements are not met. */
int ctx_provider(struct ctx *c, const char *name, struct err *e);
/* Closes it, and notes in c->untouched what that says of a job that ends with rc and e. */
void ctx_provider_done(struct ctx *c, int rc, const struct err *e);
/* Nobody answered, or somebody on the way. */
bool ctx_is_away(const struct err *e);
/* Of one call to the Server. */
struct deadline ctx_call(const struct ctx *c);
/* For do … while (rc < 0 && ctx_again(c, &tries, &e)): waits and says true when the call may work later: a Server
 * that is away gets OUTAGE_MS. Only for calls that may be repeated. */
bool ctx_again(struct ctx *c, unsigned *tries, const struct err *e);
/* Git credentials by configuration id; id NULL or unknown to the Server gives none. *have says whether git is filled. */
int ctx_git_provider(struct ctx *c, const char *id, struct git_provider *git, bool *have,
                     struct err *e);

/* ERR_DENIED unless this runner allows jobs to use the repository, whoever will clone it. */
int ctx_repository(const struct repository *r, struct err *e);

/* Hides what is secret in every log and error of this process: values of variables named like secrets, passwords, tokens. */
void ctx_hide_env(const struct kv *env);
void ctx_hide(const char *secret);

int job_workspace(struct ctx *c, struct err *e);
int job_target(struct ctx *c, struct err *e);
int job_build(struct ctx *c, struct err *e);
int job_runner(struct ctx *c, struct err *e);
/* After a crash: the provider is as the job was to leave it. Target configs are registered by the supervisor as well. */
bool job_runner_finished(struct ctx *c);

#endif
