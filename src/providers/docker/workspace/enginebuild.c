/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dockerfile builds through the engine's build endpoint: the context is packed and sent as it is read, without what
 * .dockerignore leaves out.
 */
#include "base/attr.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/dockerfile.h"
#include "oci/dockerignore.h"
#include "oci/image_ref.h"
#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/engine/progress.h"
#include "providers/docker/workspace/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HERE_MAX \
	16 /* words that may begin a here-document: each is looked for in all that follows */
#define OUTSIDE_NAME ".daytona.Dockerfile" /* a Dockerfile that lies outside of its context */

struct context {
	struct dockerignore ignore;
	struct tar_tree *tree;
	struct str outside;     /* content of such a Dockerfile; else nothing */
	const char *dockerfile; /* in the context */
	bool buildkit;          /* the classic builder does not know what it says */
	bool sent_outside;
};

static bool skip(void *arg, const char *path, bool is_dir, bool *whole)
{
	const struct context *c = arg;

	(void)is_dir;
	/* The engine needs these two whatever the patterns say. */
	if (strcmp(path, c->dockerfile) == 0 || strcmp(path, ".dockerignore") == 0)
		return false;
	/* A kept path below a left-out directory, or the Dockerfile there, still has to be found. */
	*whole = !c->ignore.has_keep && !(strncmp(c->dockerfile, path, strlen(path)) == 0 &&
	                                  c->dockerfile[strlen(path)] == '/');
	return dockerignore_match(&c->ignore, path);
}

static int fill(void *arg, struct buf *b, struct err *e)
{
	struct context *c = arg;

	if (c->outside.n && !c->sent_outside) {
		c->sent_outside = true;
		tar_header(b, &(struct tar_entry){ .name = OUTSIDE_NAME,
		                                   .type = '0',
		                                   .mode = 0644,
		                                   .size = c->outside.n });
		buf_add_str(b, c->outside);
		tar_pad(b, c->outside.n);
	}
	return tar_tree_fill(c->tree, b, e);
}

static void add_param(struct buf *path, const char *name, struct str value)
{
	buf_addf(path, "&%s=", name);
	buf_add_urlenc(path, value);
}

static void add_list(struct buf *path, const char *name, const struct strlist *l)
{
	struct buf json = { 0 };

	if (!l->n)
		return;
	jw_arr(&json);
	for (size_t i = 0; i < l->n; i++)
		jw_str(&json, str_of(l->p[i]));
	jw_arr_end(&json);
	add_param(path, name, buf_str(&json));
	buf_free(&json);
}

static void add_pairs(struct buf *path, const char *name, const struct kv *pairs)
{
	struct buf json = { 0 };

	if (!pairs->n)
		return;
	kv_to_json(pairs, &json);
	add_param(path, name, buf_str(&json));
	buf_free(&json);
}

/* network: of the target, which holds for what a Dockerfile runs as for containers; NULL: the engine's default. */
static void write_path(struct buf *path, const struct context *c, const char *tag,
                       const char *network, const struct dc_build *b, const struct strlist *from)
{
	buf_adds(path, c->buildkit ? "/build?version=2&rm=1&forcerm=1" : "/build?rm=1&forcerm=1");
	add_param(path, "t", str_of(tag));
	add_param(path, "dockerfile", str_of(c->dockerfile));
	if (b->target && *b->target)
		add_param(path, "target", str_of(b->target));
	if (network && *network)
		add_param(path, "networkmode", str_of(network));
	if (b->platform)
		add_param(path, "platform", str_of(b->platform));
	if (b->pull)
		buf_adds(path, "&pull=1");
	if (b->no_cache)
		buf_adds(path, "&nocache=1");
	add_pairs(path, "buildargs", &b->args);
	add_pairs(path, "labels", &b->labels);
	add_list(path, "cachefrom", from);
	for (size_t i = 0; i < b->extra_hosts.n; i++)
		add_param(path, "extrahosts", str_of(b->extra_hosts.p[i]));
}

