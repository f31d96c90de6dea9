/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner as a service of the host's init system: systemd (system or user), OpenRC, SysV scripts
 * (busybox too). Units hold paths alone: no secret, nothing of the caller's environment. Files that
 * are not ours are never touched.
 */
#ifndef HOST_SERVICE_H
#define HOST_SERVICE_H

#include "base/buf.h"
#include "base/err.h"
#include "host/config.h"

#include <stdbool.h>
#include <sys/types.h>

#define SERVICE_UNIT_MAX 128

enum service_type { SERVICE_NONE, SERVICE_SYSTEMD, SERVICE_OPENRC, SERVICE_SYSV };

struct service {
	enum service_type type;
	bool user;           /* systemd user unit */
	const char *root;    /* prefix of system paths, for images being built; "" */
	const char *program; /* path of daytona-runner */
	const struct config *config;
	char unit[SERVICE_UNIT_MAX]; /* systemd's name of it when it is not our own; "" */
};

/* What runs this host: by what its init left in /run, then by what is installed. */
enum service_type service_detect(void);
const char *service_type_name(enum service_type t);
enum service_type service_type_of(const char *name); /* SERVICE_NONE if unknown */
/* Where the unit or script goes. Caller frees. */
char *service_path(const struct service *s, struct err *e);
void service_text(const struct service *s, struct buf *b);
/* Writes the file (replaces only our own), then enables it unless root is set. done: lines that
 * say what was done. */
int service_install(const struct service *s, struct buf *done, struct err *e);
/* Stops, disables, removes, whichever init runs here now: also the process, and links that only the init's own tools
 * would remove. *was_there. */
int service_uninstall(const struct service *s, bool *was_there, struct buf *done, struct err *e);
/* What was once written and is ours, by its place: fills type and user; *at begins with 0. False: no more. */
bool service_written(struct service *s, unsigned *at);
/* True if that starts the runner with s->config. */
bool service_is_for(const struct service *s);
/* True if our unit for this configuration directory is installed and its init runs: then start,
 * stop and restart go through it. Fills type and user. */
bool service_manages(struct service *s);
/* True if systemd started process pid as the main one of a unit, whoever wrote that: fills type, user and unit. */
bool service_owns(struct service *s, pid_t pid);
/* True if process pid is the child of a supervisor that would start it anew: its name. */
bool service_keeper(pid_t pid, char name[SERVICE_UNIT_MAX]);
/* Tells that supervisor of process pid not to start it anew when it ends; it may also send SIGTERM. False: it has no ears
 * that we know, or not for us. */
bool service_keep_down(pid_t pid, const char *keeper);
/* verb: "start", "stop", "restart". */
int service_control(const struct service *s, const char *verb, struct err *e);

#endif
