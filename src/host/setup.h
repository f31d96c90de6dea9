/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a configuration against the world: the Server, and the providers on this host. */
#ifndef HOST_SETUP_H
#define HOST_SETUP_H

#include "base/buf.h"
#include "base/deadline.h"
#include "host/config.h"

/*
 * Asks the Server, with nothing but reads, whether URL, TLS, key and id are right: /health without
 * the key, then the runner's own record, then the beginning of a poll for jobs, which only a
 * runner's key may do. notes: lines for a person (a name that differs). -1: e says what is wrong
 * and what to do.
 */
int setup_check_server(const struct config *c, struct buf *notes, struct deadline d, struct err *e);

/* The beginning of that, for what is known first: is a Server at the URL, and does it take the key? */
int setup_check_answer(const struct config *c, bool with_key, struct err *e);

struct setup_provider {
	const char *name;
	bool enabled; /* by configuration and provider jobs */
	bool usable;  /* its requirements are met */
	char *report; /* lines: what was found */
	char *why;    /* the first requirement that is not met, or NULL */
};
/* All compiled-in providers; check: look at their requirements too. Caller frees with
 * setup_providers_free. */
size_t setup_providers(const struct config *c, const char *self_exe, bool check,
                       struct setup_provider **out, struct deadline d);
void setup_providers_free(struct setup_provider *list, size_t n);
/* Comma separated names → changes that enable these and disable the others. ERR_CONFIG for a
 * name that we do not have. */
int setup_select_providers(const char *names, struct kv *changes, struct err *e);

#endif
