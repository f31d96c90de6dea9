/* SPDX-License-Identifier: Apache-2.0 */
/* See constants.h. Nothing may be called here that needs one; cmake/constants.ld says who has his own. */
#include "base/constants.h"

#include "base/mem.h"
#include "base/unpack.h"

#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* Addresses of this program, which come as numbers. */
union address {
	unsigned long number;
	const ElfW(Phdr) * headers;
	const unsigned char *bytes;
	unsigned char *place;
};

void constants_unpack(void)
{
	union address at = { .number = getauxval(AT_PHDR) }, packed, place;
	const ElfW(Phdr) *segment = at.headers;
	unsigned long rest;

	/* A segment of constants that belong to another address than the one it was loaded at. */
	for (unsigned long n = getauxval(AT_PHNUM); n > 0; n--, segment++) {
		if (segment->p_type != PT_LOAD || segment->p_flags != PF_R ||
		    segment->p_paddr == segment->p_vaddr)
			continue;
		packed.number = segment->p_vaddr;
		place.number = segment->p_paddr;
		unpack_to(place.place, packed.bytes, segment->p_filesz);
		if (mprotect(place.place, unpack_size(packed.bytes), PROT_READ) < 0)
			mem_out();
		/* Nobody reads it once more: its pages need not stay in memory. */
		rest = packed.number % getauxval(AT_PAGESZ);
		packed.number -= rest;
		(void)madvise(packed.place, rest + segment->p_filesz, MADV_DONTNEED);
	}
}
