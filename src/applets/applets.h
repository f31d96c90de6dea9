/* SPDX-License-Identifier: Apache-2.0 */
/* The list of applets: one word here and one file each; nothing else to change. */
#ifndef APPLETS_APPLETS_H
#define APPLETS_APPLETS_H

#include <stdbool.h>

struct err;

struct applet {
	const char *name;
	const char *summary; /* one line for the list in help */
	/* argv[0] is the applet's name; returns the exit status. */
	int (*run)(int argc, char **argv);
	const char *aliases; /* comma separated, or NULL */
	bool hidden;         /* not in the list of help */
};

/* clang-format off */
#define APPLET_ALL(X) \
	X(create) X(configure) X(config) X(serve) X(start) X(stop) X(restart) X(status) X(cancel) X(upgrade) \
	X(pause) X(resume) X(check) X(service) X(logs) X(rotate_key) X(list) X(delete) X(purge) X(provider) X(server) X(agent) \
	X(up) X(down) X(target) X(workspace) X(job) X(key) X(env) X(git_credential) X(docker_credential) X(ssh) X(ssh_config) \
	X(shell) X(exec) X(cp) X(forward) X(tunnel) \
	X(askpass) X(container_init) X(help) X(version) X(completion) X(call) X(image) X(workspaces)
/* clang-format on */
#ifndef APPLET_LIST /* else the build's choice: DR_APPLETS in CMakeLists.txt */
#define APPLET_LIST APPLET_ALL
#endif

#define EXIT_CONFIG 78 /* of `serve`: EX_CONFIG of sysexits.h, named in the service texts */

#define APPLET_DECLARE(name) extern const struct applet name##_applet;
APPLET_ALL(APPLET_DECLARE)

/* Prints "daytona-runner <applet>: <message>" to stderr; returns the exit status for e: 2 for ERR_USAGE, else 1. */
int applet_fail(const char *applet, const struct err *e);
const struct applet *applet_find(const char *name); /* or alias; NULL if there is none */
/* "; did you mean X?" for a word that is none of their names, or "". */
const char *applet_hint(const char *word, char out[96]);
void applet_list(void (*each)(void *arg, const struct applet *a), void *arg);
const char *
applet_self_exe(void); /* where /proc/self/exe leads, else how we were called; borrowed */

#endif
