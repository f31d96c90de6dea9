/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line options from one table: parsing, help, completion and the man page all read it.
 * Long options: --name VALUE, --name=VALUE, --no-name for a flag that starts true. Short: -n VALUE,
 * -nVALUE, grouped flags. "--" ends options; options may follow operands.
 */
#ifndef BASE_OPTS_H
#define BASE_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
	OPT_TYPE_END,
	OPT_TYPE_FLAG,
	OPT_TYPE_STR,
	OPT_TYPE_INT,
	OPT_TYPE_GROUP,
	OPT_TYPE_LIST
};

/* Of an option that may be given more than once; the values point into argv. */
struct opt_list {
	const char **v;
	size_t n;
};

/* Tables stand on the stack, since they point to variables there, and are filled by code: few fields make that
 * code short. */
struct opt {
	/* Three texts, each with its NUL: the name without dashes, or ""; what the help calls the value, in
	 * capitals; and the help, one phrase, lower case, no full stop. */
	const char *text;
	void *to;         /* bool *, const char **, int64_t *, struct opt_list * */
	int32_t min, max; /* OPT_TYPE_INT */
	unsigned char type;
	char letter; /* 0: none */
	bool secret; /* the value is overwritten in argv after it was copied */
	bool unused;
};

#define OPT(type, c, secret, text, v, lo, hi) \
	{ \
		text, v, lo, hi, type, c, secret, false \
	}
#define OPT_TEXT(n, a, h) n "\0" a "\0" h
#define OPT_FLAG(c, n, v, h) OPT(OPT_TYPE_FLAG, c, false, OPT_TEXT(n, "", h), v, 0, 0)
#define OPT_STR(c, n, a, v, h) OPT(OPT_TYPE_STR, c, false, OPT_TEXT(n, a, h), v, 0, 0)
#define OPT_SECRET(c, n, a, v, h) OPT(OPT_TYPE_STR, c, true, OPT_TEXT(n, a, h), v, 0, 0)
#define OPT_LIST(c, n, a, v, h) OPT(OPT_TYPE_LIST, c, false, OPT_TEXT(n, a, h), v, 0, 0)
#define OPT_INT(c, n, a, v, lo, hi, h) OPT(OPT_TYPE_INT, c, false, OPT_TEXT(n, a, h), v, lo, hi)
#define OPT_GROUP(h) OPT(OPT_TYPE_GROUP, 0, false, OPT_TEXT("", "", h), NULL, 0, 0)
/* note: a paragraph that ends the description of every applet with these options. */
#define OPT_GROUP_NOTE(h, note) OPT(OPT_TYPE_GROUP, 0, false, OPT_TEXT("", note, h), NULL, 0, 0)
#define OPT_END OPT(OPT_TYPE_END, 0, false, NULL, NULL, 0, 0)

/* Parses argv[1..]. Operands are moved to the front of argv (argv[0] stays) and counted in the
 * return value. usage: "stop [-f] [-c FILE]\nStops the runner …" (first line the synopsis, the rest
 * a description). Exits 0 after --help or -h on stdout; exits 2 on misuse with one line on stderr. min/max
 * operands are checked (max < 0: any). String values point into argv, except secrets: these
 * are copied (never freed), given to mask_add, and blanked in argv. */
int opts_parse(const struct opt *opts, const char *usage, int argc, char **argv, int min_operands,
               int max_operands);
/* Prints "daytona-runner <applet>: <text>" and a hint to --help; exits 2. */
_Noreturn void opts_misuse(const char *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* What the hidden first argument --print-options of each applet writes, one option a line,
 * tab separated: letter, name, arg, help. Completion and man page are made from it. */

#endif
