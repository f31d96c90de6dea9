/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in workspace agent (design 6): a supervisor inside a workspace. Clones when asked to,
 * posts the workspace's metadata every 2 s, reaps, forwards signals. Everything comes from the
 * environment, so that no secret is in argv. DAYTONA_… :
 *   SERVER_API_URL, SERVER_API_KEY, WORKSPACE_ID (or TARGET_ID alone)
 *   AGENT_DIR                     checkout directory
 *   AGENT_CLONE=1                 clone WORKSPACE_REPOSITORY_URL into it first, unless it is there
 *   AGENT_BRANCH, AGENT_SHA       for the clone; none: the default branch
 *   AGENT_LOG_FILE_PATH           log beside standard error; "(HOME)" is replaced
 *   AGENT_INTERVAL_MS             between heartbeats; 0: none
 *   AGENT_GRACE_MS                between SIGTERM and SIGKILL for what is below it
 *   AGENT_KEEP=1                  go on when the command has ended
 *   AGENT_CA_FILE, AGENT_PIN_SHA256, AGENT_PROXY, AGENT_NO_PROXY   how the Server is reached
 *   AGENT_GIT_CA_FILE             CA of the repository's host
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/err.h"

#include <stdbool.h>

/* A variable with the number of a pipe that it closes when it has said that it works: who waits need not look. */
#define AGENT_READY_FD "DAYTONA_AGENT_READY_FD"
/* The line on stdout that says it works; a provider waits for it (Daytona's agent prints it too). */
#define AGENT_READY_TEXT "Daytona Agent started"

/* argv: a command to run and supervise beside, or none. Returns the exit status. */
int agent_main(int argc, char **argv, struct err *e);

/* Puts Daytona's agent for linux-<arch> into <state_dir>/agents/<version>/: downloaded once from
 * /binary/<version>/…, size and ELF header checked, SHA-256 recorded beside it and checked on use.
 * *path: caller frees. arch: "amd64", "arm64". a may be NULL: from the cache alone. */
struct api;
struct deadline;
struct stat;
int agent_fetch(struct api *a, const char *state_dir, const char *version, const char *arch,
                char **path, const struct deadline *d, struct err *e);
/* Whether that file is in the cache and allowed here, unread: to compare its size and time with those of a copy. */
bool agent_cached(const char *state_dir, const char *version, const char *arch, struct stat *file);
const char *agent_host_arch(void); /* in Go's spelling: amd64, arm64, arm, riscv64 */

#endif
