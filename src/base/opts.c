/* SPDX-License-Identifier: Apache-2.0 */
/* See opts.h. Parsing is here; help and --print-options are in opts_help.c. */
#include "base/opts.h"

#include "base/mask.h"
#include "base/mem.h"
#include "base/opts_help.h"
#include "base/spell.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	const struct opt *opts;
	const char *usage;
	int argc;
	char **argv;
	int i;       /* the next argument */
	uint64_t on; /* flags that were true before, by their index: help shows them negated */
};

/* Copies of secrets are never freed; this keeps them reachable. */
static struct secret {
	struct secret *next;
	char text[];
} * secrets;

_Noreturn void opts_misuse(const char *usage, const char *fmt, ...)
{
	int n = (int)opts_applet(usage).n;
	va_list ap;

	fprintf(stderr, "daytona-runner%s%.*s: ", n ? " " : "", n, usage);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see daytona-runner%s%.*s --help\n", n ? " " : "", n, usage);
	exit(2);
}

static const struct opt *find_long(const struct opt *o, struct str name)
{
	for (; o->type != OPT_TYPE_END; o++) {
		if (*o->text && str_eq(name, o->text))
			return o;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt *o, char letter)
{
	for (; o->type != OPT_TYPE_END; o++) {
		if (o->letter && o->letter == letter)
			return o;
	}
	return NULL;
}

static void set_int(const struct parser *p, const struct opt *o, const char *shown,
                    const char *value)
{
	if (!str_to_i64(str_of(value), o->min, o->max, o->to))
		opts_misuse(p->usage, "option %s needs a number from %d to %d, not \"%s\"", shown,
		            (int)o->min, (int)o->max, value);
}

static const char *keep_secret(char *value)
{
	size_t n = strlen(value);
	struct secret *s = mem_alloc(sizeof(*s) + n + 1);

	memcpy(s->text, value, n);
	s->next = secrets;
	secrets = s;
	memset(value, '*', n); /* other users can read the command line */
	mask_add((struct str){ s->text, n });
	return s->text;
}

static void set_value(const struct parser *p, const struct opt *o, const char *shown, char *value)
{
	const char **to = o->to;

	if (o->type == OPT_TYPE_INT) {
		set_int(p, o, shown, value);
	} else if (o->type == OPT_TYPE_LIST) {
		struct opt_list *list = o->to;

		list->v = mem_realloc(list->v, (list->n + 1) * sizeof(*list->v));
		list->v[list->n++] = value;
	} else {
		*to = o->secret ? keep_secret(value) : value;
	}
}

static char *next_value(struct parser *p, const struct opt *o, const char *shown)
{
	if (p->i == p->argc)
		opts_misuse(p->usage, "option %s needs %s", shown, opts_arg(o));
	return p->argv[p->i++];
}

static void set_flag(const struct parser *p, const struct opt *o, const char *shown,
                     const char *value, bool on)
{
	bool given = true;

	if (value && !str_to_bool(str_of(value), &given))
		opts_misuse(p->usage, "option %s is true or false, not \"%s\"", shown, value);
	*(bool *)o->to = given == on;
}

_Noreturn static void unknown_long(const struct parser *p, struct str name, const char *shown)
{
	struct spell sp = { .word = name };
	char hint[96];

	for (const struct opt *o = p->opts; o->type != OPT_TYPE_END; o++)
		spell_try(&sp, o->text);
	opts_misuse(p->usage, "unknown option %s%s", shown, spell_hint(&sp, "--", hint));
}

static void parse_long(struct parser *p, char *arg)
{
	char *equals = strchr(arg, '=');
	struct str name = { arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg) - 2 };
	const struct opt *o = find_long(p->opts, name);
	bool on = true;
	char shown[64];

	snprintf(shown, sizeof(shown), "--%.*s", STR_ARG(name));
	if (!o && str_starts(name, "no-")) {
		o = find_long(p->opts, (struct str){ name.p + 3, name.n - 3 });
		on = false;
		if (o && o->type != OPT_TYPE_FLAG)
			o = NULL;
	}
	if (!o && str_eq(name, "help"))
		opts_help(p->opts, p->usage, p->on);
	if (!o)
		unknown_long(p, name, shown);
	else if (o->type == OPT_TYPE_FLAG)
		set_flag(p, o, shown, equals ? equals + 1 : NULL, on);
	else
		set_value(p, o, shown, equals ? equals + 1 : next_value(p, o, shown));
}

/* "-name=x" means --name=x, not -n with "ame=x". */
static void check_dashes(const struct parser *p, const char *arg)
{
	struct str name = { arg + 1, strcspn(arg + 1, "=") };

	if (name.n > 1 && find_long(p->opts, name))
		opts_misuse(p->usage, "%s has one dash; write -%s", arg, arg);
}

static void parse_letters(struct parser *p, char *arg)
{
	check_dashes(p, arg);
	for (char *s = arg + 1; *s; s++) {
		const struct opt *o = find_letter(p->opts, *s);
		const char shown[] = { '-', *s, '\0' };

		if (!o && *s == 'h')
			opts_help(p->opts, p->usage, p->on);
		if (!o)
			opts_misuse(p->usage, "unknown option %s", shown);
		if (o->type == OPT_TYPE_FLAG) {
			set_flag(p, o, shown, NULL, true);
			continue;
		}
		set_value(p, o, shown, s[1] ? s + 1 : next_value(p, o, shown));
		return;
	}
}

int opts_parse(const struct opt *opts, const char *usage, int argc, char **argv, int min_operands,
               int max_operands)
{
	struct parser p = { .opts = opts,
		            .usage = usage,
		            .argc = argc,
		            .argv = argv,
		            .i = 1,
		            .on = opts_flags_on(opts) };
	bool only_operands = false;
	int n = 0;

	if (argc > 1 && strcmp(argv[1], "--print-options") == 0)
		opts_print(opts, opts_flags_on(opts));
	while (p.i < argc) {
		char *arg = argv[p.i++];

		if (only_operands || arg[0] != '-' || arg[1] == '\0')
			argv[++n] = arg; /* n never overtakes p.i */
		else if (strcmp(arg, "--") == 0)
			only_operands = true;
		else if (arg[1] == '-')
			parse_long(&p, arg);
		else
			parse_letters(&p, arg);
	}
	if (n < min_operands)
		opts_misuse(usage, "an operand is missing");
	if (max_operands >= 0 && n > max_operands)
		opts_misuse(usage, "unexpected operand \"%s\"", argv[max_operands + 1]);
	if (argc > n + 1)
		argv[n + 1] = NULL;
	return n;
}
