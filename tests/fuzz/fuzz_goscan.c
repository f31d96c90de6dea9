/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies of the embedded Server: what the scanner takes, the JSON reader takes too (and
 * what it refuses has a reason), and the checks of every body type end on it.
 */
#include "server/dto.h"
#include "server/goscan.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_all(struct json root)
{
	static const struct dto *const types[] = { &dto_job_state,        &dto_runner_metadata,
		                                   &dto_create_workspace, &dto_workspace_metadata,
		                                   &dto_server_config,    &dto_labels };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct buf why = { 0 };
		bool ok = dto_check(types[i], root, &why);

		if (ok != (why.n == 0))
			abort();
		buf_free(&why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	struct buf why = { 0 };
	struct err e = { 0 };
	size_t used = goscan_value(text, &why);

	if ((used == 0) == (why.n == 0) || used > n)
		abort();
	if (used) {
		struct json_doc *doc = json_parse((struct str){ text.p, used }, n, &e);
		bool utf8 = true;

		for (size_t i = 0; i < used && utf8;) {
			int len = str_utf8_len(text.p + i, used - i);

			utf8 = len > 0;
			i += utf8 ? (size_t)len : 1;
		}
		/* Invalid UTF-8 is mended before the reader sees it. */
		if (!doc && utf8)
			abort();
		if (doc)
			check_all(json_root(doc));
		json_doc_free(doc);
	}
	buf_free(&why);
	return 0;
}
