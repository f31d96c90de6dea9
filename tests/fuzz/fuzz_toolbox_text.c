/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a command line and as git's history: words within the limit, and JSON. */
#include "agent/toolbox/history.h"
#include "agent/toolbox/words.h"
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct words w = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	if (words_cut(&w, text, &e) == 0 && (!w.n || w.n > WORDS_MAX || w.v[w.n]))
		abort();
	words_free(&w);
	history_parse(text, &b);
	doc = json_parse(buf_str(&b), 16 << 20, &e);
	if (!doc)
		abort();
	json_doc_free(doc);
	buf_free(&b);
	return 0;
}
