/* SPDX-License-Identifier: Apache-2.0 */
/* See build.h: stages, and what instructions make of a configuration. */
#include "providers/native/build.h"

#include "base/beneath.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "providers/native/build_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN 120            /* bytes of an instruction in the log */
#define WORDS_MAX (8u << 20) /* bytes of all words with their variables filled in */
#define WORD_COST 512        /* of an empty one: lists are gone through for each */
#define LIST_MAX 10000

static void set(char **to, const char *text)
{
	char *old = *to;

	*to = mem_dup(text);
	free(old);
}

static const char *value_of(const void *arg, const char *name)
{
	const struct building *building = arg;
	const char *value = building->in_stage ? image_list_get(building->config.env, name) : NULL;

	return value ? value
	             : kv_get(building->in_stage ? &building->args : &building->global, name);
}

int nb_go_on(const struct building *building, struct err *e)
{
	const volatile int *stop = building->c->env->stop;

	if (stop && *stop)
		return err_set(e, ERR_CANCELED, 0, "stopped because the runner was told to end");
	return deadline_passed(building->d)
	               ? err_set(e, ERR_TIMEOUT, 0, "the time for this is over")
	               : 0;
}

int nb_word(struct building *building, struct str *rest, bool whole, struct buf *word,
            struct err *e)
{
	const struct dockerfile_scope scope = { value_of, building, building->f.escape };
	int rc = dockerfile_word(rest, whole, &scope, word, e);

	building->spent += rc > 0 ? word->n + WORD_COST : 0;
	return rc < 0 || building->spent <= WORDS_MAX
	               ? rc
	               : err_set(e, ERR_LIMIT, 0, "its words are more than %u MiB in all",
	                         WORDS_MAX >> 20);
}

char **nb_list(const char *text)
{
	struct err ignored = { 0 };
	struct json_doc *doc = *text == '[' ? json_parse(str_of(text), DOCKERFILE_MAX, &ignored)
	                                    : NULL;
	struct json root = json_root(doc);
	char **list = json_is_array(root) && json_len(root) <= LIST_MAX
	                      ? mem_array(1, sizeof(*list))
	                      : NULL;

	for (struct json j = json_first(root); list && json_present(j); j = json_next(j)) {
		char *s = json_dup(j);

		if (s)
			image_list_add(&list, s);
		else
			image_list_free(&list);
		free(s);
	}
	json_doc_free(doc);
	return list;
}

/* ---- images ---- */

/* From its registry unless it is here; by name alone. */
static int bring(struct building *building, const char *name, struct digest *manifest,
                 struct err *e)
{
	struct native_box as = { .map = building->c->state.box.map,
		                 .shift = building->c->state.box.shift };
	struct native_options *o = &building->c->options;
	char *wanted = o->image;
	struct rootfs r = { 0 };
	struct buf full = { 0 };
	int rc = images_full_name(name, &full, e);

	as.source = mem_dup("");
	as.manifest = mem_dup("");
	if (rc == 0) {
		o->image = buf_take(&full);
		rc = native_box_pull(building->c, &as, building->d, &r, e);
		free(o->image);
		o->image = wanted;
	}
	*manifest = r.manifest;
	kv_merge(&building->logins, &r.logins);
	rootfs_free(&r);
	free(as.source);
	free(as.manifest);
	buf_free(&full);
	return rc;
}

int nb_find(struct building *building, const char *name, bool numbers, struct digest *manifest,
            struct err *e)
{
	int64_t number = -1;

	if (numbers)
		(void)str_to_i64(str_of(name), 0, (int64_t)building->n_stages - 1, &number);
	for (size_t i = building->n_stages; i-- > 0;)
		if (number == (int64_t)i || strcasecmp(building->stages[i].name, name) == 0) {
			*manifest = building->stages[i].manifest;
			return 0;
		}
	return bring(building, name, manifest, e);
}

static void drop_stage(struct building *building)
{
	for (size_t i = 0; building->layers && i < building->config.n_diff_ids; i++)
		free(building->layers[i].media_type);
	nb_forget_given(building);
	free(building->layers);
	free(building->name);
	building->layers = NULL;
	building->name = NULL;
	image_config_free(&building->config);
	kv_free(&building->args);
	building->in_stage = building->has_cmd = false;
}

