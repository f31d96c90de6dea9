/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the engine, see images.h. */
#include "providers/docker/engine/images.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "oci/image_ref.h"
#include "providers/docker/engine/progress.h"

#include <stdlib.h>
#include <string.h>

#define PULL_TRIES 3

void image_free(struct image *i)
{
	free(i->id);
	free(i->user);
	free(i->arch);
	free(i->entrypoint);
	free(i->cmd);
	free(i->metadata);
	kv_free(&i->labels);
	*i = (struct image){ 0 };
}

void registry_auth_header(const struct registry *r, struct buf *out)
{
	struct buf json = { 0 };

	jw_obj(&json);
	jw_kstr(&json, "username", r->username);
	jw_kstr(&json, "password", r->password);
	jw_obj_end(&json);
	buf_add_base64(out, json.p, json.n, true, true);
	buf_wipe(&json);
}

void registry_config_header(const struct registries *regs, struct buf *out)
{
	struct buf json = { 0 };

	jw_obj(&json);
	for (size_t i = 0; regs && i < regs->n; i++) {
		const struct registry *r = &regs->list[i];
		bool hub = strcmp(r->server, "docker.io") == 0;

		jw_key(&json, hub ? "https://index.docker.io/v1/" : r->server);
		jw_obj(&json);
		jw_kstr(&json, "username", r->username);
		jw_kstr(&json, "password", r->password);
		jw_obj_end(&json);
	}
	jw_obj_end(&json);
	buf_add_base64(out, json.p, json.n, true, true);
	buf_wipe(&json);
}

static char *raw_array(struct json v)
{
	struct str raw = json_raw(v);

	return json_is_array(v) ? mem_dupn(raw.p, raw.n) : mem_dup("[]");
}

