/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's own image, see scratch.h. The archive is what "docker save" writes (image specification v1.2). */
#include "providers/docker/workspace/scratch.h"

#include "agent/agent.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/manifest.h"

#include <stdlib.h>
#include <string.h>

struct scratch {
	struct tar_file f;
	struct buf before, after; /* of the executable, in the layer */
	uint64_t size;            /* of the layer */
	struct digest layer;
	char *name; /* the image's, made of it */
};

static void scratch_free(struct scratch *s)
{
	tar_file_close(&s->f);
	buf_free(&s->before);
	buf_free(&s->after);
	free(s->name);
}

static int hash_layer(struct scratch *s, struct err *e)
{
	struct sha256 *h = sha256_new();
	struct buf piece = { 0 };
	int more;

	do {
		buf_reset(&piece);
		more = tar_file_fill(&s->f, &piece, e);
		sha256_add(h, piece.p, piece.n);
		s->size += piece.n;
	} while (more > 0);
	digest_end(h, &s->layer);
	buf_free(&piece);
	tar_file_rewind(&s->f);
	return more;
}

/* The same bytes from the same executable, on any runner. */
static int scratch_open(struct scratch *s, const char *file, struct err *e)
{
	struct buf text = { 0 };
	int rc = tar_file_open(&s->f, file, e);

	if (rc < 0)
		return -1;
	tar_header(&s->before,
	           &(struct tar_entry){ .name = ".daytona/", .type = '5', .mode = 0755 });
	tar_header(&s->before, &(struct tar_entry){ .name = "work/", .type = '5', .mode = 0755 });
	tar_header(&s->before, &(struct tar_entry){ .name = &PROGRAM_PATH[1],
	                                            .type = '0',
	                                            .mode = 0755,
	                                            .size = s->f.size });
	tar_pad(&s->after, s->f.size);
	tar_finish(&s->after);
	s->f.before = buf_str(&s->before);
	s->f.after = buf_str(&s->after);
	rc = hash_layer(s, e);
	buf_addf(&text, SCRATCH_NAME ":%s", digest_hex(&s->layer));
	s->name = buf_take(&text);
	return rc;
}

static void write_config(const struct scratch *s, const char *arch, struct buf *b)
{
	struct image_config c = { .os = mem_dup("linux"),
		                  .arch = mem_dup(arch),
		                  .created = mem_dup("1970-01-01T00:00:00Z"),
		                  .diff_ids = mem_alloc(sizeof(*c.diff_ids)),
		                  .n_diff_ids = 1 };

	*c.diff_ids = s->layer;
	image_config_write(&c, b);
	image_config_free(&c);
}

static void write_manifest(const struct scratch *s, const char *config, struct buf *b)
{
	jw_arr(b);
	jw_obj(b);
	jw_kstr(b, "Config", config);
	jw_key(b, "RepoTags");
	jw_arr(b);
	jw_str(b, str_of(s->name));
	jw_arr_end(b);
	jw_key(b, "Layers");
	jw_arr(b);
	jw_str(b, STR_LIT("layer.tar"));
	jw_arr_end(b);
	jw_obj_end(b);
	jw_arr_end(b);
}

static void add_file(struct buf *b, const char *name, struct str text)
{
	tar_header(b,
	           &(struct tar_entry){ .name = name, .type = '0', .mode = 0644, .size = text.n });
	buf_add_str(b, text);
	tar_pad(b, text.n);
}

static int load(struct docker *docker, struct scratch *s, struct deadline d, struct err *e)
{
	struct buf config = { 0 }, name = { 0 }, manifest = { 0 }, before = { 0 }, after = { 0 };
	struct digest id;
	int rc;

	write_config(s, *docker->engine.arch ? docker->engine.arch : agent_host_arch(), &config);
	digest_of(buf_str(&config), &id);
	buf_addf(&name, "%s.json", digest_hex(&id));
	write_manifest(s, buf_cstr(&name), &manifest);
	add_file(&before, "manifest.json", buf_str(&manifest));
	add_file(&before, buf_cstr(&name), buf_str(&config));
	tar_header(&before,
	           &(struct tar_entry){
			   .name = "layer.tar", .type = '0', .mode = 0644, .size = s->size });
	buf_add_str(&before, buf_str(&s->before));
	buf_add_str(&after, buf_str(&s->after));
	tar_pad(&after, s->size);
	tar_finish(&after);
	s->f.before = buf_str(&before);
	s->f.after = buf_str(&after);
	rc = image_load(&docker->engine, &docker->opt, tar_file_fill, &s->f, d, e);
	buf_free(&config);
	buf_free(&name);
	buf_free(&manifest);
	buf_free(&before);
	buf_free(&after);
	return rc;
}

static bool is_empty(struct json v)
{
	return !json_present(v) || json_is_null(v) || json_len(v) == 0;
}

bool scratch_is(struct json image, const char *layer)
{
	static const char *const taken_over[] = { "Env", "Labels", "Volumes" };
	struct json layers = json_get(json_get(image, "RootFS"), "Layers");
	bool is = json_is_array(layers) && json_len(layers) == 1 &&
	          json_str_is(json_first(layers), layer);

	for (size_t i = 0; i < ARRAY_LEN(taken_over); i++)
		is = is && is_empty(json_get(json_get(image, "Config"), taken_over[i]));
	return is;
}

/* *id stays NULL when the engine has none of that name, or another. */
static int look(struct docker *docker, const struct scratch *s, char **id, struct deadline d,
                struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc = NULL;
	int rc;

	buf_addf(&path, "/images/%s/json", s->name);
	rc = engine_call(&docker->engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = 0;
	} else if (rc == 0 && scratch_is(json_root(doc), s->layer.text)) {
		*id = json_dup(json_get(json_root(doc), "Id"));
	} else if (rc == 0) {
		provider_logf(docker->env, "Image %s is not what its name says; it is replaced",
		              s->name);
	}
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

static int refused(const struct docker *docker, struct err *e)
{
	if (e->kind != ERR_HTTP && e->kind != ERR_NOT_FOUND)
		return err_wrap(e, "load the runner's helper image");
	return err_set(e, ERR_UNSUPPORTED, e->code,
	               "the engine at %s does not take the runner's helper image (%s); allow the "
	               "runner POST /images/load there",
	               docker->engine.where, e->msg);
}

int scratch_image(struct docker *docker, char **id, struct deadline d, struct err *e)
{
	struct scratch s = { .f = { .fd = -1 } };
	struct buf why = { 0 };
	const char *file;
	int rc = engine_hello(&docker->engine, d, e);

	*id = NULL;
	file = rc == 0 ? delivery_program(docker, &why) : NULL;
	if (rc == 0 && !file)
		rc = err_set(e, ERR_UNSUPPORTED, 0, "no helper container can run there: %s",
		             buf_cstr(&why));
	if (rc == 0)
		rc = scratch_open(&s, file, e);
	if (rc == 0)
		rc = look(docker, &s, id, d, e);
	if (rc == 0 && !*id) {
		rc = load(docker, &s, d, e) < 0 ? refused(docker, e) : look(docker, &s, id, d, e);
		if (rc == 0 && !*id)
			rc = err_set(
				e, ERR_OTHER, 0,
				"the engine's image %s is not the one that was loaded into it; "
				"nothing is run as root from it",
				s.name);
	}
	scratch_free(&s);
	buf_free(&why);
	return rc;
}
