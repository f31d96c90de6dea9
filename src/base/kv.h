/* SPDX-License-Identifier: Apache-2.0 */
/* A small ordered map of strings: environment, labels, options. Keys are unique; order is kept. */
#ifndef BASE_KV_H
#define BASE_KV_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

struct kv_pair {
	char *key;
	char *value;
};

struct kv {
	struct kv_pair *pairs;
	size_t n;
	size_t cap;
};

void kv_free(struct kv *kv); /* wipes values: they may be secrets */
void kv_set(struct kv *kv, const char *key, const char *value); /* replaces; copies both */
const char *kv_get(const struct kv *kv, const char *key);       /* borrowed; NULL if missing */
bool kv_del(struct kv *kv, const char *key);
void kv_merge(struct kv *into, const struct kv *from); /* from wins */
/* Every member of a JSON object whose value is a string; others are skipped. Absent or null is empty. */
void kv_from_json(struct kv *kv, struct json obj);
void kv_to_json(const struct kv *kv, struct buf *b);
/* NULL-terminated "K=V" array for exec; the caller frees with kv_env_free. */
char **kv_to_env(const struct kv *kv);
void kv_env_free(char **env);

#endif
