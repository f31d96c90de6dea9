/* SPDX-License-Identifier: Apache-2.0 */
/* What the other end of a stream says (api/tunnel.h): messages, each after a byte with its length. */
#include "api/tunnel.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void take_note(void *arg, enum tunnel_channel ch, struct str s)
{
	size_t *bytes = arg;

	(void)ch;
	*bytes += s.n;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
	struct tunnel t = { .may_send = TUNNEL_WINDOW };
	size_t noted = 0;

	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		t.source[i].fd = t.sink[i].fd = -1;
	tunnel_notes(&t, take_note, &noted);
	for (size_t i = 0; i < n;) {
		size_t len = data[i++];
		char *copy = mem_alloc(len ? len : 1);

		len = len < n - i ? len : n - i;
		memcpy(copy, data + i, len);
		i += len;
		/* As if most of the window had been used up. */
		if (t.may_send == TUNNEL_WINDOW && (len & 1))
			t.may_send -= TUNNEL_WINDOW / 2;
		got_message(&t, (struct str){ copy, len });
		free(copy);
		assert(t.may_send <= TUNNEL_WINDOW);
		assert(t.fault || t.taken <= TUNNEL_WINDOW);
		assert(noted <= n);
	}
	for (int i = 0; i < TUNNEL_DATA_CHANNELS; i++)
		buf_free(&t.sink[i].waiting);
	return 0;
}
