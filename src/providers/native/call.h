/* SPDX-License-Identifier: Apache-2.0 */
/* What a call on one workspace of native-provider works with. */
#ifndef PROVIDERS_NATIVE_CALL_H
#define PROVIDERS_NATIVE_CALL_H

#include "providers/native/options.h"
#include "providers/native/state.h"

struct native_call {
	const struct provider_env *env;
	const struct workspace_job *w; /* NULL for workspace_condition */
	const struct workspace *ws;
	struct native_paths paths;
	struct native_options options;
	struct native_state state;
};

/* The repository of c->ws into c->state.dir. */
int native_checkout(struct native_call *c, struct deadline d, struct err *e);

#endif
