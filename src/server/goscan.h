/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the first JSON value of a request body the way the reference's decoder does: what follows
 * the value is ignored, and a malformed body gives the same text that its clients see.
 */
#ifndef SERVER_GOSCAN_H
#define SERVER_GOSCAN_H

#include "base/buf.h"
#include "base/str.h"

/* Bytes of white space and value at the front of text; 0 with the reason appended to why. */
size_t goscan_value(struct str text, struct buf *why);

#endif
