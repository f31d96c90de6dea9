/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each setting's value comes from: flag, environment, file, the reference's own variables,
 * default (design 3).
 */
#include "host/config.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/spell.h"
#include "host/config_internal.h"
#include "oci/where.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000
#define WRONG_LINES_MAX 32

static void *member(struct config *c, const struct config_key *key)
{
	return (char *)c + key->offset;
}

static const void *value_of(const struct config *c, const struct config_key *key)
{
	return (const char *)c + key->offset;
}

static bool is_text(const struct config_key *key)
{
	return key->type == CFG_STR || key->type == CFG_SECRET || key->type == CFG_PATH;
}

int config_key_index(const char *full_name)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		size_t n = strlen(config_keys[i].section);

		if (strncmp(full_name, config_keys[i].section, n) == 0 && full_name[n] == '.' &&
		    strcmp(full_name + n + 1, config_keys[i].name) == 0)
			return (int)i;
	}
	return -1;
}

static int parse_number(const struct config_key *key, const char *text, int64_t *out, struct err *e)
{
	long long lo = (long long)key->min, hi = (long long)key->max;

	if (key->type == CFG_INT && !str_to_i64(str_of(text), key->min, key->max, out))
		return err_set(e, ERR_CONFIG, 0, "%s is a number from %lld to %lld, not \"%s\"",
		               key->name, lo, hi, text);
	if (key->type == CFG_MS && !str_to_ms(str_of(text), key->unit_ms, key->min, key->max, out))
		return err_set(
			e, ERR_CONFIG, 0,
			"%s is a time from %lld%s to %lld seconds (\"90\", \"15m\", \"2h\"), not \"%s\"",
			key->name, lo < SECOND ? lo : lo / SECOND, lo % SECOND ? "ms" : "",
			hi / SECOND, text);
	return 0;
}

static int check_text(const struct config_key *key, const char *text, struct err *e)
{
	enum log_level level;

	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, ERR_CONFIG, 0,
			               "%s holds a control character (byte 0x%02x)", key->name,
			               (unsigned)(unsigned char)*p);
	}
	if (strcmp(key->name, "log_level") == 0 && !log_level_parse(str_of(text), &level))
		return err_set(e, ERR_CONFIG, 0,
		               "log_level is error, warn, info or debug, not \"%s\"", text);
	if (strcmp(key->name, "log_format") == 0 && strcmp(text, "text") != 0 &&
	    strcmp(text, "json") != 0)
		return err_set(e, ERR_CONFIG, 0, "log_format is text or json, not \"%s\"", text);
	if (strcmp(key->name, "log_target") == 0 && strcmp(text, "stderr") != 0 &&
	    strcmp(text, "journal") != 0 && strcmp(text, "syslog") != 0)
		return err_set(e, ERR_CONFIG, 0,
		               "log_target is stderr, journal or syslog, not \"%s\"", text);
	if (strcmp(key->name, "registry_mirrors") == 0 && where_check(text, e) < 0)
		return err_wrap(e, "registry_mirrors");
	if (strcmp(key->name, "id") == 0 && !str_is_id(str_of(text)))
		return err_set(e, ERR_CONFIG, 0,
		               "id has letters, digits, \".\", \"_\" and \"-\" alone, not \"%s\"",
		               text);
	return 0;
}

int config_check_value(size_t key, const char *text, struct err *e)
{
	const struct config_key *config_key = &config_keys[key];
	int64_t number;
	bool b;

	if (is_text(config_key))
		return check_text(config_key, text, e);
	if (config_key->type == CFG_BOOL)
		return str_to_bool(str_of(text), &b)
		               ? 0
		               : err_set(e, ERR_CONFIG, 0, "%s is true or false, not \"%s\"",
		                         config_key->name, text);
	return parse_number(config_key, text, &number, e);
}

static char *absolute(const char *path, const char *base)
{
	char *cwd, *out;

	if (path[0] == '/')
		return mem_dup(path);
	if (base)
		return path_join(base, path);
	cwd = getcwd(NULL, 0);
	out = path_join(cwd ? cwd : "/", path);
	free(cwd);
	return out;
}

