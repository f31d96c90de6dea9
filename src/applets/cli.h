/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the applets share: settings as options (made from config_keys, so no option is written
 * twice), the administrator's credentials, and output formats.
 */
#ifndef APPLETS_CLI_H
#define APPLETS_CLI_H

#include "base/buf.h"
#include "base/kv.h"
#include "base/opts.h"
#include "host/config.h"

#define CLI_KEYS_MAX 56
#define CLI_OWN_MAX 24
#define CLI_CALL_MS 15000 /* one call of an administrator's applet */

#define CLI_CONFIG_DIR(to) OPT_STR('C', "config-dir", "DIR", to, "directory of runner.ini")
#define CLI_FORMAT(to) OPT_STR('f', "format", "FORMAT", to, "json or yaml instead of text")

struct cli_flags {
	const char *text[CLI_KEYS_MAX];
	bool on[CLI_KEYS_MAX], given[CLI_KEYS_MAX];
	struct opt opts[CLI_KEYS_MAX + CLI_OWN_MAX];
};
/* own options followed by one for each setting; secrets only when asked for. argv is looked
 * through for switches given, since their value alone does not tell. Borrowed from f. */
const struct opt *cli_opts(struct cli_flags *f, const struct opt *own, bool secrets, int argc,
                           char **argv);
/* After opts_parse: what was given, as "section.name" → value. */
void cli_given(const struct cli_flags *f, struct kv *out);

/* The key that --api-key-file names, in place of that name: now (to be saved, not to be read again), or only where it comes
 * from standard input. ERR_USAGE beside --api-key. */
int cli_take_key(struct kv *values, bool now, struct err *e);
/* SIGTERM, SIGINT and SIGHUP come by this descriptor from now on; -1 with e. */
int cli_signals(struct err *e);
/* Paths among the values become absolute: `serve` runs elsewhere. */
void cli_absolute_paths(struct kv *values);

/* config_look, and says on stderr what was left out. */
int cli_look(const char *applet, struct config *c, const char *dir, const struct kv *flags,
             struct err *e);

/* The settings and their sources as `config` shows them; show_key: secrets too. */
void cli_config_text(const struct config *c, bool show_key, struct buf *b);
bool cli_is_secret_option(const char *name); /* of a provider's */

#define CLI_OWN_KEY "this host's runner configuration"
struct cli_admin {
	const char *config_dir, *url, *key, *key_file, *ca_file; /* options */
	bool insecure, allow_http;
	bool strict;          /* a wrong setting of this host is an error, not left out */
	struct config config; /* of this host, its url and key replaced by the administrator's */
	struct server_link link;
	char *own_id;  /* id of the runner configured on this host; NULL: none */
	char *own_url; /* and its Server */
	char *source;  /* where the key came from, for messages */
};
#define CLI_ADMIN_NOTE \
	"Without options, URL and key come from DAYTONA_API_URL and DAYTONA_API_KEY, else the active " \
	"profile of the daytona command line, else this host's runner configuration and the `server` of " \
	"this user."
#define CLI_ADMIN_OPTS(a) \
	OPT_GROUP_NOTE("Server", CLI_ADMIN_NOTE), \
		OPT_STR(0, "api-url", "URL", &(a)->url, "URL of the Server's API"), \
		OPT_SECRET(0, "api-key", "KEY", &(a)->key, \
	                   "API key; better by file or environment"), \
		OPT_STR(0, "api-key-file", "FILE", &(a)->key_file, \
	                "read the API key from FILE, - is standard input"), \
		OPT_STR(0, "ca-file", "FILE", &(a)->ca_file, "CA certificates to trust"), \
		OPT_FLAG(0, "insecure", &(a)->insecure, "do not verify the certificate"), \
		OPT_FLAG(0, "allow-http", &(a)->allow_http, \
	                 "send the key over plain http to another host"), \
		CLI_CONFIG_DIR(&(a)->config_dir)
/* Where a `server` beside the runner of this configuration keeps its data: below the configuration's directory if that
 * was given, else where it is by default. Caller frees; NULL with e. */
char *cli_server_data(const struct config *c, struct err *e);
/* What was given on the command line, but for URL and key, as settings. */
void cli_admin_flags(const struct cli_admin *a, struct kv *flags);
/* Finds URL and key and prepares the link; no I/O with the Server yet. A key is never used with
 * the URL of another source. */
int cli_admin_open(struct cli_admin *a, const char *applet, struct err *e);
void cli_admin_close(struct cli_admin *a);
/* After a call that failed: who refuses the key is told where it came from. Returns -1. */
int cli_explain(const struct cli_admin *a, struct err *e);
/* The runners on the Server, freed by cli_free_runners; who refuses the key is told where it came from. */
int cli_runners(const struct cli_admin *a, struct runner_info **list, size_t *n, struct err *e);
/* The runner that an operand names by id or else by name, out of list. ERR_NOT_FOUND. */
int cli_find_runner(const struct cli_admin *a, const struct runner_info *list, size_t n,
                    const char *id_or_name, size_t *found, struct err *e);
void cli_free_runners(struct runner_info *list, size_t n);
/* Asks on the terminal which one; without a terminal ERR_USAGE. */
int cli_pick_runner(const struct runner_info *list, size_t n, const char *title, size_t *picked,
                    struct err *e);
/* An id as the Server's own client makes them (protocol 1.4): 12 hex digits, not all of them decimal. */
int cli_new_id(char id[13], struct err *e);
/* Refuses "local", which is a part of the Server. */
int cli_check_removable(const struct runner_info *r, struct err *e);

enum cli_format { CLI_TEXT, CLI_JSON, CLI_YAML };
/* NULL is text; anything unknown ends the program with 2. */
enum cli_format cli_format(const char *usage, const char *format);
/* Prints compact JSON indented, or as YAML. */
void cli_print(enum cli_format f, struct str json);
/* Printable form of s to stdout (no control bytes). */
void cli_put(const char *s);

#endif
