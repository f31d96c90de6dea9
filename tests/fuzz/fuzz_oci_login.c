/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's config.json and the answers of credential helpers. */
#include "oci/login.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct login l;
	char *helper;
	struct err e = { 0 };

	if (login_parse(text, "docker.io", &l, &helper, &e) < 0 &&
	    (!*e.msg || helper || l.password))
		abort();
	if (helper && strpbrk(helper, "/. "))
		abort();
	if ((l.user == NULL) != (l.password == NULL))
		abort();
	login_free(&l);
	free(helper);
	err_clear(&e);
	if (login_parse_helper(text, &l, &e) < 0 && !*e.msg)
		abort();
	login_free(&l);
	return 0;
}
