/* SPDX-License-Identifier: Apache-2.0 */
/* Peers of the registry client, see registry_int.h. */
#include "oci/registry_int.h"

#include <string.h>

static int connect_to(struct origin *o, const struct registry_options *opt, struct err *e)
{
	const char *proxy = proxy_for(&o->url, opt->proxy, opt->no_proxy);

	if (proxy && proxy_parse(proxy, &o->proxy, e) < 0)
		return -1;
	o->target = (struct conn_target){ .url = &o->url,
		                          .tls = url_is_tls(&o->url) ? opt->tls : NULL,
		                          .proxy = proxy ? &o->proxy : NULL };
	o->http = http_client_new(&o->target, "daytona-runner/" DR_VERSION);
	return 0;
}

int origin_open(struct origin *o, const char *url, const struct registry_options *opt,
                struct err *e)
{
	*o = (struct origin){ 0 };
	if (url_parse(str_of(url), &o->url, e) < 0)
		return -1;
	return connect_to(o, opt, e);
}

int origin_open_url(struct origin *o, const struct url *url, const struct registry_options *opt,
                    struct err *e)
{
	struct buf b = { 0 };
	int rc;

	url_origin(url, &b);
	rc = origin_open(o, buf_cstr(&b), opt, e);
	buf_free(&b);
	return rc;
}

void origin_close(struct origin *o)
{
	http_client_free(o->http);
	url_free(&o->url);
	url_free(&o->proxy);
	*o = (struct origin){ 0 };
}
