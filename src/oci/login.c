/* SPDX-License-Identifier: Apache-2.0 */
/* See login.h. */
#include "oci/login.h"

#include "base/file.h"
#include "base/json.h"
#include "base/kv.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/proc.h"

#include <stdlib.h>
#include <string.h>

#define HELPER_MS 60000
#define ANSWER_MAX 65536
#define HUB "docker.io"
#define HUB_KEY "https://index.docker.io/v1/" /* what Docker has always called it */

void login_free(struct login *l)
{
	mem_free_secret(l->user);
	mem_free_secret(l->password);
	mem_free_secret(l->identity_token);
	*l = (struct login){ 0 };
}

/* "host[:port]" of a key, which may be a URL. */
static struct str host_of(struct str key)
{
	const char *scheme = str_find(key, "://"), *slash;

	if (scheme)
		key = (struct str){ scheme + 3, key.n - (size_t)(scheme + 3 - key.p) };
	slash = key.n ? memchr(key.p, '/', key.n) : NULL;
	if (slash)
		key.n = (size_t)(slash - key.p);
	return str_eq(key, "index.docker.io") || str_eq(key, "registry-1.docker.io") ? STR_LIT(HUB)
	                                                                             : key;
}

/* An exact key wins over one that only has the same host. */
static struct json for_host(struct json obj, const char *host)
{
	struct json found = json_get(obj, host);

	for (struct json j = json_first(obj); !json_present(found) && json_present(j);
	     j = json_next(j)) {
		struct buf key = { 0 };

		json_key(j, &key);
		if (str_ieq(host_of(buf_str(&key)), host))
			found = j;
		buf_free(&key);
	}
	return found;
}

/* base64 of "user:password". */
static bool split_auth(const char *auth, struct login *l)
{
	struct buf b = { 0 };
	bool ok = buf_add_unbase64(&b, str_of(auth)) && b.n && !memchr(b.p, '\0', b.n);
	char *colon = ok ? memchr(b.p, ':', b.n) : NULL;

	if (colon) {
		l->user = mem_dupn(b.p, (size_t)(colon - b.p));
		l->password = mem_dup(colon + 1);
	}
	buf_wipe(&b);
	return colon != NULL;
}

static int read_auth(struct json j, const char *host, struct login *l, struct err *e)
{
	char *auth = json_dup_or_empty(json_get(j, "auth"));
	int rc = 0;

	l->identity_token = json_dup(json_get(j, "identitytoken"));
	if (l->identity_token && !*l->identity_token) {
		free(l->identity_token);
		l->identity_token = NULL;
	}
	if (*auth && !split_auth(auth, l) && !l->identity_token)
		rc = err_set(e, ERR_CONFIG, 0, "auths of %s: auth is no base64 of user:password",
		             host);
	if (!*auth && json_present(json_get(j, "username"))) {
		l->user = json_dup_or_empty(json_get(j, "username"));
		l->password = json_dup_or_empty(json_get(j, "password"));
	}
	mem_free_secret(auth);
	if (rc < 0)
		login_free(l);
	return rc;
}

/* It becomes part of a program's name. */
static bool helper_ok(const char *name)
{
	return *name && strlen(name) < 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
	               strlen(name);
}

static int read_config(struct json root, const char *host, struct login *l, char **helper,
                       struct err *e)
{
	struct json auth = for_host(json_get(root, "auths"), host);

	*helper = json_dup(for_host(json_get(root, "credHelpers"), host));
	if (!*helper && json_len(auth))
		return read_auth(auth, host, l, e);
	if (!*helper)
		*helper = json_dup(json_get(root, "credsStore"));
	if (*helper && !**helper) {
		free(*helper);
		*helper = NULL;
	}
	if (*helper && !helper_ok(*helper)) {
		err_set(e, ERR_CONFIG, 0, "\"%.60s\" is no name of a credential helper", *helper);
		free(*helper);
		*helper = NULL;
		return -1;
	}
	return 0;
}

int login_parse(struct str config, const char *host, struct login *l, char **helper, struct err *e)
{
	struct json_doc *doc = json_parse(config, LOGIN_CONFIG_MAX, e);
	int rc;

	*l = (struct login){ 0 };
	*helper = NULL;
	if (!doc)
		return -1;
	rc = read_config(json_root(doc), host, l, helper, e);
	json_doc_free(doc);
	return rc;
}

