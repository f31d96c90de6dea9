/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one provider without Server and supervisor:
 *   provider_drive [-o KEY=VALUE]... PROVIDER STATE_DIR RUNNER_BINARY WORKSPACE.json ACTION...
 * WORKSPACE.json is a WorkspaceDTO (protocol 11.3). Actions: check, create start stop restart delete
 * force-delete (of the workspace), info, condition, target-create target-start target-stop
 * target-restart target-delete target-force-delete target-info, usage, exec=COMMAND (of /bin/sh, with our
 * streams; DRIVE_TTY gives it a terminal, DRIVE_CWD and DRIVE_USER what they say). Provider output goes to stdout; each
 * action ends in one line "= ACTION: ok", "= ACTION: <result>" or "= ACTION: error <kind>: <text>".
 * Environment: DRIVE_GIT_USER, DRIVE_GIT_TOKEN, DRIVE_API_URL,
 * DRIVE_CA_FILE, DRIVE_PIN, DRIVE_PROXY, DRIVE_SECONDS, DRIVE_MIRRORS, DRIVE_PLAIN_HTTP.
 */
#include "base/allow.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/where.h"
#include "providers/provider.h"

#include <signal.h>
#include <unistd.h>

static volatile int stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static bool mid_line; /* a result stands on a line of its own */

static void output(void *arg, struct str bytes)
{
	(void)arg;
	if (bytes.n)
		mid_line = bytes.p[bytes.n - 1] != '\n';
	fwrite(bytes.p, 1, bytes.n, stdout);
	fflush(stdout);
}

struct drive {
	struct provider_env env;
	struct provider_handle h;
	struct workspace ws;
	struct git_provider git;
	struct workspace_job job;
	struct build build;
	struct build_job build_job;
	struct registries registries;
	int64_t seconds;
};

static int result(const char *action, int rc, const struct buf *b, const struct err *e)
{
	if (mid_line)
		putchar('\n');
	mid_line = false;
	if (rc < 0)
		printf("= %s: error %d: %s\n", action, (int)e->kind, e->msg);
	else
		printf("= %s: %s\n", action, b->n ? buf_cstr(b) : "ok");
	fflush(stdout);
	return rc;
}

static int exec_command(struct drive *v, const char *command, struct buf *b, struct deadline d,
                        struct err *e)
{
	const char *const argv[] = { "/bin/sh", "-c", command, NULL };
	int status = -1, rc;

	rc = provider_workspace_exec(&v->h,
	                             &(struct workspace_exec){ .ws = &v->ws,
	                                                       .argv = argv,
	                                                       .cwd = getenv("DRIVE_CWD"),
	                                                       .user = getenv("DRIVE_USER"),
	                                                       .tty = getenv("DRIVE_TTY") != NULL,
	                                                       .rows = 33,
	                                                       .cols = 101,
	                                                       .std = { 0, 1, 2 },
	                                                       .side = -1 },
	                             &status, d, e);
	buf_addf(b, "status %d", status);
	return rc;
}

static int usage(struct drive *v, struct buf *b, struct deadline d, struct err *e)
{
	struct provider_usage u;
	int rc = provider_workspace_usage(&v->h, &v->ws, &u, d, e);

	buf_addf(b, "%s %lld %lld %lld %lld", u.isolation ? u.isolation : "-",
	         (long long)u.memory_bytes, (long long)u.cpu_us, (long long)u.disk_bytes,
	         (long long)u.processes);
	return rc;
}

static int act(struct drive *v, const char *action)
{
	static const char *const conditions[] = { "unknown", "missing", "incomplete", "stopped",
		                                  "running" };
	struct deadline d = deadline_in_ms(v->seconds * 1000);
	struct buf b = { 0 };
	struct err e = { 0 };
	enum resource_condition cond = COND_UNKNOWN;
	bool target = strncmp(action, "target-", 7) == 0;
	bool build = strncmp(action, "build-", 6) == 0;
	const char *verb = target ? action + 7 : build ? action + 6 : action;
	enum job_action a = job_action_of(verb);
	int rc;

	if (strcmp(action, "check") == 0) {
		rc = v->h.p->check ? v->h.p->check(&v->env, &b, d, &e) : 0;
		fwrite(buf_cstr(&b), 1, b.n, stdout);
		buf_reset(&b);
	} else if (strcmp(action, "condition") == 0) {
		rc = v->h.p->workspace_condition(v->h.self, &v->ws, &cond, d, &e);
		buf_adds(&b, conditions[cond]);
	} else if (strncmp(action, "exec=", 5) == 0) {
		rc = exec_command(v, action + 5, &b, d, &e);
		action = "exec";
	} else if (strcmp(action, "usage") == 0) {
		rc = usage(v, &b, d, &e);
	} else if (strcmp(action, "info") == 0) {
		rc = provider_workspace_info(&v->h, &v->job, &b, d, &e);
	} else if (strcmp(verb, "info") == 0) {
		rc = provider_target_info(&v->h, &v->ws.target, &b, d, &e);
	} else if (build) {
		rc = provider_build(&v->h, a, &v->build_job, d, &e);
	} else if (target) {
		rc = provider_target(&v->h, a, &v->ws.target, d, &e);
	} else {
		v->job.force = a == ACT_FORCE_DELETE;
		rc = provider_workspace(&v->h, a, &v->job, d, &e);
	}
	rc = result(action, rc, &b, &e);
	buf_free(&b);
	return rc;
}

