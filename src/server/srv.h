/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded Server: what its handlers share. One process, one thread; a handler answers before
 * it returns, except the long poll and the log sockets.
 */
#ifndef SERVER_SRV_H
#define SERVER_SRV_H

#include "net/httpd.h"
#include "server/change.h"
#include "server/dto.h"
#include "server/store.h"

#define API_KEY_SIZE 49 /* 48 characters and NUL */
#define ID_SIZE 13
#define JSON_BODY_MAX (1u << 20)

struct srv_options {
	const char *version; /* X-Server-Version */
	/* How runners and workspaces reach us; NULL: as the client at hand did. */
	const char *public_url;
	const char *frps_domain; /* NULL: the answer has no frps */
	int64_t poll_ms;         /* length of an empty long poll */
	size_t max_log_readers;  /* each has a descriptor of its own */
	const char *access_log;  /* file, "-" for standard error; NULL: none is kept */
	bool allow_http;         /* to git hosts beyond this machine, too */
	bool reference_keys;     /* who may do what is as in the reference: nearly all may all */
};

struct srv {
	struct store store;
	struct srv_options opt;
	struct httpd *httpd;
	bool tls;
	char *id;            /* of this Server, a UUID */
	struct buf config;   /* what PUT /server/config stored; empty: defaults */
	struct polls *polls; /* long polls that wait */
	struct tunnels *tunnels;
	struct deadline prune_at, age_at; /* when old jobs are looked for */
	struct deadline settled;          /* when every runner has been heard of */
	struct logsock *logs;             /* log sockets */
	size_t log_readers;               /* of these */
	struct sums *sums;                /* of the downloads */
	int64_t start_ms;                 /* monotonic */
	struct deadline ready_until;      /* till then not_ready holds */
	struct err not_ready;             /* why the store cannot be written */
	const struct call *call;          /* at hand; NULL: none */
	const char *who;                  /* changes what no call does; NULL: the Server itself */
	struct browse *browses;           /* questions to git hosts */
	struct hook_due *hooks_due;       /* hooks to be asked for again */
	size_t n_hooks_due;
	bool hooks_begun;
	uint64_t lines_lost; /* of access and audit log */
	bool restarting;
	struct httpd_req *restart; /* who asked for it; NULL: is gone */
	struct deadline restart_by;
	bool audit_fails;
};

enum key_type { KEY_NONE, KEY_CLIENT, KEY_RUNNER, KEY_TARGET, KEY_WORKSPACE, KEY_JOIN };

#define PARAMS_MAX 3

struct call {
	struct srv *s;
	struct httpd_req *r;
	const char *param[PARAMS_MAX]; /* decoded path parameters, in order */
	const struct rec *key;         /* of the caller; NULL on public routes */
	enum key_type key_type;
	struct json_doc *doc; /* the body after call_body */
};

