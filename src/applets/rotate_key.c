/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate-key: another key for this host's runner. Whatever dies in between, the key that is saved is good: the Server lets
 * the old one be until the new one is used, and replaces a new one that nobody used.
 */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

static const char usage[] =
	"rotate-key\n"
	"Asks the Server for another key for this host's runner and saves it where the old one is. A runner that runs "
	"takes it at once, jobs go on. The old key is good until the new one is used, and 15 minutes more. Only the "
	"`server` of this program changes keys.";

/* Of two at once the Server would forget one's key, and the file might have that one. */
static int lock(const struct config *c, struct err *e)
{
	int fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open %s", c->dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		fd_close(&fd);
		return err_set(e, ERR_BUSY, 0, "another rotate-key is at work");
	}
	return fd;
}

static int check_place(const struct config *c, struct err *e)
{
	const char *source = c->sources[config_key_index("server.key")];

	if (config_require(c, e) < 0)
		return err_hint(e, CONFIG_REMEDY);
	if (c->key_file || strncmp(source, "file:", 5) == 0)
		return 0;
	return err_set(
		e, ERR_UNSUPPORTED, 0,
		"the key comes from %s; only one in runner.ini or in key_file can be changed "
		"from here",
		c->key_command ? "key_command" : source);
}

static int ask(const struct config *c, char **key, struct err *e)
{
	struct server_link link;
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	int rc;

	if (server_link_open(&link, c, e) < 0)
		return -1;
	buf_addf(&path, "/runner/%s/key", c->id);
	rc = api_call(link.api, "POST", buf_cstr(&path), (struct str){ 0 }, &doc,
	              deadline_in_ms(CLI_CALL_MS), e);
	*key = json_dup(json_get(json_root(doc), "apiKey"));
	if (rc < 0 && api_verdict(e) == API_NO_ROUTE)
		err_set(e, ERR_UNSUPPORTED, e->code,
		        "the Server %s keeps a runner's key as long as the runner: for another one, "
		        "daytona-runner purge here, then create and configure anew",
		        c->url);
	else if (rc < 0)
		server_hint(e);
	else if (!*key || !**key)
		rc = err_set(e, ERR_PARSE, 0, "the answer holds no key");
	else
		mask_add(str_of(*key));
	json_doc_free(doc);
	buf_free(&path);
	server_link_close(&link);
	return rc;
}

static int save(const struct config *c, const char *key, struct err *e)
{
	struct kv change = { 0 };
	struct buf line = { 0 };
	int rc;

	if (c->key_file) {
		buf_addf(&line, "%s\n", key);
		rc = file_replace(c->key_file, 0600, buf_str(&line), e);
	} else {
		kv_set(&change, "server.key", key);
		rc = config_save(c->dir, &change, e);
	}
	kv_free(&change);
	buf_wipe(&line);
	return rc < 0 ? err_hint(e, "the old key stays in use") : 0;
}

/* The runner that runs reads its configuration again. */
static void tell(const struct config *c)
{
	struct proc_id who = { 0 };
	struct err ignored = { 0 };

	if (daemon_lock_probe(c->state_dir, &who, &ignored) != 1)
		return;
	puts(who.pid && proc_signal(who, SIGHUP)
	             ? "The runner takes it now."
	             : "The runner was not told: daytona-runner restart");
}

static int rotate_key(const char *config_dir, struct err *e)
{
	struct config c = { 0 };
	char *key = NULL;
	int fd = -1, rc = config_load(&c, config_dir, NULL, e);

	if (rc == 0)
		rc = check_place(&c, e);
	if (rc == 0)
		rc = (fd = lock(&c, e)) < 0 ? -1 : ask(&c, &key, e);
	if (rc == 0)
		rc = save(&c, key, e);
	if (rc == 0) {
		printf("Runner %s has another key, in %s.\n", c.name,
		       c.key_file ? c.key_file : c.file);
		tell(&c);
	}
	mem_free_secret(key);
	fd_close(&fd);
	config_free(&c);
	return rc;
}

static int rotate_key_run(int argc, char **argv)
{
	const char *config_dir = NULL;
	struct err e = { 0 };
	const struct opt opts[] = { CLI_CONFIG_DIR(&config_dir), OPT_END };

	opts_parse(opts, usage, argc, argv, 0, 0);
	return rotate_key(config_dir, &e) < 0 ? applet_fail("rotate-key", &e) : out_flush();
}

const struct applet rotate_key_applet = { .name = "rotate-key",
	                                  .summary = "give this host's runner another key",
	                                  .run = rotate_key_run };