static int send(struct docker *docker, struct context *c, const char *path,
                const struct registries *regs, struct deadline d, struct err *e)
{
	struct progress p;
	struct buf config = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = {
		.method = "POST",
		.path = path,
		.content_type = "application/x-tar",
		.body_source = fill,
		.body_arg = c,
		.sink = progress_sink,
		.sink_arg = &p,
	};
	struct err cut = { 0 };
	int rc, ended;

	registry_config_header(regs, &config);
	r.registry_config = buf_cstr(&config);
	progress_start(&p, docker->env);
	rc = engine_send(&docker->engine, &r, &reply, d, e);
	ended = progress_end(&p, &cut);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	else if (ended < 0 && (rc == 0 || p.failed)) {
		*e = cut;
		rc = -1;
	}
	http_reply_free(&reply);
	buf_wipe(&config);
	return rc;
}

static bool begins_with_word(struct str s, const char *word)
{
	size_t n = strlen(word);

	return s.n > n && strncasecmp(s.p, word, n) == 0 && strchr(" \t", s.p[n]);
}

static bool next_word(struct str *rest, struct str *word)
{
	*rest = str_trim(*rest);
	word->p = rest->p;
	for (word->n = 0; word->n < rest->n && !strchr(" \t", rest->p[word->n]);)
		word->n++;
	*rest = (struct str){ rest->p + word->n, rest->n - word->n };
	return word->n > 0;
}

/* "<<NAME", "3<<-'NAME'", and a line below that ends it. */
static bool is_here_document(struct str word, struct str below, unsigned *looked)
{
	struct str line;

	while (word.n && *word.p >= '0' && *word.p <= '9')
		word = (struct str){ word.p + 1, word.n - 1 };
	if (!str_starts(word, "<<"))
		return false;
	word = (struct str){ word.p + 2, word.n - 2 };
	while (word.n && strchr("-'\"", *word.p))
		word = (struct str){ word.p + 1, word.n - 1 };
	while (word.n && strchr("'\"", word.p[word.n - 1]))
		word.n--;
	if (word.n && ++*looked > HERE_MAX)
		return true;
	while (word.n && str_next(&below, '\n', &line)) {
		line = str_trim(line);
		if (line.n == word.n && memcmp(line.p, word.p, word.n) == 0)
			return true;
	}
	return false;
}

/* Which platform it is for and on: BuildKit alone says that. */
static bool is_platform(struct str name)
{
	static const char *const sides[] = { "BUILD", "TARGET" };
	static const char *const parts[] = { "PLATFORM", "OS", "ARCH", "VARIANT" };
	char text[32];

	for (size_t i = 0; i < ARRAY_LEN(sides) * ARRAY_LEN(parts); i++) {
		snprintf(text, sizeof(text), "%s%s", sides[i / ARRAY_LEN(parts)],
		         parts[i % ARRAY_LEN(parts)]);
		if (str_eq(name, text))
			return true;
	}
	return false;
}

/* "--platform=$BUILDPLATFORM", "--platform=${TARGETOS}/arm64" */
static bool has_platform(struct str flag)
{
	for (size_t i = 0; i < flag.n; i++) {
		struct str name = { flag.p + i + 1, 0 };

		if (flag.p[i] != '$')
			continue;
		if (i + 1 < flag.n && *name.p == '{')
			name.p++;
		while (name.p + name.n < flag.p + flag.n && isupper((unsigned char)name.p[name.n]))
			name.n++;
		if (is_platform(name))
			return true;
	}
	return false;
}

/* A repository to be cloned: the classic builder would fetch its page. */
static bool is_git(struct str source)
{
	const char *at = str_find(source, ".git");

	return str_starts(source, "git@") ||
	       (str_find(source, "://") && at &&
	        (at + 4 == source.p + source.n || strchr("#?", at[4])));
}

/* Flags, here-documents, sources and variables of BuildKit's own. below: what comes behind the line. */
static bool is_buildkits(struct str line, struct str below, unsigned *looked)
{
	static const struct {
		const char *word, *flags[5];
	} rows[] = {
		{ "RUN", { "--mount", "--network", "--security", "--device" } },
		{ "COPY", { "--link", "--chmod", "--parents", "--exclude" } },
		{ "ADD", { "--link", "--chmod", "--checksum", "--keep-git-dir", "--exclude" } },
	};
	struct str rest = line, word, piece;
	bool flags = true;

	if (!next_word(&rest, &word))
		return false;
	while (next_word(&rest, &piece)) {
		flags = flags && str_starts(piece, "--");
		if (str_ieq(word, "FROM") && flags && has_platform(piece))
			return true;
		if (str_ieq(word, "ADD") && is_git(piece))
			return true;
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			if (!str_ieq(word, rows[i].word))
				continue;
			if (is_here_document(piece, below, looked))
				return true;
			for (size_t k = 0;
			     flags && k < ARRAY_LEN(rows[i].flags) && rows[i].flags[k]; k++)
				if (str_starts(piece, rows[i].flags[k]))
					return true;
		}
		if (str_ieq(word, "ARG")) {
			struct str name;

			(void)str_next(&piece, '=', &name);
			if (is_platform(name))
				return true;
		}
	}
	return false;
}