int image_inspect(struct engine *engine, const char *ref, struct image *out, struct deadline d,
                  struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	struct json v, config;
	int rc;

	buf_addf(&path, "/images/%s/json", ref);
	rc = engine_call(engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	buf_free(&path);
	if (rc == 0 && out) {
		v = json_root(doc);
		config = json_get(v, "Config");
		*out = (struct image){
			.id = json_dup_or_empty(json_get(v, "Id")),
			.arch = json_dup_or_empty(json_get(v, "Architecture")),
			.user = json_dup_or_empty(json_get(config, "User")),
			.entrypoint = raw_array(json_get(config, "Entrypoint")),
			.cmd = raw_array(json_get(config, "Cmd")),
		};
		kv_from_json(&out->labels, json_get(config, "Labels"));
		out->metadata = mem_dup(kv_get(&out->labels, "devcontainer.metadata"));
		if (!out->metadata)
			out->metadata = mem_dup("");
	}
	json_doc_free(doc);
	return rc;
}

/* Worth another try: the connection broke, or the registry had a weak moment. */
static bool is_passing(const struct err *e)
{
	static const char *const texts[] = {
		"EOF",           "timeout",           "connection re",
		"TLS handshake", "Bad Gateway",       "Service Unavailable",
		"no such host",  "Temporary failure", NULL
	};

	if (e->kind == ERR_CLOSED)
		return true;
	if (e->kind != ERR_OTHER && !(e->kind == ERR_HTTP && e->code >= 500))
		return false;
	for (int i = 0; texts[i]; i++)
		if (strcasestr(e->msg, texts[i]))
			return true;
	return false;
}

/* One POST whose answer is a progress stream. */
static int run_stream(struct engine *engine, const struct docker_options *o,
                      const struct engine_request *request, struct deadline d, struct err *e)
{
	struct engine_request r = *request;
	struct http_reply reply = { 0 };
	struct progress p;
	struct err cut = { 0 };
	int rc, ended;

	progress_start(&p, engine->env);
	r.sink = progress_sink;
	r.sink_arg = &p;
	r.stall_ms = o->pull_stall_ms;
	rc = engine_send(engine, &r, &reply, d, e);
	if (rc < 0 && e->kind == ERR_TIMEOUT && !deadline_passed(d))
		err_set(e, ERR_TIMEOUT, 0, "stalled: no byte from the engine for %lld s",
		        (long long)(o->pull_stall_ms / 1000));
	ended = progress_end(&p, &cut);
	if (rc == 0 && (reply.status < 200 || reply.status >= 300))
		rc = engine_refused(&r, &reply, e);
	else if (ended < 0 && (rc == 0 || p.failed)) {
		*e = cut;
		rc = -1;
	}
	http_reply_free(&reply);
	return rc;
}

static int pull(struct engine *engine, const struct docker_options *o, const struct image_ref *ref,
                const struct registry *auth, struct deadline d, struct err *e)
{
	struct buf path = { 0 }, header = { 0 };
	struct engine_request r = { .method = "POST" };
	int rc = -1;

	buf_adds(&path, "/images/create?fromImage=");
	buf_add_urlenc(&path, str_of(ref->name));
	buf_adds(&path, "&tag=");
	buf_add_urlenc(&path, str_of(*ref->digest ? ref->digest : ref->tag));
	r.path = buf_cstr(&path);
	if (auth) {
		registry_auth_header(auth, &header);
		r.registry_auth = buf_cstr(&header);
	}
	for (int i = 1;; i++) {
		rc = run_stream(engine, o, &r, d, e);
		if (rc == 0 || i == PULL_TRIES || !is_passing(e))
			break;
		provider_logf(engine->env, "Pull was interrupted (%s); trying again", e->msg);
		if (engine_sleep(engine, i * 1000, d, e) < 0)
			break;
	}
	buf_free(&path);
	buf_wipe(&header);
	return rc;
}

static int pull_and_check(struct engine *engine, const struct docker_options *o, const char *name,
                          const struct image_ref *ref, const char *full,
                          const struct registries *regs, struct image *out, struct deadline d,
                          struct err *e)
{
	struct deadline limit = d;

	if (o->pull_total_ms > 0)
		limit = deadline_min(d, deadline_in_ms(o->pull_total_ms));
	provider_logf(engine->env, "Pulling image %s", full);
	if (pull(engine, o, ref, registries_for_image(regs, name), limit, e) < 0)
		return err_wrap(e, "pull image %s", full);
	if (image_inspect(engine, name, out, d, e) < 0) {
		if (e->kind == ERR_NOT_FOUND)
			err_set(e, ERR_NOT_FOUND, 404,
			        "the engine reported no error, but the image is not there");
		return err_wrap(e, "pull image %s", full);
	}
	provider_logf(engine->env, "Image %s is ready", full);
	return 0;
}

int image_load(struct engine *engine, const struct docker_options *o,
               int (*source)(void *arg, struct buf *b, struct err *e), void *arg, struct deadline d,
               struct err *e)
{
	const struct engine_request r = { .method = "POST",
		                          .path = "/images/load?quiet=1",
		                          .content_type = "application/x-tar",
		                          .body_source = source,
		                          .body_arg = arg };

	return run_stream(engine, o, &r, d, e);
}

int image_ensure(struct engine *engine, const struct docker_options *o, const char *name,
                 const struct registries *regs, struct image *out, struct deadline d, struct err *e)
{
	static const struct registries none;
	struct image_ref ref;
	struct image found = { 0 };
	struct buf full = { 0 };
	int rc;

	if (image_ref_parse(name, &ref, e) < 0)
		return -1;
	image_ref_full(&ref, &full);
	if (o->pull == PULL_ALWAYS && !ref.is_id)
		rc = -1;
	else
		rc = image_inspect(engine, name, &found, d, e);
	if (rc == 0) {
		provider_logf(engine->env, "Image %s is present", buf_cstr(&full));
	} else if (o->pull != PULL_ALWAYS && e->kind != ERR_NOT_FOUND) {
		err_wrap(e, "look for image %s", buf_cstr(&full));
	} else if (o->pull == PULL_NEVER || ref.is_id) {
		err_set(e, ERR_NOT_FOUND, 404, "image %s is not on the engine, and %s",
		        buf_cstr(&full),
		        ref.is_id ? "an id cannot be pulled" : "the policy is pull = never");
	} else {
		err_clear(e);
		rc = pull_and_check(engine, o, name, &ref, buf_cstr(&full), regs ? regs : &none,
		                    &found, d, e);
	}
	if (rc == 0 && found.arch && *found.arch && *engine->arch &&
	    strcmp(found.arch, engine->arch) != 0)
		provider_logf(engine->env,
		              "Warning: image %s is for %s, the engine's machine is %s",
		              buf_cstr(&full), found.arch, engine->arch);
	if (rc == 0 && out)
		*out = found;
	else
		image_free(&found);
	image_ref_free(&ref);
	buf_free(&full);
	return rc;
}

int image_push(struct engine *engine, const struct docker_options *o, const char *name,
               const struct registry *auth, struct deadline d, struct err *e)
{
	char empty[] = "";
	const struct registry anonymous = { empty, empty, empty };
	struct image_ref ref;
	struct buf path = { 0 }, header = { 0 };
	struct engine_request r = { .method = "POST" };
	int rc;

	if (image_ref_parse(name, &ref, e) < 0)
		return -1;
	buf_addf(&path, "/images/%s/push?tag=", ref.name);
	buf_add_urlenc(&path, str_of(ref.tag));
	/* The engine wants the header even when there is nothing to say. */
	registry_auth_header(auth ? auth : &anonymous, &header);
	r.path = buf_cstr(&path);
	r.registry_auth = buf_cstr(&header);
	provider_logf(engine->env, "Pushing image %s", name);
	rc = run_stream(engine, o, &r, d, e);
	buf_free(&path);
	buf_wipe(&header);
	image_ref_free(&ref);
	return rc < 0 ? err_wrap(e, "push image %s", name) : 0;
}

int image_remove(struct engine *engine, const char *ref, bool force, struct deadline d,
                 struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/images/%s?noprune=0%s", ref, force ? "&force=1" : "");
	rc = engine_call_ms(engine, "DELETE", buf_cstr(&path), (struct str){ 0 }, NULL,
	                    2 * engine->call_ms, d, e);
	buf_free(&path);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	return rc < 0 ? err_wrap(e, "remove image %s", ref) : 0;
}
