/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration (design 3): one table of keys drives file, environment, flags, `configure` and
 * `config`. Precedence: flag, environment (DAYTONA_RUNNER_<SECTION>_<KEY>, …_FILE for secrets),
 * file, default.
 */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include "api/client.h"
#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/kv.h"
#include "net/tls.h"
#include "net/url.h"

#include <stdbool.h>
#include <stdint.h>

struct config_provider {
	char *name;
	bool enabled;
	struct kv options; /* every other key of the section, as written */
};

struct config {
	char *dir;      /* configuration directory */
	bool dir_given; /* on the command line: the state is below it by default */
	char *file;     /* dir/runner.ini, whether it exists or not */
	bool file_exists;
	/* [runner] */
	char *id, *name, *state_dir, *log_level, *log_format, *log_target, *env_allow,
		*agent_sha256;
	char *allow_images, *allow_registries, *allow_repositories; /* patterns, base/allow.h */
	char *registry_mirrors, *plain_http;                        /* oci/where.h */
	int64_t image_keep_days, image_keep_free_mb;
	char *hook_before, *hook_after; /* programs, jobs/hook.c */
	int64_t port, max_jobs, drain_timeout_ms, job_timeout_ms, hook_timeout_ms;
	int64_t log_max_size_mb, log_max_backups, log_max_age_days; /* 100 / 7 / 15 */
	bool log_local_time, log_compress;
	/* [server] */
	char *url, *key, *key_file, *key_command, *ca_file, *ca_dir, *pin_sha256, *client_cert,
		*client_key;
	char *proxy, *no_proxy;
	int64_t heartbeat_ms, poll_timeout_ms;
	bool insecure, allow_http;
	/* [provider "name"] */
	struct config_provider *providers;
	size_t n_providers;
	/* Where each key's value came from, by index in config_keys: "flag", "environment NAME",
	 * "file:LINE", "default". */
	char **sources;
	/* Why the key cannot be used although one is configured (file mode, unreadable
	 * key_file); config_require reports it, while `stop`, `status` and `logs` work on. NULL:
	 * fine. */
	char *key_problem;
	enum err_kind key_kind; /* of that */
	/* After config_look: what was wrong and left out, a line each; else empty. */
	struct buf left_out;
	bool looks; /* it is config_look's */
	bool unsure; /* how the Server is to be reached may be in what was left out: it is not spoken to */
};

/* CFG_PATH: made absolute, in the file from its directory, else from the current one. */
enum config_type { CFG_STR, CFG_SECRET, CFG_PATH, CFG_INT, CFG_MS, CFG_BOOL };
struct config_key {
	const char *section, *name;
	enum config_type type;
	unsigned offset;      /* of the member in struct config */
	const char *fallback; /* default as text; NULL: none (or computed) */
	unsigned min, max;    /* of a CFG_MS: milliseconds */
	unsigned unit_ms;     /* of a bare number */
	const char *flag;     /* the option's texts, see struct opt: the flag is the first */
	const char *old_env;  /* name that the reference reads for it; below the file. NULL: none */
};
extern const struct config_key config_keys[];
extern const size_t config_keys_n;

/*
 * Loads everything. flags: values given on the command line, keys "section.name" or `provider
 * "NAME".key` (may be NULL). dir: --config-dir or NULL. A missing file is fine (file_exists =
 * false). Errors: ERR_CONFIG "runner.ini:7: unknown key \"foo\" in [server]; …". Secrets are
 * checked for mode and trimmed; control bytes refused. Registers the key with mask_add.
 */
int config_load(struct config *c, const char *dir, const struct kv *flags, struct err *e);
/* The same for what must work in every case (`stop`, `status`, `logs` …): what is wrong in file and environment is
 * left out and noted in left_out. Fails only on flags and where no directory can be found. */
int config_look(struct config *c, const char *dir, const struct kv *flags, struct err *e);
/* Answers on top of what was loaded, named as flags are. After -1 c can still be changed and freed. */
int config_apply(struct config *c, const struct kv *changes, struct err *e);
void config_free(struct config *c);
/* Index of "section.name" in config_keys, or -1. */
int config_key_index(const char *full_name);
/* The value as text (a secret in clear), appended; nothing if unset. */
void config_value_text(const struct config *c, size_t key, struct buf *b);
/* Whether a value is possible for a key: 0, or ERR_CONFIG saying what is. */
int config_check_value(size_t key, const char *text, struct err *e);
/* What `serve` needs: id, name, url, key present and valid; plain http only to loopback unless
 * allow_http. Names all that is missing in one error; what to do about it, only the applet knows. */
#define CONFIG_REMEDY "run: daytona-runner configure"
int config_require(const struct config *c, struct err *e);
/* Rewrites the file: keeps comments, order and unknown-but-valid lines; sets keys "section.name"
 * of changes (NULL or "" value removes the key). Atomic, 0600, directory 0700. Values that would
 * not read back equal are refused. */
int config_save(const char *dir_or_null, const struct kv *changes, struct err *e);
/* Below it, of the applets ssh and ssh-config (applets/ssh.h). */
#define CONFIG_SSH "ssh"
#define CONFIG_SSH_KEY "id_ed25519"
#define CONFIG_SSH_HOSTS "known_hosts"
#define CONFIG_SSH_FILE "config"
/* A CA's PEM as a file in that directory, named after its content. Its path, which the caller frees; NULL with e. */
#define CONFIG_CA_PREFIX "ca-"
char *config_keep_ca(const char *dir_or_null, struct str pem, struct err *e);
const struct config_provider *config_provider_find(const struct config *c, const char *name);
/* "", or a remark behind the file's path where that is root's earlier one. */
const char *config_place_note(const struct config *c);
/* Default directories (design 3). Caller frees; NULL with e when neither HOME nor XDG is usable. */
char *config_default_dir(struct err *e);
char *config_default_state_dir(const char *config_dir, struct err *e);
/* The reference runner's config.json (protocol 7.1) as changes for config_save. */
int config_import(const char *json_path, struct kv *changes, struct err *e);
/* First line of a secret's file ("-": of standard input), without white space at its ends. Refused: other users may write
 * or read it (unless it lies on a read-only mount, as orchestrators give secrets), too long,
 * empty. Appends. */
int config_read_secret(const char *path, struct buf *out, struct err *e);
/* The text of a secret, as a file or program gave it (where), trimmed and appended; control bytes are refused. */
int config_check_secret(struct str text, const char *where, struct buf *out, struct err *e);
/* The runner's key from key_file, else from key_command, else from runner.ini as it is now, whatever c->key is; appended. stop may be NULL. */
#define CONFIG_KEY_MS 10000
int config_fetch_key(const struct config *c, const volatile int *stop, struct buf *out,
                     struct deadline d, struct err *e);
/* A URL for the Server and the rule about plain http (only to loopback unless allow_http). */
int config_check_url(const char *url, bool allow_http, struct err *e);

/* An opened Server: url, tls context and api from a configuration (for applets and serve). */
struct server_link {
	struct url url;
	struct tls_ctx *tls;
	struct api_settings *settings;
	struct api *api;
	char *key; /* of key_command; else NULL */
};
/* Runs key_command when there is no other key. */
int server_link_open(struct server_link *l, const struct config *c, struct err *e);
void server_link_close(struct server_link *l);
/* What to look at when nobody answered at all; nothing is added to another error. Returns -1. */
int server_hint(struct err *e);

#endif
