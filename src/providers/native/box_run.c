/* SPDX-License-Identifier: Apache-2.0 */
/* How a workspace with namespaces of its own is started, and removed; see box.h. */
#include "base/file.h"
#include "base/mem.h"
#include "net/url.h"
#include "providers/native/box.h"
#include "sandbox/idrange.h"
#include "sandbox/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOSTNAME_MAX 63
#define CHECK_MS 5000

static int choose_network(struct native_boxed *b, struct err *e)
{
	const struct native_call *c = b->c;
	bool helper = network_find() != NETWORK_MISSING;
	bool near = c->options.agent && url_text_is_loopback(c->env->api_url);
	enum native_net net = c->options.net;
	struct buf line = { 0 };

	if (net == NATIVE_NET_AUTO && c->options.strict)
		net = NATIVE_NET_PRIVATE;
	if (net == NATIVE_NET_AUTO) {
		net = helper && !near ? NATIVE_NET_PRIVATE : NATIVE_NET_HOST;
		if (net == NATIVE_NET_HOST)
			provider_logf(c->env, "network: the host's%s%s",
			              near ? ", since the Server is at its loopback address"
			                   : "; for a private one ",
			              near ? "" : network_remedy());
	} else if (net == NATIVE_NET_PRIVATE && !helper) {
		network_describe(NETWORK_MISSING, &line);
		err_set(e, ERR_UNSUPPORTED, 0, "%.*s", STR_ARG(str_trim(buf_str(&line))));
		buf_free(&line);
		return -1;
	} else if (net == NATIVE_NET_PRIVATE && near) {
		provider_logf(
			c->env,
			"network: a private one does not reach the Server at %s; give the Server "
			"an address of this host, or set Network=host",
			c->env->api_url);
	}
	b->s.net = net == NATIVE_NET_PRIVATE ? SANDBOX_NET_PRIVATE
	           : net == NATIVE_NET_HOST  ? SANDBOX_NET_HOST
	                                     : SANDBOX_NET_NONE;
	b->s.resolv = net == NATIVE_NET_PRIVATE ? NETWORK_RESOLV : NULL;
	return 0;
}