/* Whatever a registry called it. */
static const char *layer_type(const char *type)
{
	return strstr(type, "gzip")   ? MEDIA_OCI_LAYER "+gzip"
	       : strstr(type, "zstd") ? MEDIA_OCI_LAYER "+zstd"
	                              : MEDIA_OCI_LAYER;
}

static int begin_stage(struct building *building, const struct digest *from, struct err *e)
{
	struct platform p = platform_here();
	struct rootfs r = { 0 };
	struct manifest manifest = { 0 };
	struct buf text = { 0 };
	int rc = images_rootfs_of(building->s, from, building->c->ws->id, building->d, &r, e);

	if (rc == 0)
		rc = imgstore_read_blob(building->s, from, MANIFEST_MAX, &text, e);
	if (rc == 0)
		rc = manifest_parse(buf_str(&text), "", &p, &manifest, e);
	if (rc == 0) {
		building->config = r.config;
		r.config = (struct image_config){ 0 };
		building->layers = mem_array(manifest.n_layers, sizeof(*building->layers));
		for (size_t i = 0; i < manifest.n_layers; i++) {
			building->layers[i] = manifest.layers[i];
			building->layers[i].media_type = mem_dup(
				layer_type(manifest.layers[i].media_type));
		}
	}
	rootfs_free(&r);
	manifest_free(&manifest);
	buf_free(&text);
	return rc;
}

static void add_ref(struct buf *b, const struct blob_ref *r)
{
	jw_obj(b);
	jw_kstr(b, "mediaType", r->media_type);
	jw_kstr(b, "digest", r->digest.text);
	jw_kint(b, "size", r->size);
	jw_obj_end(b);
}

static int end_stage(struct building *building, bool last, struct err *e)
{
	char type[] = MEDIA_OCI_CONFIG;
	struct blob_ref config = { .media_type = type };
	struct buf text = { 0 }, b = { 0 };
	struct digest manifest;
	int rc;

	for (size_t i = 0; last && i < building->b->labels.n; i++) {
		buf_reset(&b);
		buf_addf(&b, "%s=%s", building->b->labels.pairs[i].key,
		         building->b->labels.pairs[i].value);
		image_list_set(&building->config.labels, buf_cstr(&b));
	}
	set(&building->config.created, ""); /* the same in every build */
	image_config_write(&building->config, &text);
	config.size = (int64_t)text.n;
	rc = imgstore_put_blob(building->s, buf_str(&text), &config.digest, building->d, e);
	buf_reset(&b);
	jw_obj(&b);
	jw_kint(&b, "schemaVersion", 2);
	jw_kstr(&b, "mediaType", MEDIA_OCI_MANIFEST);
	jw_key(&b, "config");
	add_ref(&b, &config);
	jw_key(&b, "layers");
	jw_arr(&b);
	for (size_t i = 0; i < building->config.n_diff_ids; i++)
		add_ref(&b, &building->layers[i]);
	jw_arr_end(&b);
	jw_obj_end(&b);
	if (rc == 0)
		rc = imgstore_put_blob(building->s, buf_str(&b), &manifest, building->d, e);
	if (rc == 0)
		rc = images_complete(building->s, &manifest, NULL, "", &building->logins,
		                     building->d, e);
	if (rc == 0) {
		building->stages = mem_realloc(building->stages, (building->n_stages + 1) *
		                                                         sizeof(*building->stages));
		building->stages[building->n_stages++] = (struct stage){ building->name, manifest };
		building->name = NULL;
	}
	drop_stage(building);
	buf_free(&text);
	buf_free(&b);
	return rc;
}

/* ---- instructions ---- */

static bool is_here(const char *platform)
{
	struct platform here = platform_here(), p;
	struct buf b = { 0 };
	bool is = platform_parse(platform, &b, &p) && strcmp(p.os, here.os) == 0 &&
	          strcmp(p.arch, here.arch) == 0;

	buf_free(&b);
	return is;
}

