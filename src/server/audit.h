/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asked for what (access log, only when wanted) and who changed what (audit log, always). A line
 * that cannot be written at once is lost and counted: no request waits for it or fails.
 */
#ifndef SERVER_AUDIT_H
#define SERVER_AUDIT_H

#include "server/srv.h"

#define AUDIT_FILE "audit.log"

/* Can --access-log be written to? */
int access_check(const char *path, struct err *e);
/* For httpd_settings.done; arg: struct srv. */
void access_done(void *arg, const struct httpd_req *r, const struct httpd_done *d);
/* For store.committed: what became durable, by the call at hand, else by s->who. */
void audit_committed(void *arg, struct str did);
/* "client/ada": of a key. */
void audit_who(struct buf *b, const struct rec *key);

#endif
