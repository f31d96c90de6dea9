/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of the engine: found by label, created, started, stopped, removed (protocol 10.6, 10.7). */
#ifndef PROVIDERS_DOCKER_ENGINE_CONTAINER_H
#define PROVIDERS_DOCKER_ENGINE_CONTAINER_H

#include "providers/docker/engine/engine.h"
#include "providers/docker/engine/policy.h"
#include "providers/labels.h"

enum container_state {
	CS_UNKNOWN,
	CS_CREATED,
	CS_RUNNING,
	CS_PAUSED,
	CS_RESTARTING,
	CS_EXITED,
	CS_REMOVING
};
/* "stopped" (Podman) is exited; whatever is new is unknown (field case 70). */
enum container_state container_state_of(const char *text);

struct mount {
	char *type, *source, *target;
};

struct container {
	char *id, *name, *image, *image_id, *user;
	char *entry;                   /* first word of the entrypoint */
	char *state_text, *started_at; /* RFC 3339 */
	enum container_state state;
	bool tty;
	bool out_of_memory; /* the kernel ended something in it for want of memory */
	int64_t exit_code;
	int64_t stop_timeout_s; /* its own, default 10 */
	struct kv labels, env;
	struct mount *mounts;
	size_t n_mounts;
	char **execs; /* ids of those that run */
	size_t n_execs;
};
void container_free(struct container *c);

/* Where we are in a container ourselves: its mount of the state directory says what the engine calls that. For engine_hello. */
void container_find_ours(struct engine *engine, struct deadline d);
/* ERR_NOT_FOUND if there is none. ref: id or name. */
int container_inspect(struct engine *engine, const char *ref, struct container *out,
                      struct deadline d, struct err *e);

struct container_item {
	char *id, *name, *image_id, *state_text;
	enum container_state state;
	struct kv labels;
	int64_t created;
};
struct container_list {
	struct container_item *list;
	size_t n;
};
void container_list_free(struct container_list *l);
/* All (any state) that carry every label "key=value" of labels. */
int container_list(struct engine *engine, const char *const *labels, size_t n,
                   struct container_list *out, struct deadline d, struct err *e);

/* *id: caller frees. A holder of the name: e->code is 409; one that cannot be seen is waited for a while.
 * ERR_DENIED: what was admitted has been replaced since. */
int container_create(struct engine *engine, const char *name, const struct admitted *a, char **id,
                     struct deadline d, struct err *e);
/* Starts (running already is success) and waits until it runs. One that ends at once is an error with its exit status. */
int container_start(struct engine *engine, const char *id, struct deadline d, struct err *e);
/* The engine sends the container's stop signal (TERM), waits its own stop timeout, kills. Not running and missing are success.
 * Waits until it has ended. */
int container_stop(struct engine *engine, const struct container *c, struct deadline d,
                   struct err *e);
/* Removes with anonymous volumes, also while it runs, and waits until it is gone (field case 58). */
int container_remove(struct engine *engine, const char *ref, struct deadline d, struct err *e);

#endif
