/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers, time stamps and API keys (protocol 1.4). See srv.h. */
#include "server/srv.h"

#include "api/token.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/url.h"

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

/* NULL with e. */
static struct rec *put(struct change *ch, const char *type, const char *name,
                       char out[API_KEY_SIZE], struct err *e)
{
	struct buf uuid = { 0 }, text = { 0 }, hash = { 0 };
	struct rec *r;

	if (new_uuid(&uuid, e) < 0)
		return NULL;
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
	return r;
}

/* Those whose time is up may have the same name still. */
static const struct rec *named(const struct srv *s, const char *type, const char *name)
{
	const struct rec *key = store_find(&s->store, K_KEY, "name", name);

	while (key && (key_expired(key) || (type && !rec_is(key, "type", type))))
		key = store_find_next(&s->store, key, "name");
	return key;
}

static int is_free(const struct srv *s, const char *name, struct err *e)
{
	return named(s, NULL, name)
	               ? err_set(e, ERR_EXISTS, 0, "an API key named %s exists already", name)
	               : 0;
}

int key_add(struct srv *s, struct change *ch, const char *type, const char *name,
            char out[API_KEY_SIZE], struct err *e)
{
	return is_free(s, name, e) == 0 && put(ch, type, name, out, e) ? 0 : -1;
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

int key_join(struct srv *s, const char *name, int64_t for_ms, const char *url, struct buf *out,
             struct err *e)
{
	struct change *ch = change_begin(&s->store);
	char key[API_KEY_SIZE];
	struct kv settings = { 0 };
	struct url u = { 0 };
	struct err ignored = { 0 };
	struct rec *r = is_free(s, name, e) == 0 ? put(ch, "join", name, key, e) : NULL;

	if (!r) {
		change_drop(ch);
		return -1;
	}
	rec_set_int(r, "expires", clock_wall_ms() + for_ms);
	for (const struct rec *rec = store_find(&s->store, K_KEY, "type", "join"); rec;
	     rec = store_find_next(&s->store, rec, "type"))
		if (key_expired(rec))
			change_remove(ch, rec);
	kv_set(&settings, "server.url", url);
	kv_set(&settings, TOKEN_JOIN, key);
	if (url_parse(str_of(url), &u, &ignored) == 0 && !url_is_tls(&u) && !url_is_loopback(&u))
		kv_set(&settings, "server.allow_http", "true");
	url_free(&u);
	token_write(&settings, out);
	kv_free(&settings);
	mem_wipe(key, sizeof(key));
	return change_commit(ch, e);
}

#define GRACE_MS (15 * 60 * 1000LL) /* jobs that were begun with the old key */

int key_rotate(struct srv *s, const char *runner_id, char out[API_KEY_SIZE], struct err *e)
{
	struct change *ch = change_begin(&s->store);
	struct rec *r = put(ch, "runner", runner_id, out, e);

	if (!r) {
		change_drop(ch);
		return -1;
	}
	rec_set_bool(r, "fresh", true);
	/* One that nobody has used is lost: whoever asked for it died. */
	for (const struct rec *key = store_find(&s->store, K_KEY, "name", runner_id); key;
	     key = store_find_next(&s->store, key, "name"))
		if (rec_bool(key, "fresh") || key_expired(key))
			change_remove(ch, key);
	return change_commit(ch, e);
}

void key_used(struct srv *s, const struct rec *key)
{
	struct change *ch;
	struct err ignored = { 0 }; /* the next use tries again */

	if (!rec_bool(key, "fresh"))
		return;
	ch = change_begin(&s->store);
	rec_set(change_edit(ch, key), "fresh", NULL);
	for (const struct rec *rec = store_find(&s->store, K_KEY, "name", rec_text(key, "name"));
	     rec; rec = store_find_next(&s->store, rec, "name"))
		if (rec != key && rec_has(rec, "expires"))
			change_remove(ch, rec); /* the one before the last */
		else if (rec != key)
			rec_set_int(change_edit(ch, rec), "expires", clock_wall_ms() + GRACE_MS);
	(void)change_commit(ch, &ignored);
}

bool key_expired(const struct rec *key)
{
	return rec_has(key, "expires") && rec_int(key, "expires") <= clock_wall_ms();
}

void key_until(const struct rec *key, char out[TIME_TEXT_SIZE])
{
	out[0] = '\0';
	if (rec_has(key, "expires"))
		time_rfc3339(rec_int(key, "expires"), true, false, out);
}

static bool has_owner(const struct srv *s, const struct rec *key)
{
	const char *type = rec_text(key, "type"), *name = rec_text(key, "name");

	if (strcmp(type, "client") == 0 || strcmp(type, "join") == 0)
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
	return r && !key_expired(r) && has_owner(s, r) ? r : NULL;
}

void key_remove(struct srv *s, struct change *ch, const char *type, const char *name)
{
	for (const struct rec *r = store_find(&s->store, K_KEY, "name", name); r;
	     r = store_find_next(&s->store, r, "name"))
		if (rec_is(r, "type", type))
			change_remove(ch, r);
}

const struct rec *key_named(const struct srv *s, const char *type, const char *name)
{
	return named(s, type, name);
}

void key_mark(const struct rec *key, struct buf *b)
{
	const char *type = rec_text(key, "type");

	buf_addf(b, "%s %s", type, rec_text(key, strcmp(type, "client") == 0 ? "hash" : "name"));
}

bool key_lasts(const struct srv *s, const char *mark)
{
	const char *field = str_starts(str_of(mark), "client ") ? "hash" : "name";
	const char *value = strchr(mark, ' ') + 1;
	struct str type = { mark, (size_t)(value - mark) - 1 };
	const struct rec *key = store_find(&s->store, K_KEY, field, value);

	while (key && (key_expired(key) || !str_eq(type, rec_text(key, "type"))))
		key = store_find_next(&s->store, key, field);
	return key != NULL;
}
