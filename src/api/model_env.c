/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and registry helpers of model.h (protocol 8.7). */
#include "api/model.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void registries_free(struct registries *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->list[i].server);
		free(r->list[i].username);
		mem_free_secret(r->list[i].password);
	}
	free(r->list);
	*r = (struct registries){ 0 };
}

static const char server_suffix[] = "_CONTAINER_REGISTRY_SERVER";
static const char user_suffix[] = "_CONTAINER_REGISTRY_USERNAME";
static const char password_suffix[] = "_CONTAINER_REGISTRY_PASSWORD";

static const char *with_prefix(const struct kv *env, struct str prefix, const char *suffix)
{
	struct buf key = { 0 };
	const char *value;

	buf_add_str(&key, prefix);
	buf_adds(&key, suffix);
	value = kv_get(env, buf_cstr(&key));
	buf_free(&key);
	return value ? value : "";
}

static bool has_server(const struct registries *r, const char *server)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->list[i].server, server) == 0)
			return true;
	}
	return false;
}

/* "https://reg.test/v2/" and "reg.test" name the same registry. */
static char *registry_host(const char *value)
{
	struct str s = str_trim(str_of(value));
	const char *slash;

	if (str_starts(s, "https://"))
		s = (struct str){ s.p + 8, s.n - 8 };
	else if (str_starts(s, "http://"))
		s = (struct str){ s.p + 7, s.n - 7 };
	slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	return mem_dupn(s.p, slash ? (size_t)(slash - s.p) : s.n);
}

void registries_split(struct kv *env, struct registries *out)
{
	static const char *const suffixes[] = { server_suffix, user_suffix, password_suffix };

	for (size_t i = 0; i < env->n; i++) {
		struct str key = str_of(env->pairs[i].key);
		char *host;

		if (!str_ends(key, server_suffix))
			continue;
		host = registry_host(env->pairs[i].value);
		if (!*host ||
		    has_server(out, host)) { /* of duplicates the first counts, not a random one */
			free(host);
			continue;
		}
		key.n -= sizeof(server_suffix) - 1;
		out->list = mem_realloc(out->list, (out->n + 1) * sizeof(*out->list));
		out->list[out->n++] = (struct registry){
			.server = host,
			.username = mem_dup(with_prefix(env, key, user_suffix)),
			.password = mem_dup(with_prefix(env, key, password_suffix)),
		};
	}
	for (size_t i = env->n; i-- > 0;) {
		for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
			if (str_ends(str_of(env->pairs[i].key), suffixes[k])) {
				kv_del(env, env->pairs[i].key);
				break;
			}
		}
	}
}

static bool is_docker_hub(struct str host)
{
	return str_eq(host, "docker.io") || str_eq(host, "index.docker.io") ||
	       str_eq(host, "registry-1.docker.io");
}

const struct registry *registries_for_image(const struct registries *r, const char *image)
{
	struct str rest = str_of(image), host = { 0 };

	if (!strchr(image, '/') || !str_next(&rest, '/', &host) ||
	    !(memchr(host.p, '.', host.n) || memchr(host.p, ':', host.n) ||
	      str_eq(host, "localhost")))
		host = STR_LIT("docker.io");
	for (size_t i = 0; i < r->n; i++) {
		struct str server = str_of(r->list[i].server);

		if ((server.n == host.n && memcmp(server.p, host.p, host.n) == 0) ||
		    (is_docker_hub(server) && is_docker_hub(host)))
			return &r->list[i];
	}
	return NULL;
}

static bool allowed(const char *allow, const char *name)
{
	struct str rest = str_of(allow), piece;

	while (allow && str_next(&rest, ',', &piece)) {
		if (*name && str_eq(str_trim(piece), name))
			return true;
	}
	return false;
}

void env_merge(struct kv *into, const struct kv *server_env, const struct kv *own,
               const char *allow)
{
	kv_merge(into, server_env);
	kv_merge(into, own);
	for (size_t i = 0; i < into->n; i++) {
		struct kv_pair *p = &into->pairs[i];
		const char *value;

		if (p->value[0] != '$' || !allowed(allow, p->value + 1))
			continue;
		value = getenv(p->value + 1);
		if (!value)
			continue;
		mem_free_secret(p->value);
		p->value = mem_dup(value);
	}
}
