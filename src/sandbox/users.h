/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of a root file system, by its /etc/passwd and /etc/group alone: none of its code is asked. */
#ifndef SANDBOX_USERS_H
#define SANDBOX_USERS_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

#define USERS_FILE_MAX (1u << 20)
#define USERS_GROUPS_MAX 64
#define USERS_ID_MAX 0x7ffffffe

struct user {
	uint32_t uid, gid;
	uint32_t groups[USERS_GROUPS_MAX]; /* supplementary */
	size_t n_groups;
	char *name, *home, *shell; /* "root", "/", "/bin/sh" or a number where nothing is said */
};

/* who: "" (root), "name", "uid", either with ":group" or ":gid". passwd and group: texts of the files, either may be
 * empty. ERR_NOT_FOUND names what is not in them. */
int user_parse(struct str passwd, struct str group, const char *who, struct user *u, struct err *e);
/* The same from files below the directory root. */
int user_find(int root, const char *who, struct user *u, struct err *e);
void user_free(struct user *u);

#endif