int config_set(struct config *c, size_t key, const char *text, const char *base, const char *source,
               struct err *e)
{
	const struct config_key *config_key = &config_keys[key];
	char **s = member(c, config_key);

	if (!*text)
		text = config_key->fallback ? config_key->fallback : "";
	else if (config_check_value(key, text, e) < 0)
		return -1;
	if (config_key->type == CFG_BOOL) {
		str_to_bool(str_of(text), member(c, config_key));
	} else if (!is_text(config_key)) {
		if (parse_number(config_key, text, member(c, config_key), e) < 0)
			return -1;
	} else {
		mem_free_secret(*s);
		*s = !*text                         ? NULL
		     : config_key->type == CFG_PATH ? absolute(text, base)
		                                    : mem_dup(text);
		if (config_key->type == CFG_SECRET)
			mask_add(str_of(text));
	}
	free(c->sources[key]);
	c->sources[key] = mem_dup(source);
	return 0;
}

void config_value_text(const struct config *c, size_t key, struct buf *b)
{
	const struct config_key *config_key = &config_keys[key];
	const int64_t *number = value_of(c, config_key);
	char *const *s = value_of(c, config_key);

	if (is_text(config_key))
		buf_adds(b, *s ? *s : "");
	else if (config_key->type == CFG_BOOL)
		buf_adds(b, *(const bool *)value_of(c, config_key) ? "true" : "false");
	else if (config_key->type == CFG_INT)
		buf_addf(b, "%lld", (long long)*number);
	else if (*number % 1000)
		buf_addf(b, "%lldms", (long long)*number);
	else
		buf_addf(b, "%llds", (long long)*number / 1000);
}

static struct config_provider *provider_add(struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_providers; i++) {
		if (strcmp(c->providers[i].name, name) == 0)
			return &c->providers[i];
	}
	c->providers = mem_realloc(c->providers, (c->n_providers + 1) * sizeof(*c->providers));
	c->providers[c->n_providers] = (struct config_provider){ .name = mem_dup(name),
		                                                 .enabled = true };
	return &c->providers[c->n_providers++];
}

int config_set_provider(struct config *c, const char *name, const char *key, const char *value,
                        struct err *e)
{
	struct config_provider *p = provider_add(c, name);

	if (strcmp(key, "enabled") != 0) {
		kv_set(&p->options, key, value);
		return 0;
	}
	p->enabled = true;
	if (*value && !str_to_bool(str_of(value), &p->enabled))
		return err_set(e, ERR_CONFIG, 0, "enabled is true or false, not \"%s\"", value);
	return 0;
}

static int provider_flag(struct config *c, const char *full, const char *value, struct err *e)
{
	struct buf head = { 0 };
	const char *key;
	int rc;

	if (!config_split_name(full, &head, &key) || head.n < 12 ||
	    strncmp(buf_cstr(&head), "provider \"", 10) != 0) {
		rc = err_set(e, ERR_CONFIG, 0, "there is no setting \"%s\"", full);
	} else {
		char *name = mem_dupn(head.p + 10, head.n - 11);

		rc = config_set_provider(c, name, key, value, e);
		free(name);
	}
	buf_free(&head);
	return rc;
}

static int load_flags(struct config *c, const struct kv *flags, struct err *e)
{
	for (size_t i = 0; flags && i < flags->n; i++) {
		const char *full = flags->pairs[i].key;
		int key = config_key_index(full);

		if (key < 0 && provider_flag(c, full, flags->pairs[i].value, e) < 0)
			return -1;
		if (key < 0)
			continue;
		if (config_set(c, (size_t)key, flags->pairs[i].value, NULL, "flag", e) < 0) {
			e->kind = ERR_USAGE;
			return err_wrap(e, "option --%s", config_keys[key].flag);
		}
	}
	return 0;
}

const struct config_provider *config_provider_find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_providers; i++) {
		if (strcmp(c->providers[i].name, name) == 0)
			return &c->providers[i];
	}
	return NULL;
}

