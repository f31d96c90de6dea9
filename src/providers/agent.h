/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in workspace agent (design 6): a supervisor inside a workspace. Clones when asked to,
 * posts the workspace's metadata every 2 s, reaps, forwards signals. Everything comes from the
 * environment, so that no secret is in argv:
 *   DAYTONA_SERVER_API_URL, DAYTONA_SERVER_API_KEY, DAYTONA_WORKSPACE_ID (or DAYTONA_TARGET_ID alone),
 *   DAYTONA_AGENT_DIR (checkout directory), DAYTONA_AGENT_CLONE=1 (clone DAYTONA_WORKSPACE_REPOSITORY_URL first when empty),
 *   DAYTONA_AGENT_BRANCH, DAYTONA_AGENT_SHA, DAYTONA_AGENT_LOG_FILE_PATH, DAYTONA_AGENT_INTERVAL_MS.
 */
#ifndef PROVIDERS_AGENT_H
#define PROVIDERS_AGENT_H

#include "base/err.h"

/* The line on stdout that says it works; a provider waits for it (also printed by Daytona's agent). */
#define AGENT_READY_TEXT "Daytona Agent started"

/* argv: a command to run and supervise beside, or none. Returns the exit status. */
int agent_main(int argc, char **argv, struct err *e);

/* Puts Daytona's agent for linux-<arch> into <state_dir>/agents/<version>/ (downloaded once from /binary/<version>/…, size and
 * ELF header checked, SHA-256 recorded beside it and checked on use). *path: caller frees. arch: "amd64", "arm64". */
struct api;
struct deadline;
int agent_fetch(struct api *a, const char *state_dir, const char *version, const char *arch,
		char **path, const struct deadline *d, struct err *e);
const char *agent_host_arch(void); /* in Go's spelling: amd64, arm64, arm, riscv64 */

#endif