/* FROM [--platform=P] IMAGE [AS NAME] */
static int do_from(struct building *building, struct str rest, struct err *e)
{
	struct buf word = { 0 }, image = { 0 };
	struct str name, value;
	struct digest from;
	int rc = 0;

	if (building->in_stage && end_stage(building, false, e) < 0)
		return -1;
	while (rc == 0 && dockerfile_flag(&rest, &name, &value))
		if (!str_eq(name, "platform") || nb_word(building, &value, true, &word, e) < 0 ||
		    !is_here(buf_cstr(&word)))
			rc = e->kind ? -1
			             : err_set(e, ERR_UNSUPPORTED, 0,
			                       "\"--%.*s=%.60s\" is not done: images are built for "
			                       "this machine's platform",
			                       STR_ARG(name), buf_cstr(&word));
	if (rc == 0 && nb_word(building, &rest, false, &image, e) <= 0)
		rc = e->kind ? -1 : err_set(e, ERR_PARSE, 0, "it names no image");
	while (rc == 0 && (rc = nb_word(building, &rest, false, &word, e)) > 0) {
		bool as = str_ieq(buf_str(&word), "as");

		rc = as ? nb_word(building, &rest, false, &word, e) : 0;
		if (rc <= 0 || str_trim(rest).n)
			rc = e->kind ? -1
			             : err_set(e, ERR_PARSE, 0, "\"%.60s\" is not \"AS NAME\"",
			                       buf_cstr(&word));
		else
			set(&building->name, buf_cstr(&word));
		rc = rc > 0 ? 0 : rc;
	}
	if (rc == 0 && !building->name)
		building->name = mem_dup("");
	if (rc == 0 && strcasecmp(buf_cstr(&image), "scratch") == 0) {
		rc = image_config_parse(STR_LIT("{\"rootfs\":{\"diff_ids\":[]}}"),
		                        &building->config, e);
		set(&building->config.os, platform_here().os);
		set(&building->config.arch, platform_here().arch);
	} else if (rc == 0) {
		rc = nb_find(building, buf_cstr(&image), false, &from, e);
		if (rc == 0)
			rc = begin_stage(building, &from, e);
	}
	building->in_stage = rc == 0;
	buf_free(&word);
	buf_free(&image);
	return rc;
}

/* ARG NAME[=VALUE]… */
static int do_arg(struct building *building, struct str rest, struct err *e)
{
	struct buf word = { 0 };
	int rc;

	while ((rc = nb_word(building, &rest, false, &word, e)) > 0) {
		char *name = mem_dupn(word.p, strcspn(buf_cstr(&word), "="));
		const char *value = kv_get(&building->b->args, name);

		if (!value && word.n > strlen(name))
			value = word.p + strlen(name) + 1;
		if (!value && building->in_stage)
			value = kv_get(&building->global, name);
		if (value)
			kv_set(building->in_stage ? &building->args : &building->global, name,
			       value);
		free(name);
	}
	buf_free(&word);
	return rc;
}

/* NAME=VALUE…, or NAME and the rest of the line. */
static int do_pairs(struct building *building, struct str rest, char ***list, struct err *e)
{
	char **pairs = NULL;
	struct buf word = { 0 }, pair = { 0 };
	size_t n = 0;
	int rc = 0;

	while (n < rest.n && !strchr("= \t", rest.p[n]))
		n++;
	if (n < rest.n && rest.p[n] != '=') {
		buf_addf(&pair, "%.*s=", (int)n, rest.p);
		rest = (struct str){ rest.p + n, rest.n - n };
		rc = nb_word(building, &rest, true, &word, e);
		buf_add_str(&pair, buf_str(&word));
		image_list_add(&pairs, buf_cstr(&pair));
	} else {
		while ((rc = nb_word(building, &rest, false, &word, e)) > 0) {
			if (!memchr(word.p ? word.p : "", '=', word.n)) {
				rc = err_set(e, ERR_PARSE, 0, "\"%.60s\" is not NAME=VALUE",
				             buf_cstr(&word));
				break;
			}
			image_list_add(&pairs, buf_cstr(&word));
		}
	}
	for (char **p = pairs; rc >= 0 && p && *p; p++)
		image_list_set(list, *p);
	image_list_free(&pairs);
	buf_free(&word);
	buf_free(&pair);
	return rc < 0 ? -1 : 0;
}

