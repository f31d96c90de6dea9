/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before every file of ours (-include): functions that overflow, truncate silently, keep
 * hidden state or cannot report an error do not compile. The headers come first, since their own
 * declarations must still be readable.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol gmtime localtime

#endif
