/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's readiness and watchdog protocol (sd_notify(3)) by ourselves: one datagram to
 * $NOTIFY_SOCKET. */
#ifndef RUNNER_SDNOTIFY_H
#define RUNNER_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1"; several lines in one text. False: nobody
 * listens. Never blocks. */
bool sdnotify(const char *state);
/* How often "WATCHDOG=1" is due: half the time that $WATCHDOG_USEC allows. 0: not asked for. */
int64_t sdnotify_watchdog_ms(void);

#endif