/* Words, or the strings of a JSON list. port: what has no protocol is of TCP. */
static int do_names(struct building *building, const char *text, char ***list, bool port,
                    struct err *e)
{
	char **names = nb_list(text);
	struct str rest = str_of(names ? "" : text);
	struct buf word = { 0 };
	int rc;

	for (char **p = names; p && *p; p++)
		image_list_set(list, *p);
	while ((rc = nb_word(building, &rest, false, &word, e)) > 0) {
		if (port && !strchr(buf_cstr(&word), '/'))
			buf_adds(&word, "/tcp");
		image_list_set(list, buf_cstr(&word));
	}
	image_list_free(&names);
	buf_free(&word);
	return rc;
}

/* As it is, or for the shell. */
static char **command(const struct building *building, const char *text)
{
	char **list = nb_list(text);

	if (list)
		return list;
	for (char **p = building->config.shell; p && *p; p++)
		image_list_add(&list, *p);
	if (!list) {
		image_list_add(&list, "/bin/sh");
		image_list_add(&list, "-c");
	}
	image_list_add(&list, text);
	return list;
}

static void put(char ***to, char **list)
{
	image_list_free(to);
	*to = list;
}

/* Mounts of a cache go, since what is in one is not in the image; others bring what is missing without them. */
static int do_run(struct building *building, struct str rest, struct err *e)
{
	struct str name, value;
	char **argv;
	int rc;

	while (dockerfile_flag(&rest, &name, &value)) {
		if (!str_eq(name, "mount") || !str_find(value, "type=cache"))
			return err_set(e, ERR_UNSUPPORTED, 0, "\"--%.*s=%.*s\" is not done",
			               STR_ARG(name), STR_ARG(value));
		provider_logf(building->c->env, " --mount=type=cache has no effect here");
	}
	rest = str_trim(rest);
	if (!rest.n)
		return err_set(e, ERR_PARSE, 0, "there is nothing to run");
	argv = command(building, rest.p);
	rc = *argv ? nb_run(building, (const char *const *)argv, e)
	           : err_set(e, ERR_PARSE, 0, "there is nothing to run");
	image_list_free(&argv);
	return rc;
}

static int do_text(struct building *building, const char *text, char **to, struct err *e)
{
	struct str rest = str_of(text);
	struct buf word = { 0 };
	int rc = nb_word(building, &rest, true, &word, e);

	if (rc > 0)
		set(to, buf_cstr(&word));
	buf_free(&word);
	return rc;
}

static int instruction(struct building *building, const struct instruction *i, struct err *e)
{
	struct image_config *c = &building->config;
	struct str rest = str_of(i->rest);
	char *dir = NULL, **list;
	int rc;

	switch (i->kind) {
	case DOCKERFILE_FROM:
		return do_from(building, rest, e);
	case DOCKERFILE_ARG:
		return do_arg(building, rest, e);
	case DOCKERFILE_RUN:
		return do_run(building, rest, e);
	case DOCKERFILE_COPY:
	case DOCKERFILE_ADD:
		return nb_copy(building, i, e);
	case DOCKERFILE_ENV:
		return do_pairs(building, rest, &c->env, e);
	case DOCKERFILE_LABEL:
		return do_pairs(building, rest, &c->labels, e);
	case DOCKERFILE_EXPOSE:
		return do_names(building, i->rest, &c->ports, true, e);
	case DOCKERFILE_VOLUME:
		return do_names(building, i->rest, &c->volumes, false, e);
	case DOCKERFILE_USER:
		return do_text(building, i->rest, &c->user, e);
	case DOCKERFILE_STOPSIGNAL:
		return do_text(building, i->rest, &c->stop_signal, e);
	case DOCKERFILE_WORKDIR:
		rc = do_text(building, i->rest, &dir, e);
		rc = rc > 0 ? nb_workdir(building, dir, e) : rc;
		free(dir);
		return rc;
	case DOCKERFILE_CMD:
		put(&c->cmd, command(building, i->rest));
		building->has_cmd = true;
		return 0;
	case DOCKERFILE_ENTRYPOINT: /* the base's command was for another one */
		put(&c->entrypoint, command(building, i->rest));
		if (!building->has_cmd)
			image_list_free(&c->cmd);
		return 0;
	case DOCKERFILE_SHELL:
		list = nb_list(i->rest);
		if (!list || !*list) {
			image_list_free(&list);
			return err_set(e, ERR_PARSE, 0,
			               "it is no list such as [\"/bin/bash\", \"-c\"]");
		}
		put(&c->shell, list);
		return 0;
	default: /* HEALTHCHECK, MAINTAINER */
		provider_logf(building->c->env, " this has no effect here");
		return 0;
	}
}

