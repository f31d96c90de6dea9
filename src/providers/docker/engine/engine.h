/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection to an engine (Docker >= 1.25 API, Podman's compatible API) and calls on it. The version is
 * negotiated before the first call and again when the engine refuses it (field case 51). Every call
 * ends by its deadline, and at once with ERR_CANCELED when env->stop is set.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_ENGINE_H
#define PROVIDERS_DOCKER_ENGINE_ENGINE_H

#include "net/http.h"
#include "providers/docker/engine/hostpath.h"
#include "providers/docker/engine/options.h"
#include "providers/provider.h"

#include <stdbool.h>

#define ENGINE_API_MIN 25 /* environment of an exec, Mounts */
#define ENGINE_API_MAX 47

struct remote;

struct engine {
	const struct provider_env *env;
	int64_t call_ms; /* limit of an ordinary call */
	struct url url;
	struct tls_ctx *tls;
	struct buf ca_file, cert_file, key_file; /* what tls borrows */
	struct conn_target target;
	struct http_client *http;
	struct remote *remote; /* ssh forward, or NULL */
	char *where;           /* address and why it was chosen, for messages */
	bool local; /* what is at a path of ours is there for the engine too, under a name by dirs */
	struct host_path dirs;
	int api; /* minor version in use; 0: not negotiated yet */
	char *name, *version,
		*arch; /* "Docker" or "Podman", "20.10.24", Go's spelling; "" if unknown */
	bool warned;
	bool doubted; /* engine_hello asks for all: what is known may have changed, or is to be shown */
};

/* Chooses the engine (field case 72); no I/O but looking at sockets. A remote one is connected by engine_hello. */
int engine_open(struct engine *engine, const struct docker_options *o,
                const struct provider_env *env, struct err *e);
void engine_close(struct engine *engine);
/* Negotiates the version; called by the first request. */
int engine_hello(struct engine *engine, struct deadline d, struct err *e);

struct engine_request {
	const char *method, *path; /* path without version, encoded, with query */
	struct str body;
	const char *content_type;                    /* NULL: application/json */
	const char *registry_auth, *registry_config; /* header values or NULL */
	/* As in struct http_request. */
	int (*body_source)(void *arg, struct buf *b, struct err *e);
	void *body_arg;
	int (*sink)(void *arg, struct str bytes, struct err *e);
	void *sink_arg;
	int64_t stall_ms;
	bool upgrade;
	bool unversioned;
};

/* 0 with any status; -1 without a complete reply. d is the only limit. */
int engine_send(struct engine *engine, const struct engine_request *r, struct http_reply *reply,
                struct deadline d, struct err *e);
/* Error for a status that is no success: "POST /x: 500: <engine's message>". 404 is ERR_NOT_FOUND, others ERR_HTTP;
 * code = status. */
int engine_refused(const struct engine_request *r, const struct http_reply *reply, struct err *e);
/* Ordinary JSON call: 2xx and 304 are success. *doc may be NULL, or receives the body (NULL when it is empty). */
int engine_call(struct engine *engine, const char *method, const char *path, struct str body,
                struct json_doc **doc, struct deadline d, struct err *e);
/* As engine_call with a limit of ms instead of call_ms. */
int engine_call_ms(struct engine *engine, const char *method, const char *path, struct str body,
                   struct json_doc **doc, int64_t ms, struct deadline d, struct err *e);

bool engine_stopped(const struct engine *engine);
/* Waits; -1 when told to stop (ERR_CANCELED) or when d passes (ERR_TIMEOUT). */
int engine_sleep(const struct engine *engine, int64_t ms, struct deadline d, struct err *e);
/* "?filters=" value for {"label":[…]} and the like. Appends the encoded JSON. */
void engine_add_filter(struct buf *path, const char *key, const char *const *values, size_t n);

/* locate.c: fills url, where, local, tls. */
int engine_locate(struct engine *engine, const struct docker_options *o, struct err *e);

#endif
