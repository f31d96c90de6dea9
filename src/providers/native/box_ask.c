/* SPDX-License-Identifier: Apache-2.0 */
/* See box_ask.h. */
#include "providers/native/box_ask.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/mem.h"
#include "oci/digest.h"

#include <stdlib.h>
#include <string.h>

#define MOUNTS_MAX 100
#define ANONYMOUS_DIGITS 16

struct asking {
	const struct native_boxed *b;
	struct asker from;
	struct native_asked *asked;
};

/* path is that place, or below it. Both without a slash at the beginning. */
static bool is_at(const char *path, const char *place)
{
	size_t n = strlen(place);

	return strncmp(path, place, n) == 0 && (!path[n] || path[n] == '/');
}

/* Where the sandbox puts something itself: nothing may cover it. path: without links, "a/b". */
static bool is_free(const struct native_boxed *b, const char *path)
{
	static const char *const with_all_below[] = { "proc", "sys", "dev", "run/daytona",
		                                      ".daytona" };
	static const char *const places[] = { "run",       "run/lock",     "tmp",
		                              "etc/hosts", "etc/hostname", "etc/resolv.conf" };

	for (size_t i = 0; i < ARRAY_LEN(with_all_below); i++)
		if (is_at(path, with_all_below[i]))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (is_at(places[i], path))
			return false;
	return *path && !is_at(b->inside + 1, path);
}

static void say(void *arg, const char *text)
{
	const struct native_boxed *b = arg;

	provider_logf(b->c->env, "%s", text);
}

/* Where a volume is on this host. One without a name is known by its place. Caller frees; NULL: that is no name. */
static char *volume_dir(const struct native_boxed *b, const char *name, const char *to)
{
	struct buf path = { 0 };
	struct digest digest;

	if (name && *name && !str_is_id(str_of(name)))
		return NULL;
	digest_of(str_of(to), &digest);
	buf_addf(&path, "%s/volumes/", b->c->paths.box);
	if (name && *name)
		buf_adds(&path, name);
	else
		buf_addf(&path, "@%.*s", ANONYMOUS_DIGITS, strchr(digest.text, ':') + 1);
	return buf_take(&path);
}

/* 1: it is asked for in full; 0: it is refused. to: as in struct sandbox_mount. */
static int admit(const struct asking *ask, const struct mount_spec *from, const char *to,
                 struct sandbox_mount *mount, char **dir, struct err *e)
{
	const struct native_boxed *b = ask->b;
	struct asker_seen seen;

	*mount = (struct sandbox_mount){ .to = to, .read_only = from->read_only };
	if (!is_free(b, to + 1))
		return 0;
	if (strcmp(from->type, "tmpfs") == 0)
		return 1;
	if (strcmp(from->type, "bind") == 0 && from->source &&
	    asker_may_bind(&ask->from, from->source, &seen)) {
		*dir = mem_dup(from->source);
		mount->dir = b->checkout;
		mount->below = *dir + strlen(b->checkout);
		mount->below += strspn(mount->below, "/");
		return 1;
	}
	if (strcmp(from->type, "volume") != 0)
		return 0;
	*dir = volume_dir(b, from->source, to);
	mount->dir = *dir;
	mount->below = "";
	mount->give = true;
	if (!*dir)
		return 0;
	return file_mkdirs(*dir, 0755, e) < 0 ? -1 : 1;
}

static int take_mount(const struct asking *ask, const struct mount_spec *from, struct err *e)
{
	struct native_asked *asked = ask->asked;
	struct sandbox_mount mount = { 0 };
	struct buf place = { 0 }, to = { 0 };
	char *dir = NULL;
	int rc = 0;

	if (*from->target == '/' && path_add(&place, str_of(from->target)) &&
	    asked->n < MOUNTS_MAX) {
		buf_addf(&to, "/%s", buf_cstr(&place));
		rc = admit(ask, from, to.p, &mount, &dir, e);
	}
	buf_free(&place);
	if (rc > 0) {
		asked->mounts[asked->n] = mount;
		asked->owned[asked->n * 2] = dir;
		asked->owned[asked->n * 2 + 1] = buf_take(&to);
		asked->n++;
		return 0;
	}
	free(dir);
	buf_free(&to);
	if (rc == 0)
		asker_refuse(&ask->from, "mount of",
		             from->source && *from->source ? from->source : from->target);
	return rc;
}

