/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from the environment: DAYTONA_RUNNER_<SECTION>_<KEY>, and what the reference reads. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spell.h"
#include "host/config_internal.h"
#include "providers/provider.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "DAYTONA_RUNNER_"

extern char **environ;

static void add_upper(struct buf *b, const char *s)
{
	for (; *s; s++)
		buf_addc(b, *s == '-' || *s == ' ' ? '_' : (char)toupper((unsigned char)*s));
}

/* DAYTONA_RUNNER_<SECTION>_<KEY>, appended. */
static void config_env_name(size_t key, struct buf *b)
{
	buf_adds(b, PREFIX);
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

/* systemd's LoadCredential=server.key:… */
static int set_credential(struct config *c, size_t key_file, struct err *e)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path = dir && *dir ? path_join(dir, "server.key") : NULL;
	int rc = 0;

	if (path && file_exists(path))
		rc = set_from_env(c, key_file, "CREDENTIALS_DIRECTORY", path, e);
	free(path);
	return rc;
}

static int env_key(struct config *c, size_t key, struct err *e)
{
	const struct config_key *config_key = &config_keys[key];
	struct buf name = { 0 };
	const char *value;
	int rc = 0;

	config_env_name(key, &name);
	value = getenv(buf_cstr(&name));
	/* The short form repeats no "RUNNER". Not for the port: orchestrators set
	 * DAYTONA_RUNNER_PORT to "tcp://…" for a service of that name. */
	if ((!value || !*value) && strcmp(config_key->section, "runner") == 0 &&
	    strcmp(config_key->name, "port") != 0) {
		buf_reset(&name);
		buf_adds(&name, PREFIX);
		add_upper(&name, config_key->name);
		value = getenv(buf_cstr(&name));
	}
	if ((!value || !*value) && strcmp(config_key->name, "log_level") == 0) {
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
	else if (config_key->type == CFG_SECRET && strcmp(config_key->name, "key") != 0)
		rc = set_secret_file(c, key, &name, e);
	else if (strcmp(config_key->name, "key_file") == 0 && !getenv(PREFIX "SERVER_KEY") &&
	         !getenv(PREFIX "SERVER_KEY_COMMAND"))
		rc = set_credential(c, key, e);
	buf_free(&name);
	return rc;
}

/* A bad value there is no reason to stop: the variables are the reference's, not ours. */
void config_old_env(struct config *c, size_t key)
{
	const char *name = config_keys[key].old_env;
	const char *value = name ? getenv(name) : NULL;
	struct err e = { 0 };

	if (value && *value && set_from_env(c, key, name, value, &e) < 0)
		log_warn("%s; the default is kept", e.msg);
}

static int env_provider(struct config *c, const char *name, struct err *e)
{
	struct buf prefix = { 0 };
	int rc = 0;

	buf_adds(&prefix, PREFIX "PROVIDER_");
	add_upper(&prefix, name);
	buf_addc(&prefix, '_');
	for (char **v = environ; v && *v && rc == 0; v++) {
		const char *equals = strchr(*v, '=');
		struct buf key = { 0 };

		if (!equals || strncmp(*v, buf_cstr(&prefix), prefix.n) != 0)
			continue;
		for (const char *p = *v + prefix.n; p < equals; p++)
			buf_addc(&key, (char)tolower((unsigned char)*p));
		rc = config_set_provider(c, name, buf_cstr(&key), equals + 1, e);
		if (rc < 0)
			err_wrap(e, "environment variable %.*s", (int)(equals - *v), *v);
		rc = config_passed(c, rc, e);
		buf_free(&key);
	}
	buf_free(&prefix);
	return rc;
}

/* Ours that are no settings, and what orchestrators set for a service of our name. */
static bool is_other(struct str name)
{
	static const char *const exact[] = { "CONFIG_DIR", "READY_FD", "BASE_URL", "VERSION",
		                             "BIN_DIR",    "BIN",      "PORT",     "SOURCES" };

	for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
		if (str_eq(name, exact[i]))
			return true;
	}
	return str_starts(name, "PORT_") || str_starts(name, "SERVICE_");
}

static bool is_of(const char *provider, struct str name)
{
	struct buf prefix = { 0 };
	bool is;

	buf_adds(&prefix, "PROVIDER_");
	add_upper(&prefix, provider);
	buf_addc(&prefix, '_');
	is = str_starts(name, buf_cstr(&prefix));
	buf_free(&prefix);
	return is;
}

static bool is_provider(const struct config *c, struct str name)
{
	bool is = false;

	for (size_t i = 0; providers[i] && !is; i++)
		is = is_of(providers[i]->name, name);
	for (size_t i = 0; i < c->n_providers && !is; i++)
		is = is_of(c->providers[i].name, name);
	return is;
}

/* name: behind the prefix. A value that no setting takes is as wrong as an unknown key of the file, but may be
 * somebody else's. */
static void check_name(const struct config *c, struct str name)
{
	struct spell sp = { name, 0, NULL };
	struct buf near = { 0 }, full = { 0 };
	bool known = is_other(name) || is_provider(c, name);

	for (size_t i = 0; i < config_keys_n && !known; i++) {
		const char *own;

		buf_reset(&full);
		config_env_name(i, &full);
		own = buf_cstr(&full) + strlen(PREFIX);
		known = str_eq(name, own) ||
		        (strcmp(config_keys[i].section, "runner") == 0 && str_eq(name, own + 7)) ||
		        (config_keys[i].type == CFG_SECRET && str_starts(name, own) &&
		         str_eq((struct str){ name.p + strlen(own), name.n - strlen(own) },
		                "_FILE"));
		if (spell_try(&sp, own)) {
			buf_reset(&near);
			buf_addf(&near, "; did you mean %s?", buf_cstr(&full));
		}
	}
	if (!known)
		log_warn("environment variable " PREFIX "%.*s is no setting%s", STR_ARG(name),
		         near.n ? buf_cstr(&near) : "; see: daytona-runner config");
	buf_free(&near);
	buf_free(&full);
}

static void check_names(const struct config *c)
{
	for (char **v = environ; v && *v; v++) {
		struct str name = { *v, strcspn(*v, "=") };

		if (str_starts(name, PREFIX))
			check_name(c, (struct str){ name.p + strlen(PREFIX),
			                            name.n - strlen(PREFIX) });
	}
}

int config_load_env(struct config *c, struct err *e)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		if (config_passed(c, env_key(c, i, e), e) < 0)
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
	if (!c->looks)
		check_names(c);
	return 0;
}
