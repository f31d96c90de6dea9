/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job does (protocol 8.3 to 8.6). Runs in the job's own process; returns when the job is
 * done. The supervisor knows nothing of resources, this layer nothing of processes.
 */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "api/client.h"
#include "providers/provider.h"

/* All that is handed down to a job's process, which has its memory from the supervisor anyway: settings, and what that
 * knows of the Server and this host while it is fresh. Nothing that came with another job. */
struct jobs_env {
	const char *state_dir;
	const char *runner_id, *runner_name;
	const char *self_exe;
	const char *env_allow;
	const char *allow_images, *allow_registries, *allow_repositories,
		*agent_sha256;                     /* base/allow.h */
	const char *registry_mirrors, *plain_http; /* oci/where.h */
	int64_t image_keep_days, image_keep_free_mb;
	const struct api_settings *api;
	const struct server_config *server; /* not older than SERVCONF_AGE_MS; NULL: to be asked */
	/* How this host reaches the Server, for agents that run on it; each may be NULL. */
	const char *server_ca_file, *server_pin_sha256, *server_proxy, *server_no_proxy;
	/* Options of [provider "<name>"]; NULL if there is no section. */
	const struct kv *(*provider_options)(void *arg, const char *name);
	/* False with a reason in why when the provider is disabled here or its requirements are not met on this host. */
	bool (*provider_usable)(void *arg, const char *name, struct buf *why);
	bool (*provider_enabled)(void *arg, const char *name);
	void *arg;
	const volatile int *stop;
	int64_t timeout_ms;                   /* job_timeout */
	const char *hook_before, *hook_after; /* programs, or NULL */
	int64_t hook_timeout_ms;
};

/* 0: success. -1: e is the job's error text (step, provider, cause); *begun false: what this host lacks for it is away, and
 * nothing was done, so that it can be run later. */
int job_run(const struct jobs_env *env, const struct job *j, bool *begun, struct err *e);

/* Whether it will look at the Server's configuration. */
bool job_asks_config(const struct job *j);

struct job_fate {
	bool begun; /* its work may have been started */
	bool last;  /* an engine that is away is not waited for any longer */
	/* JOB_SUCCESS, or JOB_ERROR with text, is to be reported; JOB_PENDING: it was never claimed; JOB_RUNNING: it was claimed
	 * and can be run, since it was not begun or can be done again; JOB_STATE_UNKNOWN: the Server has a final state already or forgot the job. */
	enum job_state state;
	struct buf text; /* the caller frees it */
};
/* What a claimed but unfinished job of an earlier process has come to (design 4), found out from the Server and the
 * provider. -1: cannot be found out now, try again later. */
int job_reconcile(const struct jobs_env *env, const struct job *j, struct job_fate *f,
                  struct err *e);

/* Registers the presets of the enabled providers as target configs (protocol 9.2, 12.21); those that are there already stay.
 * versions: see provider_info_json. */
int job_register_preset(const struct jobs_env *env, const struct provider *p, const char *version,
                        struct err *e);
/* Looks for what an earlier life has left (field case 41). Appends lines to out: "!TEXT" tells of an orphan, "@JOB TEXT" of
 * what is one if job JOB, which the Server shows as running, is not known here, "?{job}" of each such job. */
int job_find_orphans(const struct jobs_env *env, const struct provider *p, struct buf *out,
                     struct err *e);
/* Appends the name of the provider that the job's resource asks of this host. False: there is none, it cannot be found
 * out, or it is to work on another host. */
bool job_provider(const struct jobs_env *env, const struct job *j, struct buf *name);
/* "v1.0.0": what we call the version of a compiled-in provider unless a job asked for another. */
const char *jobs_provider_version(void);

#endif
