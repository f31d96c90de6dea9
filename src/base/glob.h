/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shell patterns (POSIX.1-2017, XCU 2.13): '*', '?', "[a-z]", "[!a]". A character is one of UTF-8, else a byte; a backslash
 * stands for itself. Time is at most the product of the lengths.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

/* segments: neither '*' nor '?' nor a list of characters takes a '/'. */
bool glob_match(const char *pattern, const char *text, bool segments);

#endif
