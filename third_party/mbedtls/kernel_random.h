/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from the kernel, for the library and for us. */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <stddef.h>

/* Fills all n bytes and returns 0, or returns an errno: EAGAIN when the kernel's pool is not ready yet, early
 * at boot; another one when there is neither getrandom(2) nor a /dev/urandom that is the kernel's. Never
 * blocks, never gives less. */
int kernel_random(void *p, size_t n);

#endif
