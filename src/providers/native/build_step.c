/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a build that make layers; see build.h. */
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn_child.h"
#include "oci/layer.h"
#include "providers/native/build_int.h"
#include "providers/native/inside.h"
#include "providers/native/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_MS 10000

void nb_root_open(const struct building *building, const char *name, const struct digest *ids,
                  size_t n, bool given, struct nb_root *r)
{
	char *dir = path_join(building->dir, name);
	size_t g = given ? building->n_given : 0;

	*r = (struct nb_root){ .s = building->box.s,
		               .upper = path_join(dir, "upper"),
		               .work = path_join(dir, "work"),
		               .point = path_join(dir, "point"),
		               .lower = mem_array(n + 1 + g, sizeof(*r->lower)) };
	for (size_t i = n; i-- > 0;) {
		bool above = false; /* as in images.c */

		if (g && building->given[g - 1].n == i + 1)
			r->lower[r->s.n_lower++] = mem_dup(building->given[--g].upper);
		for (size_t k = i + 1; k < n; k++)
			above = above || digest_eq(&ids[k], &ids[i]);
		if (!above)
			r->lower[r->s.n_lower++] = imgstore_layer_path(building->s, &ids[i]);
	}
	if (!n) /* without any it would be the host's root */
		r->lower[r->s.n_lower++] = path_join(building->dir, "empty");
	r->s.lower = (const char *const *)r->lower;
	r->s.upper = r->upper;
	r->s.work = r->work;
	r->s.point = r->point;
	r->s.shift = building->c->state.box.shift;
	free(dir);
}

void nb_root_close(struct nb_root *r)
{
	for (size_t i = 0; i < r->s.n_lower; i++)
		free(r->lower[i]);
	free(r->lower);
	free(r->upper);
	free(r->work);
	free(r->point);
	*r = (struct nb_root){ 0 };
}

int nb_root_empty(const struct building *building, const struct nb_root *r, struct err *e)
{
	if (sandbox_remove(r->s.map, r->upper, building->d, e) < 0 ||
	    sandbox_remove(r->s.map, r->work, building->d, e) < 0 ||
	    file_mkdirs(r->upper, 0755, e) < 0 || file_mkdirs(r->work, 0700, e) < 0)
		return -1;
	return file_mkdirs(r->point, 0700, e);
}

int nb_try(struct building *building, struct err *e)
{
	struct native_box *box = &building->c->state.box;
	char *empty = path_join(building->dir, "empty");
	int rc = file_mkdirs(empty, 0755, e);

	for (box->shift = box->map.how == MAP_RANGE;; box->shift = false) {
		struct nb_root r;
		struct err why = { 0 };
		bool again;

		nb_root_open(building, "top", NULL, 0, false, &r);
		rc = rc < 0 ? -1 : nb_root_empty(building, &r, e);
		again = rc == 0 && (rc = sandbox_try(&r.s, building->d, &why)) < 0;
		nb_root_close(&r);
		if (again && box->shift)
			continue;
		if (again) {
			*e = why;
			err_wrap(
				e,
				"a Dockerfile cannot be built here, since overlays are not possible");
		}
		break;
	}
	free(empty);
	return rc;
}

/* ---- layers ---- */

static int take(struct building *building, const struct digest *layer, struct err *e)
{
	struct image_config *c = &building->config;
	size_t n = c->n_diff_ids;
	struct stat st = { 0 };
	int fd;

	if (!*layer->text)
		return 0;
	if (n >= MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %d layers", MANIFEST_LAYERS_MAX);
	fd = imgstore_open_blob(building->s, layer, e);
	if (fd < 0)
		return -1;
	(void)fstat(fd, &st);
	close(fd);
	if (imgstore_unpack(building->s,
	                    &(struct imgstore_layer){ .blob = layer, .diff_id = layer },
	                    building->d, e) < 0)
		return -1;
	c->diff_ids = mem_realloc(c->diff_ids, (n + 1) * sizeof(*c->diff_ids));
	building->layers = mem_realloc(building->layers, (n + 1) * sizeof(*building->layers));
	c->diff_ids[n] = *layer;
	building->layers[n] = (struct blob_ref){ mem_dup(MEDIA_OCI_LAYER), *layer,
		                                 (int64_t)st.st_size };
	c->n_diff_ids++;
	return 0;
}

void nb_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text) + 1);
}

