/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON into a buf. Commas are placed by looking at the last byte written, so there is no
 * writer state. Strings are made valid UTF-8 (bad bytes become U+FFFD), control bytes are escaped.
 *
 *	jw_obj(b); jw_kstr(b, "state", "error"); jw_key(b, "ids"); jw_arr(b); jw_int(b, 1); jw_arr_end(b); jw_obj_end(b);
 */
#ifndef BASE_JSONW_H
#define BASE_JSONW_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

void jw_obj(struct buf *b);
void jw_obj_end(struct buf *b);
void jw_arr(struct buf *b);
void jw_arr_end(struct buf *b);
void jw_key(struct buf *b, const char *key);
void jw_str(struct buf *b, struct str s);
void jw_int(struct buf *b, int64_t v);
void jw_bool(struct buf *b, bool v);
void jw_null(struct buf *b);
void jw_raw(struct buf *b, struct str json); /* text that is JSON already */
/* Key and value in one call; jw_kstr writes null for NULL. */
void jw_kstr(struct buf *b, const char *key, const char *s);
void jw_kint(struct buf *b, const char *key, int64_t v);
void jw_kbool(struct buf *b, const char *key, bool v);

#endif
