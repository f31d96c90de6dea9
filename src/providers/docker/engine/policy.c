/* SPDX-License-Identifier: Apache-2.0 */
/* See policy.h. */
#include "providers/docker/engine/policy.h"

#include "base/attr.h"
#include "base/beneath.h"
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/engine/container.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VOLUME_NAME_MAX 128
#define OWN_DIR ".daytona" /* of PROGRAM_PATH */

struct bind {
	char *source;
	bool mine; /* of the checkout, when it was looked at */
	struct asker_seen seen;
};

struct admitted {
	struct buf body, no_disk; /* the latter without a limit of the disk; empty: body has none */
	char *checkout;           /* NULL: this host cannot look at what is mounted */
	struct bind *binds;
	size_t n;
	char *misplaced; /* where the checkout itself was to be mounted and must not be; NULL */
};

void policy_volume_prefix(const char *id, struct buf *b)
{
	buf_addf(b, "daytona-%zu-%s.", strlen(id), id);
}

static bool is_volume_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= VOLUME_NAME_MAX && str_is_id(str_of(s));
}

/* "/a/./b/../c" is "a/c". */
static bool is_target(struct str target)
{
	struct buf b = { 0 };
	bool ok = target.n && *target.p == '/' && path_add(&b, target) && b.n &&
	          strcmp(buf_cstr(&b), OWN_DIR) != 0 && !str_starts(buf_str(&b), OWN_DIR "/");

	buf_free(&b);
	return ok;
}

/* "/run:size=1m", of --tmpfs. */
static bool is_tmpfs(const char *arg)
{
	return is_target((struct str){ arg, strcspn(arg, ":") });
}

static bool admit_mount(const struct policy *p, struct mount_spec *mount, struct bind *b)
{
	bool any = p->options->privileged || p->options->host_mounts;
	struct buf name = { 0 };

	if (strcmp(mount->type, "bind") == 0)
		b->mine = mount->source && asker_may_bind(&p->from, mount->source, &b->seen);
	if (p->use == POLICY_HELPER)
		return mount->own;
	if (!is_target(str_of(mount->target)))
		return false;
	if (mount->own || strcmp(mount->type, "tmpfs") == 0)
		return true;
	if (strcmp(mount->type, "bind") == 0)
		return mount->source && (b->mine || any);
	if (strcmp(mount->type, "volume") != 0)
		return false;
	if (any || !mount->source || !*mount->source)
		return true;
	if (!is_volume_name(mount->source))
		return false;
	policy_volume_prefix(p->id, &name);
	buf_adds(&name, mount->source);
	free(mount->source);
	mount->source = buf_take(&name);
	return true;
}

static void admit_mounts(const struct policy *p, struct spec *s, struct admitted *a)
{
	size_t kept = 0;

	a->binds = mem_array(s->n_mounts, sizeof(*a->binds));
	for (size_t i = 0; i < s->n_mounts; i++) {
		struct mount_spec *mount = &s->mounts[i];
		struct bind b = { 0 };

		if (!admit_mount(p, mount, &b)) {
			asker_refuse(&p->from, "mount of",
			             mount->source && *mount->source ? mount->source
			                                             : mount->target);
			if (mount->own && !a->misplaced)
				a->misplaced = mem_dup(mount->target);
			mount_spec_free(mount);
			continue;
		}
		/* Our own mount of the checkout is looked at again like any other, and fails there if it is none now. */
		if (strcmp(mount->type, "bind") == 0 && asker_is_here(&p->from) &&
		    (b.mine || mount->own)) {
			b.source = mem_dup(mount->source);
			a->binds[a->n++] = b;
		}
		s->mounts[kept++] = *mount;
	}
	s->n_mounts = kept;
	if (a->n)
		a->checkout = mem_dup(p->from.checkout);
}

/* Capabilities that give no way to the host. */
static bool is_safe_cap(const char *cap)
{
	static const char *const safe[] = { "SYS_PTRACE", "NET_BIND_SERVICE", "SYS_NICE", "KILL",
		                            "SETUID",     "SETGID",           "CHOWN" };

	if (strncasecmp(cap, "CAP_", 4) == 0)
		cap += 4;
	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		if (strcasecmp(cap, safe[i]) == 0)
			return true;
	return false;
}

static bool is_safe_security_opt(const char *opt)
{
	return strcmp(opt, "no-new-privileges") == 0 || strcmp(opt, "no-new-privileges:true") == 0;
}

/* any: the operator allows all of them. */
static void admit_list(const struct policy *p, struct strlist *l, bool any,
                       bool (*safe)(const char *), const char *what)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (any || safe(l->p[i])) {
			l->p[kept++] = l->p[i];
		} else {
			asker_refuse(&p->from, what, l->p[i]);
			free(l->p[i]);
		}
	}
	l->n = kept;
}

/* Where the operator names a network, that or none: it may be there to keep workspaces from others. */
static bool is_network(const struct policy *p, const char *name)
{
	static const char *const harmless[] = { "", "bridge", "default" };
	const char *own = p->options->network;

	if (p->use == POLICY_HELPER || p->options->privileged || strcmp(name, "none") == 0)
		return true;
	if (own && *own)
		return strcmp(name, own) == 0;
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (strcmp(name, harmless[i]) == 0)
			return true;
	return false;
}

