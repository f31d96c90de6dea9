/* SPDX-License-Identifier: Apache-2.0 */
/* The page at "/": share/page/, packed into the executable by cmake/gen-page. */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include "base/buf.h"

#include <stddef.h>

extern const unsigned char page_html[]; /* packed (base/unpack.h) */
extern const size_t page_html_n;
extern const char page_policy
	[]; /* Content-Security-Policy: its script and style by their hashes, nothing else */

/* Appends a text as HTML, in an attribute's quotes as well. */
void html_add(struct buf *b, struct str text);

#endif
