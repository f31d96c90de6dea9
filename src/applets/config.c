/* SPDX-License-Identifier: Apache-2.0 */
/* config: the effective settings and where each comes from. Reads only. */
#include "host/config.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/show.h"
#include "base/jsonw.h"
#include "base/opts_help.h"
#include "base/out.h"
#include "providers/provider.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"config [-k] [-f json|yaml] | config -q | config --example\n"
	"Shows the settings in force and where each comes from. With -q only says what is wrong: the exit status is 0 if "
	"`serve` could begin with them, else 78. With --example prints a file to begin with instead.\n"
	"\nA setting comes from an option, else the environment variable DAYTONA_RUNNER_<SECTION>_<KEY> (for secrets "
	"also …_FILE), else runner.ini, else a default.";

static bool hidden(const struct config_key *key, bool show_key)
{
	return key->type == CFG_SECRET && !show_key;
}

/* The key may come from key_file, which the source of `key` does not show. */
static const char *source_of(const struct config *c, size_t key)
{
	size_t file = (size_t)config_key_index("server.key_file");

	if (strcmp(config_keys[key].name, "key") == 0 && c->key &&
	    strcmp(c->sources[key], "default") == 0)
		return c->sources[file];
	return c->sources[key];
}

static void shown_value(const struct config *c, size_t key, bool show_key, struct buf *b)
{
	struct buf value = { 0 };

	config_value_text(c, key, &value);
	if (hidden(&config_keys[key], show_key) && value.n)
		buf_adds(b, "********");
	else
		buf_add_str(b, buf_str(&value));
	buf_wipe(&value);
}

/* The passwords of a provider's options, by their names: what a value means only the provider knows. */
bool cli_is_secret_option(const char *name)
{
	static const char *const words[] = { "password", "passphrase", "secret", "token" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasestr(name, words[i]))
			return true;
	}
	return false;
}

static const char *option_value(const struct kv_pair *p, bool show_key)
{
	return cli_is_secret_option(p->key) && !show_key ? "********" : p->value;
}

void cli_config_text(const struct config *c, bool show_key, struct buf *b)
{
	buf_addf(b, "# %s%s\n", c->file, c->file_exists ? config_place_note(c) : " (not there)");
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		struct buf value = { 0 };

		shown_value(c, i, show_key, &value);
		buf_addf(b, "%s.%-*s = ", key->section, 16, key->name);
		buf_add_printable(b, value.n ? buf_str(&value) : STR_LIT("-"), false);
		buf_addf(b, "  (%s)\n", source_of(c, i));
		buf_wipe(&value);
	}
	for (size_t i = 0; i < c->n_providers; i++) {
		const struct config_provider *p = &c->providers[i];

		buf_addf(b, "provider \"%s\".enabled = %s\n", p->name,
		         p->enabled ? "true" : "false");
		for (size_t k = 0; k < p->options.n; k++) {
			const struct kv_pair *o = &p->options.pairs[k];

			buf_addf(b, "provider \"%s\".", p->name);
			buf_add_printable(b, str_of(o->key), false);
			buf_adds(b, " = ");
			buf_add_printable(b, str_of(option_value(o, show_key)), false);
			buf_addc(b, '\n');
		}
	}
}

static void add_section(const struct config *c, const char *section, bool show_key, struct buf *b)
{
	jw_key(b, section);
	jw_obj(b);
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		bool bare = key->type == CFG_INT || key->type == CFG_BOOL;
		struct buf value = { 0 };

		if (strcmp(key->section, section) != 0)
			continue;
		shown_value(c, i, show_key, &value);
		if (key->type == CFG_MS && !str_ends(buf_str(&value), "ms")) {
			value.n--; /* whole seconds, the unit of every time, are a number */
			bare = true;
		}
		if (bare && value.n) {
			jw_key(b, key->name);
			jw_raw(b, buf_str(&value));
		} else {
			jw_kstr(b, key->name, value.n ? buf_cstr(&value) : NULL);
		}
		buf_wipe(&value);
	}
	jw_obj_end(b);
}