static bool is_target(const struct building *building)
{
	int64_t number;
	const char *target = building->b->target;

	return target && *target && building->in_stage &&
	       (strcasecmp(building->name, target) == 0 ||
	        (str_to_i64(str_of(target), 0, INT64_MAX, &number) &&
	         number == (int64_t)building->n_stages));
}

static int run_all(struct building *building, struct err *e)
{
	const char *target = building->b->target && *building->b->target ? building->b->target
	                                                                 : NULL;

	for (size_t i = 0; i < building->f.n; i++) {
		const struct instruction *in = &building->f.list[i];
		struct buf shown = { 0 };

		if (in->kind == DOCKERFILE_FROM && is_target(building))
			return end_stage(building, true, e);
		buf_add_printable(&shown, str_of(in->rest), false);
		provider_logf(building->c->env, "%s %.*s", dockerfile_words[in->kind], SHOWN,
		              buf_cstr(&shown));
		buf_free(&shown);
		if (nb_go_on(building, e) < 0 || instruction(building, in, e) < 0)
			return err_wrap(e, "%s, line %u: %s", building->b->dockerfile, in->line,
			                dockerfile_words[in->kind]);
	}
	if (!building->in_stage)
		return err_set(e, ERR_PARSE, 0, "%s: there is no FROM", building->b->dockerfile);
	if (target && !is_target(building))
		return err_set(e, ERR_CONFIG, 0, "%s has no stage \"%.100s\"",
		               building->b->dockerfile, target);
	return end_stage(building, true, e);
}

/* ---- all of it ---- */

static void set_platform(struct kv *global)
{
	static const char *const sides[] = { "TARGET", "BUILD" };
	struct platform p = platform_here();
	struct buf b = { 0 };
	char name[24];

	buf_addf(&b, "%s/%s%s%s", p.os, p.arch, *p.variant ? "/" : "", p.variant);
	for (size_t i = 0; i < 2; i++) {
		const char *const rows[][2] = { { "PLATFORM", buf_cstr(&b) },
			                        { "OS", p.os },
			                        { "ARCH", p.arch },
			                        { "VARIANT", p.variant } };

		for (size_t k = 0; k < 4; k++) {
			snprintf(name, sizeof(name), "%s%s", sides[i], rows[k][0]);
			kv_set(global, name, rows[k][1]);
		}
	}
	buf_free(&b);
}

static int read_files(struct building *building, const char *checkout, struct err *e)
{
	struct buf text = { 0 };
	char *dir = dc_resolve(checkout, building->b->context);
	int root = -1, rc = dc_build_check(building->b, checkout, e);

	if (rc == 0 && building->b->platform && !is_here(building->b->platform))
		rc = err_set(e, ERR_UNSUPPORTED, 0,
		             "platform \"%.60s\": images are built for this machine's",
		             building->b->platform);
	if (rc == 0)
		rc = dc_read(checkout, building->b->dockerfile, &text, e);
	if (rc == 0 && dockerfile_parse(&building->f, buf_str(&text), e) < 0)
		rc = err_wrap(e, "%s", building->b->dockerfile);
	if (rc == 0)
		rc = dc_read_ignore(checkout, dir ? dir : "", building->b->dockerfile,
		                    &building->ignore, e);
	if (rc == 0 && (root = beneath_root(checkout, e)) >= 0)
		building->context = beneath_dir(root, dir ? dir : "", e);
	if (rc == 0 && building->context < 0)
		rc = err_wrap(e, "the build's context");
	fd_close(&root);
	buf_free(&text);
	free(dir);
	return rc;
}

