/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text before the first LF is registered as secrets (split at commas), the rest is masked whole and
 * in pieces, whose lengths come from the text too. Both must give the same, without a secret in it.
 */
#include "base/mask.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_secrets(struct str list)
{
	struct str secret;

	for (int n = 0; n < 8 && str_next(&list, ',', &secret); n++)
		mask_add(secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size }, secrets = { 0 }, first = { 0 };
	struct buf whole = { 0 }, pieces = { 0 };
	struct mask_stream mask = { 0 };

	str_next(&rest, '\n', &secrets);
	if (secrets.n > 512)
		return 0;
	add_secrets(secrets);
	mask_text(&whole, rest);
	for (size_t i = 0; i < rest.n;) {
		size_t n = (unsigned char)rest.p[i] % 7 + 1u;

		if (n > rest.n - i)
			n = rest.n - i;
		mask_stream_feed(&mask, &pieces, (struct str){ rest.p + i, n });
		i += n;
	}
	mask_stream_end(&mask, &pieces);
	if (whole.n != pieces.n || (whole.n && memcmp(whole.p, pieces.p, whole.n) != 0))
		abort();
	/* Stars may join what is around them to a new match only if the secret itself holds stars. */
	str_next(&secrets, ',', &first);
	first = str_trim(first);
	if (first.n >= 6 && !memchr(first.p, '*', first.n) &&
	    memmem(buf_cstr(&whole), whole.n, first.p, first.n))
		abort();
	mask_clear();
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
