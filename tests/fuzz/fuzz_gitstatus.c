/* SPDX-License-Identifier: Apache-2.0 */
/* Any output of git status becomes a JSON object with the five members. */
#include "base/json.h"
#include "git/status.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	git_status_parse(text, &b);
	if (!b.n) /* without a branch */
		return 0;
	doc = json_parse(buf_str(&b), 8 << 20, &e);
	if (!doc || json_len(json_root(doc)) != 5 ||
	    json_len(json_get(json_root(doc), "fileStatus")) > GIT_STATUS_FILES_MAX)
		abort();
	json_doc_free(doc);
	buf_free(&b);
	return 0;
}
