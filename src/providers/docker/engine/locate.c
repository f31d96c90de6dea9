/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engine: "Sock Path" if it is not the default, DOCKER_HOST, /var/run/docker.sock, then the sockets
 * of rootless Docker and of Podman, first that accepts a connection (field case 72).
 */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void use_socket(struct engine *engine, const char *path, const char *why)
{
	struct buf b = { 0 };

	engine->url.scheme = mem_dup("unix");
	engine->url.host = mem_dup("");
	engine->url.path = mem_dup(path);
	engine->local = true;
	buf_addf(&b, "%s%s", path, why);
	engine->where = buf_take(&b);
}

static bool accepts(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(a.sun_path))
		return false;
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	rc = connect(fd, (const struct sockaddr *)&a, sizeof(a));
	rc = rc == 0 || errno == EAGAIN;
	close(fd);
	return rc;
}

static void search(struct engine *engine)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct buf docker = { 0 }, podman = { 0 };
	const char *list[5];
	size_t n = 0;

	list[n++] = DOCKER_DEFAULT_SOCK;
	if (run && *run == '/') {
		buf_addf(&docker, "%s/docker.sock", run);
		list[n++] = buf_cstr(&docker);
	}
	buf_addf(&podman, "/run/user/%u/podman/podman.sock", (unsigned)geteuid());
	list[n++] = buf_cstr(&podman);
	list[n++] = "/run/podman/podman.sock";
	for (size_t i = 0; i < n && !engine->where; i++)
		if (accepts(list[i]))
			use_socket(engine, list[i], "");
	if (!engine->where)
		use_socket(
			engine, DOCKER_DEFAULT_SOCK,
			" (no other engine socket was found either; set \"Sock Path\" or DOCKER_HOST)");
	buf_free(&docker);
	buf_free(&podman);
}

static int use_tls(struct engine *engine, struct err *e)
{
	const char *dir = getenv("DOCKER_CERT_PATH"), *home = getenv("HOME");
	struct tls_settings s = { 0 };
	struct buf own = { 0 };
	int rc;

	if (!dir || !*dir) {
		buf_addf(&own, "%s/.docker", home ? home : "");
		dir = buf_cstr(&own);
	}
	buf_addf(&engine->ca_file, "%s/ca.pem", dir);
	buf_addf(&engine->cert_file, "%s/cert.pem", dir);
	buf_addf(&engine->key_file, "%s/key.pem", dir);
	buf_free(&own);
	if (file_exists(buf_cstr(&engine->ca_file)))
		s.ca_file = buf_cstr(&engine->ca_file);
	if (file_exists(buf_cstr(&engine->cert_file))) {
		s.client_cert = buf_cstr(&engine->cert_file);
		s.client_key = buf_cstr(&engine->key_file);
	}
	rc = tls_ctx_new(&engine->tls, &s, false, e);
	return rc < 0 ? err_wrap(e, "certificates for DOCKER_HOST") : 0;
}

static bool is_set(const char *name)
{
	const char *v = getenv(name);

	return v && *v;
}

static int use_docker_host(struct engine *engine, const char *host, struct err *e)
{
	struct buf b = { 0 };

	if (strncmp(host, "unix://", 7) == 0) {
		use_socket(engine, host + 7, " (from DOCKER_HOST)");
		return 0;
	}
	if (strncmp(host, "tcp://", 6) != 0 && strncmp(host, "http://", 7) != 0 &&
	    strncmp(host, "https://", 8) != 0)
		return err_set(
			e, ERR_CONFIG, 0,
			"DOCKER_HOST=%.100s is not supported: it takes unix:// or tcp://; for ssh "
			"use a target config with \"Remote Hostname\"",
			host);
	if (url_parse(str_of(host), &engine->url, e) < 0)
		return err_wrap(e, "DOCKER_HOST");
	buf_adds(&b, "");
	url_origin(&engine->url, &b);
	buf_adds(&b, " (from DOCKER_HOST)");
	engine->where = buf_take(&b);
	if (url_is_tls(&engine->url) || is_set("DOCKER_TLS_VERIFY") || is_set("DOCKER_CERT_PATH"))
		return use_tls(engine, e);
	return 0;
}

int engine_locate(struct engine *engine, const struct docker_options *o, struct err *e)
{
	const char *host = getenv("DOCKER_HOST");

	if (o->sock && strcmp(o->sock, DOCKER_DEFAULT_SOCK) != 0) {
		use_socket(engine, strncmp(o->sock, "unix://", 7) == 0 ? o->sock + 7 : o->sock,
		           " (from \"Sock Path\")");
		return 0;
	}
	if (host && *host)
		return use_docker_host(engine, host, e);
	search(engine);
	return 0;
}
