/* SPDX-License-Identifier: Apache-2.0 */
/* Dockerfiles: lines, instructions, flags and words. */
#include "base/kv.h"
#include "oci/dockerfile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *get(const void *arg, const char *name)
{
	return kv_get(arg, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dockerfile f;
	struct err e = { 0 };
	struct kv vars = { 0 };

	if (dockerfile_parse(&f, (struct str){ (const char *)data, size }, &e) < 0 && !*e.msg)
		abort();
	for (size_t i = 0; !e.kind && i < f.n; i++) {
		struct dockerfile_scope scope = { get, &vars, f.escape };
		struct str rest = str_of(f.list[i].rest), name, value;
		struct buf word = { 0 };

		if (!f.list[i].line || f.list[i].kind >= DOCKERFILE_KINDS)
			abort();
		while (dockerfile_flag(&rest, &name, &value))
			;
		for (size_t left = rest.n + 1;
		     dockerfile_word(&rest, i % 7 == 6, &scope, &word, &e) > 0; left = rest.n) {
			if (rest.n >= left)
				abort();
			kv_set(&vars, "A", buf_cstr(&word));
		}
		err_clear(&e);
		buf_free(&word);
	}
	kv_free(&vars);
	dockerfile_free(&f);
	return 0;
}
