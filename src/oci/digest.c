/* SPDX-License-Identifier: Apache-2.0 */
/* See digest.h. */
#include "oci/digest.h"

#include "base/buf.h"

#include <string.h>

bool digest_parse(struct str s, struct digest *d)
{
	size_t prefix = sizeof(DIGEST_PREFIX) - 1;

	if (s.n != prefix + DIGEST_HEX || !str_starts(s, DIGEST_PREFIX))
		return false;
	for (size_t i = prefix; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	memcpy(d->text, s.p, s.n);
	d->text[s.n] = '\0';
	return true;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return strcmp(a->text, b->text) == 0;
}

const char *digest_hex(const struct digest *d)
{
	return d->text + sizeof(DIGEST_PREFIX) - 1;
}

static void from_bytes(const unsigned char raw[32], struct digest *d)
{
	struct buf b = { 0 };

	buf_adds(&b, DIGEST_PREFIX);
	buf_add_hex(&b, raw, 32);
	memcpy(d->text, b.p, b.n + 1);
	buf_free(&b);
}

void digest_of(struct str bytes, struct digest *d)
{
	unsigned char raw[32];

	crypto_sha256(bytes.p, bytes.n, raw);
	from_bytes(raw, d);
}

void digest_end(struct sha256 *h, struct digest *d)
{
	unsigned char raw[32];

	sha256_end(h, raw);
	from_bytes(raw, d);
}
