/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The applets whose first operand is a verb for a kind of resource on the Server (workspace, target, key, job, env):
 * one table of verbs each, and what they share. verbs.c has options and dispatch, verbs_find.c names and questions,
 * verbs_show.c tables and descriptions, follow.c the job that does the work.
 */
#ifndef APPLETS_VERBS_H
#define APPLETS_VERBS_H

#include "api/kinds.h"
#include "applets/cli.h"

/* Options that a verb has, besides those of every one: the Server's. */
enum {
	HAS_FORMAT = 1 << 0,
	HAS_YES = 1 << 1,
	HAS_FORCE = 1 << 2,
	HAS_ALL = 1 << 3,
	HAS_WAIT = 1 << 4,
	HAS_CREATE = 1 << 5, /* of a workspace */
	HAS_TARGET = 1 << 6, /* of a target */
	HAS_LOG = 1 << 7,
	HAS_STATE = 1 << 8,
	HAS_LABEL = 1 << 9,
};

struct verbs;

struct verb {
	const char *name, *also; /* also: another name, or NULL */
	const char *usage;       /* of opts_parse, begins with noun and verb */
	unsigned has;
	int min, max; /* operands; max < 0: any number */
	int (*run)(struct verbs *v, struct err *e);
};

struct noun {
	const char *name;
	const char *summary;
	const struct api_kind *kind;
	const char *none; /* what to do while there is nothing to list */
	const struct verb *verbs;
	size_t n;
};

struct verbs { /* one call */
	const struct noun *noun;
	const struct verb *verb;
	struct cli_admin admin;
	enum cli_format format;
	const char *format_text;
	bool yes, force, all, wait, follow;
	bool quiet; /* say nothing of what a target's job does */
	int64_t lines;
	const char *name, *branch, *target, *config, *image, *user, *devcontainer, *git_config,
		*state;
	const char *builder;
	struct opt_list env, labels, options; /* options: of a target */
	int status;                           /* to end with when all went well */
	int n;                                /* operands */
	char **operands;
};

/* "K=V" each into out; from_here: K alone takes this process's variable. */
int verbs_pairs(const struct opt_list *list, bool from_here, struct kv *out, struct err *e);
int verbs_main(const struct noun *noun, int argc, char **argv);

/* The list of a kind, or at a path; NULL with e. The caller frees it. */
struct json_doc *verbs_list_at(struct verbs *v, const char *path, struct err *e);
struct json_doc *verbs_list_of(struct verbs *v, const struct api_kind *kind, struct err *e);
/* The element that is called so or has that id; without a name the person is asked, or told what there is. Borrowed
 * from list. */
int verbs_pick(struct json list, const struct api_kind *kind, const char *name, const char *none,
               struct json *out, struct err *e);
/* verbs_pick out of the noun's list, of which *doc keeps the element alive. */
int verbs_find(struct verbs *v, const char *name, struct json_doc **doc, struct json *out,
               struct err *e);
/* 0 for yes; ERR_CANCELED, or ERR_USAGE where nobody can be asked. */
int verbs_confirm(const struct verbs *v, const char *question, struct err *e);
/* name, or name-2, name-3 … as nothing in list is called yet. The caller frees it. */
char *verbs_free_name(struct json list, const struct api_kind *kind, const char *name);

/* To stdout, in the format that was asked for. */
void verbs_show_list(const struct verbs *v, const struct api_kind *kind, struct json list);
void verbs_show_one(const struct verbs *v, const struct api_kind *kind, struct json element);

/* Shared verbs. */
int verbs_list(struct verbs *v, struct err *e);
int verbs_info(struct verbs *v, struct err *e);
/* Calls each for every operand, or for the one that is asked for. All are tried; the first failure is the error. */
int verbs_each(struct verbs *v, int (*each)(struct verbs *v, struct json element, struct err *e),
               struct err *e);
int verbs_act(struct verbs *v, struct err *e);    /* start, stop, restart: the verb's name */
int verbs_delete(struct verbs *v, struct err *e); /* by a job */

/* follow.c: what a job says, on stderr, until it has ended. */
struct follow {
	const char *kind, *id; /* of the resource */
	const char *name;      /* and as people call it */
	const char *runner;    /* who has to do the work, or "" */
	uint64_t skip;         /* entries that its log had before */
	bool blind;            /* its log cannot be read: it is not shown */
	int64_t max_ms;        /* so long, and it is ERR_TIMEOUT; 0: for ever */
};
/* Counts what the log has, before the job is made. A log that cannot be read is not shown later. */
void follow_mark(struct follow *f, struct api *a);
/*
 * Until the newest job of the resource has ended. 0: success; -1: it failed, or what became of it cannot be said.
 * Ctrl-C leaves it running: ERR_CANCELED with e->code SIGINT, and the text says how to look again.
 */
int follow_job(const struct follow *f, struct api *a, struct err *e);

#endif
