/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of configure: one line each, the current value as default, asked again when an
 * answer cannot be. */
#include "applets/applets.h"
#include "applets/configure.h"
#include "base/attr.h"
#include "base/mem.h"
#include "host/setup.h"

#include <stdlib.h>
#include <string.h>

struct question {
	const char *key; /* "section.name" */
	const char *label;
	bool required;
};

static const struct question questions[] = {
	{ "server.url", "Server API URL", true },
	{ "server.key", "Server API key", true },
	{ "runner.id", "Runner ID", true },
	{ "runner.name", "Runner name", true },
	{ "runner.port", "Health port (0: none)", false },
	{ "runner.state_dir", "State directory", false },
	{ "runner.max_jobs", "Jobs at once (0: no limit)", false },
};

/* Appends "a,b", or "none". */
static void enabled_providers(const struct config *c, struct buf *b)
{
	struct setup_provider *list;
	size_t before = b->n;
	size_t n = setup_providers(c, applet_self_exe(), false, &list, deadline_in_ms(0));

	for (size_t i = 0; i < n; i++) {
		if (list[i].enabled)
			buf_addf(b, "%s%s", b->n > before ? "," : "", list[i].name);
	}
	if (b->n == before)
		buf_adds(b, "none");
	setup_providers_free(list, n);
}

void configure_show(struct prompt *p, const struct config *c)
{
	struct buf b = { 0 };

	buf_addf(&b, "Current settings (%s%s):\n", c->file,
	         c->file_exists ? "" : ", not there yet");
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		size_t key = (size_t)config_key_index(questions[i].key);
		struct buf value = { 0 };

		config_value_text(c, key, &value);
		buf_addf(&b, "  %-27s", questions[i].label);
		if (config_keys[key].type == CFG_SECRET)
			buf_adds(&b, value.n ? "(set, not shown)" : "-");
		else if (value.n == 0)
			buf_addc(&b, '-');
		else
			prompt_show(p, &b, buf_str(&value), 0);
		buf_addc(&b, '\n');
		buf_wipe(&value);
	}
	buf_addf(&b, "  %-27s", "Providers");
	enabled_providers(c, &b);
	prompt_sayf(
		p,
		"%s\n\nAn empty answer keeps the value in brackets. Ctrl-C leaves everything as it is.\n",
		buf_cstr(&b));
	buf_free(&b);
}

static int check_answer(const struct config *now, size_t key, const char *answer, bool required,
                        struct err *e)
{
	if (!*answer)
		return required ? err_set(e, ERR_CONFIG, 0, "this is needed") : 0;
	if (strcmp(config_keys[key].name, "url") == 0)
		return config_check_url(answer, now->allow_http, e);
	return config_check_value(key, answer, e);
}

/* URL and key are tried as soon as they are typed. */
static int try_answer(struct config *now, bool with_key, const struct kv *changes, struct err *e)
{
	return config_apply(now, changes, e) < 0 || setup_check_answer(now, with_key, e) < 0 ? -1
	                                                                                     : 0;
}

/* Asks until the answer is possible; what the Server does not like is taken when it is said twice. */
static int ask_one(struct prompt *p, struct config *now, const struct question *q, bool *check,
                   struct kv *changes, struct err *e)
{
	bool tried = false, tries = strncmp(q->key, "server.", 7) == 0;
	size_t key = (size_t)config_key_index(q->key);
	bool secret = config_keys[key].type == CFG_SECRET;
	struct buf value = { 0 };
	int rc = 0;

	config_value_text(now, key, &value);
	for (bool done = false; !done && rc == 0;) {
		struct err why = { 0 };
		char *answer = NULL;
		const char *text;

		rc = secret ? prompt_secret(p, q->label, value.n > 0, &answer, e)
		            : prompt_line(p, q->label, buf_cstr(&value), &answer, e);
		if (rc < 0)
			break;
		text = answer ? answer : buf_cstr(&value);
		done = check_answer(now, key, text, q->required, &why) == 0;
		if (done && tries && *check) {
			bool again = tried && strcmp(text, buf_cstr(&value)) == 0;

			*check = !again;
			if (!again) {
				kv_set(changes, q->key, text);
				tried = try_answer(now, secret, changes, &why) < 0;
				done = !tried;
				if (tried)
					err_hint(&why, "Enter keeps it all the same");
				buf_reset(&value);
				buf_adds(&value, text);
			}
		} else if (done && strcmp(text, buf_cstr(&value)) != 0) {
			kv_set(changes, q->key, text);
		}
		if (!done)
			prompt_sayf(p, "%s\n", why.msg);
		mem_free_secret(answer);
	}
	buf_wipe(&value);
	return rc;
}

static int ask_providers(struct prompt *p, const struct config *now, struct kv *changes,
                         struct err *e)
{
	struct buf current = { 0 };
	int rc = 0;

	enabled_providers(now, &current);
	for (bool done = false; !done && rc == 0;) {
		struct err why = { 0 };
		struct kv selected = { 0 };
		char *answer = NULL;

		rc = prompt_line(p, "Providers, by comma", buf_cstr(&current), &answer, e);
		if (rc == 0 && strcmp(answer, buf_cstr(&current)) == 0)
			done = true;
		else if (rc == 0 && setup_select_providers(answer, &selected, &why) < 0)
			prompt_sayf(p, "%s\n", why.msg);
		else if (rc == 0)
			done = true;
		if (done)
			kv_merge(changes, &selected);
		kv_free(&selected);
		free(answer);
	}
	buf_free(&current);
	return rc;
}

int configure_ask(struct prompt *p, struct config *now, bool only_missing, bool check,
                  struct kv *changes, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		struct buf value = { 0 };
		bool needed;

		config_value_text(now, (size_t)config_key_index(questions[i].key), &value);
		needed = !only_missing || (questions[i].required && value.n == 0);
		buf_wipe(&value);
		if (needed && ask_one(p, now, &questions[i], &check, changes, e) < 0)
			return -1;
	}
	return only_missing ? 0 : ask_providers(p, now, changes, e);
}
