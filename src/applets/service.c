/* SPDX-License-Identifier: Apache-2.0 */
/* service: the runner started by the host's init system. */
#include "host/service.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/life.h"
#include "base/mem.h"
#include "base/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"service {install | uninstall | print}\n"
	"Makes the host's init system start the runner: systemd (system unit as root, else user unit), OpenRC or SysV "
	"scripts. The unit holds no secret.";

static int check_paths(const struct service *s, struct err *e)
{
	const char *const paths[] = { s->program, s->config->dir, s->config->state_dir };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		for (const char *p = paths[i]; *p; p++) {
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return err_set(
					e, ERR_CONFIG, 0,
					"a path holds a control character; a service cannot name it");
		}
	}
	return 0;
}

/* The service gets nothing of this shell; where the two directories are, goes into the unit. */
static void forget_environment(void)
{
	extern char **environ;

	for (char **v = environ; *v;) {
		struct str name = { *v, strcspn(*v, "=") };
		char *copy = NULL;

		if (str_starts(name, "DAYTONA_RUNNER_") && !str_ends(name, "_DIR"))
			copy = mem_dupn(name.p, name.n);
		if (!copy || unsetenv(copy) != 0)
			v++;
		free(copy);
	}
}

static int install(const struct service *s, bool start, struct err *e)
{
	struct buf done = { 0 };
	int rc = *s->root ? 0 : config_require(s->config, e);

	if (rc < 0)
		return err_hint(e, CONFIG_REMEDY);
	rc = service_install(s, &done, e);
	fputs(buf_cstr(&done), stdout);
	buf_free(&done);
	if (rc < 0 || *s->root)
		return rc;
	if (!start) {
		puts("Next: daytona-runner start");
		return 0;
	}
	return life_start(s->config, NULL, LIFE_START_MS, e);
}

static int uninstall_one(const struct service *s, bool *any, struct err *e)
{
	struct buf done = { 0 };
	bool was_there = false;
	int rc = service_uninstall(s, &was_there, &done, e);

	fputs(buf_cstr(&done), stdout);
	buf_free(&done);
	*any = *any || was_there;
	return rc;
}

/* Without options, whatever was written: another init may run by now, or none. */
static int uninstall(struct service *s, bool chosen, struct err *e)
{
	unsigned at = 0;
	bool any = false;
	int rc = chosen ? uninstall_one(s, &any, e) : 0;

	while (!chosen && rc == 0 && service_written(s, &at))
		rc = uninstall_one(s, &any, e);
	if (rc == 0 && !any)
		puts("No service is installed");
	return rc;
}

static int act(struct service *s, const char *verb, bool start, bool chosen, struct err *e)
{
	struct buf text = { 0 };
	char *path;

	if (strcmp(verb, "uninstall") == 0)
		return uninstall(s, chosen, e);
	s->program = life_program(e);
	if (!s->program || check_paths(s, e) < 0)
		return -1;
	if (strcmp(verb, "install") == 0)
		return install(s, start, e);
	path = service_path(s, e); /* refuses what cannot be */
	if (!path)
		return -1;
	service_text(s, &text);
	fputs(buf_cstr(&text), stdout);
	buf_free(&text);
	free(path);
	return 0;
}

static int service_run(int argc, char **argv)
{
	struct config c = { 0 };
	struct service s = { .root = "", .config = &c };
	struct kv flags = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *state_dir = NULL, *type = NULL, *verb;
	bool user = false, system = false, start = false;
	const struct opt opts[] = {
		OPT_STR(0, "type", "TYPE", &type,
		        "systemd, openrc or sysv instead of what runs here"),
		OPT_FLAG(0, "user", &user, "systemd user unit"),
		OPT_FLAG(0, "system", &system, "system unit although not root"),
		OPT_STR(0, "root", "DIR", &s.root,
		        "install below DIR, for an image; enables nothing"),
		OPT_FLAG(0, "start", &start, "after install, start it"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_STR(0, "state-dir", "DIR", &state_dir, "state directory of the runner"),
		OPT_END,
	};
	int rc;

	opts_parse(opts, usage, argc, argv, 1, 1);
	verb = argv[1];
	if (strcmp(verb, "install") != 0 && strcmp(verb, "uninstall") != 0 &&
	    strcmp(verb, "print") != 0)
		opts_misuse(usage, "install, uninstall or print, not \"%s\"", verb);
	if (user && system)
		opts_misuse(usage, "--user and --system exclude each other");
	s.type = type   ? service_type_of(type)
	         : user ? SERVICE_SYSTEMD /* nothing else has them */
	                : service_detect();
	if (type && s.type == SERVICE_NONE)
		opts_misuse(usage, "type is systemd, openrc or sysv, not \"%s\"", type);
	s.user = s.type == SERVICE_SYSTEMD && !system && (user || (geteuid() != 0 && !*s.root));
	if (user && s.type != SERVICE_SYSTEMD)
		opts_misuse(usage, "only systemd has user units");
	if (strcmp(verb, "install") == 0 && !*s.root)
		forget_environment();
	if (state_dir)
		kv_set(&flags, "runner.state_dir", state_dir);
	rc = strcmp(verb, "install") == 0 ? config_load(&c, config_dir, &flags, &e)
	                                  : cli_look("service", &c, config_dir, &flags, &e);
	if (rc == 0)
		rc = act(&s, verb, start, type || user || system, &e);
	config_free(&c);
	kv_free(&flags);
	return rc < 0 ? applet_fail("service", &e) : out_flush();
}

const struct applet service_applet = { .name = "service",
	                               .summary = "let the init system start the runner",
	                               .run = service_run };
