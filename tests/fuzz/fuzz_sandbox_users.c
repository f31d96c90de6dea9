/* SPDX-License-Identifier: Apache-2.0 */
/* Users of an image: three texts, ended by a NUL each: who, /etc/group, /etc/passwd; and the last as /etc/subuid. */
#include "base/mem.h"
#include "sandbox/userns.h"
#include "sandbox/users.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size }, who = { "", 0 }, group = { "", 0 };
	struct err e = { 0 };
	struct user u;
	uint32_t first, n;
	char *name;

	str_next(&rest, '\0', &who);
	str_next(&rest, '\0', &group);
	name = mem_dupn(who.p, who.n);
	if (user_parse(rest, group, name, &u, &e) < 0) {
		if (e.kind != ERR_NOT_FOUND || u.name)
			abort();
	} else if (u.uid > USERS_ID_MAX || u.gid > USERS_ID_MAX || u.home[0] != '/' ||
	           u.shell[0] != '/' || u.n_groups > USERS_GROUPS_MAX) {
		abort();
	}
	user_free(&u);
	if (subid_parse(rest, name, 1000, &first, &n) &&
	    (first == 0 || n == 0 || n >= USERNS_RANGE || first > UINT32_MAX - n))
		abort();
	free(name);
	return 0;
}
