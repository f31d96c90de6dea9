/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts in a mount namespace of our own; mount(2), mount_setattr(2), fsopen(2). */
#ifndef SANDBOX_MOUNTS_H
#define SANDBOX_MOUNTS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As mount_setattr(2) has them. */
#define MOUNT_RO 0x1u
#define MOUNT_NOSUID 0x2u
#define MOUNT_NODEV 0x4u
#define MOUNT_NOEXEC 0x8u

int mount_private_all(struct err *e);
/* A directory or file, with all that is mounted below it, and these attributes on all of it. */
int mount_bind(const char *from, const char *to, unsigned attrs, struct err *e);
int mount_attrs(const char *at, unsigned attrs, struct err *e);
/* Read-only from now on, without what is mounted below it. */
int mount_fixed(const char *at, struct err *e);
int mount_fs(const char *type, const char *to, unsigned attrs, const char *data, struct err *e);
/* Not yet anywhere; descriptor. */
int mount_detached(const char *type, unsigned attrs, struct err *e);
/* from: seen from the directory at; "" is at itself, which may then be a file. */
int mount_detached_bind(int at, const char *from, unsigned attrs, struct err *e);
/* dir alone, with the ids of the user namespace shifted into it. */
int mount_detached_shifted(const char *dir, int userns, struct err *e);
int mount_attach(int fd, const char *to, struct err *e);
/* At a directory or file that is open. */
int mount_attach_at(int fd, int at, struct err *e);
/* An overlay at to. scratch: a directory over which short names for the others are made. userns: lower directories
 * are shifted by it; -1: not. user_marks: option userxattr. */
struct overlay {
	const char *const *lower;
	size_t n_lower;
	const char *upper, *work, *to;
	int userns;
	bool user_marks;
};
int mount_overlay(const struct overlay *o, struct err *e);

#endif
