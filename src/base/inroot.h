/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what lies below a directory as a process would find it whose root that directory is: links are followed, but
 * an absolute one begins there again and ".." does not leave (openat2(2) with RESOLVE_IN_ROOT; step by step where the
 * kernel has none, for a tree that nobody else changes meanwhile).
 */
#ifndef BASE_INROOT_H
#define BASE_INROOT_H

#include "base/str.h"

/* path: absolute or relative, which is the same; "" is root itself. flags: of openat(2); O_NOFOLLOW is about the last
 * component. -1 with errno. */
int inroot_open(int root, const char *path, int flags);
/* The same where other file systems are mounted below root: it goes into them. */
int inroot_open_across(int root, const char *path, int flags);
/* The way for kernels without openat2; inroot_open takes it by itself. It holds a descriptor for each directory on the
 * way, at most INROOT_DEPTH_MAX. */
#define INROOT_DEPTH_MAX 128
int inroot_walk(int root, const char *path, int flags);

#endif
