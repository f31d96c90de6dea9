/* SPDX-License-Identifier: Apache-2.0 */
/* Between checkup.c and checkup_host.c. */
#ifndef HOST_CHECKUP_INT_H
#define HOST_CHECKUP_INT_H

#include "host/checkup.h"
#include "host/snapshot.h"
#include "net/resolve.h"

struct look {
	const struct config *c;
	const char *self_exe;
	struct deadline d;
	struct server_link link;
	struct url proxy;
	const struct url *far; /* whom we connect to: the Server or the proxy */
	struct addr_list addrs;
	struct http_reply hello; /* the Server's first answer */
	struct err hello_err, key_err;
	struct buf notes;
	struct snapshot s;
};

/* said: the line if all is well, or a note; e: what is wrong and the remedy. */
typedef enum check_state checkup_fn(struct look *l, struct buf *said, struct err *e);
checkup_fn checkup_disk, checkup_providers, checkup_runner, checkup_service, checkup_port;

#endif
