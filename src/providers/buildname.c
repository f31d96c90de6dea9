/* SPDX-License-Identifier: Apache-2.0 */
/* See buildname.h. */
#include "providers/buildname.h"

#include "base/mem.h"
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

/* A string as the reference's JSON library writes it; jsonw escapes less. */
static void add_string(struct buf *b, const char *s)
{
	static const char controls[] = "\b\t\n\f\r";
	size_t n = strlen(s);

	buf_addc(b, '"');
	for (size_t i = 0; i < n;) {
		int len = str_utf8_len(s + i, n - i);
		unsigned char c = (unsigned char)s[i];

		if (len <= 0) {
			buf_adds(b, "\\ufffd");
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (strchr(controls, c) && c)
			buf_addf(b, "\\%c", "btnfr"[strchr(controls, c) - controls]);
		else if (c < 0x20 || c == '<' || c == '>' || c == '&')
			buf_addf(b, "\\u%04x", c);
		else if (len == 3 && memcmp(s + i, "\xe2\x80\xa8", 3) == 0)
			buf_adds(b, "\\u2028");
		else if (len == 3 && memcmp(s + i, "\xe2\x80\xa9", 3) == 0)
			buf_adds(b, "\\u2029");
		else
			buf_add(b, s + i, (size_t)len);
		i += (size_t)len;
	}
	buf_addc(b, '"');
}

static int by_key(const void *a, const void *b)
{
	const struct kv_pair *x = a, *y = b;

	return strcmp(x->key, y->key);
}

void build_env_json(const struct kv *env, bool is_null, struct buf *out)
{
	struct kv_pair *sorted;

	if (is_null) {
		buf_adds(out, "null");
		return;
	}
	sorted = mem_array(env->n, sizeof(*sorted));
	if (env->n) {
		memcpy(sorted, env->pairs, env->n * sizeof(*sorted));
		qsort(sorted, env->n, sizeof(*sorted), by_key);
	}
	buf_addc(out, '{');
	for (size_t i = 0; i < env->n; i++) {
		if (i)
			buf_addc(out, ',');
		add_string(out, sorted[i].key);
		buf_addc(out, ':');
		add_string(out, sorted[i].value);
	}
	buf_addc(out, '}');
	free(sorted);
}

static void hash_hex(struct buf *text, size_t digits, struct buf *out)
{
	unsigned char sum[32];

	crypto_sha256(text->p, text->n, sum);
	buf_wipe(text); /* holds the build's variables */
	buf_add_hex(out, sum, digits / 2);
}

void build_image_name(const struct build *b, const char *devcontainer_path, const char *registry,
                      const char *namespace_, struct buf *out)
{
	struct buf text = { 0 }, base = { 0 };

	buf_addf(out, "%s%s/w-", registry, namespace_);
	buf_adds(&text, b->repo.url);
	hash_hex(&text, 16, out);
	buf_addc(out, ':');
	if (devcontainer_path) {
		buf_adds(&text, "{\"filePath\":");
		add_string(&text, devcontainer_path);
		buf_addc(&text, '}');
	}
	buf_addf(&text, "%s%s", b->repo.url, b->repo.branch);
	build_env_json(&b->env, b->env_is_null, &text);
	hash_hex(&text, 64, &base);
	buf_adds(&base, b->repo.sha);
	hash_hex(&base, 16, out);
}
