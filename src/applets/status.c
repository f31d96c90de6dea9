/* SPDX-License-Identifier: Apache-2.0 */
/* status: what the running runner says of itself (state_dir/status.json); 0 only if all is well. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/out.h"
#include "host/daemon.h"
#include "host/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char usage[] =
	"status [-q] [-f json|yaml]\n"
	"Says whether the runner runs and whether the Server accepts it. The exit status is 0 only if both "
	"are so: -q makes it a health check.";

#define STATUS_MAX (16u << 20)
#define RESPONSIVE_MS 30000 /* the Server's limit for heartbeats */

struct view {
	struct config c;
	struct proc_id who;
	bool running, fresh;  /* fresh: status.json is that of the running process */
	int64_t beat_wall_ms; /* last accepted heartbeat */
	struct json_doc *doc; /* status.json, or NULL */
};

static int load(struct view *v, struct err *e)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct stat st = { 0 };
	char *path;
	int64_t pid = 0;
	int rc = daemon_lock_probe(v->c.state_dir, &v->who, e);

	if (rc < 0)
		return -1;
	v->running = rc > 0;
	path = paths_status(v->c.state_dir);
	if (v->running && stat(path, &st) == 0 && file_read(path, STATUS_MAX, &text, &ignored) == 0)
		v->doc = json_parse(buf_str(&text), STATUS_MAX, &ignored);
	if (v->doc) {
		v->beat_wall_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		v->fresh = json_i64(json_get(json_root(v->doc), "pid"), 1, INT32_MAX, &pid) &&
		           pid == v->who.pid;
	}
	buf_free(&text);
	free(path);
	return 0;
}

static bool server_ok(const struct view *v)
{
	int64_t age = clock_wall_ms() - v->beat_wall_ms;

	/* A process that hangs leaves its last words behind, but not their time; a clock set
	 * back is no failure. */
	return v->fresh && json_bool(json_get(json_root(v->doc), "server_ok"), false) &&
	       age < RESPONSIVE_MS + v->c.heartbeat_ms;
}

static bool is_healthy(const struct view *v)
{
	return v->running && server_ok(v);
}

static int64_t number(const struct view *v, const char *key)
{
	int64_t n = 0;

	return v->doc && json_i64(json_get(json_root(v->doc), key), 0, INT64_MAX, &n) ? n : 0;
}

static void put_duration(int64_t ms)
{
	long long s = ms > 0 ? (long long)ms / 1000 : 0;

	if (s >= 86400)
		printf("%lldd %lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		printf("%lldh %lldm", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		printf("%lldm %llds", s / 60, s % 60);
	else
		printf("%llds", s);
}

static void put_text(struct json v)
{
	char *s = json_dup_or_empty(v);

	cli_put(s);
	free(s);
}

static void print_jobs(struct json jobs)
{
	for (struct json j = json_first(jobs); json_present(j); j = json_next(j)) {
		static const char *const keys[] = { "id", "resource", "resource_id", "action",
			                            "stage" };

		fputs(" ", stdout);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			putchar(' ');
			put_text(json_get(j, keys[i]));
		}
		putchar('\n');
	}
}

static void print_providers(struct json list)
{
	for (struct json p = json_first(list); json_present(p); p = json_next(p)) {
		fputs("  ", stdout);
		put_text(json_get(p, "name"));
		if (!json_bool(json_get(p, "enabled"), false)) {
			fputs(": disabled", stdout);
		} else if (json_bool(json_get(p, "usable"), false)) {
			fputs(": usable", stdout);
		} else {
			fputs(": not usable: ", stdout);
			put_text(json_get(p, "why"));
		}
		putchar('\n');
	}
}

