/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as runner.ini: known sections alone, growing line numbers, an error that names a line. */
#include "host/config_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(void *arg, const struct config_line *l, struct err *e)
{
	int *last = arg;

	(void)e;
	if (l->line <= *last || !l->key || !*l->key || !l->value || !l->section)
		abort();
	if (strcmp(l->section, "runner") != 0 && strcmp(l->section, "server") != 0 &&
	    (strcmp(l->section, "provider") != 0 || !str_is_id(str_of(l->provider))))
		abort();
	*last = l->line;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	int last = 0;

	if (config_scan("x", (struct str){ (const char *)data, size }, each, &last, &e) < 0 &&
	    (e.kind != ERR_CONFIG || strncmp(e.msg, "x:", 2) != 0))
		abort();
	return 0;
}
