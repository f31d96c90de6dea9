/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers, time stamps and API keys (protocol 1.4). See srv.h. */
#include "server/srv.h"

#include "base/mem.h"
#include "net/tls.h"

#include <time.h>

void stamp_now(char out[STAMP_SIZE])
{
	struct timespec ts;
	char seconds[TIME_TEXT_SIZE], fraction[12];

	clock_gettime(CLOCK_REALTIME, &ts);
	time_rfc3339((int64_t)ts.tv_sec * 1000, true, false, seconds);
	snprintf(fraction, sizeof(fraction), ".%09ld", ts.tv_nsec);
	for (size_t i = 9; i > 0 && fraction[i] == '0'; i--)
		fraction[i] = '\0';
	snprintf(out, STAMP_SIZE, "%.19s%sZ", seconds, fraction[1] ? fraction : "");
}

int new_hex_id(struct buf *b, struct err *e)
{
	unsigned char raw[32];

	if (crypto_random(raw, sizeof(raw), e) < 0)
		return -1;
	buf_add_hex(b, raw, sizeof(raw));
	return 0;
}

int new_id(char out[ID_SIZE], struct err *e)
{
	struct buf hex = { 0 };
	bool letter = false;

	while (!letter) {
		buf_reset(&hex);
		if (new_hex_id(&hex, e) < 0) {
			buf_free(&hex);
			return -1;
		}
		memcpy(out, hex.p, ID_SIZE - 1);
		out[ID_SIZE - 1] = '\0';
		letter = strpbrk(out, "abcdef") != NULL;
	}
	buf_free(&hex);
	return 0;
}

int new_uuid(struct buf *b, struct err *e)
{
	unsigned char raw[16];
	struct buf hex = { 0 };

	if (crypto_random(raw, sizeof(raw), e) < 0)
		return -1;
	raw[6] = (unsigned char)((raw[6] & 0x0f) | 0x40);
	raw[8] = (unsigned char)((raw[8] & 0x3f) | 0x80);
	buf_add_hex(&hex, raw, sizeof(raw));
	buf_addf(b, "%.8s-%.4s-%.4s-%.4s-%.12s", hex.p, hex.p + 8, hex.p + 12, hex.p + 16,
	         hex.p + 20);
	mem_wipe(raw, sizeof(raw));
	buf_wipe(&hex);
	return 0;
}

static void hash_of(struct str key, struct buf *hex)
{
	unsigned char hash[32];

	crypto_sha256(key.p, key.n, hash);
	buf_add_hex(hex, hash, sizeof(hash));
}

int key_add(struct srv *s, struct change *ch, const char *type, const char *name,
            char out[API_KEY_SIZE], struct err *e)
{
	struct buf uuid = { 0 }, text = { 0 }, hash = { 0 };
	struct rec *r;

	if (store_find(&s->store, K_KEY, "name", name))
		return err_set(e, ERR_EXISTS, 0, "an API key named %s exists already", name);
	if (new_uuid(&uuid, e) < 0)
		return -1;
	buf_add_base64(&text, uuid.p, uuid.n, false, false);
	snprintf(out, API_KEY_SIZE, "%s", buf_cstr(&text));
	hash_of(buf_str(&text), &hash);
	r = change_add(ch, K_KEY);
	rec_set(r, "hash", buf_cstr(&hash));
	rec_set(r, "type", type);
	rec_set(r, "name", name);
	buf_wipe(&uuid);
	buf_wipe(&text);
	buf_free(&hash);
	return 0;
}

int key_create(struct srv *s, const char *type, const char *name, char out[API_KEY_SIZE],
               struct err *e)
{
	struct change *ch = change_begin(&s->store);

	if (key_add(s, ch, type, name, out, e) == 0)
		return change_commit(ch, e);
	change_drop(ch);
	return -1;
}

static bool has_owner(const struct srv *s, const struct rec *key)
{
	const char *type = rec_text(key, "type"), *name = rec_text(key, "name");

	if (strcmp(type, "client") == 0)
		return true;
	return store_find(&s->store,
	                  strcmp(type, "runner") == 0   ? K_RUNNER
	                  : strcmp(type, "target") == 0 ? K_TARGET
	                                                : K_WORKSPACE,
	                  "id", name) != NULL;
}

const struct rec *key_find(const struct srv *s, struct str key)
{
	struct buf hash = { 0 };
	const struct rec *r;

	hash_of(key, &hash);
	r = store_find(&s->store, K_KEY, "hash", buf_cstr(&hash));
	buf_free(&hash);
	return r && has_owner(s, r) ? r : NULL;
}

void key_remove(struct srv *s, struct change *ch, const char *type, const char *name)
{
	const struct rec *r = store_find(&s->store, K_KEY, "name", name);

	if (r && rec_is(r, "type", type))
		change_remove(ch, r);
}

const struct rec *key_client(const struct srv *s, const char *name)
{
	const struct rec *r = store_find(&s->store, K_KEY, "name", name);

	return r && rec_is(r, "type", "client") ? r : NULL;
}