int nb_known(struct building *building, struct str text, struct digest *key, struct err *e)
{
	const struct userns_map *map = &building->c->state.box.map;
	struct digest layer;
	struct buf b = { 0 };
	bool known;

	/* Which users there are, and what of the network. */
	buf_addf(&b, "%d %d\n", (int)map->how, (int)building->net);
	if (map->how == MAP_TOOLS)
		buf_addf(&b, "%u %u\n", map->n_uids, map->n_gids);
	for (size_t i = 0; i < building->config.n_diff_ids; i++)
		buf_addf(&b, "%s\n", building->config.diff_ids[i].text);
	buf_add_str(&b, text);
	digest_of(buf_str(&b), key);
	buf_wipe(&b);
	known = !building->b->no_cache && imgstore_made(building->s, key, &layer);
	if (!known)
		return 0;
	provider_logf(building->c->env, " (as before)");
	imgstore_made_used(building->s, key);
	return take(building, &layer, e) < 0 ? -1 : 1;
}

/* In a process that may read what was written, and has nothing of ours open. */
struct writing {
	const struct building *building;
	const struct nb_root *r;
	bool of_sandbox;
	struct digest *made; /* shared with us */
};

static int write_layer(void *arg, struct err *e)
{
	const struct writing *w = arg;
	const struct native_call *c = w->building->c;
	struct native_box whole = { .map = c->state.box.map };
	struct unpack_owner owner = native_box_owner(&whole);
	struct imgstore *s = NULL;
	uint64_t room = c->options.disk_bytes ? (uint64_t)c->options.disk_bytes : UINT64_MAX;
	int rc = imgstore_open(&s, c->paths.images, &owner, w->building->d, e);

	/* The store lies where no quota is, and what is in it counts like what is in the workspace. */
	room = room > w->building->made ? room - w->building->made : 0;
	if (rc == 0)
		rc = layer_add(s, w->r->upper, &owner, w->of_sandbox,
		               room < UNPACK_BYTES_MAX ? room : UNPACK_BYTES_MAX, w->building->d,
		               w->made, e);
	imgstore_close(s);
	return rc;
}

