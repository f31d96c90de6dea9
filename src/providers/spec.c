/* SPDX-License-Identifier: Apache-2.0 */
/* See spec.h. */
#include "providers/spec.h"

#include "base/mem.h"

#include <stdlib.h>

void mount_spec_free(struct mount_spec *mount)
{
	free(mount->type);
	free(mount->source);
	free(mount->target);
	*mount = (struct mount_spec){ 0 };
}

void spec_free(struct spec *s)
{
	free(s->hostname);
	free(s->image);
	free(s->user);
	free(s->workdir);
	free(s->network);
	free(s->gpus_asked);
	kv_free(&s->env);
	kv_free(&s->labels);
	strlist_free(&s->command);
	strlist_free(&s->cap_add);
	strlist_free(&s->own_caps);
	strlist_free(&s->cap_drop);
	strlist_free(&s->security_opt);
	strlist_free(&s->extra_hosts);
	strlist_free(&s->dns);
	strlist_free(&s->tmpfs);
	for (size_t i = 0; i < s->n_mounts; i++)
		mount_spec_free(&s->mounts[i]);
	free(s->mounts);
	*s = (struct spec){ 0 };
}

void spec_ask_mount(struct spec *s, const struct mount_spec *mount)
{
	s->mounts = mem_realloc(s->mounts, (s->n_mounts + 1) * sizeof(*s->mounts));
	s->mounts[s->n_mounts++] = (struct mount_spec){ .type = mem_dup(mount->type),
		                                        .source = mem_dup(
								mount->source ? mount->source : ""),
		                                        .target = mem_dup(mount->target),
		                                        .read_only = mount->read_only };
}

void spec_mount(struct spec *s, const char *type, const char *source, const char *target,
                bool read_only)
{
	s->mounts = mem_realloc(s->mounts, (s->n_mounts + 1) * sizeof(*s->mounts));
	s->mounts[s->n_mounts++] = (struct mount_spec){ .type = mem_dup(type),
		                                        .source = mem_dup(source),
		                                        .target = mem_dup(target),
		                                        .read_only = read_only,
		                                        .own = true };
}

bool spec_gpus_ok(struct str s)
{
	const size_t n = sizeof(SPEC_GPUS_DEVICE) - 1;
	int64_t count;

	if (str_starts(s, SPEC_GPUS_DEVICE))
		return str_is_of((struct str){ s.p + n, s.n - n }, "-_,:.");
	return str_eq(s, "all") || str_to_i64(s, 1, SPEC_GPUS_MAX, &count);
}
