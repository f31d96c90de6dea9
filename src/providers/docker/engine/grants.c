/* SPDX-License-Identifier: Apache-2.0 */
/* What a target's options give a workspace beyond its image: capabilities, volumes, GPUs. See options.h and specbody.h. */
#include "providers/docker/engine/specbody.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The next of "a, b"; false at the end. Empty ones are left out. */
static bool next(struct str *list, struct str *piece)
{
	while (str_next(list, ',', piece)) {
		*piece = str_trim(*piece);
		if (piece->n)
			return true;
	}
	return false;
}

/* "+NAME", "NAME" or "-NAME". */
static struct str capability(struct str piece, bool *drop)
{
	*drop = *piece.p == '-';
	if (*piece.p == '-' || *piece.p == '+') {
		piece.p++;
		piece.n--;
	}
	return piece;
}

bool docker_capabilities_ok(struct str list)
{
	struct str piece;
	bool drop;

	while (next(&list, &piece))
		if (!str_is_of(capability(piece, &drop), "_"))
			return false;
	return true;
}

/* "SOURCE:TARGET[:ro|:rw]". */
static bool volume(struct str piece, struct mount_spec *mount)
{
	struct str source, target, mode = STR_LIT("rw");

	if (!str_next(&piece, ':', &source) || !str_next(&piece, ':', &target))
		return false;
	(void)str_next(&piece, ':', &mode);
	mount->read_only = str_eq(mode, "ro");
	if (piece.p || !source.n || !target.n || *target.p != '/' ||
	    (!mount->read_only && !str_eq(mode, "rw")))
		return false;
	mount->type = mem_dup(*source.p == '/' ? "bind" : "volume");
	mount->source = mem_dupn(source.p, source.n);
	mount->target = mem_dupn(target.p, target.n);
	return true;
}

bool docker_volumes_ok(struct str list)
{
	struct str piece;
	bool ok = true;

	while (ok && next(&list, &piece)) {
		struct mount_spec mount = { 0 };

		ok = volume(piece, &mount);
		mount_spec_free(&mount);
	}
	return ok;
}

void spec_apply_grants(struct spec *s, const struct docker_options *o)
{
	struct str list = str_of(o->capabilities), piece;

	while (o->capabilities && next(&list, &piece)) {
		bool drop;
		struct str name = capability(piece, &drop);
		char *text = mem_dupn(name.p, name.n);

		strlist_add(drop ? &s->cap_drop : &s->cap_add, text);
		free(text);
	}
	list = str_of(o->volumes);
	while (o->volumes && next(&list, &piece)) {
		struct mount_spec mount = { 0 };

		if (volume(piece, &mount))
			spec_ask_mount(s, &mount);
		mount_spec_free(&mount);
	}
}

void spec_write_gpus(const char *gpus, struct buf *b)
{
	int64_t count = -1;

	jw_key(b, "DeviceRequests");
	jw_arr(b);
	jw_obj(b);
	if (str_starts(str_of(gpus), SPEC_GPUS_DEVICE)) {
		struct str ids = str_of(gpus + sizeof(SPEC_GPUS_DEVICE) - 1), id;

		jw_key(b, "DeviceIDs");
		jw_arr(b);
		while (next(&ids, &id))
			jw_str(b, id);
		jw_arr_end(b);
	} else {
		(void)str_to_i64(str_of(gpus), 1, SPEC_GPUS_MAX, &count);
		jw_kint(b, "Count", count);
	}
	jw_key(b, "Capabilities");
	jw_arr(b);
	jw_arr(b);
	jw_str(b, STR_LIT("gpu"));
	jw_arr_end(b);
	jw_arr_end(b);
	jw_obj_end(b);
	jw_arr_end(b);
}
