/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "agent/toolbox/stream.h"

#include "agent/toolbox/toolbox.h"
#include "base/file.h"
#include "base/proc_stat.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* A stream's handler is a child of the stream's process, that of the agent. */
static int find_agent(struct proc_id *agent, struct err *e)
{
	struct proc_stat st;

	if (!proc_stat_read(getppid(), &st) || !proc_identify(st.ppid, agent))
		return err_set(e, ERR_CANCELED, 0, "the agent has ended");
	return 0;
}

/* Images may lack any of these. */
static const char *temp_dir(void)
{
	const char *const places[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", getenv("HOME"),
		                       "/dev/shm" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (places[i] && places[i][0] == '/' && access(places[i], W_OK | X_OK) == 0)
			return places[i];
	return "/tmp";
}

/* The same for all streams of one agent, and nobody else's. */
static void add_run_dir(struct buf *b, const struct proc_id *agent)
{
	buf_addf(b, "%s/" TOOLBOX_RUN_PREFIX "%lu-%ld-%llu", temp_dir(), (unsigned long)geteuid(),
	         (long)agent->pid, (unsigned long long)agent->start);
}

int toolbox_stream(int fd, const struct stream_request *q, struct err *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct buf run_dir = { 0 };
	struct proc_id agent;
	struct toolbox t = { .dir = q->dir, .ca_file = getenv("DAYTONA_AGENT_GIT_CA_FILE") };
	int rc = find_agent(&agent, e);

	if (rc == 0) {
		add_run_dir(&run_dir, &agent);
		t.run_dir = buf_cstr(&run_dir);
		t.owner = agent.pid;
		if (n > 0) {
			self[n] = '\0';
			t.self_exe = self;
		}
		rc = toolbox_serve(fd, &t, e);
	}
	fd_close(&fd);
	buf_free(&run_dir);
	return rc;
}