/* "/run/x:size=1m", of --tmpfs. */
static int take_tmpfs(const struct asking *ask, const char *text, struct err *e)
{
	char type[] = "tmpfs";
	struct mount_spec from = { .type = type, .target = mem_dupn(text, strcspn(text, ":")) };
	int rc = take_mount(ask, &from, e);

	free(from.target);
	return rc;
}

static void refuse_list(const struct asking *ask, const char *what, const struct strlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		asker_refuse(&ask->from, what, l->p[i]);
}

static void refuse_if(const struct asking *ask, bool asked, const char *what, const char *value)
{
	if (asked)
		asker_refuse(&ask->from, what, value);
}

/* What there is no way to here: a workspace has no rights that it could be given more of, and the target's own network and
 * limits. */
static void refuse_rest(const struct asking *ask, const struct devcontainer *dc,
                        const struct spec *s)
{
	char *folder;

	for (size_t i = 0; i < dc->n_layers; i++) {
		char *entry = json_dup_or_empty(json_get(dc->layers[i], "entrypoint"));

		refuse_if(ask, *entry, "entrypoint", entry);
		free(entry);
	}
	folder = dc_text(dc, json_get(dc->root, "workspaceFolder"));
	refuse_if(ask, folder && strcmp(folder, ask->b->inside) != 0, "workspaceFolder", folder);
	free(folder);
	refuse_if(ask, json_present(json_get(dc->root, "initializeCommand")), "initializeCommand",
	          NULL);
	refuse_if(ask, s->privileged, "privileged", NULL);
	refuse_list(ask, "capability", &s->cap_add);
	refuse_list(ask, "capability to drop", &s->cap_drop);
	refuse_list(ask, "security option", &s->security_opt);
	refuse_list(ask, "runArgs --add-host", &s->extra_hosts);
	refuse_list(ask, "runArgs --dns", &s->dns);
	refuse_if(ask, s->network, "network", s->network);
	refuse_if(ask, s->hostname, "runArgs --hostname", s->hostname);
	refuse_if(ask, s->workdir, "runArgs --workdir", s->workdir);
	refuse_if(ask, s->memory_bytes, "runArgs --memory", NULL);
	refuse_if(ask, s->nano_cpus, "runArgs --cpus", NULL);
	refuse_if(ask, s->pids, "runArgs --pids-limit", NULL);
	refuse_if(ask, s->shm_bytes, "runArgs --shm-size", NULL);
	if (s->gpus_asked)
		say(ask->from.arg,
		    "dev container: no GPU is given here; a target of docker-provider with the option GPUs has them");
}

/* Those that are in others come after them. */
static int by_place(const void *a, const void *b)
{
	const struct sandbox_mount *x = a, *y = b;

	return strcmp(x->to, y->to);
}

int native_ask(const struct devcontainer *dc, struct native_boxed *b, struct native_asked *asked,
               struct err *e)
{
	struct asking ask = {
		.b = b,
		.from = { b->checkout, b->checkout, say, b },
		.asked = asked,
	};
	struct spec s = { 0 };
	size_t most;
	int rc = 0;

	*asked = (struct native_asked){ 0 };
	dc_fill_spec(dc, &ask.from, &s);
	most = s.n_mounts + s.tmpfs.n;
	asked->mounts = mem_array(most, sizeof(*asked->mounts));
	asked->owned = mem_array(most * 2, sizeof(*asked->owned));
	for (size_t i = 0; rc == 0 && i < s.n_mounts; i++) {
		const struct mount_spec *mount = &s.mounts[i];

		/* The checkout has its place. */
		if (!mount->own)
			rc = take_mount(&ask, mount, e);
		else
			refuse_if(&ask,
			          strcmp(mount->target, b->inside) != 0 ||
			                  strcmp(mount->source, b->checkout) != 0,
			          "workspaceMount at", mount->target);
	}
	for (size_t i = 0; rc == 0 && i < s.tmpfs.n; i++)
		rc = take_tmpfs(&ask, s.tmpfs.p[i], e);
	refuse_rest(&ask, dc, &s);
	qsort(asked->mounts, asked->n, sizeof(*asked->mounts), by_place);
	kv_merge(&asked->env, &s.env);
	spec_free(&s);
	b->s.mounts = asked->mounts;
	b->s.n_mounts = asked->n;
	return rc;
}

void native_asked_free(struct native_asked *asked)
{
	for (size_t i = 0; i < asked->n * 2; i++)
		free(asked->owned[i]);
	free(asked->owned);
	free(asked->mounts);
	kv_free(&asked->env);
	*asked = (struct native_asked){ 0 };
}
