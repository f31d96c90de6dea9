/* SPDX-License-Identifier: Apache-2.0 */
/* See asker.h. */
#include "providers/asker.h"

#include "base/beneath.h"
#include "base/buf.h"

#include <string.h>

void asker_refuse(const struct asker *a, const char *what, const char *value)
{
	struct buf b = { 0 };

	buf_addf(&b, "dev container: %s", what);
	if (value && *value) {
		buf_addc(&b, ' ');
		buf_add_printable(&b, str_of(value), false);
	}
	buf_adds(&b, " is not taken over");
	if (a->say)
		a->say(a->arg, buf_cstr(&b));
	buf_free(&b);
}

bool asker_is_here(const struct asker *a)
{
	return a->checkout && strcmp(a->host_dir, a->checkout) == 0;
}

/* What another host has below its copy of the checkout cannot be looked at, so only the whole is mounted there. What is
 * missing is left to who mounts it: nothing that is not there is mounted. */
bool asker_may_bind(const struct asker *a, const char *source, struct asker_seen *seen)
{
	const char *rest = a->checkout ? beneath_rest(source, a->host_dir) : NULL;
	struct stat st;

	if (!rest)
		return false;
	if (!asker_is_here(a))
		return !*rest;
	if (!beneath_find(a->checkout, rest, &st, &seen->there))
		return false;
	if (seen->there) {
		seen->dev = st.st_dev;
		seen->ino = st.st_ino;
	}
	return true;
}
