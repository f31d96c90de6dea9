/* SPDX-License-Identifier: Apache-2.0 */
/* See history.h. */
#include "agent/toolbox/history.h"

#include "base/jsonw.h"

#define HASH_MIN 40

static bool is_hash(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (str_hex_digit((unsigned char)s.p[i]) < 0)
			return false;
	return s.n >= HASH_MIN;
}

void history_parse(struct str log, struct buf *json)
{
	static const char *const keys[] = { "hash", "author", "email", "timestamp", "message" };
	struct str field[5], line;

	while (log.n && log.p[log.n - 1] != '\0')
		log.n--; /* a field without its end was cut */
	jw_arr(json);
	for (;;) {
		size_t n = 0;

		while (n < 5 && str_next(&log, '\0', &field[n]))
			n++;
		if (n < 5)
			break;
		/* Behind what precedes it: a line end, a warning. */
		while (str_next(&field[0], '\n', &line))
			if (!field[0].n)
				break;
		if (!is_hash(line))
			continue;
		field[0] = line;
		jw_obj(json);
		for (size_t i = 0; i < 5; i++) {
			jw_key(json, keys[i]);
			jw_str(json, field[i]);
		}
		jw_obj_end(json);
	}
	jw_arr_end(json);
}
