/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings: file, environment, options, `configure` and `config` all read it. */
#include "base/attr.h"
#include "base/opts.h"
#include "host/config.h"

#include <stddef.h>

#define SECOND 1000
#define HOUR (3600 * 1000LL)
#define DAY (24 * HOUR)
#define HEARTBEAT_MIN_MS 10 /* for soak tests */

/* clang-format off */
#define TEXT(s, n, m, type, def, flag, arg, help) \
	{ s, n, type, offsetof(struct config, m), def, 0, 0, 0, OPT_TEXT(flag, arg, help), NULL }
#define NUMBER(s, n, m, def, lo, hi, flag, old, help) \
	{ s, n, CFG_INT, offsetof(struct config, m), def, lo, hi, 0, OPT_TEXT(flag, "N", help), old }
#define TIME(s, n, m, def, lo, hi, flag, help) \
	{ s, n, CFG_MS, offsetof(struct config, m), def, lo, hi, SECOND, OPT_TEXT(flag, "TIME", help), NULL }
#define SWITCH(s, n, m, def, flag, old, help) \
	{ s, n, CFG_BOOL, offsetof(struct config, m), def, 0, 1, 0, OPT_TEXT(flag, "", help), old }

const struct config_key config_keys[] = {
	TEXT("server", "url", url, CFG_STR, NULL, "api-url", "URL",
	     "URL of the Server's API"),
	TEXT("server", "key", key, CFG_SECRET, NULL, "api-key", "KEY",
	     "this runner's API key"),
	TEXT("server", "key_file", key_file, CFG_PATH, NULL, "api-key-file", "FILE",
	     "read the API key from FILE, - is standard input"),
	TEXT("server", "key_command", key_command, CFG_STR, NULL, "key-command", "COMMAND",
	     "program whose output is the key instead; asked again when it is refused"),
	TEXT("runner", "id", id, CFG_STR, NULL, "id", "ID",
	     "id of this runner on the Server"),
	TEXT("runner", "name", name, CFG_STR, NULL, "name", "NAME",
	     "name of this runner on the Server"),
	NUMBER("runner", "port", port, "3983", 0, 65535, "port", NULL,
	     "port of the health endpoint, 0 for none"),
	TEXT("runner", "state_dir", state_dir, CFG_PATH, NULL, "state-dir", "DIR",
	     "directory for journal, logs and workspaces"),
	NUMBER("runner", "max_jobs", max_jobs, "16", 0, 10000, "max-jobs", NULL,
	     "jobs at the same time, 0 for no limit"),
	TIME("runner", "drain_timeout", drain_timeout_ms, "30", 0, DAY, "drain-timeout",
	     "how long a stop waits for running jobs"),
	TIME("runner", "job_timeout", job_timeout_ms, "2h", SECOND, 30 * DAY, "job-timeout",
	     "after how long a job is ended as failed"),
	TEXT("runner", "env_allow", env_allow, CFG_STR, NULL, "env-allow", "NAMES",
	     "variables of this host that jobs may use as $NAME, separated by commas"),
	TEXT("runner", "allow_images", allow_images, CFG_STR, NULL, "allow-images", "PATTERNS",
	     "the only images that jobs may use, separated by commas"),
	TEXT("runner", "allow_registries", allow_registries, CFG_STR, NULL, "allow-registries", "PATTERNS",
	     "the only registries that images of jobs may be from"),
	TEXT("runner", "allow_repositories", allow_repositories, CFG_STR, NULL, "allow-repositories", "PATTERNS",
	     "the only repositories that jobs may clone"),
	TEXT("runner", "registry_mirrors", registry_mirrors, CFG_STR, NULL, "registry-mirrors", "LIST",
	     "HOST=MIRROR[:PORT], …: registries that are asked before another one"),
	TEXT("runner", "plain_http", plain_http, CFG_STR, NULL, "plain-http", "HOSTS",
	     "registries without TLS, separated by commas"),
	NUMBER("runner", "image_keep", image_keep_days, "0", 0, 36500, "image-keep", NULL,
	     "days that an unused image is kept, 0 for ever"),
	NUMBER("runner", "image_keep_free", image_keep_free_mb, "0", 0, 1000000000, "image-keep-free", NULL,
	     "megabytes of disk that unused images make room for"),
	TEXT("runner", "agent_sha256", agent_sha256, CFG_STR, NULL, "agent-sha256", "HASHES",
	     "the only SHA-256 that Daytona's agent may have, separated by commas"),
	TEXT("runner", "hook_before_job", hook_before, CFG_PATH, NULL, "hook-before-job", "PROGRAM",
	     "program that runs before each job, which fails if it fails"),
	TEXT("runner", "hook_after_job", hook_after, CFG_PATH, NULL, "hook-after-job", "PROGRAM",
	     "program that runs after each job and is told the result"),
	TIME("runner", "hook_timeout", hook_timeout_ms, "60", SECOND, HOUR, "hook-timeout",
	     "after how long such a program is ended as failed"),
	TEXT("runner", "log_level", log_level, CFG_STR, "info", "log-level", "LEVEL",
	     "error, warn, info or debug"),
	TEXT("runner", "log_format", log_format, CFG_STR, "text", "log-format", "FORMAT",
	     "of the lines on standard error: text or json"),
	TEXT("runner", "log_target", log_target, CFG_STR, "stderr", "log-target", "TARGET",
	     "stderr, journal (its levels on standard error) or syslog"),
	NUMBER("runner", "log_max_size", log_max_size_mb, "100", 1, 100000, "log-max-size",
	     "DEFAULT_LOG_FILE_MAX_SIZE", "megabytes of a log before it is rotated"),
	NUMBER("runner", "log_max_backups", log_max_backups, "7", 0, 1000, "log-max-backups",
	     "DEFAULT_LOG_FILE_MAX_BACKUPS", "rotated logs that are kept"),
	NUMBER("runner", "log_max_age", log_max_age_days, "15", 0, 36500, "log-max-age",
	     "DEFAULT_LOG_FILE_MAX_AGE", "days that a rotated log is kept, 0 for ever"),
	SWITCH("runner", "log_local_time", log_local_time, "true", "log-local-time",
	     "DEFAULT_LOG_FILE_LOCAL_TIME", "name rotated logs by UTC"),
	SWITCH("runner", "log_compress", log_compress, "true", "log-compress",
	     "DEFAULT_LOG_FILE_COMPRESS", "leave rotated logs uncompressed"),
	TEXT("server", "ca_file", ca_file, CFG_PATH, NULL, "ca-file", "FILE",
	     "CA certificates to trust instead of the system's"),
	TEXT("server", "ca_dir", ca_dir, CFG_PATH, NULL, "ca-dir", "DIR",
	     "directory of CA certificates to trust"),
	TEXT("server", "pin_sha256", pin_sha256, CFG_STR, NULL, "pin-sha256", "HASH",
	     "hash of the Server's public key, checked as well"),
	TEXT("server", "client_cert", client_cert, CFG_PATH, NULL, "client-cert", "FILE",
	     "client certificate for TLS"),
	TEXT("server", "client_key", client_key, CFG_PATH, NULL, "client-key", "FILE",
	     "private key of the client certificate"),
	TEXT("server", "proxy", proxy, CFG_SECRET, NULL, "proxy", "URL",
	     "HTTP proxy, instead of the environment's"),
	TEXT("server", "no_proxy", no_proxy, CFG_STR, NULL, "no-proxy", "HOSTS",
	     "hosts that are reached directly"),
	TIME("server", "heartbeat_s", heartbeat_ms, "5", HEARTBEAT_MIN_MS, 25 * SECOND, "heartbeat",
	     "time between heartbeats; the Server's limit is 30"),
	TIME("server", "poll_timeout_s", poll_timeout_ms, "75", SECOND, 600 * SECOND, "poll-timeout",
	     "limit of one question for jobs; the Server answers within 60"),
	SWITCH("server", "insecure", insecure, "false", "insecure", NULL,
	     "do not verify the Server's certificate"),
	SWITCH("server", "allow_http", allow_http, "false", "allow-http", NULL,
	     "send the key over plain http to another host"),
};
const size_t config_keys_n = ARRAY_LEN(config_keys);
/* clang-format on */
