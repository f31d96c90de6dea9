/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: what is accepted reads back to the same full name. */
#include "base/mem.h"
#include "oci/image_ref.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_dupn((const char *)data, size);
	struct image_ref r, again;
	struct buf full = { 0 }, second = { 0 };
	struct err e = { 0 };

	if (image_ref_parse(text, &r, &e) == 0) {
		image_ref_full(&r, &full);
		if (strpbrk(buf_cstr(&full), " \n\r\t\"?#&"))
			abort();
		if (image_ref_parse(buf_cstr(&full), &again, &e) == 0) {
			image_ref_full(&again, &second);
			if (strcmp(buf_cstr(&full), buf_cstr(&second)) != 0)
				abort();
			image_ref_free(&again);
		} else if (strlen(r.name) < 230) { /* the full name may be too long */
			abort();
		}
		image_ref_free(&r);
	} else if (e.kind != ERR_PARSE) {
		abort();
	}
	buf_free(&full);
	buf_free(&second);
	free(text);
	return 0;
}