static int unknown_key(struct config *c, const struct config_line *l, struct err *e)
{
	struct spell sp = { .word = str_of(l->key) };
	struct buf known = { 0 };

	for (size_t i = 0; i < config_keys_n; i++) {
		if (strcmp(config_keys[i].section, l->section) != 0)
			continue;
		buf_addf(&known, "%s%s", known.n ? ", " : "", config_keys[i].name);
		spell_try(&sp, config_keys[i].name);
	}
	/* A misspelt pin or proxy: what is left then is not what was asked for. */
	c->unsure = c->unsure || (sp.near && strcmp(l->section, "server") == 0);
	err_set(e, ERR_CONFIG, 0, "unknown key \"%s\" in [%s]; %s%s", l->key, l->section,
	        sp.near ? "did you mean " : "known: ", sp.near ? sp.near : buf_cstr(&known));
	buf_free(&known);
	return -1;
}

static int from_file(void *arg, const struct config_line *l, struct err *e)
{
	struct config *c = arg;
	struct buf name = { 0 };
	int key, rc;

	if (l->provider)
		return config_set_provider(c, l->provider, l->key, l->value, e);
	buf_addf(&name, "%s.%s", l->section, l->key);
	key = config_key_index(buf_cstr(&name));
	buf_reset(&name);
	if (key < 0) {
		rc = unknown_key(c, l, e);
	} else {
		buf_addf(&name, "file:%d", l->line);
		if (strncmp(c->sources[key], "file:", 5) == 0 &&
		    strcmp(c->sources[key], buf_cstr(&name)) != 0)
			log_warn("%s:%d: %s was set in line %s already; this one counts", c->file,
			         l->line, l->key, c->sources[key] + 5);
		rc = config_set(c, (size_t)key, l->value, c->dir, buf_cstr(&name), e);
	}
	buf_free(&name);
	return rc;
}

int config_passed(struct config *c, int rc, struct err *e)
{
	if (rc >= 0 || !c->looks)
		return rc;
	buf_addf(&c->left_out, "%s\n", e->msg);
	err_clear(e);
	return 0;
}

/* Empties the line, so that the others can be read and keep their numbers; with the head of a
 * section goes all that stands in it. */
static void leave_out(struct buf *text, int number)
{
	struct buf out = { 0 };
	struct str rest = buf_str(text), line;
	bool head = false;

	for (int n = 1; str_next(&rest, '\n', &line); n++) {
		struct str plain = str_trim(line);
		bool starts = plain.n && plain.p[0] == '[';

		if (n == number)
			head = starts;
		else if (starts)
			head = false;
		if (n != number && !head)
			buf_add_str(&out, line);
		buf_addc(&out, '\n');
	}
	buf_wipe(text);
	*text = out;
}

static int scan_file(struct config *c, struct buf *text, struct err *e)
{
	int rc = config_scan(c->file, buf_str(text), from_file, c, e);

	for (int wrong = 0; rc < 0 && c->looks && wrong < WRONG_LINES_MAX; wrong++) {
		leave_out(text, -rc);
		config_passed(c, rc, e);
		rc = config_scan(c->file, buf_str(text), from_file, c, e);
	}
	return rc;
}

static int load_file(struct config *c, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(c->file, CONFIG_FILE_MAX, &text, e);

	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		buf_free(&text);
		return 0;
	}
	c->file_exists = true;
	if (rc == 0)
		rc = scan_file(c, &text, e);
	buf_wipe(&text);
	return config_passed(c, rc, e);
}

static enum config_rank rank_of(const struct config *c, const char *full_name)
{
	const char *s = c->sources[config_key_index(full_name)];

	if (!s || strcmp(s, "default") == 0)
		return RANK_DEFAULT;
	return strcmp(s, "flag") == 0        ? RANK_FLAG
	       : strncmp(s, "file:", 5) == 0 ? RANK_FILE
	                                     : RANK_ENV;
}