static int load(struct drive *v, const char *file, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	const char *user = getenv("DRIVE_GIT_USER"), *token = getenv("DRIVE_GIT_TOKEN");
	int rc = -1;

	if (file_read(file, 1 << 20, &text, e) == 0)
		doc = json_parse(buf_str(&text), 1 << 20, e);
	if (doc)
		rc = workspace_parse(json_root(doc), &v->ws, e);
	json_doc_free(doc);
	buf_free(&text);
	v->job = (struct workspace_job){ .ws = &v->ws, .env = &v->ws.env, .builder_image = "" };
	if (user || token) {
		v->git.username = mem_dup(user ? user : "");
		v->git.token = mem_dup(token ? token : "");
		v->job.git = &v->git;
	}
	return rc;
}

static int load_build(struct drive *v, struct err *e)
{
	const char *file = getenv("DRIVE_BUILD"), *host = getenv("DRIVE_REGISTRY");
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	int rc = -1;

	if (!file)
		return 0;
	if (file_read(file, 1 << 20, &text, e) == 0)
		doc = json_parse(buf_str(&text), 1 << 20, e);
	if (doc)
		rc = build_parse(json_root(doc), &v->build, e);
	json_doc_free(doc);
	buf_free(&text);
	v->build_job = (struct build_job){
		.build = &v->build,
		.registries = &v->registries,
		.git = v->job.git,
		.builder_image = v->job.builder_image,
		.registry_host = host ? host : "",
		.namespace_ = "",
	};
	for (size_t i = 0; host && i < v->registries.n; i++)
		if (strcmp(v->registries.list[i].server, host) == 0)
			v->build_job.registry_auth = &v->registries.list[i];
	return rc;
}

static int fail(const struct err *e)
{
	fprintf(stderr, "provider_drive: %s\n", e->msg);
	return 2;
}

int main(int argc, char **argv)
{
	struct drive v = { .seconds = 60 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct kv options = { 0 };
	const struct provider *p;
	struct err e = { 0 };
	int c, failed = 0;

	while ((c = getopt(argc, argv, "+o:")) == 'o') {
		char *eq = strchr(optarg, '=');

		if (eq) {
			*eq = '\0';
			kv_set(&options, optarg, eq + 1);
		}
	}
	if (c != -1 || argc - optind < 5) {
		err_set(&e, ERR_USAGE, 0,
		        "PROVIDER STATE_DIR RUNNER_BINARY WORKSPACE.json ACTION...");
		return fail(&e);
	}
	argv += optind;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	p = provider_find(argv[0]);
	if (!p) {
		err_set(&e, ERR_NOT_FOUND, 0, "no provider is named \"%s\"", argv[0]);
		return fail(&e);
	}
	if (getenv("DRIVE_SECONDS"))
		str_to_i64(str_of(getenv("DRIVE_SECONDS")), 1, 3600, &v.seconds);
	v.env = (struct provider_env){
		.state_dir = argv[1],
		.runner_id = "c06076b18f00",
		.runner_name = "drive",
		.options = &options,
		.api_url = getenv("DRIVE_API_URL"),
		.server_ca_file = getenv("DRIVE_CA_FILE"),
		.server_pin_sha256 = getenv("DRIVE_PIN"),
		.server_proxy = getenv("DRIVE_PROXY"),
		.self_exe = argv[2],
		.log = output,
		.stop = &stop,
	};
	if (load(&v, argv[3], &e) < 0)
		return fail(&e);
	registries_split(&v.ws.env, &v.registries);
	v.job.registries = &v.registries;
	allow_set(ALLOW_IMAGES, getenv("DRIVE_ALLOW_IMAGES"));
	where_set(getenv("DRIVE_MIRRORS"), getenv("DRIVE_PLAIN_HTTP"));
	if (getenv("DRIVE_BUILDER"))
		v.job.builder_image = getenv("DRIVE_BUILDER");
	if (load_build(&v, &e) < 0)
		return fail(&e);
	if (provider_open(&v.h, p, &v.env, &e) < 0)
		return fail(&e);
	for (argv += 4; *argv; argv++)
		failed |= act(&v, *argv) < 0;
	provider_close(&v.h);
	workspace_free(&v.ws);
	build_free(&v.build);
	registries_free(&v.registries);
	git_provider_free(&v.git);
	kv_free(&options);
	return failed;
}
