/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with comments: what plain JSON accepts must be accepted here with the same value. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct err e = { 0 };
	struct json_doc *plain = json_parse(in, 1 << 20, &e);
	struct json_doc *doc = json_parse_jsonc(in, 1 << 20, &e);
	struct str a = json_raw(json_root(plain)), b = json_raw(json_root(doc));

	if (plain && (!doc || a.n != b.n || memcmp(a.p, b.p, a.n) != 0))
		abort();
	json_doc_free(plain);
	json_doc_free(doc);
	return 0;
}
