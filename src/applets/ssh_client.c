/* SPDX-License-Identifier: Apache-2.0 */
/* See ssh.h. */
#include "agent/ssh.h"

#include "applets/applets.h"
#include "applets/ssh.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void add_word(struct buf *b, const char *option, const char *value)
{
	if (!value)
		return;
	buf_addf(b, " %s", option);
	if (*value) {
		buf_addc(b, ' ');
		buf_add_shell(b, str_of(value));
	}
}

/* The program by its own name, not by one that is an applet's: as it was installed beside that. */
static char *program(void)
{
	const char *self = applet_self_exe(), *base = strrchr(self, '/');
	struct buf b = { 0 };

	base = base ? base + 1 : self;
	if (strncmp(base, "daytona-runner-", 15) == 0 && applet_find(base + 15)) {
		buf_add(&b, self, (size_t)(base - self) + 14);
		if (file_exists(buf_cstr(&b)))
			return buf_take(&b);
	}
	buf_free(&b);
	return mem_dup(self);
}

/* A shell runs it, after ssh has replaced what begins with a percent sign. The key stays out of it. */
static void add_proxy(struct buf *out, const struct cli_admin *a)
{
	char *file = a->key_file && strcmp(a->key_file, "-") != 0 ? realpath(a->key_file, NULL)
	                                                          : NULL,
	     *ca = a->ca_file ? realpath(a->ca_file, NULL) : NULL, *self = program();
	const char *env_dir = getenv("DAYTONA_RUNNER_CONFIG_DIR");
	struct buf b = { 0 };

	buf_add_shell(&b, str_of(self));
	buf_adds(&b, " ssh --connect");
	add_word(&b, "--api-url", a->url);
	add_word(&b, "--api-key-file", file);
	add_word(&b, "--ca-file", ca);
	/* By the environment too: who starts ssh may have another. */
	add_word(&b, "--config-dir", a->config_dir || (env_dir && *env_dir) ? a->config.dir : NULL);
	add_word(&b, "--insecure", a->insecure ? "" : NULL);
	add_word(&b, "--allow-http", a->allow_http ? "" : NULL);
	for (size_t i = 0; i < b.n; i++)
		buf_adds(out, b.p[i] == '%' ? "%%" : (char[]){ b.p[i], '\0' });
	buf_free(&b);
	free(file);
	free(ca);
	free(self);
}

int ssh_client_open(struct ssh_client *c, const struct cli_admin *admin, struct err *e)
{
	c->admin = admin;
	c->dir = path_join(admin->config.dir, CONFIG_SSH);
	c->key = path_join(c->dir, CONFIG_SSH_KEY);
	c->known_hosts = path_join(c->dir, CONFIG_SSH_HOSTS);
	c->config = path_join(c->dir, CONFIG_SSH_FILE);
	if (strpbrk(c->dir, "\"\n"))
		return err_set(e, ERR_CONFIG, 0, "%s: ssh takes no such name of a directory",
		               c->dir);
	if (file_mkdirs(c->dir, 0700, e) < 0 || ssh_client_key(c->key, &c->public_key, e) < 0)
		return -1;
	add_proxy(&c->proxy, admin);
	return 0;
}

void ssh_client_close(struct ssh_client *c)
{
	free(c->dir);
	free(c->key);
	free(c->known_hosts);
	free(c->config);
	buf_free(&c->public_key);
	buf_free(&c->proxy);
}

/* Quoted, since it may have spaces; ssh replaces percent signs in it. */
static const char *as_file(struct buf *b, const char *path)
{
	buf_reset(b);
	buf_addc(b, '"');
	for (; *path; path++)
		buf_adds(b, *path == '%' ? "%%" : (char[]){ *path, '\0' });
	buf_addc(b, '"');
	return buf_cstr(b);
}

void ssh_client_settings(const struct ssh_client *c, const char *id,
                         void (*each)(void *arg, const char *name, const char *value), void *arg)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s %s", buf_cstr(&c->proxy), id);
	each(arg, "ProxyCommand", buf_cstr(&b));
	each(arg, "IdentityFile", as_file(&b, c->key));
	each(arg, "IdentitiesOnly", "yes");
	/* The Server says which workspace it is; the host's key is kept by that, not by a name that comes again. */
	buf_reset(&b);
	buf_addf(&b, "daytona-%s", id);
	each(arg, "HostKeyAlias", buf_cstr(&b));
	each(arg, "UserKnownHostsFile", as_file(&b, c->known_hosts));
	each(arg, "GlobalKnownHostsFile", "/dev/null");
	each(arg, "StrictHostKeyChecking", "accept-new");
	each(arg, "UpdateHostKeys", "no");
	each(arg, "PreferredAuthentications", "publickey");
	buf_free(&b);
}

void ssh_client_host(struct json workspace, struct buf *b)
{
	char *name = json_dup_or_empty(json_get(workspace, "name")),
	     *id = json_dup_or_empty(json_get(workspace, "id"));

	buf_addf(b, "%s.daytona", str_is_id(str_of(name)) ? name : id);
	free(name);
	free(id);
}
