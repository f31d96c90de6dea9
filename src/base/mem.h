/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that cannot fail: out of memory writes one line and ends the process (exit 1). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

_Noreturn void mem_out(void);         /* as when there is no memory */
void *mem_alloc(size_t n);            /* zeroed; n == 0 is allowed */
void *mem_realloc(void *p, size_t n); /* new bytes are not zeroed; leaves copies: not for secrets */
void *mem_array(size_t n, size_t size);  /* zeroed n * size, overflow checked */
char *mem_dup(const char *s);            /* NULL gives NULL */
char *mem_dupn(const char *p, size_t n); /* adds a NUL */
void mem_wipe(void *p, size_t n);        /* not optimised away */
void mem_free_secret(char *s);           /* wipes a NUL-terminated string, then frees it */

#endif
