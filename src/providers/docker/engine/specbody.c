/* SPDX-License-Identifier: Apache-2.0 */
/* See specbody.h. */
#include "providers/docker/engine/specbody.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTNAME_MAX 63
#define STOP_TIMEOUT_S 10

void spec_apply_options(struct spec *s, const struct docker_options *o)
{
	struct str list = str_of(o->extra_hosts), piece;

	s->privileged = o->privileged;
	s->nano_cpus = o->nano_cpus;
	s->memory_bytes = o->memory_bytes;
	s->pids = o->pids;
	s->disk_bytes = o->disk_bytes;
	if (o->network)
		s->network = mem_dup(o->network);
	strlist_add(&s->extra_hosts, "host.docker.internal:host-gateway");
	while (o->extra_hosts && str_next(&list, ',', &piece)) {
		char *host = mem_dupn(str_trim(piece).p, str_trim(piece).n);

		if (*host)
			strlist_add(&s->extra_hosts, host);
		free(host);
	}
}

static void write_list(struct buf *b, const char *key, const struct strlist *l)
{
	if (!l->n)
		return;
	jw_key(b, key);
	jw_arr(b);
	for (size_t i = 0; i < l->n; i++)
		jw_str(b, str_of(l->p[i]));
	jw_arr_end(b);
}

static void write_env(struct buf *b, const struct kv *env)
{
	jw_key(b, "Env");
	jw_arr(b);
	for (size_t i = 0; i < env->n; i++) {
		struct buf pair = { 0 };

		buf_addf(&pair, "%s=%s", env->pairs[i].key, env->pairs[i].value);
		jw_str(b, buf_str(&pair));
		buf_wipe(&pair);
	}
	jw_arr_end(b);
}

static void write_mounts(struct buf *b, const struct spec *s, const struct host_path *dirs)
{
	if (!s->n_mounts)
		return;
	jw_key(b, "Mounts");
	jw_arr(b);
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct mount_spec *mount = &s->mounts[i];

		jw_obj(b);
		jw_kstr(b, "Type", mount->type);
		if (mount->source && *mount->source) {
			char *source = strcmp(mount->type, "bind") == 0
			                       ? host_path_out(dirs, mount->source)
			                       : mem_dup(mount->source);

			jw_kstr(b, "Source", source);
			free(source);
		}
		jw_kstr(b, "Target", mount->target);
		if (mount->read_only)
			jw_kbool(b, "ReadOnly", true);
		jw_obj_end(b);
	}
	jw_arr_end(b);
}

static void write_entry(struct buf *b, const struct spec *s)
{
	static const char *const program[] = { PROGRAM_PATH, "container-init", NULL };
	static const char *const asleep[] = { "sleep", "infinity", NULL };
	const char *const *list = s->entry == ENTRY_SLEEP ? asleep : program;

	if (s->entry == ENTRY_GIVEN)
		write_list(b, "Entrypoint", &s->command);
	if (s->entry != ENTRY_PROGRAM && s->entry != ENTRY_SLEEP)
		return;
	jw_key(b, "Entrypoint");
	jw_arr(b);
	for (size_t i = 0; list[i]; i++)
		jw_str(b, str_of(list[i]));
	jw_arr_end(b);
}

/* The network name space is another's, with its host name and hosts file. */
static bool joins_container(const struct spec *s)
{
	return s->network && strncmp(s->network, "container:", 10) == 0;
}

static void write_disk(struct buf *b, int64_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)bytes);
	jw_key(b, "StorageOpt");
	jw_obj(b);
	jw_kstr(b, "size", text);
	jw_obj_end(b);
}

static void write_host(struct buf *b, const struct spec *s, const struct host_path *dirs)
{
	jw_key(b, "HostConfig");
	jw_obj(b);
	jw_kbool(b, "Privileged", s->privileged);
	/* Our program is an init itself, and must be process 1 to pass a stop on. */
	if (s->entry == ENTRY_SLEEP || (s->init && s->entry != ENTRY_PROGRAM))
		jw_kbool(b, "Init", true);
	if (s->network && *s->network)
		jw_kstr(b, "NetworkMode", s->network);
	if (s->nano_cpus)
		jw_kint(b, "NanoCpus", s->nano_cpus);
	if (s->memory_bytes)
		jw_kint(b, "Memory", s->memory_bytes);
	if (s->pids)
		jw_kint(b, "PidsLimit", s->pids);
	if (s->runtime)
		jw_kstr(b, "Runtime", s->runtime);
	if (s->gpus)
		spec_write_gpus(s->gpus, b);
	if (s->disk_bytes)
		write_disk(b, s->disk_bytes);
	if (s->shm_bytes)
		jw_kint(b, "ShmSize", s->shm_bytes);
	if (!joins_container(s))
		write_list(b, "ExtraHosts", &s->extra_hosts);
	if (s->read_only)
		jw_kbool(b, "ReadonlyRootfs", true);
	if (s->auto_remove)
		jw_kbool(b, "AutoRemove", true);
	write_list(b, "CapAdd", s->own_caps.n ? &s->own_caps : &s->cap_add);
	write_list(b, "CapDrop", &s->cap_drop);
	write_list(b, "SecurityOpt", &s->security_opt);
	write_list(b, "Dns", &s->dns);
	if (s->tmpfs.n) {
		jw_key(b, "Tmpfs");
		jw_obj(b);
		for (size_t i = 0; i < s->tmpfs.n; i++) {
			const char *colon = strchr(s->tmpfs.p[i], ':');
			char *path = colon ? mem_dupn(s->tmpfs.p[i],
			                              (size_t)(colon - s->tmpfs.p[i]))
			                   : mem_dup(s->tmpfs.p[i]);

			jw_kstr(b, path, colon ? colon + 1 : "");
			free(path);
		}
		jw_obj_end(b);
	}
	write_mounts(b, s, dirs);
	jw_obj_end(b);
}

void spec_write(const struct spec *s, const struct host_path *dirs, struct buf *b)
{
	jw_obj(b);
	if (s->hostname && *s->hostname && !joins_container(s)) {
		jw_key(b, "Hostname");
		jw_str(b, (struct str){ s->hostname, strnlen(s->hostname, HOSTNAME_MAX) });
	}
	jw_kstr(b, "Image", s->image);
	if (s->user && *s->user)
		jw_kstr(b, "User", s->user);
	if (s->workdir && *s->workdir)
		jw_kstr(b, "WorkingDir", s->workdir);
	write_env(b, &s->env);
	write_entry(b, s);
	if (s->no_healthcheck) {
		jw_key(b, "Healthcheck");
		jw_obj(b);
		jw_key(b, "Test");
		jw_arr(b);
		jw_str(b, STR_LIT("NONE"));
		jw_arr_end(b);
		jw_obj_end(b);
	}
	jw_key(b, "Labels");
	kv_to_json(&s->labels, b);
	jw_kint(b, "StopTimeout", STOP_TIMEOUT_S); /* Podman's default is to kill at once */
	jw_kbool(b, "AttachStdout", true);
	jw_kbool(b, "AttachStderr", true);
	write_host(b, s, dirs);
	jw_obj_end(b);
}