/* key and key_file are two ways to give one thing: the one of higher precedence counts. */
static int settle_key(struct config *c, struct err *e)
{
	enum config_rank key = rank_of(c, "server.key"), file = rank_of(c, "server.key_file"),
			 command = rank_of(c, "server.key_command");
	struct buf secret = { 0 };
	struct err why = { 0 };

	if (c->key_command && (c->key || c->key_file) && command == (c->key ? key : file))
		return err_set(e, ERR_CONFIG, 0,
		               "key_command and %s are both set; keep one of them",
		               c->key ? "key" : "key_file");
	if (c->key_command && command > key && command > file) {
		mem_free_secret(c->key);
		free(c->key_file);
		c->key = c->key_file = NULL;
		return 0;
	}
	if (c->key || c->key_file) {
		free(c->key_command);
		c->key_command = NULL;
	}
	if (c->key && c->key_file && key == file)
		return err_set(e, ERR_CONFIG, 0,
		               "key and key_file are both set (%s); keep one of them",
		               key == RANK_FILE  ? c->file
		               : key == RANK_ENV ? "environment"
		                                 : "command line");
	if (c->key && (!c->key_file || key > file)) {
		/* The key in the file itself: as private as a key file has to be. */
		if (key == RANK_FILE && config_check_private(c->file, &why) < 0)
			c->key_problem = mem_dup(why.msg);
	} else if (c->key_file) {
		mem_free_secret(c->key);
		c->key = NULL;
		if (config_read_secret(c->key_file, &secret, &why) < 0)
			c->key_problem = mem_dup(why.msg);
		else
			c->key = mem_dup(buf_cstr(&secret));
		mask_add(buf_str(&secret));
	}
	c->key_kind = why.kind;
	buf_wipe(&secret);
	return 0;
}

static int set_state_dir(struct config *c, struct err *e)
{
	if (c->state_dir)
		return 0;
	c->state_dir = config_default_state_dir(c->dir_given ? c->dir : NULL, e);
	return c->state_dir ? 0 : -1;
}

int config_apply(struct config *c, const struct kv *changes, struct err *e)
{
	if (load_flags(c, changes, e) < 0)
		return -1;
	free(c->key_problem);
	c->key_problem = NULL;
	return settle_key(c, e) < 0 ? -1 : set_state_dir(c, e);
}

static int load(struct config *c, const char *dir, const struct kv *flags, struct err *e)
{
	c->sources = mem_array(config_keys_n, sizeof(*c->sources));
	c->dir = dir && *dir ? absolute(dir, NULL) : config_default_dir(e);
	if (!c->dir)
		return -1;
	c->file = path_join(c->dir, "runner.ini");
	for (size_t i = 0; i < config_keys_n; i++) {
		if (config_set(c, i, "", NULL, "default", e) < 0)
			return -1;
		config_old_env(c, i);
	}
	if (load_file(c, e) < 0 || config_load_env(c, e) < 0 || load_flags(c, flags, e) < 0 ||
	    config_passed(c, settle_key(c, e), e) < 0)
		return -1;
	c->dir_given = dir && *dir;
	return set_state_dir(c, e);
}

int config_load(struct config *c, const char *dir, const struct kv *flags, struct err *e)
{
	*c = (struct config){ 0 };
	return load(c, dir, flags, e);
}

int config_look(struct config *c, const char *dir, const struct kv *flags, struct err *e)
{
	*c = (struct config){ .looks = true };
	return load(c, dir, flags, e);
}

void config_free(struct config *c)
{
	for (size_t i = 0; c->sources && i < config_keys_n; i++) {
		if (is_text(&config_keys[i]))
			mem_free_secret(*(char **)member(c, &config_keys[i]));
		free(c->sources[i]);
	}
	free(c->sources);
	for (size_t i = 0; i < c->n_providers; i++) {
		free(c->providers[i].name);
		kv_free(&c->providers[i].options);
	}
	free(c->providers);
	free(c->dir);
	free(c->file);
	free(c->key_problem);
	buf_free(&c->left_out);
	*c = (struct config){ 0 };
}
