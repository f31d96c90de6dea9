/* SPDX-License-Identifier: Apache-2.0 */
/* Answers git's question for a user name or a password; started by git alone
 * (git/clone.h). */
#include "applets/applets.h"
#include "base/err.h"
#include "base/file.h"
#include "git/clone.h"

#include <unistd.h>

static int askpass_run(int argc, char **argv)
{
	struct buf answer = { 0 };
	struct err e = { 0 };
	int rc = git_askpass(argc > 1 ? argv[1] : "", &answer, &e);

	if (rc == 0) {
		buf_addc(&answer, '\n');
		rc = file_write_all(1, buf_str(&answer), "standard output", &e);
	}
	buf_wipe(&answer);
	/* No handlers: a leak checker traces this process, and such calls are refused (base/confine.h). */
	_exit(rc < 0 ? applet_fail("askpass", &e) : 0);
}

const struct applet askpass_applet = {
	.name = "askpass",
	.summary = "answer git's questions for credentials",
	.run = askpass_run,
	.hidden = true,
};
