/* SPDX-License-Identifier: Apache-2.0 */
/* ssh-config: every workspace as a host of the ssh client, for whatever uses it: scp, rsync, git, editors. */
#include "applets/ssh.h"

#include "applets/applets.h"
#include "base/file.h"
#include "base/out.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"ssh-config [--print]\n"
	"Writes a file for ssh with one host, NAME.daytona, for each workspace on the Server, and says the line that includes it. "
	"Call it again when there are others.";

static void add_line(void *arg, const char *name, const char *value)
{
	buf_addf(arg, "\t%s %s\n", name, value);
}

static size_t write_hosts(const struct ssh_client *c, struct json list, struct buf *out)
{
	size_t n = 0;

	buf_addf(out,
	         "# Made by daytona-runner ssh-config from %s; what is changed here is lost.\n",
	         c->admin->config.url);
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *id = json_dup_or_empty(json_get(member, "id"));

		if (str_is_id(str_of(id))) {
			buf_adds(out, "Host ");
			ssh_client_host(member, out);
			buf_addf(out, " %s.daytona\n", id); /* where two have a name */
			ssh_client_settings(c, id, add_line, out);
			n++;
		}
		free(id);
	}
	return n;
}

static int run(struct verbs *v, bool print, struct err *e)
{
	struct ssh_client c = { 0 };
	struct json_doc *doc = NULL;
	struct buf text = { 0 };
	size_t n;
	int rc = cli_admin_open(&v->admin, "ssh-config", e);

	if (rc == 0)
		rc = ssh_client_open(&c, &v->admin, e);
	if (rc == 0 && !(doc = verbs_list_of(v, &api_workspace_kind, e)))
		rc = cli_explain(&v->admin, e);
	if (rc == 0) {
		n = write_hosts(&c, json_root(doc), &text);
		if (print)
			fputs(buf_cstr(&text), stdout);
		else
			rc = file_replace(c.config, 0600, buf_str(&text), e);
		if (rc == 0 && !print)
			printf("%zu %s in %s\nThe first line of ~/.ssh/config should be, once:\nInclude \"%s\"\n",
			       n, n == 1 ? "host" : "hosts", c.config, c.config);
	}
	json_doc_free(doc);
	buf_free(&text);
	ssh_client_close(&c);
	cli_admin_close(&v->admin);
	return rc;
}

static int ssh_config_run(int argc, char **argv)
{
	struct verbs v = { 0 };
	struct err e = { 0 };
	bool print = false;
	const struct opt opts[] = {
		OPT_FLAG('p', "print", &print, "print the file, and write none"),
		CLI_ADMIN_OPTS(&v.admin),
		OPT_END,
	};

	opts_parse(opts, usage, argc, argv, 0, 0);
	return run(&v, print, &e) < 0 ? applet_fail("ssh-config", &e) : out_flush();
}

const struct applet ssh_config_applet = {
	.name = "ssh-config",
	.summary = "make the workspaces known to ssh, scp, rsync and editors",
	.run = ssh_config_run
};
