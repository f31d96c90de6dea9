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
#include "host/config_internal.h"
#include "providers/provider.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

#define SECOND 1000

static void *member(struct config *c, const struct config_key *k)
{
	return (char *)c + k->offset;
}

static const void *value_of(const struct config *c, const struct config_key *k)
{
	return (const char *)c + k->offset;
}

static bool is_text(const struct config_key *k)
{
	return k->type == CFG_STR || k->type == CFG_SECRET || k->type == CFG_PATH;
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

static int parse_number(const struct config_key *k, const char *text, int64_t *out, struct err *e)
{
	long long lo = (long long)k->min, hi = (long long)k->max;

	if (k->type == CFG_INT && !str_to_i64(str_of(text), k->min, k->max, out))
		return err_set(e, ERR_CONFIG, 0, "%s is a number from %lld to %lld, not \"%s\"",
		               k->name, lo, hi, text);
	if (k->type == CFG_MS && !str_to_ms(str_of(text), k->unit_ms, k->min, k->max, out))
		return err_set(
			e, ERR_CONFIG, 0,
			"%s is a time from %lld%s to %lld seconds (\"90\", \"15m\", \"2h\"), not \"%s\"",
			k->name, lo < SECOND ? lo : lo / SECOND, lo % SECOND ? "ms" : "",
			hi / SECOND, text);
	return 0;
}

static int check_text(const struct config_key *k, const char *text, struct err *e)
{
	enum log_level level;

	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, ERR_CONFIG, 0,
			               "%s holds a control character (byte 0x%02x)", k->name,
			               (unsigned)(unsigned char)*p);
	}
	if (strcmp(k->name, "log_level") == 0 && !log_level_parse(str_of(text), &level))
		return err_set(e, ERR_CONFIG, 0,
		               "log_level is error, warn, info or debug, not \"%s\"", text);
	if (strcmp(k->name, "id") == 0 && !str_is_id(str_of(text)))
		return err_set(e, ERR_CONFIG, 0,
		               "id has letters, digits, \".\", \"_\" and \"-\" alone, not \"%s\"",
		               text);
	return 0;
}

int config_check_value(size_t key, const char *text, struct err *e)
{
	const struct config_key *k = &config_keys[key];
	int64_t number;
	bool b;

	if (is_text(k))
		return check_text(k, text, e);
	if (k->type == CFG_BOOL)
		return str_to_bool(str_of(text), &b)
		               ? 0
		               : err_set(e, ERR_CONFIG, 0, "%s is true or false, not \"%s\"",
		                         k->name, text);
	return parse_number(k, text, &number, e);
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
	const struct config_key *k = &config_keys[key];
	char **s = member(c, k);

	if (!*text)
		text = k->fallback ? k->fallback : "";
	else if (config_check_value(key, text, e) < 0)
		return -1;
	if (k->type == CFG_BOOL) {
		str_to_bool(str_of(text), member(c, k));
	} else if (!is_text(k)) {
		if (parse_number(k, text, member(c, k), e) < 0)
			return -1;
	} else {
		mem_free_secret(*s);
		*s = !*text ? NULL : k->type == CFG_PATH ? absolute(text, base) : mem_dup(text);
		if (k->type == CFG_SECRET)
			mask_add(str_of(text));
	}
	free(c->sources[key]);
	c->sources[key] = mem_dup(source);
	return 0;
}

void config_value_text(const struct config *c, size_t key, struct buf *b)
{
	const struct config_key *k = &config_keys[key];
	const int64_t *number = value_of(c, k);
	char *const *s = value_of(c, k);

	if (is_text(k))
		buf_adds(b, *s ? *s : "");
	else if (k->type == CFG_BOOL)
		buf_adds(b, *(const bool *)value_of(c, k) ? "true" : "false");
	else if (k->type == CFG_INT)
		buf_addf(b, "%lld", (long long)*number);
	else if (*number % 1000)
		buf_addf(b, "%lldms", (long long)*number);
	else
		buf_addf(b, "%llds", (long long)*number / 1000);
}