static void print_structured(enum cli_format f, const struct config *c, bool show_key)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "file", c->file);
	jw_kbool(&b, "fileExists", c->file_exists);
	add_section(c, "server", show_key, &b);
	add_section(c, "runner", show_key, &b);
	jw_key(&b, "providers");
	jw_obj(&b);
	for (size_t i = 0; i < c->n_providers; i++) {
		jw_key(&b, c->providers[i].name);
		jw_obj(&b);
		jw_kbool(&b, "enabled", c->providers[i].enabled);
		for (size_t k = 0; k < c->providers[i].options.n; k++)
			jw_kstr(&b, c->providers[i].options.pairs[k].key,
			        option_value(&c->providers[i].options.pairs[k], show_key));
		jw_obj_end(&b);
	}
	jw_obj_end(&b);
	jw_key(&b, "sources");
	jw_obj(&b);
	for (size_t i = 0; i < config_keys_n; i++) {
		struct buf name = { 0 };

		buf_addf(&name, "%s.%s", config_keys[i].section, config_keys[i].name);
		jw_kstr(&b, buf_cstr(&name), source_of(c, i));
		buf_free(&name);
	}
	jw_obj_end(&b);
	jw_obj_end(&b);
	cli_print(f, buf_str(&b));
	buf_wipe(&b);
}

/* A line of help and the default, or what goes there; nothing has an effect before its # is taken off. */
static void example_key(const struct config_key *key)
{
	const struct opt o = { .text = key->flag };
	const char *arg = opts_arg(&o), *help = arg + strlen(arg) + 1;
	bool on = key->type == CFG_BOOL && strcmp(key->fallback, "true") == 0;

	printf("\n# %s%s", on ? "false: " : "", help);
	if (key->type == CFG_INT)
		printf(" (%u to %u)", key->min, key->max);
	if (key->type == CFG_MS)
		fputs("; seconds, or 15m, 2h, 500ms", stdout);
	printf("\n#%s = %s\n", key->name, key->fallback ? key->fallback : arg);
}

static void print_example(void)
{
	static const char *const sections[] = { "server", "runner" };

	puts("# Settings of daytona-runner, all with their defaults. Needed: url, key or key_file, id, name.\n"
	     "# Save it as runner.ini with mode 0600 in the configuration directory; check it with:\n"
	     "# daytona-runner config -q");
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		printf("\n[%s]\n", sections[s]);
		for (size_t i = 0; i < config_keys_n; i++) {
			if (strcmp(config_keys[i].section, sections[s]) == 0)
				example_key(&config_keys[i]);
		}
	}
	for (size_t i = 0; providers[i]; i++)
		printf("\n[provider \"%s\"]\n\n# whether the Server's jobs may use it\n#enabled = true\n",
		       providers[i]->name);
}

static int check(const char *config_dir)
{
	struct config c = { 0 };
	struct err e = { 0 };
	int rc = config_load(&c, config_dir, NULL, &e);

	if (rc == 0 && (rc = config_require(&c, &e)) < 0)
		err_hint(&e, CONFIG_REMEDY);
	config_free(&c);
	if (rc < 0)
		applet_fail("config", &e);
	return rc < 0 ? EXIT_CONFIG : 0;
}

static int config_run(int argc, char **argv)
{
	struct config c = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *format = NULL;
	bool show_key = false, quiet = false, example = false;
	const struct opt opts[] = {
		OPT_FLAG('k', "show-key", &show_key, "show the API key too"),
		OPT_FLAG(0, "key", &show_key, "the same"),
		OPT_FLAG('q', "quiet", &quiet, "check only; print nothing if all is well"),
		OPT_FLAG(0, "example", &example, "print a commented file of all settings"),
		CLI_FORMAT(&format),
		CLI_CONFIG_DIR(&config_dir),
		OPT_END,
	};
	struct buf text = { 0 };
	enum cli_format f;
	bool wrong;
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, format);
	if (quiet)
		return check(config_dir);
	if (example) {
		print_example();
		return out_flush();
	}
	rc = cli_look("config", &c, config_dir, NULL, &e);
	if (rc == 0 && f == CLI_TEXT)
		cli_config_text(&c, show_key, &text);
	else if (rc == 0)
		print_structured(f, &c, show_key);
	show_lines(buf_str(&text));
	buf_wipe(&text);
	if (rc == 0 && c.key_problem)
		fprintf(stderr, "daytona-runner config: the API key cannot be used: %s\n",
		        c.key_problem);
	wrong = c.left_out.n > 0;
	config_free(&c);
	return rc < 0 ? applet_fail("config", &e) : out_flush() || wrong;
}

const struct applet config_applet = { .name = "config",
	                              .summary = "show the settings and where they come from",
	                              .run = config_run };
