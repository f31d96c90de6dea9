/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_agent URL KEY STATE_DIR VERSION ARCH: agent_fetch as a program; prints the path or the
 * error. */
#include "agent/agent.h"
#include "api/client.h"
#include "base/allow.h"
#include "base/log.h"
#include "net/url.h"

int main(int argc, char **argv)
{
	struct deadline d = deadline_in_ms(20000);
	struct api_settings s = { 0 };
	struct api *api = NULL;
	struct url url = { 0 };
	struct err e = { 0 };
	char *path = NULL;
	int rc = -1;

	if (argc != 6)
		return 2;
	allow_set(ALLOW_AGENTS, getenv("FETCH_ALLOW"));
	if (strcmp(argv[1], "-") == 0) {
		rc = agent_fetch(NULL, argv[3], argv[4], argv[5], &path, &d, &e);
	} else if (url_parse(str_of(argv[1]), &url, &e) == 0) {
		s.url = &url;
		s.key = argv[2];
		api = api_new(&s);
		rc = agent_fetch(api, argv[3], argv[4], argv[5], &path, &d, &e);
	}
	puts(rc == 0 ? path : e.msg);
	free(path);
	api_free(api);
	url_free(&url);
	return rc < 0;
}
