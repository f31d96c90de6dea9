/* SPDX-License-Identifier: Apache-2.0 */
/* Features of dev containers, each with the same document: an order that keeps to what each waits for, one line an instruction. */
#include "base/mem.h"
#include "providers/devcontainer/features.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int same_for_all(void *arg, const struct feature *f, const char *path, struct buf *json,
                        struct err *e)
{
	(void)f;
	(void)path;
	(void)e;
	buf_add_str(json, *(const struct str *)arg);
	return 0;
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void build(const struct features *fs, const size_t *order)
{
	struct buf text = { 0 }, label = { 0 }, script = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;
	uint64_t done = 0;

	for (size_t i = 0; i < fs->n; i++) {
		require(order[i] < fs->n && !(done >> order[i] & 1));
		done |= UINT64_C(1) << order[i];
	}
	if (features_dockerfile(fs, order, "base", "", &text, &e) == 0) {
		struct str rest = buf_str(&text), line;

		while (str_next(&rest, '\n', &line))
			require(!line.n || str_starts(line, "FROM base") ||
			        str_starts(line, "USER ") || str_starts(line, "ADD ") ||
			        str_starts(line, "COPY ") || str_starts(line, "ENV ") ||
			        str_starts(line, "RUN [\"/bin/sh\""));
	}
	features_metadata(fs, order, "[]", &label);
	doc = json_parse(buf_str(&label), label.n, &e);
	require(doc != NULL || e.kind == ERR_LIMIT || e.kind == ERR_CONFIG);
	json_doc_free(doc);
	for (size_t i = 0; i < fs->n; i++)
		feature_env(&fs->list[i], "dev", "root", &script);
	buf_free(&text);
	buf_free(&label);
	buf_free(&script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct features *fs = mem_alloc(sizeof(*fs));
	size_t order[FEATURES_MAX];
	struct err e = { 0 };
	struct json_doc *doc = json_parse_jsonc(in, FEATURE_JSON_MAX, &e);
	struct json root = json_root(doc);

	if (doc && features_collect(fs, root, "/d", same_for_all, &in, &e) == 0 &&
	    features_order(fs, json_get(root, "overrideFeatureInstallOrder"), order, &e) == 0)
		build(fs, order);
	features_free(fs);
	free(fs);
	json_doc_free(doc);
	return 0;
}
