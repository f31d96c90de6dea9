/* SPDX-License-Identifier: Apache-2.0 */
/* Progress streams of the engine, see progress.h. */
#include "providers/docker/engine/progress.h"

#include <stdlib.h>
#include <string.h>

#define SAY_EVERY_MS 5000

void progress_start(struct progress *p, const struct provider_env *env)
{
	*p = (struct progress){ .env = env, .said_ms = clock_mono_ms() };
}

static void say(struct progress *p, const char *text)
{
	struct str s = str_trim(str_of(text));

	if (s.n)
		provider_logf(p->env, "%.*s", STR_ARG(s));
}

static void copy_text(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

static void forget_layer(struct progress *p, const char *id)
{
	for (size_t i = 0; i < p->n_layers; i++)
		if (strcmp(p->layers[i].id, id) == 0) {
			p->layers[i] = p->layers[--p->n_layers];
			return;
		}
}

static void note_layer(struct progress *p, const char *id, int64_t now, int64_t total)
{
	size_t i = 0;

	while (i < p->n_layers && strcmp(p->layers[i].id, id) != 0)
		i++;
	if (i == PROGRESS_LAYERS)
		return;
	if (i == p->n_layers) {
		copy_text(p->layers[i].id, sizeof(p->layers[i].id), id);
		p->n_layers++;
	}
	p->layers[i].now = now;
	p->layers[i].total = total;
}

static void say_sum(struct progress *p, const char *verb)
{
	int64_t now = 0, total = 0, ms = clock_mono_ms();

	if (ms - p->said_ms < SAY_EVERY_MS)
		return;
	p->said_ms = ms;
	for (size_t i = 0; i < p->n_layers; i++) {
		now += p->layers[i].now;
		total += p->layers[i].total;
	}
	provider_logf(p->env, "%s: %lld of %lld MB in %zu layers", verb, (long long)(now / 1000000),
	              (long long)(total / 1000000), p->n_layers);
}

static bool is_flow(const char *status)
{
	return strcmp(status, "Downloading") == 0 || strcmp(status, "Extracting") == 0 ||
	       strcmp(status, "Pushing") == 0;
}

/* States that a layer passes on its way: no news. */
static bool is_step(const char *status)
{
	static const char *const steps[] = { "Waiting",   "Pulling fs layer",  "Verifying Checksum",
		                             "Preparing", "Download complete", NULL };

	for (int i = 0; steps[i]; i++)
		if (strcmp(status, steps[i]) == 0)
			return true;
	return false;
}

static void take_status(struct progress *p, struct json object)
{
	char *status = json_dup_or_empty(json_get(object, "status"));
	char *id = json_dup_or_empty(json_get(object, "id"));
	struct json detail = json_get(object, "progressDetail");
	int64_t now = 0, total = 0;

	if (strlen(id) > 12)
		id[12] = '\0';
	if (is_flow(status)) {
		(void)json_i64(json_get(detail, "current"), 0, INT64_MAX / 256, &now);
		(void)json_i64(json_get(detail, "total"), 0, INT64_MAX / 256, &total);
		note_layer(p, id, now, total);
		say_sum(p, status);
	} else if (!is_step(status) && *status) {
		struct buf line = { 0 };

		forget_layer(p, id);
		buf_addf(&line, "%s%s%s", id, *id ? ": " : "", status);
		if (strncmp(p->last, buf_cstr(&line), sizeof(p->last) - 1) != 0)
			say(p, buf_cstr(&line));
		copy_text(p->last, sizeof(p->last), buf_cstr(&line));
		buf_free(&line);
	}
	free(status);
	free(id);
}

static int take_object(void *arg, struct json object, struct err *e)
{
	struct progress *p = arg;
	struct json error = json_get(object, "error");
	struct json aux = json_get(object, "aux");
	struct buf text = { 0 };
	char *id;

	(void)e;
	if (json_is_object(json_get(object, "errorDetail")) && !json_is_string(error))
		error = json_get(json_get(object, "errorDetail"), "message");
	if (json_string(error, &text)) {
		struct buf clean = { 0 };

		buf_add_printable(&clean, str_trim(buf_str(&text)), false);
		p->failed = true;
		copy_text(p->error, sizeof(p->error),
		          clean.n ? buf_cstr(&clean) : "the engine gave no reason");
		buf_free(&clean);
	} else if (json_string(json_get(object, "stream"), &text)) {
		if (text.n)
			p->env->log(p->env->log_arg, buf_str(&text));
	} else if (json_is_string(aux) &&
	           json_str_is(json_get(object, "id"), "moby.buildkit.trace")) {
		struct buf lines = { 0 };

		(void)json_string(aux, &text);
		buildtrace_feed(&p->trace, buf_str(&text), &lines);
		if (lines.n)
			p->env->log(p->env->log_arg, buf_str(&lines));
		buf_free(&lines);
	} else if (json_is_object(aux)) {
		id = json_dup_or_empty(json_get(aux, "ID"));
		if (*id)
			copy_text(p->image_id, sizeof(p->image_id), id);
		free(id);
	} else {
		take_status(p, object);
	}
	buf_free(&text);
	return 0;
}

int progress_sink(void *progress, struct str bytes, struct err *e)
{
	struct progress *p = progress;

	return jsonstream_feed(&p->js, bytes, take_object, p, e);
}

int progress_end(struct progress *p, struct err *e)
{
	int rc = jsonstream_end(&p->js, e);

	if (p->failed)
		return err_set(e, ERR_OTHER, 0, "%s", p->error);
	return rc;
}