static int open_all(struct building *building, struct err *e)
{
	struct unpack_owner owner;

	if (sandbox_remove(&building->c->state.box.map, building->dir, building->d, e) < 0 ||
	    file_mkdirs(building->dir, 0700, e) < 0 || nb_try(building, e) < 0)
		return -1;
	owner = native_box_owner(&building->c->state.box);
	return imgstore_open(&building->s, building->c->paths.images, &owner, building->d, e);
}

static void close_all(struct building *building, const struct native_options *before)
{
	struct native_call *c = building->c;
	struct err ignored = { 0 };

	drop_stage(building);
	(void)sandbox_remove(&c->state.box.map, building->dir, building->d, &ignored);
	c->options.agent = before->agent;
	c->options.net = before->net;
	for (size_t i = 0; i < building->n_stages; i++)
		free(building->stages[i].name);
	free(building->stages);
	kv_free(&building->global);
	kv_free(&building->logins);
	native_boxed_close(&building->box);
	imgstore_close(building->s);
	dockerfile_free(&building->f);
	dockerignore_free(&building->ignore);
	fd_close(&building->context);
	free(building->dir);
}

/* Another workspace may take the layer: it says nothing of this one, and cannot do otherwise by its name. */
static void take_name(struct native_boxed *box)
{
	union {
		const char *from;
		char *to;
	} before = { box->s.hostname };

	free(before.to);
	box->s.hostname = mem_dup("build");
}

/* With no context yet: 0 would be a descriptor. */
static struct building begin(struct native_call *c, const struct dc_build *b, struct deadline d)
{
	return (struct building){ .c = c,
		                  .b = b,
		                  .d = d,
		                  .context = -1,
		                  .dir = path_join(c->paths.box, "build"),
		                  .net = c->options.net };
}

int native_build(struct native_call *c, const char *checkout, const struct dc_build *b,
                 const struct digest *base, struct digest *manifest, struct deadline d,
                 struct err *e)
{
	struct building building = begin(c, b, d);
	const struct native_options before = c->options;
	int rc = read_files(&building, checkout, e);

	c->options.agent = false; /* nothing of a build asks the Server */
	native_boxed_init(&building.box, c);
	take_name(&building.box);
	building.box.s.tmp = building.box.s.owned = NULL;
	building.box.s.n_binds = 0;
	set_platform(&building.global);
	if (base) {
		building.stages = mem_alloc(sizeof(*building.stages));
		building.stages[building.n_stages++] = (struct stage){ mem_dup(NATIVE_BASE),
			                                               *base };
	}
	if (rc == 0)
		rc = open_all(&building, e);
	if (rc == 0 && base)
		rc = images_logins(building.s, base, &building.logins, e);
	if (rc == 0)
		rc = run_all(&building, e);
	if (rc == 0)
		*manifest = building.stages[building.n_stages - 1].manifest;
	close_all(&building, &before);
	return rc;
}

int native_build_step(struct building *building, const char *const *argv, struct err *e)
{
	return nb_run(building, argv, e);
}

int native_build_more(struct native_call *c, const struct native_more *more, struct deadline d,
                      struct err *e)
{
	/* What they do depends on the checkout: nothing is known again. */
	const struct dc_build again = { .no_cache = true };
	struct building building = begin(c, &again, d);
	const struct native_options before = c->options;
	char *user, *workdir;
	int rc;

	building.env = more->env;
	building.name = mem_dup("");
	c->options.agent = false;
	native_boxed_init(&building.box, c);
	building.box.s.tmp = NULL;
	building.box.s.n_binds = 1; /* the checkout */
	rc = open_all(&building, e);
	if (rc == 0)
		rc = images_logins(building.s, more->manifest, &building.logins, e);
	if (rc == 0)
		rc = begin_stage(&building, more->manifest, e);
	if (rc == 0) {
		user = building.config.user;
		workdir = building.config.workdir;
		building.config.user = mem_dup(more->user ? more->user : user);
		building.config.workdir = mem_dup(building.box.inside);
		rc = more->steps(more->arg, &building, e);
		set(&building.config.user, user);
		set(&building.config.workdir, workdir);
		free(user);
		free(workdir);
	}
	if (rc == 0)
		rc = end_stage(&building, false, e);
	if (rc == 0)
		*more->manifest = building.stages[0].manifest;
	close_all(&building, &before);
	return rc;
}
