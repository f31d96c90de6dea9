/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel: standard input and output joined with a port of a workspace, as ssh's ProxyCommand wants it. */
#include "applets/applets.h"
#include "applets/streams.h"

#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"tunnel WORKSPACE PORT\n"
	"Joins standard input and output with a TCP port of a workspace's loopback; with --kind, with what its agent serves "
	"under that name.";

static int start(struct cli_admin *a, const char *workspace, const char *kind, const char *port,
                 struct err *e)
{
	struct buf query = { 0 };
	int in = stream_take(STDIN_FILENO), rc;
	struct tunnel *t;

	buf_adds(&query, "kind=");
	buf_add_urlenc(&query, str_of(kind));
	if (port)
		buf_addf(&query, "&port=%s", port);
	t = tunnel_open(a->link.api, workspace, buf_cstr(&query), deadline_in_ms(STREAM_OPEN_MS));
	if (in >= 0)
		tunnel_source(t, TUNNEL_IN, in);
	else
		tunnel_end(t, TUNNEL_IN);
	tunnel_sink(t, TUNNEL_OUT, stream_take(STDOUT_FILENO));
	rc = stream_run(t, e);
	tunnel_free(t);
	buf_free(&query);
	return rc < 0 ? stream_explain(a, e) : 0;
}

static int tunnel_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	const char *kind = NULL;
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_STR(0, "kind", "KIND", &kind, "ssh or another kind in place of a port"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 1, 2), rc;
	int64_t port;

	if (n == 1 && !kind)
		opts_misuse(usage, "which port?");
	if (n == 2 && (kind || !str_to_i64(str_of(argv[2]), 1, 65535, &port)))
		opts_misuse(usage, "%s",
		            kind ? "a port and --kind exclude each other"
		                 : "the port is a number from 1 to 65535");
	rc = cli_admin_open(&a, "tunnel", &e);
	if (rc == 0)
		rc = start(&a, argv[1], kind ? kind : "port", n == 2 ? argv[2] : NULL, &e);
	cli_admin_close(&a);
	return rc < 0 ? applet_fail("tunnel", &e) : 0;
}

const struct applet tunnel_applet = {
	.name = "tunnel",
	.summary = "join standard input and output with a workspace's port",
	.run = tunnel_run,
};
