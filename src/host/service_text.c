/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units and scripts. Hardening stops where it would break workspaces: Docker's socket, bind mounts
 * out of /tmp, namespaces and whatever runs inside a workspace must go on working; KillMode=process
 * because workspaces of the native provider outlive a restart of the runner.
 */
#include "host/service.h"

#include <string.h>

/* Read back by service.c and install.sh: which runner it is. */
#define HEAD "# Service of daytona-runner\n# Configuration: %s\n# State: %s\n"

/* systemd.syntax(7): specifiers and variables must not be expanded. */
static void add_unit_word(struct buf *b, const char *word)
{
	buf_addc(b, '"');
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			buf_addc(b, '\\');
		else if (*word == '%' || *word == '$')
			buf_addc(b, *word);
		buf_addc(b, *word);
	}
	buf_addc(b, '"');
}

/* Only the file is the same for the service: HOME, environment and this command line are not. */
static bool needs_state_dir(const struct config *c)
{
	return !str_starts(str_of(c->sources[config_key_index("runner.state_dir")]), "file:");
}

static int stop_seconds(const struct config *c)
{
	return (int)(c->drain_timeout_ms / 1000) + 15;
}

static void add_systemd(const struct service *s, struct buf *b)
{
	const struct config *c = s->config;

	buf_addf(b, HEAD "\n[Unit]\nDescription=Daytona runner\n", c->dir, c->state_dir);
	if (!s->user)
		buf_adds(
			b,
			"Wants=network-online.target\nAfter=network-online.target docker.service podman.service\n");
	buf_adds(
		b,
		"StartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\nExecStart=@");
	add_unit_word(b, s->program);
	buf_adds(b, " daytona-runner serve --config-dir ");
	add_unit_word(b, c->dir);
	if (needs_state_dir(c)) {
		buf_adds(b, " --state-dir ");
		add_unit_word(b, c->state_dir);
	}
	buf_adds(b, "\nExecReload=/bin/sh -c 'kill -HUP $$MAINPID'\n");
	buf_addf(
		b,
		"TimeoutStopSec=%d\nKillMode=process\nRestart=on-failure\nRestartSec=5\nRestartPreventExitStatus=2 78\nWatchdogSec=120\n",
		stop_seconds(c));
	buf_adds(b, "OOMPolicy=continue\nDelegate=yes\nUMask=0077\nLimitCORE=0\n");
	/* A user's needs newuidmap; each job gives the right up by itself. */
	if (!s->user)
		buf_adds(
			b,
			"NoNewPrivileges=yes\nProtectSystem=full\nProtectKernelModules=yes\nProtectKernelLogs=yes\nRestrictRealtime=yes\n"
			"LockPersonality=yes\n");
	buf_addf(b, "\n[Install]\nWantedBy=%s\n", s->user ? "default.target" : "multi-user.target");
}

static void add_arguments(const struct service *s, struct buf *b)
{
	buf_adds(b, " --config-dir ");
	buf_add_shell(b, str_of(s->config->dir));
	if (needs_state_dir(s->config)) {
		buf_adds(b, " --state-dir ");
		buf_add_shell(b, str_of(s->config->state_dir));
	}
}

static void add_openrc(const struct service *s, struct buf *b)
{
	struct buf arguments = { 0 };

	buf_adds(&arguments, "serve");
	add_arguments(s, &arguments);
	buf_addf(b,
	         "#!/sbin/openrc-run\n" HEAD
	         "\ndescription='Daytona runner'\nsupervisor=supervise-daemon\ncommand=",
	         s->config->dir, s->config->state_dir);
	buf_add_shell(b, str_of(s->program));
	buf_adds(b, "\ncommand_args=");
	buf_add_shell(b, buf_str(&arguments)); /* it is evaluated once more */
	buf_addf(
		b,
		"\nretry='TERM/%d/KILL/5'\nrespawn_delay=5\nrespawn_max=0\numask=077\nextra_started_commands='reload'\n",
		stop_seconds(s->config));
	buf_adds(b, "\ndepend()\n{\n\tuse net dns logger\n\tafter docker firewall\n}\n"
	            "\nstart_pre()\n{\n\t\"$command\" config --quiet --config-dir ");
	buf_add_shell(b, str_of(s->config->dir));
	buf_adds(b, "\n}\n\nreload()\n{\n\tsupervise-daemon \"$RC_SVCNAME\" --signal HUP\n}\n");
	buf_free(&arguments);
}

static void add_sysv(const struct service *s, struct buf *b)
{
	buf_addf(
		b,
		"#!/bin/sh\n" HEAD "### BEGIN INIT INFO\n# Provides:          daytona-runner\n"
		"# Required-Start:    $network $local_fs $remote_fs\n# Required-Stop:     $network $local_fs $remote_fs\n"
		"# Should-Start:      docker $time\n# Should-Stop:       docker\n# Default-Start:     2 3 4 5\n"
		"# Default-Stop:      0 1 6\n# Short-Description: Daytona runner\n### END INIT INFO\n"
		"# chkconfig: 2345 95 05\n\numask 077\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		"export PATH\n\nrunner()\n{\n\tverb=$1\n\tshift\n\t",
		s->config->dir, s->config->state_dir);
	buf_add_shell(b, str_of(s->program));
	buf_adds(b, " \"$verb\"");
	add_arguments(s, b);
	buf_adds(
		b,
		" \"$@\"\n}\n\ncase ${1-} in\nstart | stop | restart | status)\n\trunner \"$1\"\n\t;;\n"
		"reload | force-reload)\n\trunner restart\n\t;;\n*)\n"
		"\techo \"Usage: $0 start|stop|restart|reload|status\" >&2\n\texit 2\n\t;;\nesac\n");
}

void service_text(const struct service *s, struct buf *b)
{
	if (s->type == SERVICE_SYSTEMD)
		add_systemd(s, b);
	else if (s->type == SERVICE_OPENRC)
		add_openrc(s, b);
	else
		add_sysv(s, b);
}
