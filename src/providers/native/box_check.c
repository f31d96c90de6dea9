/* SPDX-License-Identifier: Apache-2.0 */
/* What isolation this machine can give, for `provider check`; see box.h. */
#include "providers/native/box.h"
#include "sandbox/idrange.h"
#include "sandbox/network.h"

#include <unistd.h>

/* Namespaces and the host's root in them. What is mounted is mounted in these alone, so any directory will do that every
 * host has: none is made, and none is left by who is killed here. */
static int try_map(const struct userns_map *map, struct deadline d, struct err *e)
{
	struct sandbox s = { .map = map,
		             .point = "/proc",
		             .hostname = "check",
		             .net = SANDBOX_NET_NONE,
		             .output = SPAWN_NULL };

	return sandbox_try(&s, d, e);
}

static int try_range(struct deadline d, struct err *e)
{
	/* Behind all that are given. */
	const uint32_t first = IDRANGE_FIRST + IDRANGE_N * USERNS_RANGE;
	struct userns_map map = { MAP_RANGE, first, first, USERNS_RANGE, USERNS_RANGE };

	return try_map(&map, d, e);
}

static void describe_network(struct buf *report)
{
	enum network_how how = network_find();

	if (how == NETWORK_MISSING)
		buf_addf(report, "ok: Network=host and none; for private ones %s\n",
		         network_remedy());
	else
		network_describe(how, report);
}

int native_box_check(const struct provider_env *env, const struct native_options *o,
                     struct buf *report, struct deadline d, struct err *e)
{
	struct userns_map map = { .how = MAP_SINGLE };
	struct err strict = { 0 }, less = { 0 };
	struct buf why = { 0 };
	bool can_strict, can_less;

	(void)env;
	if (geteuid() == 0) {
		can_strict = try_range(d, &strict) == 0;
	} else {
		userns_ordinary(&map, &why);
		can_strict = map.how == MAP_TOOLS && try_map(&map, d, &strict) == 0;
		if (map.how != MAP_TOOLS)
			err_set(&strict, ERR_UNSUPPORTED, 0, "%s", buf_cstr(&why));
	}
	map.how = MAP_SINGLE;
	can_less = can_strict || try_map(&map, d, &less) == 0;
	buf_adds(report, "ok: isolation none (process group only)\n");
	if (can_less)
		buf_addf(report, "ok: isolation %s (Image, Root)\n",
		         can_strict ? "strict and best-effort" : "best-effort");
	if (!can_strict)
		buf_addf(report, "%s: isolation strict: %s\n",
		         o->strict ? "missing" : "ok, without", strict.msg);
	if (!can_less)
		buf_addf(report, "%s: isolation best-effort: %s\n",
		         native_options_boxed(o) ? "missing" : "ok, without", less.msg);
	if (can_less)
		describe_network(report);
	buf_free(&why);
	if (o->strict && !can_strict)
		*e = strict;
	else if (native_options_boxed(o) && !can_less)
		*e = less;
	else
		return 0;
	return err_wrap(e, "isolation");
}
