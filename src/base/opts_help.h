/* SPDX-License-Identifier: Apache-2.0 */
/* What opts.c writes to stdout. */
#ifndef BASE_OPTS_HELP_H
#define BASE_OPTS_HELP_H

#include "base/opts.h"
#include "base/str.h"

/* The applet's name: the words of the synopsis before its first option or operand. */
struct str opts_applet(const char *usage);
/* The flags that are true now, one bit for each of the first 64 rows. Both functions below end the
 * process; they show the flags in `on` as --no-name. */
uint64_t opts_flags_on(const struct opt *opts);
_Noreturn void opts_help(const struct opt *opts, const char *usage, uint64_t on);
/* What the help calls its value; "" for none. */
const char *opts_arg(const struct opt *o);
_Noreturn void opts_print(const struct opt *opts, uint64_t on);

#endif
