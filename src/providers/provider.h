/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider realises targets and workspaces. It is one const struct provider, listed in
 * providers.c, and runs in a job's own process: it may block up to the deadline it is given, must
 * watch env->stop, and may be ended at any moment (kill -9); every call may be repeated after that.
 * A NULL entry means "not supported"; providers.c turns it into the error.
 */
#ifndef PROVIDERS_PROVIDER_H
#define PROVIDERS_PROVIDER_H

#include "api/client.h"
#include "base/confine.h"
#include "base/deadline.h"

/* What a provider may use. All borrowed for its life. */
struct provider_env {
	/* The runner's; resource data lives in <state_dir>/workspaces/<id> and …/targets/<id>,
	 * never in a directory that belongs to the provider (protocol 12.19). */
	const char *state_dir;
	const char *runner_id, *runner_name;
	const struct kv *options; /* [provider "<name>"] of the configuration */
	struct api *api;          /* for downloads; NULL in `provider check` */
	const char *api_url;      /* what a workspace's agent is told, without trailing slash */
	const struct server_config *server; /* NULL if it could not be read */
	/* How our own configuration reaches the Server, for an agent that runs on this host; each
	 * may be NULL. */
	const char *server_ca_file, *server_pin_sha256, *server_proxy, *server_no_proxy;
	const char *self_exe; /* path of our own binary, to be copied into workspaces */
	/* Names that "$NAME" values may take from our environment, or NULL. */
	const char *env_allow;
	/* Output for the resource's log: any bytes, any split. source "provider". */
	void (*log)(void *arg, struct str bytes);
	void *log_arg;
	const volatile int *stop; /* non-zero: end as soon as possible with ERR_CANCELED */
};
/* printf into env->log; adds a newline. */
void provider_logf(const struct provider_env *env, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A workspace job: the workspace as read from the Server plus what was derived from it. */
struct workspace_job {
	const struct workspace *ws;
	const struct kv *env; /* merged, registry variables split off */
	const struct registries *registries;
	const struct git_provider *git; /* NULL: no credentials */
	const char *builder_image;      /* "" if unknown */
	bool force;                     /* force-delete: go on past failures, log each leftover */
};

struct build_job {
	const struct build *build;
	const struct registries *registries; /* from the server's environment */
	const struct git_provider *git;      /* NULL: none */
	const char *builder_image;
	const char *registry_host;            /* builder registry; "" when unknown */
	const struct registry *registry_auth; /* or NULL */
	const char *namespace_;               /* "" or "/x" */
};

/* Something that this runner made for a workspace or build. */
struct provider_owned {
	const char *id, *name, *state, *resource_id;
};
typedef int provider_owned_fn(void *arg, const struct provider_owned *t, struct err *e);

/* What happens to a program beside its streams. */
struct exec_event {
	int signal; /* 0: the window has another size */
	unsigned short rows, cols;
};

/* A program in a workspace that runs. All borrowed. */
struct workspace_exec {
	const struct workspace *ws; /* may hold little more than id, target id and options */
	const char *const *argv;    /* NULL-terminated */
	const struct kv *env;       /* beside the workspace's; or NULL */
	const char *cwd, *user;     /* NULL or "": the checkout; the workspace's user */
	bool tty;                   /* it has a terminal, and writes to std[1] alone */
	unsigned short rows, cols;  /* of that */
	int std[3];                 /* our descriptors; read and written while it runs */
	int side;                   /* readable when next has something; -1: never */
	bool (*next)(void *arg, struct exec_event *ev);
	void *arg;
	const volatile int *stop; /* or NULL: as of provider_env */
};

struct provider_usage {        /* -1: not known */
	const char *isolation; /* of a table of ours; NULL: not known */
	int64_t memory_bytes, cpu_us, disk_bytes, processes;
};

enum resource_condition { COND_UNKNOWN, COND_MISSING, COND_INCOMPLETE, COND_STOPPED, COND_RUNNING };

struct provider {
	const char *name;  /* as the Server spells it */
	const char *label; /* or NULL */
	bool agentless;
	bool opt_in; /* off unless the configuration has a section for it */
	/* It compares with the Server's default image and user, and so is not given older ones that differ. */
	bool asks_defaults;
	/* Appends the targetConfigManifest JSON object (protocol 9.1, lower-camel form). */
	void (*manifest)(struct buf *b);
	const char *preset_name;    /* registered as <preset>-runner-<runnerId>; NULL: none */
	const char *preset_options; /* JSON text */
	/* How a job's process is contained, with all that it starts (base/confine.h); git and the
	 * commands of repositories are confined more closely in any case. */
	enum confine_syscalls syscalls;
	bool confined; /* confine_job: nothing that it starts outlives it, nor looks for what an earlier job started */
	/* Requirements, one line each into report ("ok: …" / "missing: …, do …"); 0 if met, -1
	 * with e = the first that is not. Quick: within the deadline (some seconds). */
	int (*check)(const struct provider_env *env, struct buf *report, struct deadline d,
	             struct err *e);

	/* No I/O with peers. */
	int (*open)(void **self, const struct provider_env *env, struct err *e);
	void (*close)(void *self); /* accepts NULL */
	/* What it works with on this host has not answered at all: nothing was done. NULL: cannot be so. */
	bool (*untouched)(const void *self);
	/* Appends the id of the workspace whose agent was process pid, which has ended and is not collected yet; false: nobody's.
	 * In the supervisor: reads files, waits for nothing. NULL: agents are no processes of this host. */
	bool (*agent_ended)(const char *state_dir, pid_t pid, struct buf *id);

	/* Creating what is there already adopts or completes it; stopping or deleting what is gone
	 * succeeds. */
	int (*target_create)(void *self, const struct target *t, struct deadline d, struct err *e);
	int (*target_start)(void *self, const struct target *t, struct deadline d, struct err *e);
	int (*target_stop)(void *self, const struct target *t, struct deadline d, struct err *e);
	int (*target_delete)(void *self, const struct target *t, bool force, struct deadline d,
	                     struct err *e);
	/* Appends a JSON object of strings; appending nothing means there is none to report. */
	int (*target_info)(void *self, const struct target *t, struct buf *b, struct deadline d,
	                   struct err *e);

	int (*workspace_create)(void *self, const struct workspace_job *w, struct deadline d,
	                        struct err *e);
	int (*workspace_start)(void *self, const struct workspace_job *w, struct deadline d,
	                       struct err *e);
	int (*workspace_stop)(void *self, const struct workspace_job *w, struct deadline d,
	                      struct err *e);
	int (*workspace_delete)(void *self, const struct workspace_job *w, struct deadline d,
	                        struct err *e);
	int (*workspace_info)(void *self, const struct workspace_job *w, struct buf *b,
	                      struct deadline d, struct err *e);

	/* Runs a program in a workspace to its end; *status: its exit status, or 128 and the signal. ERR_NOT_FOUND: the
	 * workspace does not run; ERR_UNSUPPORTED: not as that user. When the caller ends, so does the program, or soon. */
	int (*workspace_exec)(void *self, const struct workspace_exec *exec, int *status,
	                      struct deadline d, struct err *e);
	/* What a workspace uses of this host. */
	int (*workspace_usage)(void *self, const struct workspace *ws, struct provider_usage *u,
	                       struct deadline d, struct err *e);

	bool builds_last; /* it cannot do all builds: a runner leaves them to others for a while */
	int (*build_run)(void *self, const struct build_job *b, struct deadline d, struct err *e);
	int (*build_delete)(void *self, const struct build_job *b, bool force, struct deadline d,
	                    struct err *e);

	/* Names all that carries this runner's label on the engine that options (of a target config, "": none) lead to,
	 * whatever became of its resource. */
	int (*owned)(void *self, const char *options, provider_owned_fn *each, void *arg,
	             struct deadline d, struct err *e);
	/* Removes one of them, though it runs; for each's time only. */
	int (*owned_remove)(void *self, const char *id, struct deadline d, struct err *e);

	/* For reconciliation after a crash. ws may hold little more than id and target id. */
	int (*workspace_condition)(void *self, const struct workspace *ws,
	                           enum resource_condition *out, struct deadline d, struct err *e);
};

extern const struct provider *const providers[]; /* NULL-terminated */
const struct provider *provider_find(const char *name);
/* "docker-provider, native-provider" for messages about a name that is none of them, and which was probably meant. */
void provider_names(struct buf *b, const char *instead_of);
/* 0, or ERR_NOT_FOUND with that. */
int provider_known(const char *name, struct err *e);
/* For manifests: a member with a text, or nothing if it is empty. The Server reads what is missing as empty or false,
 * and every heartbeat carries all manifests, so they hold no more than they must. */
void provider_manifest_text(struct buf *b, const char *key, const char *text);
/* The ProviderInfo object of protocol 9.1, as sent in heartbeats and target configs. */
void provider_info_json(const struct provider *p, const char *version, const char *runner_id,
                        const char *runner_name, struct buf *b);

/* An opened provider; the calls below check for NULL entries ("<name> cannot <verb>"). */
struct provider_handle {
	const struct provider *p;
	void *self;
};
int provider_open(struct provider_handle *h, const struct provider *p,
                  const struct provider_env *env, struct err *e);
void provider_close(struct provider_handle *h);
int provider_target(struct provider_handle *h, enum job_action a, const struct target *t,
                    struct deadline d, struct err *e);
int provider_workspace(struct provider_handle *h, enum job_action a, const struct workspace_job *w,
                       struct deadline d, struct err *e);
int provider_target_info(struct provider_handle *h, const struct target *t, struct buf *b,
                         struct deadline d, struct err *e);
int provider_workspace_info(struct provider_handle *h, const struct workspace_job *w, struct buf *b,
                            struct deadline d, struct err *e);
int provider_workspace_exec(struct provider_handle *h, const struct workspace_exec *exec,
                            int *status, struct deadline d, struct err *e);
/* A provider without it knows nothing. */
int provider_workspace_usage(struct provider_handle *h, const struct workspace *ws,
                             struct provider_usage *u, struct deadline d, struct err *e);
int provider_build(struct provider_handle *h, enum job_action a, const struct build_job *b,
                   struct deadline d, struct err *e);

#endif