static void admit_network(const struct policy *p, struct spec *s)
{
	if (!s->network || is_network(p, s->network))
		return;
	asker_refuse(&p->from, "network", s->network);
	free(s->network);
	s->network = p->options->network ? mem_dup(p->options->network) : NULL;
}

static void admit_labels(const struct policy *p, struct spec *s)
{
	struct kv kept = { 0 };

	for (size_t i = 0; i < s->labels.n; i++) {
		const struct kv_pair *l = &s->labels.pairs[i];

		if (label_is_reserved(l->key))
			asker_refuse(&p->from, "label", l->key);
		else
			kv_set(&kept, l->key, l->value);
	}
	for (size_t i = 0; i < identity_labels_n; i++) {
		const char *value = p->identity ? kv_get(p->identity, identity_labels[i]) : NULL;

		kv_set(&kept, identity_labels[i], value ? value : "");
	}
	kv_free(&s->labels);
	s->labels = kept;
}

/* What is asked for and not given is no error: the tools of the specification go on as well. */
static void admit_gpus(const struct policy *p, struct spec *s)
{
	const char *given = p->use == POLICY_WORKSPACE ? p->options->gpus : NULL;
	bool as_asked = given && strcmp(given, DOCKER_GPUS_AUTO) == 0;
	struct buf b = { 0 };

	s->gpus = !as_asked ? given : p->has_gpus ? s->gpus_asked : NULL;
	if (p->use != POLICY_WORKSPACE || !s->gpus_asked || s->gpus || !p->from.say)
		return;
	buf_addf(&b, "dev container: it %s a GPU and has none: %s",
	         s->gpus_optional ? "can use" : "needs",
	         as_asked ? "the engine has no runtime nvidia (nvidia-container-toolkit)"
	                  : "the target's option GPUs gives them (auto, all …)");
	p->from.say(p->from.arg, buf_cstr(&b));
	buf_free(&b);
}

struct admitted *policy_admit(const struct policy *p, struct spec *s)
{
	struct admitted *a = mem_alloc(sizeof(*a));

	admit_mounts(p, s, a);
	admit_list(p, &s->tmpfs, false, is_tmpfs, "tmpfs at");
	admit_list(p, &s->cap_add, p->options->privileged, is_safe_cap, "capability");
	admit_list(p, &s->security_opt, p->options->privileged, is_safe_security_opt,
	           "security option");
	admit_network(p, s);
	admit_labels(p, s);
	if (s->privileged && !p->options->privileged) {
		asker_refuse(&p->from, "privileged", NULL);
		s->privileged = false;
	}
	s->no_healthcheck = p->use != POLICY_WORKSPACE;
	/* Whoever asks: the operator's word, or nothing. A helper runs our program alone, where it is known to run. */
	s->runtime = p->use == POLICY_HELPER ? NULL : p->options->runtime;
	admit_gpus(p, s);
	spec_write(s, p->dirs, &a->body);
	if (s->disk_bytes) {
		s->disk_bytes = 0;
		spec_write(s, p->dirs, &a->no_disk);
	}
	return a;
}

bool admitted_drop_disk(struct admitted *a)
{
	if (!a->no_disk.n)
		return false;
	buf_wipe(&a->body);
	a->body = a->no_disk;
	a->no_disk = (struct buf){ 0 };
	return true;
}

void admitted_free(struct admitted *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->binds[i].source);
	free(a->binds);
	free(a->checkout);
	free(a->misplaced);
	buf_wipe(&a->body);
	buf_wipe(&a->no_disk);
	free(a);
}

int admitted_body(const struct admitted *a, struct str *body, struct err *e)
{
	if (a->misplaced)
		return err_set(e, ERR_CONFIG, 0,
		               "the checkout cannot be mounted at %s; choose another folder for it",
		               a->misplaced);
	for (size_t i = 0; i < a->n; i++) {
		const struct bind *b = &a->binds[i];
		const char *rest = beneath_rest(b->source, a->checkout);
		struct stat st = { 0 };
		bool there;

		if (!rest || !beneath_find(a->checkout, rest, &st, &there) ||
		    there != b->seen.there ||
		    (there && (st.st_dev != b->seen.dev || st.st_ino != b->seen.ino)))
			return err_set(
				e, ERR_DENIED, 0,
				"%s was replaced while the container was made; it is not mounted",
				b->source);
	}
	*body = buf_str(&a->body);
	return 0;
}

bool policy_can_exchange(const struct container *c, const char *checkout)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const char *rest = beneath_rest(c->mounts[i].source, checkout);

		if (strcmp(c->mounts[i].type, "bind") == 0 && rest && *rest)
			return true;
	}
	return false;
}

int policy_check_mounts(const struct container *c, const char *dir, struct err *e)
{
	size_t n = strlen(dir);

	for (size_t i = 0; i < c->n_mounts; i++) {
		const char *source = c->mounts[i].source, *rest = beneath_rest(source, dir);
		struct stat st;
		bool there;

		if (strcmp(c->mounts[i].type, "bind") != 0 || strncmp(source, dir, n) != 0 ||
		    (source[n] && source[n] != '/'))
			continue;
		if (!rest || !beneath_find(dir, rest, &st, &there))
			return err_set(
				e, ERR_DENIED, 0,
				"%s has become a link, or one leads to it, or it is neither a "
				"directory nor a file any more; it is not mounted",
				source);
		if (!there)
			return err_set(e, ERR_NOT_FOUND, 0,
			               "%s, which the container mounts, is missing on the runner",
			               source);
	}
	return 0;
}