int nb_commit(struct building *building, const struct nb_root *r, bool of_sandbox,
              const struct digest *key, struct err *e)
{
	struct writing w = { building, r, of_sandbox, NULL };
	struct digest layer;
	int rc;

	w.made = mmap(NULL, sizeof(*w.made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	if (w.made == MAP_FAILED)
		return err_sys(e, errno, "share memory");
	rc = r->s.map->how == MAP_RANGE ? write_layer(&w, e)
	                                : userns_run(r->s.map, write_layer, &w, building->d, e);
	layer = *w.made;
	munmap(w.made, sizeof(*w.made));
	if (rc == 0)
		rc = take(building, &layer, e);
	if (rc == 0 && *layer.text)
		building->made += (uint64_t)building->layers[building->config.n_diff_ids - 1].size;
	/* What a checkout had to do with is in no key. */
	return rc < 0 || building->box.s.n_binds ? rc
	                                         : imgstore_note_made(building->s, key, &layer, e);
}

/* ---- RUN ---- */

struct inside {
	struct building *building;
	char **env;
};

static int admit(void *arg, pid_t pid, struct err *e)
{
	const struct native_call *c = ((const struct building *)arg)->c;

	return native_bounds_join(&c->paths, &c->options, true, pid, e);
}

static int start(void *arg, const struct workspace_exec *w, const int std[3], bool terminal,
                 struct deadline d, struct spawned *p, struct err *e)
{
	const struct inside *inside = arg;
	const struct sandbox *s = &inside->building->box.s;

	return sandbox_enter(&(struct sandbox_command){ .init = inside->building->box.agent.id,
	                                                .map = s->map,
	                                                .user = s->user,
	                                                .argv = w->argv,
	                                                .env = (const char *const *)inside->env,
	                                                .cwd = s->cwd,
	                                                .std = { std[0], std[1], std[2] },
	                                                .terminal = terminal,
	                                                .admit = admit,
	                                                .arg = inside->building },
	                     d, p, e);
}

static int join(void *arg, const struct workspace_exec *w, int *status, struct deadline d,
                struct err *e)
{
	return native_join(start, arg, (struct proc_id){ 0 }, w, status, d, e);
}

/* Our program holds the sandbox while the command runs in it. */
static int run_inside(struct building *building, const char *const *argv, char **env, struct err *e)
{
	static const char *const holder[] = { "daytona-runner", "agent", NULL };
	struct native_call *c = building->c;
	struct inside inside = { building, env };
	struct workspace_exec w = { .ws = c->ws };
	struct kv vars = { 0 };
	struct err left = { 0 };
	size_t n;
	int rc;

	kv_set(&vars, "DAYTONA_AGENT_INTERVAL_MS", "0");
	rc = native_boxed_start(&building->box, holder, &vars, SPAWN_NULL, building->d, e);
	if (rc == 0) {
		/* What was said about it is not said again. */
		c->options.net = building->box.s.net == SANDBOX_NET_HOST      ? NATIVE_NET_HOST
		                 : building->box.s.net == SANDBOX_NET_PRIVATE ? NATIVE_NET_PRIVATE
		                                                              : NATIVE_NET_NONE;
		rc = native_logged(c->env, argv, &w, join, &inside, "RUN", building->d, e);
		if (rc < 0)
			native_bounds_tell(c->env, &c->paths);
	}
	if (native_end(&c->paths, 0, &n, deadline_in_ms(END_MS), &left) < 0 && rc == 0) {
		*e = left;
		rc = -1;
	}
	native_bounds_close(&building->box.bounds);
	kv_free(&vars);
	return rc;
}

/*
 * An ordinary user's layers are all his, with their owners noted down. What is not root's in those that are new is given to
 * its owner in a directory above them: it is copied once for each stage, and no layer has it that RUN does not change.
 */
static int give_owners(struct building *building, struct err *e)
{
	const struct image_config *c = &building->config;
	struct given given = { .n = c->n_diff_ids };
	struct buf names = { 0 };
	char name[32];
	struct nb_root r;
	int rc = 0;

	if (building->c->state.box.map.how != MAP_TOOLS)
		return 0;
	for (; rc == 0 && building->n_asked < given.n; building->n_asked++) {
		char *tree = imgstore_layer_path(building->s, &c->diff_ids[building->n_asked]);

		rc = native_owners_add(tree, &names, e);
		free(tree);
	}
	if (rc == 0 && names.n) {
		snprintf(name, sizeof(name), "given-%zu", building->n_given);
		nb_root_open(building, name, c->diff_ids, given.n, true, &r);
		given.dir = path_join(building->dir, name);
		given.upper = mem_dup(r.upper);
		building->given = mem_realloc(building->given,
		                              (building->n_given + 1) * sizeof(given));
		building->given[building->n_given++] = given;
		rc = nb_root_empty(building, &r, e);
		if (rc == 0)
			rc = native_owners_give(&r.s, &names, building->d, e);
		nb_root_close(&r);
	}
	buf_free(&names);
	return rc < 0 ? err_wrap(e, "owners of the image's files") : 0;
}

void nb_forget_given(struct building *building)
{
	struct err ignored = { 0 }; /* it lies in what goes at the end */

	for (size_t i = 0; i < building->n_given; i++) {
		(void)sandbox_remove(&building->c->state.box.map, building->given[i].dir,
		                     building->d, &ignored);
		free(building->given[i].dir);
		free(building->given[i].upper);
	}
	free(building->given);
	building->given = NULL;
	building->n_given = building->n_asked = 0;
}

static void environment(const struct building *building, struct kv *vars)
{
	kv_set(vars, "PATH", SPAWN_DEFAULT_PATH);
	kv_merge(vars, &building->args);
	for (char **p = building->config.env; p && *p; p++) {
		char *name = mem_dupn(*p, strcspn(*p, "="));

		if (*name)
			kv_set(vars, name, *p + strlen(name) + ((*p)[strlen(name)] == '='));
		free(name);
	}
	if (building->env)
		kv_merge(vars, building->env);
}

int nb_run(struct building *building, const char *const *argv, struct err *e)
{
	const struct native_options *o = &building->c->options;
	struct sandbox before = building->box.s;
	struct nb_root r;
	struct kv vars = { 0 };
	struct digest key;
	struct buf text = { 0 };
	char **env;
	int rc;

	environment(building, &vars);
	env = kv_to_env(&vars);
	/* With less of anything it may have made less. */
	buf_addf(&text, "RUN %lld %lld %lld %lld ", (long long)o->limits.cpu_milli,
	         (long long)o->limits.memory_bytes, (long long)o->limits.pids,
	         (long long)o->disk_bytes);
	nb_text(&text, building->config.user);
	nb_text(&text, building->config.workdir);
	for (const char *const *p = argv; *p; p++)
		nb_text(&text, *p);
	nb_text(&text, "");
	for (char **p = env; *p; p++)
		nb_text(&text, *p);
	rc = nb_known(building, buf_str(&text), &key, e);
	buf_wipe(&text);
	if (rc == 0)
		rc = give_owners(building, e);
	if (rc == 0) {
		nb_root_open(building, "top", building->config.diff_ids,
		             building->config.n_diff_ids, true, &r);
		r.s.user = building->config.user;
		r.s.cwd = *building->config.workdir ? building->config.workdir : "/";
		building->box.s = r.s;
		rc = nb_root_empty(building, &r, e);
		if (rc == 0)
			rc = run_inside(building, argv, env, e);
		if (rc == 0)
			rc = nb_commit(building, &r, LAYER_OF_SANDBOX, &key, e);
		building->box.s = before;
		nb_root_close(&r);
	}
	kv_env_free(env);
	kv_free(&vars);
	return rc < 0 ? -1 : 0;
}