/* call.c: answers in the reference's forms. Each answers once. */
void reply_empty(struct call *c, int status);
void reply_json(struct call *c, int status, struct buf *json); /* frees json */
void reply_text(struct call *c, int status, const char *text);
void reply_error(struct call *c, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Decodes and checks the body; false: a 400 has been sent. root: until the handler returns. */
bool call_body(struct call *c, const struct dto *d, struct json *root);
bool call_query(struct call *c, const char *name, struct buf *out);
bool call_query_true(struct call *c, const char *name); /* the literal "true" */
/* force=…: Go's boolean spellings; false when a 400 has been sent. */
bool call_force(struct call *c, bool *force);
/* Address for links: --public-url, else as the client reached us; "" if neither will do. */
void call_base_url(struct call *c, struct buf *out);

/* What a WebSocket of a browser asks to speak; its key is the protocol of that name with ".key." and the key. */
#define SRV_WS_PROTOCOL "daytona"

/* route.c: whose call it is, by the text of a key that came another way than as a header; unknown: nobody's. */
void call_take_key(struct call *c, struct str key);
/* Does the table of routes admit this kind of key? With its own things only, unless it is a client's. */
bool call_may(const struct call *c, const char *method, const char *path);
/* What httpd calls. */
void srv_request(void *arg, struct httpd_req *r);
void srv_admit(void *arg, struct httpd_req *r);

/* ids.c */
#define STAMP_SIZE 40
void stamp_now(char out[STAMP_SIZE]); /* RFC 3339 UTC, nanoseconds, trailing zeros cut */
int new_id(char out[ID_SIZE], struct err *e);
int new_hex_id(struct buf *b, struct err *e); /* 64 digits */
int new_uuid(struct buf *b, struct err *e);
/* Adds a key of that type and name to a change; its text goes to out (wipe it). ERR_EXISTS. */
int key_add(struct srv *s, struct change *ch, const char *type, const char *name,
            char out[API_KEY_SIZE], struct err *e);
/* As a change of its own. */
int key_create(struct srv *s, const char *type, const char *name, char out[API_KEY_SIZE],
               struct err *e);
/* A secret that registers one runner within so many ms; out: a token (api/token.h) of it and the URL, which may be "". */
#define KEY_JOIN_MS (60 * 60 * 1000LL)
#define KEY_JOIN_MAX_MS (30 * 24 * KEY_JOIN_MS)
int key_join(struct srv *s, const char *name, int64_t for_ms, const char *url, struct buf *out,
             struct err *e);
/* Another key for a runner. Those it has are good until this one was used, and for a while after. */
int key_rotate(struct srv *s, const char *runner_id, char out[API_KEY_SIZE], struct err *e);
void key_used(struct srv *s, const struct rec *key);
bool key_expired(const struct rec *key);
void key_until(const struct rec *key, char out[TIME_TEXT_SIZE]); /* "": for ever */
/* NULL also for one whose time is up, and for the key of a runner, target or workspace that is not there: such a key is
 * kept, its owner's file may have been set aside, but it opens nothing. */
const struct rec *key_find(const struct srv *s, struct str key);
/* One of that type by its name; NULL if there is none. */
const struct rec *key_named(const struct srv *s, const char *type, const char *name);
/* Who opened what lasts longer than a call: a client's key itself, since another may get its name; of others whose it is,
 * since they are rotated. */
void key_mark(const struct rec *key, struct buf *b);
bool key_lasts(const struct srv *s, const char *mark);
/* None of that type and name: nothing. */
void key_remove(struct srv *s, struct change *ch, const char *type, const char *name);

/* Opens the store and brings the jobs in order; srv_close also of what was not opened. */
int srv_open(struct srv *s, const char *data, struct err *e);
void srv_close(struct srv *s);
/* Status of the answer to a change that failed: 507 when there is no room, else 500. */
int error_status(const struct err *e);

/* jobs.c (protocol 1.1, 3.3) */
/* ERR_BUSY while another job of the resource is open. */
int job_add(struct srv *s, struct change *ch, const char *type, const char *resource_id,
            const char *runner_id, const char *action, const char *metadata, struct err *e);
int job_create(struct srv *s, const char *type, const char *resource_id, const char *runner_id,
               const char *action, const char *metadata, struct err *e);
/* Would job_add be refused? */
bool job_in_progress(const struct srv *s, const char *type, const char *resource_id);
/* As job_add, but done already: there is nobody who could do it. */
int job_add_done(struct srv *s, struct change *ch, const char *type, const char *resource_id,
                 const char *runner_id, const char *action, struct err *e);
bool job_is_open(const struct rec *job); /* pending or running */
/* A target's, workspace's or build's last job: the one whose state was updated last; NULL if none
 * was. Jobs of an earlier resource with the same id do not count. */
const struct rec *job_last(const struct srv *s, const struct rec *resource);
void jobs_poll(struct srv *s, struct pollset *ps);
void jobs_step(struct srv *s); /* ends polls whose time is up */

/* cancel.c: jobs that no runner ends. */
/* False, with the reason appended to why: it has ended, or a living runner has it. */
bool job_can_cancel(const struct srv *s, const struct rec *job, struct buf *why);
/* Ends a job: in error, or in success for NULL. What its runner says later counts no more. */
void job_end(struct srv *s, struct change *ch, const struct rec *job, const char *error);
/* Ends the open jobs of a resource that is deleted by force; ERR_BUSY when a runner has one. */
int jobs_sweep(struct srv *s, struct change *ch, const char *type, const char *resource_id,
               struct err *e);
/* Ends all open jobs of a runner that is deleted. */
void jobs_orphan(struct srv *s, struct change *ch, const struct rec *runner);

/* state.c (protocol 1.2, 1.3) */
struct state {
	const char *name, *error; /* error NULL: none */
	char updated[STAMP_SIZE];
};
/* Of a target, workspace or build. */
void state_of(const struct srv *s, const struct rec *r, struct state *out);
void state_of_runner(const struct rec *r, struct state *out);
bool is_deleted(const struct srv *s, const struct rec *r);
/* By id, else by name; a deleted one counts as deleted: *deleted. */
const struct rec *find_live(const struct srv *s, enum kind kind, const char *id_or_name,
                            bool *deleted);

/* view.c: JSON of resources, fields in the reference's order. */
#define VIEW_HIDE 1u     /* client key: DAYTONA_* variables and keys are left out */
#define VIEW_OPTIONS 2u  /* target config options are shown */
#define VIEW_STATE 4u    /* with the computed state */
#define VIEW_NESTED 8u   /* as a member of another resource: its own relations are not loaded */
#define VIEW_CREATED 16u /* target of a workspace just made: loaded, but for the workspaces */
#define VIEW_NEW 32u     /* a workspace just made: its metadata has not been read back */
#define VIEW_ALONE 64u   /* target, to one of its workspaces: the others are left out */
void view_job(struct buf *b, const struct rec *job);
void view_state(struct buf *b, const struct state *st);
void view_runner(struct buf *b, const struct rec *r); /* members id, name, metadata */
void view_config(struct buf *b, const struct rec *config, unsigned flags);
void view_target(const struct srv *s, struct buf *b, const struct rec *t, unsigned flags);
/* target_flags: flags for the target inside. */
void view_workspace(const struct srv *s, struct buf *b, const struct rec *w, unsigned flags,
                    unsigned target_flags);
void view_build(const struct srv *s, struct buf *b, const struct rec *build);

/* normal.c: pieces of bodies brought to the reference's form. Each appends one JSON value. */
void normal_map(struct buf *b, struct json map); /* string to string, keys sorted; null if absent */
/* Of such a value, as it is stored. */
void normal_map_without_daytona(struct buf *b, struct str map);
void normal_provider(struct buf *b, struct json provider);
void normal_repository(struct buf *b, struct json repository, const char *url);
void normal_build_config(struct buf *b, struct json config);
void normal_git_status(struct buf *b, struct json status);
void normal_config(struct buf *b, struct json config); /* ServerConfig */
/* Lower case, without white space at the ends and a trailing slash. */
char *normal_repo_url(struct json url);

/* restart.c */
/* Nothing is under way any more, or its time is up, and all connections are closed but that of who asked. */
bool restart_ready(struct srv *s);
/* It was to be, or was not (why): tells who asked. */
void restart_answer(struct srv *s, const char *why);

/* logs.c */
void logs_remove(struct srv *s, const char *type, const char *id);
void logs_poll(struct srv *s, struct pollset *ps);
void logs_step(struct srv *s); /* sends readers what they are due */
void logs_part(struct srv *s); /* closes all: they connect again */
/* Appends to a log that anybody may be reading; one of max bytes becomes "<path>.1" before. */
int log_append(const char *path, struct str bytes, off_t max, struct err *e);
void logs_append_server(struct srv *s, struct str line);

/* The first client key, in the store's directory. */
#define CLIENT_KEY_FILE "client.key"

/* config.c: the Server's own configuration and id. */
#define SERVER_CONFIG_FILE "server.json"
char *server_default_data(struct err *e); /* caller frees; NULL when no home directory is known */
int srv_config_load(struct srv *s, struct err *e);
void srv_config_write(struct call *c, struct buf *b);
/* A text member; NULL: not set. Caller frees. */
char *srv_config_get(struct srv *s, const char *name);
/* URLs that resources get (protocol 3.1, 10.6). */
void srv_config_urls(struct call *c, struct buf *server, struct buf *api);

/* Handlers, by route.c. */
/* clang-format off */
#define HANDLERS(X) \
	X(server_restart) X(health) X(healthz) X(readyz) X(metrics) X(config_get) X(config_set) X(network_key) X(server_logs) X(apikey_list) \
	X(apikey_create) X(apikey_delete) X(runner_list) X(runner_create) X(runner_get) \
	X(runner_delete) X(runner_key) X(runner_jobs) X(runner_job_state) X(runner_metadata) X(job_cancel) X(providers_all) \
	X(providers_for_install) X(runner_providers) X(provider_install) X(provider_uninstall) \
	X(provider_update) X(job_list) X(target_config_list) X(target_config_create) \
	X(target_config_delete) X(target_list) X(target_create) X(target_get) X(target_delete) \
	X(target_start) X(target_stop) X(target_restart) X(target_state) X(target_default) \
	X(target_created) X(target_metadata) X(target_provider_metadata) X(workspace_list) \
	X(workspace_create) X(workspace_get) X(workspace_delete) X(workspace_start) \
	X(workspace_stop) X(workspace_restart) X(workspace_state) X(workspace_labels) \
	X(workspace_metadata) X(workspace_provider_metadata) X(env_list) X(env_set) \
	X(env_delete) X(registry_get) X(git_list) X(git_set) X(git_get) X(git_delete) \
	X(git_for_url) X(git_id_for_url) X(git_context) X(git_context_url) X(git_user) X(git_namespaces) X(git_repositories) X(git_branches) X(git_pulls) X(build_list) \
	X(build_create) X(build_get) X(build_delete) X(build_delete_all) X(build_successful) \
	X(template_list) X(template_set) X(template_get) X(template_delete) X(template_default) \
	X(template_for_url) X(prebuild_list) X(prebuild_of) X(prebuild_set) X(prebuild_get) X(prebuild_delete) X(prebuild_event) X(prebuild_hook) \
	X(samples) X(page) X(page_tables) X(binary_script) X(binary_get) X(install_script) X(download) X(download_version) X(manifest) X(log_server) X(log_runner) X(log_workspace) \
	X(log_target) X(log_build) X(log_runner_write) X(log_workspace_write) \
	X(log_target_write) X(log_build_write) X(tunnel_open) X(tunnel_poll) X(tunnel_join) X(toolbox)
/* clang-format on */

#define HANDLER_DECLARE(name) void h_##name(struct call *c);
HANDLERS(HANDLER_DECLARE)

#endif
