/* SPDX-License-Identifier: Apache-2.0 */
/* See servconf.h. */
#include "runner/servconf.h"

#include "api/client.h"
#include "base/log.h"

const struct server_config *servconf_get(const struct servconf *k)
{
	return deadline_passed(k->stale_at) ? NULL : &k->config;
}

bool servconf_is_due(const struct servconf *k)
{
	return deadline_passed(k->stale_at) && deadline_passed(k->not_again);
}

void servconf_asked(struct servconf *k)
{
	k->not_again = deadline_in_ms(SERVCONF_AGE_MS);
}

void servconf_take(struct servconf *k, struct str body)
{
	struct err e = { 0 };
	struct json_doc *doc = NULL;
	struct deadline until = k->not_again;

	if (api_read_doc(body, &doc, &e) == 0) {
		server_config_free(&k->config);
		if (server_config_parse(json_root(doc), &k->config, &e) == 0)
			*k = (struct servconf){ .config = k->config, .stale_at = until };
	}
	if (e.kind)
		log_debug("GET /server/config: %s", e.msg);
	json_doc_free(doc);
}

void servconf_doubt(struct servconf *k)
{
	k->stale_at = (struct deadline){ 0 };
}

void servconf_free(struct servconf *k)
{
	server_config_free(&k->config);
	*k = (struct servconf){ 0 };
}
