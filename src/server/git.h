/* SPDX-License-Identifier: Apache-2.0 */
/* Git providers: which of the stored ones fits a repository; what a URL tells of it. */
#ifndef SERVER_GIT_H
#define SERVER_GIT_H

#include "server/srv.h"

/* Sets *id (freed first) to the one git provider config that fits url, if there is exactly one;
 * several are an error (protocol 11.7). */
int git_adopt(const struct srv *s, const char *url, char **id, struct err *e);
/* Host of a URL with or without a scheme, or of "git@host:path"; NULL if it has none. Caller frees. */
char *git_host(const char *url);
/* Appends a GitRepository made of the URL's parts. branch and sha may be ""; else they count more. False: neither it nor they
 * name a branch or commit, and "main" is a guess. */
bool git_repository(struct buf *b, const char *url, const char *branch, const char *sha);

/* The repository of r, a workspace or build, is on the host of that URL. */
bool git_same_host(const struct rec *r, const char *url);

/* git_browse.c */
void browse_poll(struct srv *s, struct pollset *ps);
void browse_step(struct srv *s);
void browse_end(struct srv *s); /* after the connections */
/* Answers a call with a GitRepository: with what the git host says of it, if there is one to be asked and it answers in time, else
 * with what git_repository makes of the three. */
void browse_context(struct call *c, const char *url, const char *branch, const char *sha);
/* Sees to it that the git host of that repository has our hook if a prebuild of it is there, and else not, by a git
 * provider config ("": the one that fits). It goes on meanwhile, and says in the log how it ended. */
void browse_hook(struct srv *s, const char *url, const char *config);

/* hooks.c: browse_hook, until it has ended well. */
/* It has not: the pause in ms until it is tried again; 0: it is not, there are too many. */
int64_t hooks_failed(struct srv *s, const char *url, const char *config);
/* There is no git provider that could be asked: when one is set, it is tried again. False: there are too many. */
bool hooks_wait(struct srv *s, const char *url, const char *config);
/* The hook of that repository may have to go: kept in the change until it has ended well. */
void hooks_leave(struct srv *s, struct change *ch, const char *url, const char *config);
/* It has, or there is nothing that could be asked. */
void hooks_settled(struct srv *s, const char *url);
void hooks_hurry(struct srv *s); /* what was wrong may have been put right */
void hooks_poll(const struct srv *s, struct pollset *ps);
void hooks_step(struct srv *s);
void hooks_end(struct srv *s);

#endif