static void add_upper(struct buf *b, const char *s)
{
	for (; *s; s++)
		buf_addc(b, *s == '-' || *s == ' ' ? '_' : (char)toupper((unsigned char)*s));
}

/* DAYTONA_RUNNER_<SECTION>_<KEY>, appended. */
static void config_env_name(size_t key, struct buf *b)
{
	buf_adds(b, "DAYTONA_RUNNER_");
	add_upper(b, config_keys[key].section);
	buf_addc(b, '_');
	add_upper(b, config_keys[key].name);
}

static int set_from_env(struct config *c, size_t key, const char *name, const char *value,
                        struct err *e)
{
	struct str plain = str_trim(str_of(value)); /* secret managers append line ends */
	char *text = mem_dupn(plain.p, plain.n);
	struct buf source = { 0 };
	int rc;

	buf_addf(&source, "environment %s", name);
	rc = config_set(c, key, text, NULL, buf_cstr(&source), e);
	mem_free_secret(text);
	buf_free(&source);
	return rc < 0 ? err_wrap(e, "environment variable %s", name) : 0;
}

/* A secret other than the key (that one has the setting key_file) out of the file that
 * <NAME>_FILE names. */
static int set_secret_file(struct config *c, size_t key, struct buf *name, struct err *e)
{
	struct buf secret = { 0 };
	const char *path;
	int rc = 0;

	buf_adds(name, "_FILE");
	path = getenv(buf_cstr(name));
	if (path && *path) {
		rc = config_read_secret(path, &secret, e);
		if (rc == 0)
			rc = set_from_env(c, key, buf_cstr(name), buf_cstr(&secret), e);
		else
			err_wrap(e, "environment variable %s", buf_cstr(name));
	}
	buf_wipe(&secret);
	return rc;
}

static int env_key(struct config *c, size_t key, struct err *e)
{
	const struct config_key *k = &config_keys[key];
	struct buf name = { 0 };
	const char *value;
	int rc = 0;

	config_env_name(key, &name);
	value = getenv(buf_cstr(&name));
	/* The short form repeats no "RUNNER". Not for the port: orchestrators set
	 * DAYTONA_RUNNER_PORT to "tcp://…" for a service of that name. */
	if ((!value || !*value) && strcmp(k->section, "runner") == 0 &&
	    strcmp(k->name, "port") != 0) {
		buf_reset(&name);
		buf_adds(&name, "DAYTONA_RUNNER_");
		add_upper(&name, k->name);
		value = getenv(buf_cstr(&name));
	}
	if ((!value || !*value) && strcmp(k->name, "log_level") == 0) {
		enum log_level level;

		buf_reset(&name);
		buf_adds(&name, "LOG_LEVEL");
		/* Not only ours: a level that we do not know is no error. */
		value = getenv("LOG_LEVEL");
		if (value && !log_level_parse(str_of(value), &level))
			value = NULL;
	}
	if (value && *value)
		rc = set_from_env(c, key, buf_cstr(&name), value, e);
	else if (k->type == CFG_SECRET && strcmp(k->name, "key") != 0)
		rc = set_secret_file(c, key, &name, e);
	buf_free(&name);
	return rc;
}