bool dockerfile_needs_buildkit(struct str text)
{
	struct dockerfile_lines l = { .rest = text };
	struct buf line = { 0 };
	bool needs = false;
	unsigned looked = 0;

	while (!needs && dockerfile_next(&l, &line))
		needs = is_buildkits(buf_str(&line), l.rest, &looked);
	buf_free(&line);
	return needs;
}

/* BuildKit asks a client for credentials, which nobody is: so images are here before it begins. One that cannot be had
 * (a stage's name, or one with variables) is left to it. */
static void pull_bases(struct docker *docker, struct str text, const struct registries *regs,
                       struct deadline d)
{
	struct dockerfile_lines l = { .rest = text };
	struct buf joined = { 0 };

	while (dockerfile_next(&l, &joined)) {
		struct str line = buf_str(&joined), piece;
		char *name;

		if (!begins_with_word(line, "FROM"))
			continue;
		(void)str_next(&line, ' ', &piece);
		while (str_next(&line, ' ', &piece) && (!piece.n || str_starts(piece, "--")))
			;
		name = mem_dupn(piece.p, piece.n);
		if (registries_for_image(regs, name) && !strchr(name, '$')) {
			struct err ignored = { 0 };

			(void)image_ensure(&docker->engine, &docker->opt, name, regs, NULL, d,
			                   &ignored);
		}
		free(name);
	}
	buf_free(&joined);
}

static const char *within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (!n)
		return path;
	return strncmp(path, dir, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

int build_image(struct docker *docker, const char *checkout, const struct dc_build *b,
                const char *tag, const struct strlist *cache_from, const struct registries *regs,
                struct deadline d, struct err *e)
{
	char *dir = dc_resolve(checkout, b->context), *file = dc_resolve(checkout, b->dockerfile),
	     *root = NULL;
	struct context c = { 0 };
	struct tar_tree_options o = { .prefix = "", .uid = 0, .gid = 0, .skip = skip };
	struct buf path = { 0 }, text = { 0 };
	int rc = 0;

	if (!dir || !file)
		rc = err_set(e, ERR_NOT_FOUND, 0, "the repository has no \"%.200s\"",
		             dir ? b->dockerfile : b->context);
	if (rc == 0)
		rc = dc_read(checkout, file, &text, e);
	if (rc == 0)
		rc = dockerfile_admit(buf_str(&text), &b->args, e);
	for (size_t i = 0; rc == 0 && cache_from && i < cache_from->n; i++) {
		struct image_ref ref;

		rc = image_ref_parse(cache_from->p[i], &ref, e);
		if (rc == 0)
			image_ref_free(&ref);
	}
	if (rc == 0)
		c.dockerfile = within(file, dir);
	if (rc == 0 && !c.dockerfile) {
		c.dockerfile = OUTSIDE_NAME;
		c.outside = buf_str(&text);
	}
	if (rc == 0)
		rc = dc_read_ignore(checkout, dir, file, &c.ignore, e);
	if (rc == 0 && dockerfile_needs_buildkit(buf_str(&text))) {
		c.buildkit = true;
		pull_bases(docker, buf_str(&text), regs, d);
	}
	if (rc == 0) {
		root = path_join(checkout, dir);
		if (!*dir)
			root[strlen(root) - 1] = '\0'; /* the slash */
		o.root = root;
		o.skip_arg = &c;
		c.tree = tar_tree_new(&o);
		write_path(&path, &c, tag, docker->opt.network, b, cache_from);
		provider_logf(docker->env, "Building image %s", tag);
		rc = send(docker, &c, buf_cstr(&path), regs, d, e);
		tar_tree_free(c.tree);
	}
	dockerignore_free(&c.ignore);
	buf_free(&text);
	buf_free(&path);
	free(root);
	free(dir);
	free(file);
	return rc < 0 ? err_wrap(e, "build image %s", tag) : 0;
}
