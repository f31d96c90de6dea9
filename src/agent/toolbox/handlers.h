/* SPDX-License-Identifier: Apache-2.0 */
/* The toolbox's handlers. Each takes one request and answers it, once. */
#ifndef AGENT_TOOLBOX_HANDLERS_H
#define AGENT_TOOLBOX_HANDLERS_H

#include "agent/toolbox/exchange.h"
#include "agent/toolbox/toolbox.h"

#define TOOLBOX_CUT_FIELD \
	"X-Toolbox-Cut: true\r\n" /* there would be more than the limits let through */

typedef void toolbox_handler(struct exchange *exchange, const struct toolbox *t);

/* files.c */
toolbox_handler files_list, files_info, files_delete, files_folder, files_move, files_permissions;
/* transfer.c */
toolbox_handler files_upload, files_download;
/* find.c */
toolbox_handler files_find, files_search, files_replace;
/* execute.c */
toolbox_handler process_execute;
/* sessions_relay.c: all below /process/session */
toolbox_handler process_session;
/* git.c */
toolbox_handler git_call_status, git_call_branches, git_call_branch, git_call_clone, git_call_add,
	git_call_commit, git_call_push, git_call_pull, git_call_history;

#endif
