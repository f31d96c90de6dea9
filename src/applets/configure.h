/* SPDX-License-Identifier: Apache-2.0 */
/* Between configure.c (options, saving) and configure_ask.c (the questions). */
#ifndef APPLETS_CONFIGURE_H
#define APPLETS_CONFIGURE_H

#include "base/err.h"
#include "base/kv.h"
#include "host/config.h"
#include "host/prompt.h"

/* Shows the current settings, the key masked. */
void configure_show(struct prompt *p, const struct config *c);
/* Asks for each of the main settings, or only for those that are needed and missing; answers
 * that differ from what is there go into changes. now: the settings as they would be without the
 * answers, and with those that were tried. check: URL and key are tried at once. ERR_CANCELED: nothing is to be changed. */
int configure_ask(struct prompt *p, struct config *now, bool only_missing, bool check,
                  struct kv *changes, struct err *e);

#endif
