/* SPDX-License-Identifier: Apache-2.0 */
/* Two connections to the Server: which request goes over which, when, and what a failure costs. */
#ifndef RUNNER_CHANNEL_H
#define RUNNER_CHANNEL_H

#include "net/http.h"
#include "net/pollset.h"
#include "runner/sup.h"

void channels_open(struct sup *s); /* with the link as it is; again after channels_close */
void channels_close(struct sup *s);
void channels_free(struct sup *s);
void channels_poll(struct sup *s, struct pollset *ps);
void channels_step(struct sup *s);
void channels_drop(struct sup *s);         /* connections are stale (suspend, reload): start over */
void channels_hurry(struct sup *s);        /* the last reports: no more waiting after failures */
void channels_beat_now(struct sup *s);     /* what heartbeats tell has changed */
void channels_stop_polling(struct sup *s); /* no more jobs */
bool channels_busy(const struct sup *s);
bool channels_poll_well(const struct sup *s); /* jobs are asked for, as far as can be told */
struct http_stats channels_stats(const struct sup *s);
const struct api *channels_api(const struct sup *s); /* for sockets of their own */

#endif
