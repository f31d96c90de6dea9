/* SPDX-License-Identifier: Apache-2.0 */
/* status: what the running runner says of itself (state_dir/status.json); 0 only if all is well. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/show.h"
#include "base/jsonw.h"
#include "base/out.h"
#include "host/control.h"
#include "host/daemon.h"

#include <stdlib.h>

static const char usage[] =
	"status [-q] [-f json|yaml]\n"
	"Says whether the runner runs and whether the Server accepts it. The exit status is 0 only if both "
	"are so and a provider can be used: -q makes it a health check.";

#define LIVE_MS 2000

struct view {
	struct config c;
	struct snapshot s;
};

static bool server_ok(const struct view *v)
{
	return snapshot_server_ok(&v->s, v->c.heartbeat_ms);
}

static bool is_healthy(const struct view *v)
{
	return v->s.running && server_ok(v) && snapshot_has_provider(&v->s);
}

static bool is_paused(const struct view *v)
{
	return v->s.fresh && json_is_object(snapshot_get(&v->s, "paused"));
}

static int64_t number(const struct view *v, const char *key)
{
	int64_t n = 0;

	return json_i64(snapshot_get(&v->s, key), 0, INT64_MAX, &n) ? n : 0;
}

static void put_duration(struct buf *b, int64_t ms)
{
	long long s = ms > 0 ? (long long)ms / 1000 : 0;

	if (s >= 86400)
		buf_addf(b, "%lldd %lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		buf_addf(b, "%lldh %lldm", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		buf_addf(b, "%lldm %llds", s / 60, s % 60);
	else
		buf_addf(b, "%llds", s);
}

static void put_text(struct buf *b, struct json v)
{
	char *s = json_dup_or_empty(v);

	buf_add_printable(b, str_of(s), false);
	free(s);
}

static void print_jobs(struct buf *b, struct json jobs)
{
	for (struct json j = json_first(jobs); json_present(j); j = json_next(j)) {
		static const char *const keys[] = { "id", "resource", "resource_id", "action",
			                            "stage" };

		buf_adds(b, " ");
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			buf_addc(b, ' ');
			put_text(b, json_get(j, keys[i]));
		}
		buf_addc(b, '\n');
	}
}

static void print_providers(struct buf *b, struct json list)
{
	for (struct json p = json_first(list); json_present(p); p = json_next(p)) {
		buf_adds(b, "  ");
		put_text(b, json_get(p, "name"));
		if (!json_bool(json_get(p, "enabled"), false)) {
			buf_adds(b, ": disabled");
		} else if (json_bool(json_get(p, "usable"), false)) {
			buf_adds(b, ": usable");
		} else {
			buf_adds(b, ": not usable: ");
			put_text(b, json_get(p, "why"));
		}
		buf_addc(b, '\n');
	}
}

/* It may have been started by another file than the one that is here now. */
static bool is_other_version(const struct view *v)
{
	return v->s.fresh && !json_str_is(snapshot_get(&v->s, "version"), DR_VERSION);
}

/* What a person does now; one thing, the first that is needed. */
static const char *next_step(const struct view *v)
{
	struct err ignored = { 0 };

	if (!v->s.running)
		return config_require(&v->c, &ignored) < 0 ? "daytona-runner configure"
		                                           : "daytona-runner start";
	if (snapshot_is(&v->s, "key_refused"))
		return "daytona-runner create, and configure with its line";
	if (!server_ok(v))
		return "daytona-runner check";
	if (is_paused(v))
		return "daytona-runner resume";
	if (!snapshot_has_provider(&v->s))
		return "daytona-runner provider check";
	if (json_is_string(snapshot_get(&v->s, "port_error")))
		return "daytona-runner configure --port N";
	return is_other_version(v) ? "daytona-runner restart" : "daytona-runner logs -f";
}

static void print_started(struct buf *b, const struct view *v)
{
	char stamp[TIME_TEXT_SIZE], *version = json_dup_or_empty(snapshot_get(&v->s, "version"));

	buf_adds(b, "Version:        ");
	buf_add_printable(b, str_of(version), false);
	free(version);
	if (is_other_version(v))
		buf_adds(b, "; this program is " DR_VERSION);
	buf_adds(b, "\nUptime:         ");
	put_duration(b, clock_wall_ms() - number(v, "started_wall_ms"));
	time_rfc3339(number(v, "started_wall_ms"), false, false, stamp);
	buf_addf(b, "\nSince:          %s\n", stamp);
}

static void print_port(struct buf *b, const struct view *v)
{
	struct json error = snapshot_get(&v->s, "port_error");

	buf_adds(b, "Health port:    ");
	if (json_is_string(error))
		put_text(b, error);
	else if (v->c.port)
		buf_addf(b, "%lld", (long long)v->c.port);
	else
		buf_adds(b, "none");
	buf_addc(b, '\n');
}

static void print_pause(struct buf *b, const struct view *v)
{
	struct json pause = snapshot_get(&v->s, "paused");
	char stamp[TIME_TEXT_SIZE], *note = json_dup_or_empty(json_get(pause, "note"));
	int64_t until = 0;

	json_i64(json_get(pause, "until_ms"), 0, INT64_MAX, &until);
	time_rfc3339(until, false, false, stamp);
	buf_addf(b, "Paused:         until %s%s", until ? stamp : "daytona-runner resume",
	         *note ? ": " : "");
	buf_add_printable(b, str_of(note), false);
	buf_addc(b, '\n');
	free(note);
}

