/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's calls. Each takes one request and answers it, once. */
#ifndef AGENT_TOOLBOX_CALLS_H
#define AGENT_TOOLBOX_CALLS_H

#include "agent/toolbox/exchange.h"
#include "agent/toolbox/toolbox.h"

#define TOOLBOX_CUT_FIELD \
	"X-Toolbox-Cut: true\r\n" /* there would be more than the limits let through */

typedef void toolbox_call(struct exchange *x, const struct toolbox *t);

/* files.c */
toolbox_call files_list, files_info, files_delete, files_folder, files_move, files_permissions;
/* transfer.c */
toolbox_call files_upload, files_download;
/* find.c */
toolbox_call files_find, files_search, files_replace;
/* execute.c */
toolbox_call process_execute;
/* sessions_relay.c: all below /process/session */
toolbox_call process_session;
/* git.c */
toolbox_call git_call_status, git_call_branches, git_call_branch, git_call_clone, git_call_add,
	git_call_commit, git_call_push, git_call_pull, git_call_history;

#endif
