/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What git and docker in a workspace know of their user: name, mail address and signing key as the Server has them, and who
 * gives them credentials (the applets git-credential and docker-credential). What the user has set is left alone.
 */
#ifndef AGENT_GITSETUP_H
#define AGENT_GITSETUP_H

#include "agent/helper.h"
#include "api/client.h"

struct git_setup { /* all borrowed */
	const struct api_settings *settings;
	const char *url;     /* of the repository */
	const char *ca_file; /* for the Server; NULL: the system's */
};
/* In a helper's process, after the agent is ready: "+", or "-" and what could not be done. */
void git_setup_work(void *setup, struct deadline d);

#endif