int login_parse_helper(struct str answer, struct login *l, struct err *e)
{
	struct json_doc *doc = json_parse(answer, ANSWER_MAX, e);
	struct json root = json_root(doc);
	char *user = json_dup_or_empty(json_get(root, "Username"));
	char *secret = json_dup_or_empty(json_get(root, "Secret"));
	int rc = doc ? 0 : -1;

	*l = (struct login){ 0 };
	if (doc && !*secret)
		rc = err_set(e, ERR_PARSE, 0, "it answered without a Secret");
	if (rc == 0 && strcmp(user, "<token>") == 0)
		l->identity_token = mem_dup(secret);
	else if (rc == 0) {
		l->user = mem_dup(user);
		l->password = mem_dup(secret);
	}
	json_doc_free(doc);
	mem_free_secret(user);
	mem_free_secret(secret);
	return rc;
}

static void collect(void *arg, struct str bytes)
{
	struct err ignored = { 0 };

	(void)buf_add_max(arg, bytes.p, bytes.n, ANSWER_MAX, &ignored);
}

static int helper_failed(int status, struct err *e)
{
	struct buf how = { 0 };

	proc_describe_status(status, &how);
	err_set(e, ERR_OTHER, 0, "it failed: %s", buf_cstr(&how));
	buf_free(&how);
	return -1;
}

static int ask_helper(const char *name, const char *host, struct login *l, struct deadline d,
                      struct err *e)
{
	static const char *const pass_on[] = {
		"PATH",     "HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "DBUS_SESSION_BUS_ADDRESS",
		"GNUPGHOME"
	};
	struct buf program = { 0 }, out = { 0 };
	struct kv env = { 0 };
	const char *argv[3] = { 0 };
	struct proc_spawn p = { .argv = argv, .output = collect, .arg = &out };
	char **list;
	int status = 0, rc;

	for (size_t i = 0; i < ARRAY_LEN(pass_on); i++)
		if (getenv(pass_on[i]))
			kv_set(&env, pass_on[i], getenv(pass_on[i]));
	list = kv_to_env(&env);
	buf_addf(&program, "docker-credential-%s", name);
	argv[0] = buf_cstr(&program);
	argv[1] = "get";
	p.env = (const char *const *)list;
	p.input = str_of(strcmp(host, HUB) == 0 ? HUB_KEY : host);
	rc = proc_run(&p, deadline_min(d, deadline_in_ms(HELPER_MS)), &status, e);
	if (rc == 0 && str_find(buf_str(&out), "credentials not found"))
		; /* it knows nothing of that host */
	else if (rc == 0 && status != 0)
		rc = helper_failed(status, e);
	else if (rc == 0)
		rc = login_parse_helper(buf_str(&out), l, e);
	if (rc < 0)
		err_wrap(e, "%s", buf_cstr(&program));
	kv_env_free(list);
	kv_free(&env);
	buf_wipe(&out);
	buf_free(&program);
	return rc;
}

static char *config_path(void)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	struct buf b = { 0 };

	if (dir && *dir)
		buf_addf(&b, "%s/config.json", dir);
	else if (home && *home)
		buf_addf(&b, "%s/.docker/config.json", home);
	return b.n ? buf_take(&b) : NULL;
}

int login_find(const char *host, struct login *l, struct deadline d, struct err *e)
{
	char *path = config_path(), *helper = NULL;
	struct buf text = { 0 };
	int rc = 0;

	*l = (struct login){ 0 };
	if (path && file_exists(path)) {
		rc = file_read(path, LOGIN_CONFIG_MAX, &text, e);
		if (rc == 0)
			rc = login_parse(buf_str(&text), host, l, &helper, e);
		if (rc == 0 && helper)
			rc = ask_helper(helper, host, l, d, e);
		if (rc < 0)
			err_wrap(e, "%s", path);
	}
	if (l->password)
		mask_add(str_of(l->password));
	if (l->identity_token)
		mask_add(str_of(l->identity_token));
	free(helper);
	free(path);
	buf_wipe(&text);
	return rc;
}