/* A host name is letters, digits and "-"; the workspace's name, or its id. */
static char *hostname_of(const struct workspace *ws)
{
	const char *from = ws->name && *ws->name ? ws->name : ws->id;
	struct buf b = { 0 };

	for (; *from && b.n < HOSTNAME_MAX; from++)
		buf_addc(&b, (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
		                             (*from >= '0' && *from <= '9')
		                     ? *from
		                     : '-');
	return buf_take(&b);
}

static void say(void *arg, const char *line)
{
	const struct native_boxed *b = arg;

	provider_logf(b->c->env, "isolation: %s", line);
}

/* Nothing runs before this is written down. */
static int admit(void *arg, struct proc_id init, struct err *e)
{
	struct native_boxed *b = arg;

	b->agent = (struct native_agent){ .id = init, .boxed = true };
	if (native_agent_write(&b->c->paths, &b->agent, e) < 0)
		return -1;
	if (b->s.net != SANDBOX_NET_PRIVATE)
		return 0;
	if (network_start(network_find(), init, deadline_in_ms(CHECK_MS), &b->agent.helper, e) < 0)
		return -1;
	return native_agent_write(&b->c->paths, &b->agent, e);
}

static int bound(void *arg, struct proc_id init, struct err *e)
{
	struct native_boxed *b = arg;

	return native_bounds_admit(&b->bounds, init, e);
}

/* Without links in it, as it lies in the host's root. */
static void hide_path(struct native_boxed *b, const char *path)
{
	char *real = path && path[0] == '/' ? realpath(path, NULL) : NULL;

	if (real && strcmp(real, "/") != 0)
		b->hide[b->s.n_hide++] = real;
	else
		free(real);
}

static void hide(struct native_boxed *b)
{
	size_t n = 0;

	while (confine_hidden(n))
		n++;
	b->hide = mem_array(n + 2, sizeof(*b->hide));
	hide_path(b, b->c->env->state_dir);
	hide_path(b, getenv("HOME"));
	for (size_t i = 0; i < n; i++)
		hide_path(b, confine_hidden(i));
	b->s.hide = (const char *const *)b->hide;
}

static int open_root(struct native_boxed *b, struct deadline d, struct err *e)
{
	struct native_box *box = &b->c->state.box;

	if (box->kind == BOX_HOST) {
		hide(b);
		b->s.home = b->home;
		return 0;
	}
	if (box->kind == BOX_IMAGE && native_box_pull(b->c, box, d, &b->rootfs, e) < 0)
		return -1;
	if (box->flat) {
		b->s.plain = b->flat;
		return 0;
	}
	b->lower = box->kind == BOX_TREE ? box->source : b->tree;
	if (box->kind == BOX_IMAGE) {
		b->s.lower = (const char *const *)b->rootfs.lower;
		b->s.n_lower = b->rootfs.n;
	} else {
		b->s.lower = &b->lower;
		b->s.n_lower = 1;
	}
	b->s.shift = box->shift;
	b->s.upper = b->upper;
	b->s.work = b->work;
	if (b->s.n_lower == 0)
		return err_set(e, ERR_UNSUPPORTED, 0, "the image has no layers");
	return 0;
}

/* Beside an image that somebody chose; the Server's default is of another image. */
static bool user_was_chosen(const struct native_call *c)
{
	const struct server_config *server = c->env->server;

	return server && c->ws->user && *c->ws->user &&
	       !(server->default_user && strcmp(c->ws->user, server->default_user) == 0);
}

void native_boxed_init(struct native_boxed *b, struct native_call *c)
{
	const char *dir = c->paths.box;
	struct buf inside = { 0 };

	*b = (struct native_boxed){ .c = c };
	b->checkout = path_join(c->paths.root, c->state.dir);
	buf_addf(&inside, BOX_DIR "/%s", c->state.dir);
	b->inside = buf_take(&inside);
	b->upper = path_join(dir, "upper");
	b->work = path_join(dir, "work");
	b->point = path_join(dir, "point");
	b->tmp = path_join(dir, "tmp");
	b->home = path_join(dir, "home");
	b->tree = path_join(dir, "tree");
	b->flat = path_join(dir, "flat");
	b->binds[0] = (struct sandbox_bind){ b->checkout, b->inside, false };
	b->binds[1] = (struct sandbox_bind){ c->env->server_ca_file, BOX_CA_FILE, true };
	b->s = (struct sandbox){
		.map = &c->state.box.map,
		.strict = c->options.strict,
		.say = say,
		.admit = admit,
		.bound = bound,
		.arg = b,
		.point = b->point,
		.tmp = b->tmp,
		.binds = b->binds,
		.n_binds = c->env->server_ca_file ? 2 : 1,
		.owned = b->inside,
		.hostname = hostname_of(c->ws),
		.program = c->env->self_exe,
		.cwd = b->inside,
		.user = "",
		.output = SPAWN_NULL,
	};
}

int native_boxed_open(struct native_boxed *b, struct native_call *c, struct deadline d,
                      struct err *e)
{
	native_boxed_init(b, c);
	if (open_root(b, d, e) < 0)
		return -1;
	if (b->rootfs.config.user)
		b->s.user = b->rootfs.config.user;
	if (c->options.of_workspace && c->state.box.kind == BOX_IMAGE && user_was_chosen(c))
		b->s.user = c->ws->user;
	return 0;
}

void native_boxed_close(struct native_boxed *b)
{
	union {
		const char *from;
		char *to;
	} hostname = { b->s.hostname };

	free(hostname.to);
	free(b->checkout);
	free(b->inside);
	free(b->upper);
	free(b->work);
	free(b->point);
	free(b->tmp);
	free(b->home);
	free(b->tree);
	free(b->flat);
	for (size_t i = 0; i < b->s.n_hide; i++)
		free(b->hide[i]);
	free(b->hide);
	native_bounds_close(&b->bounds);
	rootfs_free(&b->rootfs);
	*b = (struct native_boxed){ 0 };
}

int native_boxed_start(struct native_boxed *b, const char *const *argv, const struct kv *vars,
                       int output, struct deadline d, struct err *e)
{
	char **env = kv_to_env(vars);
	struct proc_id init;
	int rc = -1;

	b->s.argv = argv;
	b->s.env = (const char *const *)env;
	b->s.output = output;
	if (choose_network(b, e) == 0 && native_bounds_open(&b->bounds, b->c, true, e) == 0 &&
	    sandbox_remove(b->s.map, b->tmp, d, e) == 0 && file_mkdirs(b->tmp, 0700, e) == 0)
		rc = sandbox_start(&b->s, d, &init, e);
	if (rc < 0)
		network_end(b->agent.helper);
	kv_env_free(env);
	return rc < 0 ? err_wrap(e, "isolation") : 0;
}

/* One whose making was cut short, or failed, before it was written down has files of the ids that it was to have. */
static struct userns_map removal_map(const struct native_paths *p, const struct native_state *s)
{
	struct userns_map map = s->box.map;
	struct buf ignored = { 0 };

	if (s->box.kind == BOX_NONE && geteuid() != 0 && file_exists(p->box))
		userns_ordinary(&map, &ignored);
	buf_free(&ignored);
	return map;
}

int native_box_remove(const struct native_paths *p, const struct native_state *s, struct deadline d,
                      struct err *e)
{
	const char *id = strrchr(p->root, '/') + 1;
	struct unpack_owner owner = { 0 };
	struct imgstore *store = NULL;
	struct userns_map map = removal_map(p, s);
	int rc = sandbox_remove(&map, p->root, d, e);

	if (rc == 0 && file_is_dir(p->images)) {
		rc = imgstore_open(&store, p->images, &owner, d, e);
		if (rc == 0)
			rc = images_release(store, id, e);
		imgstore_close(store);
	}
	if (rc == 0)
		rc = idrange_free(p->ids, id, e);
	return rc;
}

int native_box_prepare_removal(const struct native_paths *p, struct deadline d, struct err *e)
{
	struct native_state s = { 0 };
	struct err ignored = { 0 };
	int rc = 0;

	(void)native_state_read(&s, p, &ignored);
	if (file_exists(p->box) && s.box.map.how != MAP_RANGE) {
		char *checkout = path_join(p->root, s.dir ? s.dir : "");
		struct userns_map map = removal_map(p, &s);

		rc = sandbox_remove(&map, p->box, d, e);
		if (rc == 0 && s.dir)
			rc = sandbox_remove(&map, checkout, d, e);
		free(checkout);
	}
	native_state_free(&s);
	return rc;
}
