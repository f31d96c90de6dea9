/* SPDX-License-Identifier: Apache-2.0 */
/* The image of a workspace; see box.h. */
#include "base/mem.h"
#include "oci/pull.h"
#include "providers/native/box.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAY_EVERY_PERCENT 10
#define PLAIN_MAX 16

struct shown {
	const struct provider_env *env;
	unsigned percent; /* that was said last */
};

static void say(void *arg, const char *line)
{
	const struct shown *s = arg;

	provider_logf(s->env, "%s", line);
}

static void show(void *arg, uint64_t done, uint64_t total)
{
	struct shown *s = arg;
	unsigned percent = total ? (unsigned)(done * 100 / total) : 100;

	if (percent / SAY_EVERY_PERCENT > s->percent / SAY_EVERY_PERCENT)
		provider_logf(s->env, "%u %% of %.1f MiB", percent,
		              (double)total / (double)(1u << 20));
	s->percent = percent;
}

/* Whose the files of layers are: as in the image where they are mounted shifted; else given to the workspace's ids, or
 * noted down. */
struct unpack_owner native_box_owner(const struct native_box *box)
{
	struct unpack_owner o = { 0 };

	if (box->map.how != MAP_RANGE) {
		o.recorded = true;
		o.user_marks = true;
	} else if (!box->shift) {
		o.uids[0] = (struct id_range){ 0, box->map.uids, box->map.n_uids };
		o.gids[0] = (struct id_range){ 0, box->map.gids, box->map.n_gids };
		o.n_uids = o.n_gids = 1;
	}
	return o;
}

/* With the logins of the job, then what `docker login` of this user knows. push: a name; else the image is brought into r
 * where it is not here for this job. */
static int reach(struct native_call *c, struct imgstore *s, const char *push, struct deadline d,
                 struct rootfs *r, struct err *e)
{
	const struct registries *known = c->w->registries;
	size_t n = known ? known->n : 0;
	struct registry_login *logins = mem_array(n, sizeof(*logins));
	const char *plain[PLAIN_MAX];
	char *hosts = mem_dup(c->options.plain_http ? c->options.plain_http : "");
	struct registry_options o = { .logins = logins, .user_logins = true, .plain_http = plain };
	struct tls_settings tls = { 0 };
	struct shown shown = { .env = c->env };
	struct pull_progress progress = { say, show, &shown };
	struct platform p = platform_here();
	char *rest = hosts, *comma;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		logins[o.n_logins++] = (struct registry_login){
			.host = known->list[i].server,
			.user = known->list[i].username,
			.password = known->list[i].password,
		};
	while (*rest && o.n_plain_http < PLAIN_MAX) {
		comma = strchr(rest, ',');
		if (comma)
			*comma = '\0';
		plain[o.n_plain_http++] = rest;
		rest = comma ? comma + 1 : rest + strlen(rest);
	}
	if (!push) {
		rc = images_get(s, c->options.image, PULL_NEVER, &o, &p, &progress, c->ws->id, d, r,
		                e);
		if (rc == 0 || e->kind != ERR_NOT_FOUND)
			goto out;
		err_clear(e);
	}
	rc = tls_ctx_new(&o.tls, &tls, false, e);
	provider_logf(c->env, push ? "pushing image %s" : "pulling image %s",
	              push ? push : c->options.image);
	if (rc == 0 && push)
		rc = images_push(s, push, &o, d, e);
	else if (rc == 0)
		rc = images_get(s, c->options.image, PULL_MISSING, &o, &p, &progress, c->ws->id, d,
		                r, e);
	tls_ctx_free(o.tls);
out:
	free(logins);
	free(hosts);
	return rc;
}

int native_box_pull(struct native_call *c, struct native_box *box, struct deadline d,
                    struct rootfs *r, struct err *e)
{
	struct unpack_owner owner = native_box_owner(box);
	struct imgstore *s = NULL;
	struct digest manifest;
	int rc;

	*r = (struct rootfs){ 0 };
	rc = imgstore_open(&s, c->paths.images, &owner, d, e);
	if (rc == 0 && digest_parse(str_of(box->manifest), &manifest)) {
		rc = images_rootfs_of(s, &manifest, c->ws->id, d, r, e);
	} else if (rc == 0) {
		rc = reach(c, s, NULL, d, r, e);
	}
	if (rc == 0 && !box->manifest[0]) {
		free(box->source);
		free(box->manifest);
		box->source = mem_dup(r->name);
		box->manifest = mem_dup(r->manifest.text);
	}
	imgstore_close(s);
	return rc < 0 ? err_wrap(e, "image %s", c->options.image) : 0;
}

int native_box_push(struct native_call *c, const char *name, struct deadline d, struct err *e)
{
	struct unpack_owner owner = native_box_owner(&c->state.box);
	struct imgstore *s = NULL;
	int rc = imgstore_open(&s, c->paths.images, &owner, d, e);

	if (rc == 0)
		rc = reach(c, s, name, d, NULL, e);
	imgstore_close(s);
	return rc;
}
