/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of json.c that look at bytes: grammar (RFC 8259), JSONC, and string escapes. */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* 0 if text is exactly one JSON value with space around it, nested at most JSON_DEPTH_MAX deep; *tokens
 * counts keys and values. jsonc: the text itself, in which byte order mark, comments and trailing commas
 * are taken and made spaces, so that offsets stay; NULL: they are refused. -1: ERR_PARSE with the byte
 * offset, ERR_LIMIT. */
int json_check(struct str text, char *jsonc, size_t *tokens, struct err *e);
/* Appends what stands between the quotes of a checked string. Lone surrogates and bytes that are no
 * UTF-8 become U+FFFD. */
void json_unescape(struct str raw, struct buf *out);

#endif