/* What the process itself says now; its last written word stands in for one that does not answer. */
static void ask_live(struct view *v)
{
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };

	if (v->s.running && control_call(v->c.state_dir, "GET", "/status", NULL, &doc,
	                                 deadline_in_ms(LIVE_MS), &ignored) == 0) {
		json_doc_free(v->s.doc);
		v->s.doc = doc;
		v->s.fresh = true;
	}
}

static void print_state(struct buf *b, const struct view *v)
{
	struct json root = v->s.doc ? json_root(v->s.doc) : (struct json){ 0 };

	print_started(b, v);
	if (json_bool(json_get(root, "server_ok"), false)) {
		buf_adds(b, "Last heartbeat: ");
		put_duration(b, clock_wall_ms() - v->s.beat_wall_ms);
		buf_adds(b, " ago\n");
	}
	if (json_is_string(json_get(root, "last_error"))) {
		buf_adds(b, "Last error:     ");
		put_text(b, json_get(root, "last_error"));
		buf_addc(b, '\n');
	}
	if (is_paused(v))
		print_pause(b, v);
	buf_addf(b, "Running jobs:   %lld\n", (long long)number(v, "running_jobs"));
	print_jobs(b, json_get(root, "jobs"));
	print_port(b, v);
	buf_adds(b, "Providers:\n");
	print_providers(b, json_get(root, "providers"));
	if (!json_bool(json_get(root, "durable"), true))
		buf_adds(
			b,
			"Jobs are not safe against a crash: the state directory cannot be written.\n");
}

static void add_lines(struct buf *b, const struct view *v)
{
	buf_adds(b, !v->s.running                   ? "Not running"
	            : !server_ok(v)                 ? "Running, but the Server does not have it"
	            : !snapshot_has_provider(&v->s) ? "Running, but no provider can be used"
	            : is_paused(v)                  ? "Running, but paused: no jobs are taken"
	                                            : "Running");
	buf_addc(b, '\n');
	if (v->c.id)
		buf_addf(b, "Runner:         %s (%s)\n", v->c.name ? v->c.name : "", v->c.id);
	if (v->s.running) {
		buf_addf(b, "Process:        %ld\n", (long)v->s.who.pid);
		buf_addf(b, "Server:         %s, %s\n", v->c.url ? v->c.url : "",
		         server_ok(v)                        ? "reachable"
		         : snapshot_is(&v->s, "key_refused") ? "refuses the API key"
		         : snapshot_is(&v->s, "server_answers")
		                 ? "answers, but does not accept the runner"
		                 : "not reachable");
		if (v->s.fresh)
			print_state(b, v);
		else
			buf_adds(b, "It has not told its state yet.\n");
	}
	buf_addf(b, "Configuration:  %s%s\n", v->c.file,
	         v->c.file_exists ? config_place_note(&v->c) : " (not there)");
	buf_addf(b, "Next:           %s\n", next_step(v));
}

static void print_text(const struct view *v)
{
	struct buf b = { 0 };

	add_lines(&b, v);
	show_lines(buf_str(&b));
	buf_free(&b);
}

static void add_raw(struct buf *b, struct json root, const char *key)
{
	struct str raw = json_raw(json_get(root, key));

	jw_key(b, key);
	jw_raw(b, raw.n ? raw : STR_LIT("null"));
}

static void print_structured(enum cli_format f, const struct view *v)
{
	struct json root = v->s.doc ? json_root(v->s.doc) : (struct json){ 0 };
	char stamp[TIME_TEXT_SIZE];
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kbool(&b, "running", v->s.running);
	jw_kbool(&b, "healthy", is_healthy(v));
	jw_kstr(&b, "id", v->c.id);
	jw_kstr(&b, "name", v->c.name);
	jw_kstr(&b, "server_url", v->c.url);
	jw_kbool(&b, "server_ok", server_ok(v));
	jw_kstr(&b, "file", v->c.file);
	jw_kint(&b, "port", v->c.port);
	jw_kstr(&b, "next", next_step(v));
	if (v->s.running)
		jw_kint(&b, "pid", v->s.who.pid);
	if (v->s.fresh) {
		add_raw(&b, root, "version");
		add_raw(&b, root, "key_refused");
		add_raw(&b, root, "server_answers");
		add_raw(&b, root, "port_error");
		jw_kint(&b, "uptime_s", (clock_wall_ms() - number(v, "started_wall_ms")) / 1000);
		time_rfc3339(v->s.beat_wall_ms, true, true, stamp);
		jw_kstr(&b, "last_heartbeat",
		        json_bool(json_get(root, "server_ok"), false) ? stamp : NULL);
		add_raw(&b, root, "last_error");
		add_raw(&b, root, "paused");
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
		rc = daemon_look(&v.s, v.c.state_dir, &e);
	if (rc == 0)
		ask_live(&v);
	if (rc == 0 && !quiet && f == CLI_TEXT)
		print_text(&v);
	else if (rc == 0 && !quiet)
		print_structured(f, &v);
	if (rc < 0)
		rc = applet_fail("status", &e);
	else if ((rc = out_flush()) == 0)
		rc = is_healthy(&v) ? 0 : 1;
	snapshot_free(&v.s);
	config_free(&v.c);
	kv_free(&flags);
	return rc;
}

const struct applet status_applet = { .name = "status",
	                              .summary = "say whether the runner works",
	                              .run = status_run };
