/* SPDX-License-Identifier: Apache-2.0 */
/* See kv.h. Searched linearly: the largest ones hold some dozens of pairs. */
#include "base/kv.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void pair_free(struct kv_pair *p)
{
	free(p->key);
	mem_free_secret(p->value);
}

void kv_free(struct kv *kv)
{
	for (size_t i = 0; i < kv->n; i++)
		pair_free(&kv->pairs[i]);
	free(kv->pairs);
	*kv = (struct kv){ 0 };
}

static struct kv_pair *find(const struct kv *kv, const char *key)
{
	for (size_t i = 0; i < kv->n; i++) {
		if (strcmp(kv->pairs[i].key, key) == 0)
			return &kv->pairs[i];
	}
	return NULL;
}

void kv_set(struct kv *kv, const char *key, const char *value)
{
	struct kv_pair *p = find(kv, key);
	char *copy = mem_dup(value ? value : "");

	if (p) {
		mem_free_secret(p->value);
		p->value = copy;
		return;
	}
	if (kv->n == kv->cap) {
		size_t cap = kv->cap ? kv->cap * 2 : 8;
		struct kv_pair *pairs = mem_array(cap, sizeof(*pairs));

		if (kv->n)
			memcpy(pairs, kv->pairs, kv->n * sizeof(*pairs));
		free(kv->pairs);
		kv->pairs = pairs;
		kv->cap = cap;
	}
	kv->pairs[kv->n++] = (struct kv_pair){ mem_dup(key), copy };
}

const char *kv_get(const struct kv *kv, const char *key)
{
	const struct kv_pair *p = find(kv, key);

	return p ? p->value : NULL;
}

bool kv_del(struct kv *kv, const char *key)
{
	struct kv_pair *p = find(kv, key);
	size_t at;

	if (!p)
		return false;
	at = (size_t)(p - kv->pairs);
	pair_free(p);
	memmove(p, p + 1, (kv->n - at - 1) * sizeof(*p));
	kv->n--;
	return true;
}

void kv_merge(struct kv *into, const struct kv *from)
{
	if (into == from)
		return;
	for (size_t i = 0; i < from->n; i++)
		kv_set(into, from->pairs[i].key, from->pairs[i].value);
}

void kv_from_json(struct kv *kv, struct json obj)
{
	if (!json_is_object(obj))
		return;
	for (struct json v = json_first(obj); json_present(v); v = json_next(v)) {
		char *value = json_dup(v);
		struct buf key = { 0 };

		json_key(v, &key);
		if (value && strlen(buf_cstr(&key)) == key.n)
			kv_set(kv, buf_cstr(&key), value);
		buf_free(&key);
		mem_free_secret(value);
	}
}

void kv_to_json(const struct kv *kv, struct buf *b)
{
	jw_obj(b);
	for (size_t i = 0; i < kv->n; i++)
		jw_kstr(b, kv->pairs[i].key, kv->pairs[i].value);
	jw_obj_end(b);
}

char **kv_to_env(const struct kv *kv)
{
	char **env = mem_array(kv->n + 1, sizeof(*env));

	for (size_t i = 0; i < kv->n; i++) {
		struct buf b = { 0 };

		buf_addf(&b, "%s=%s", kv->pairs[i].key, kv->pairs[i].value);
		env[i] = buf_take(&b);
	}
	return env;
}

void kv_env_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		mem_free_secret(env[i]);
	free(env);
}