static void print_text(const struct view *v)
{
	struct json root = v->doc ? json_root(v->doc) : (struct json){ 0 };

	if (!v->running) {
		puts("Not running");
		return;
	}
	printf("%s\n", server_ok(v) ? "Running" : "Running, but the Server does not have it");
	printf("Runner:         %s (%s)\n", v->c.name ? v->c.name : "", v->c.id ? v->c.id : "");
	printf("Process:        %ld\n", (long)v->who.pid);
	printf("Server:         %s, %s\n", v->c.url ? v->c.url : "",
	       server_ok(v)                                                  ? "reachable"
	       : v->fresh && json_bool(json_get(root, "key_refused"), false) ? "refuses the API key"
	                                                                     : "not reachable");
	if (!v->fresh) {
		puts("It has not told its state yet.");
		return;
	}
	fputs("Uptime:         ", stdout);
	put_duration(clock_wall_ms() - number(v, "started_wall_ms"));
	if (json_bool(json_get(root, "server_ok"), false)) {
		fputs("\nLast heartbeat: ", stdout);
		put_duration(clock_wall_ms() - v->beat_wall_ms);
		fputs(" ago", stdout);
	}
	if (json_is_string(json_get(root, "last_error"))) {
		fputs("\nLast error:     ", stdout);
		put_text(json_get(root, "last_error"));
	}
	printf("\nRunning jobs:   %lld\n", (long long)number(v, "running_jobs"));
	print_jobs(json_get(root, "jobs"));
	puts("Providers:");
	print_providers(json_get(root, "providers"));
	if (!json_bool(json_get(root, "durable"), true))
		puts("Jobs are not safe against a crash: the state directory cannot be written.");
}

static void add_raw(struct buf *b, struct json root, const char *key)
{
	struct str raw = json_raw(json_get(root, key));

	jw_key(b, key);
	jw_raw(b, raw.n ? raw : STR_LIT("null"));
}

static void print_structured(enum cli_format f, const struct view *v)
{
	struct json root = v->doc ? json_root(v->doc) : (struct json){ 0 };
	char stamp[TIME_TEXT_SIZE];
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kbool(&b, "running", v->running);
	jw_kbool(&b, "healthy", is_healthy(v));
	jw_kstr(&b, "id", v->c.id);
	jw_kstr(&b, "name", v->c.name);
	jw_kstr(&b, "server_url", v->c.url);
	jw_kbool(&b, "server_ok", server_ok(v));
	if (v->running)
		jw_kint(&b, "pid", v->who.pid);
	if (v->fresh) {
		add_raw(&b, root, "key_refused");
		jw_kint(&b, "uptime_s", (clock_wall_ms() - number(v, "started_wall_ms")) / 1000);
		time_rfc3339(v->beat_wall_ms, true, true, stamp);
		jw_kstr(&b, "last_heartbeat",
		        json_bool(json_get(root, "server_ok"), false) ? stamp : NULL);
		add_raw(&b, root, "last_error");
		jw_kbool(&b, "draining", json_bool(json_get(root, "draining"), false));
		jw_kint(&b, "running_jobs", number(v, "running_jobs"));
		add_raw(&b, root, "jobs");
		add_raw(&b, root, "providers");
	}
	jw_obj_end(&b);
	cli_print(f, buf_str(&b));
	buf_free(&b);
}

static int status_run(int argc, char **argv)
{
	struct view v = { 0 };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *state_dir = NULL, *format = NULL;
	bool quiet = false;
	const struct opt opts[] = {
		OPT_FLAG('q', "quiet", &quiet, "print nothing"),
		CLI_FORMAT(&format),
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	enum cli_format f;
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, format);
	if (state_dir)
		kv_set(&flags, "runner.state_dir", state_dir);
	rc = quiet ? config_look(&v.c, config_dir, &flags, &e)
	           : cli_look("status", &v.c, config_dir, &flags, &e);
	if (rc == 0)
		rc = load(&v, &e);
	if (rc == 0 && !quiet && f == CLI_TEXT)
		print_text(&v);
	else if (rc == 0 && !quiet)
		print_structured(f, &v);
	if (rc < 0)
		rc = applet_fail("status", &e);
	else if ((rc = out_flush()) == 0)
		rc = is_healthy(&v) ? 0 : 1;
	json_doc_free(v.doc);
	config_free(&v.c);
	kv_free(&flags);
	return rc;
}

const struct applet status_applet = { .name = "status",
	                              .summary = "say whether the runner works",
	                              .run = status_run };