/* A bad value there is no reason to stop: the variables are the reference's, not ours. */
static void old_env_key(struct config *c, size_t key)
{
	const char *name = config_keys[key].old_env;
	const char *value = name ? getenv(name) : NULL;
	struct err e = { 0 };

	if (value && *value && set_from_env(c, key, name, value, &e) < 0)
		log_warn("%s; the default is kept", e.msg);
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

static int provider_set(struct config_provider *p, const char *key, const char *value,
                        struct err *e)
{
	if (strcmp(key, "enabled") != 0) {
		kv_set(&p->options, key, value);
		return 0;
	}
	p->enabled = true;
	if (*value && !str_to_bool(str_of(value), &p->enabled))
		return err_set(e, ERR_CONFIG, 0, "enabled is true or false, not \"%s\"", value);
	return 0;
}

static int env_provider(struct config *c, const char *name, struct err *e)
{
	struct buf prefix = { 0 };
	int rc = 0;

	buf_adds(&prefix, "DAYTONA_RUNNER_PROVIDER_");
	add_upper(&prefix, name);
	buf_addc(&prefix, '_');
	for (char **v = environ; v && *v && rc == 0; v++) {
		const char *equals = strchr(*v, '=');
		struct buf key = { 0 };

		if (!equals || strncmp(*v, buf_cstr(&prefix), prefix.n) != 0)
			continue;
		for (const char *p = *v + prefix.n; p < equals; p++)
			buf_addc(&key, (char)tolower((unsigned char)*p));
		rc = provider_set(provider_add(c, name), buf_cstr(&key), equals + 1, e);
		if (rc < 0)
			err_wrap(e, "environment variable %.*s", (int)(equals - *v), *v);
		buf_free(&key);
	}
	buf_free(&prefix);
	return rc;
}

static int load_env(struct config *c, struct err *e)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		if (env_key(c, i, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->n_providers; i++) {
		if (env_provider(c, c->providers[i].name, e) < 0)
			return -1;
	}
	for (size_t i = 0; providers[i]; i++) {
		if (!config_provider_find(c, providers[i]->name) &&
		    env_provider(c, providers[i]->name, e) < 0)
			return -1;
	}
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

		rc = provider_set(provider_add(c, name), key, value, e);
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

static int from_file(void *arg, const struct config_line *l, struct err *e)
{
	struct config *c = arg;
	struct buf name = { 0 };
	int key, rc;

	if (l->provider)
		return provider_set(provider_add(c, l->provider), l->key, l->value, e);
	buf_addf(&name, "%s.%s", l->section, l->key);
	key = config_key_index(buf_cstr(&name));
	buf_reset(&name);
	if (key < 0) {
		for (size_t i = 0; i < config_keys_n; i++) {
			if (strcmp(config_keys[i].section, l->section) == 0)
				buf_addf(&name, "%s%s", name.n ? ", " : "", config_keys[i].name);
		}
		rc = err_set(e, ERR_CONFIG, 0, "unknown key \"%s\" in [%s]; known: %s", l->key,
		             l->section, buf_cstr(&name));
	} else {
		if (c->sources[key] && strncmp(c->sources[key], "file:", 5) == 0)
			log_warn("%s:%d: %s was set in line %s already; this one counts", c->file,
			         l->line, l->key, c->sources[key] + 5);
		buf_addf(&name, "file:%d", l->line);
		rc = config_set(c, (size_t)key, l->value, c->dir, buf_cstr(&name), e);
	}
	buf_free(&name);
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
		rc = config_scan(c->file, buf_str(&text), from_file, c, e);
	buf_wipe(&text);
	return rc;
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
	enum config_rank key = rank_of(c, "server.key"), file = rank_of(c, "server.key_file");
	struct buf secret = { 0 };
	struct err why = { 0 };

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
	buf_wipe(&secret);
	return 0;
}

static int set_state_dir(struct config *c, bool dir_was_given, struct err *e)
{
	if (c->state_dir)
		return 0;
	c->state_dir = config_default_state_dir(dir_was_given ? c->dir : NULL, e);
	return c->state_dir ? 0 : -1;
}

int config_load(struct config *c, const char *dir, const struct kv *flags, struct err *e)
{
	*c = (struct config){ 0 };
	c->sources = mem_array(config_keys_n, sizeof(*c->sources));
	c->dir = dir && *dir ? absolute(dir, NULL) : config_default_dir(e);
	if (!c->dir)
		return -1;
	c->file = path_join(c->dir, "runner.ini");
	for (size_t i = 0; i < config_keys_n; i++) {
		if (config_set(c, i, "", NULL, "default", e) < 0)
			return -1;
		old_env_key(c, i);
	}
	if (load_file(c, e) < 0 || load_env(c, e) < 0 || load_flags(c, flags, e) < 0 ||
	    settle_key(c, e) < 0)
		return -1;
	return set_state_dir(c, dir && *dir, e);
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
	*c = (struct config){ 0 };
}
