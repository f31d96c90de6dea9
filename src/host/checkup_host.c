/* SPDX-License-Identifier: Apache-2.0 */
/* See checkup.h: what this host has to offer. */
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "host/checkup_int.h"
#include "host/daemon.h"
#include "host/service.h"
#include "host/setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MB (1ull << 20)
#define FREE_MIN_MB 64u /* below that logs and journal end */
#define FREE_LITTLE_MB 2048u
#define INODES_MIN 1000u

/* The directory itself, or what it would be made in. */
static char *existing(const char *path, struct err *e)
{
	char *dir = mem_dup(path), *slash;
	struct stat st;

	while (stat(dir, &st) < 0 && errno == ENOENT && (slash = strrchr(dir, '/')) != NULL)
		slash[slash == dir] = '\0';
	if (!file_is_dir(dir) || access(dir, W_OK | X_OK) < 0)
		err_sys(e, file_is_dir(dir) ? errno : ENOTDIR, "state directory %s: %s", path, dir);
	return dir;
}

enum check_state checkup_disk(struct look *l, struct buf *said, struct err *e)
{
	char *dir = existing(l->c->state_dir, e);
	struct statvfs v = { 0 };
	uint64_t mb;

	if (e->kind == ERR_NONE && statvfs(dir, &v) < 0)
		err_sys(e, errno, "state directory %s", dir);
	free(dir);
	if (e->kind) {
		err_hint(e, "choose another: daytona-runner configure --state-dir DIR");
		return CHECK_WRONG;
	}
	mb = (uint64_t)v.f_bavail * v.f_frsize / MB;
	if (mb < FREE_MIN_MB || (v.f_files && v.f_favail < INODES_MIN)) {
		err_set(e, ERR_LIMIT, 0,
		        "%s has %llu MB and %llu files left; free some, or choose another: "
		        "daytona-runner configure --state-dir DIR",
		        l->c->state_dir, (unsigned long long)mb, (unsigned long long)v.f_favail);
		return CHECK_WRONG;
	}
	buf_addf(said, "%llu MB free for %s", (unsigned long long)mb, l->c->state_dir);
	if (mb >= FREE_LITTLE_MB)
		return CHECK_OK;
	buf_adds(said, ", which is little for clones and images");
	return CHECK_NOTE;
}

enum check_state checkup_providers(struct look *l, struct buf *said, struct err *e)
{
	struct setup_provider *list, *bad = NULL;
	size_t n = setup_providers(l->c, l->self_exe, true, &list, l->d), usable = 0;

	for (size_t i = 0; i < n; i++) {
		if (list[i].enabled && list[i].usable)
			buf_addf(said, "%s%s", usable++ ? ", " : "", list[i].name);
		else if (list[i].enabled)
			bad = &list[i];
	}
	if (!usable && !bad)
		err_set(e, ERR_CONFIG, 0,
		        "none is enabled; choose one: daytona-runner provider enable NAME");
	else if (!usable)
		err_set(e, ERR_UNSUPPORTED, 0, "%s: %s; more: daytona-runner provider check",
		        bad->name, bad->why);
	else if (bad)
		buf_addf(said, "; not %s: %s", bad->name, bad->why);
	setup_providers_free(list, n);
	return !usable ? CHECK_WRONG : bad ? CHECK_NOTE : CHECK_OK;
}

enum check_state checkup_runner(struct look *l, struct buf *said, struct err *e)
{
	char *text;
	bool other;

	if (daemon_look(&l->s, l->c->state_dir, e) < 0)
		return CHECK_WRONG;
	if (!l->s.running) {
		buf_adds(said, "not running; start it with: daytona-runner start");
		return CHECK_NOTE;
	}
	if (!snapshot_server_ok(&l->s, l->c->heartbeat_ms)) {
		text = json_dup_or_empty(snapshot_get(&l->s, "last_error"));
		err_set(e, ERR_OTHER, 0,
		        "runs, but the Server does not have it%s%s; see: daytona-runner logs",
		        *text ? ": " : " yet", text);
		free(text);
		return CHECK_WRONG;
	}
	text = json_dup_or_empty(snapshot_get(&l->s, "version"));
	other = strcmp(text, DR_VERSION) != 0;
	buf_addf(said, "process %ld, version %s%s", (long)l->s.who.pid, text,
	         other ? "; this program is another: daytona-runner restart" : "");
	free(text);
	return other ? CHECK_NOTE : CHECK_OK;
}

enum check_state checkup_service(struct look *l, struct buf *said, struct err *e)
{
	struct service s = { .root = "", .config = l->c };
	enum service_type here = service_detect();
	unsigned at = 0;

	(void)e;
	while (service_written(&s, &at)) {
		if (service_is_for(&s)) {
			buf_addf(said, "%s starts it", service_type_name(s.type));
			return CHECK_OK;
		}
	}
	if (l->s.who.pid > 0 &&
	    (service_keeper(l->s.who.pid, s.unit) || service_owns(&s, l->s.who.pid))) {
		buf_addf(said, "%s keeps it", s.unit);
		return CHECK_OK;
	}
	if (here == SERVICE_NONE)
		buf_adds(said, "no init system here would start it again");
	else
		buf_addf(said,
		         "%s does not start it; it does after: daytona-runner service install",
		         service_type_name(here));
	return CHECK_NOTE;
}

/* Takes the port without listening on it. */
static int try_port(uint16_t port)
{
	union net_addr a = { .v4 = { .sin_family = AF_INET } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, code = 0;

	net_addr_set_port(&a, port);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &a.sa, net_addr_len(&a)) < 0)
		code = errno;
	fd_close(&fd);
	return code;
}

enum check_state checkup_port(struct look *l, struct buf *said, struct err *e)
{
	int port = (int)l->c->port, code = 0;
	struct json error = snapshot_get(&l->s, "port_error");

	if (port == 0) {
		buf_adds(said, "none is wanted");
		return CHECK_OK;
	}
	if (l->s.running && json_is_string(error)) {
		char *text = json_dup_or_empty(error);

		err_set(e, ERR_BUSY, 0, "%s", text);
		free(text);
		return CHECK_WRONG;
	}
	if (!l->s.running && (code = try_port((uint16_t)port)) != 0) {
		err_sys(e, code, "port %d", port);
		err_hint(e, "choose another, or 0 for none: daytona-runner configure --port N");
		return CHECK_WRONG;
	}
	buf_addf(said, "%d %s", port, l->s.running ? "answers /healthz and /readyz" : "is free");
	return CHECK_OK;
}
