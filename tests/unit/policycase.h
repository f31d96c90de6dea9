/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the docker provider's policy share: a checkout with all that a repository may put into it, and who asks. */
#ifndef TESTS_UNIT_POLICYCASE_H
#define TESTS_UNIT_POLICYCASE_H

#include "base/mem.h"
#include "providers/docker/engine/policy.h"
#include "tests/test.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static char tmp[TEST_PATH_SIZE]; /* what the rows call '@' is its "co" */
static char checkout[TEST_PATH_SIZE + 8];
static bool has_device;

static inline void make(const char *name, char kind, const char *text)
{
	char path[TEST_PATH_SIZE + 64];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = -1;
	bool ok = true;

	snprintf(path, sizeof(path), "%s/%s", tmp, name);
	if (kind == 'd') {
		ok = mkdir(path, 0700) == 0;
	} else if (kind == 'l') {
		ok = symlink(text, path) == 0;
	} else if (kind == 'p') {
		ok = mkfifo(path, 0600) == 0;
	} else if (kind == 'c') {
		has_device = mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0;
	} else if (kind == 's') {
		/* Its name is short whatever the directory's. */
		ok = chdir(checkout) == 0 &&
		     (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0;
		snprintf(a.sun_path, sizeof(a.sun_path), "socket");
		ok = ok && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && chdir("/") == 0;
	} else {
		ok = (fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0;
	}
	if (fd >= 0)
		close(fd);
	if (!CHECK(ok))
		perror(path);
}

static inline void make_tree(void)
{
	static const struct {
		const char *name;
		char kind;
		const char *text;
	} tree[] = {
		{ "co", 'd', NULL },
		{ "co2", 'd', NULL },
		{ "outside", 'd', NULL },
		{ "outside/canary", 'f', NULL },
		{ "co/data", 'd', NULL },
		{ "co/data/sub", 'd', NULL },
		{ "co/data/deep", 'l', "../../outside" },
		{ "co/file", 'f', NULL },
		{ "co/link_out", 'l', "../outside" },
		{ "co/link_file", 'l', "../outside/canary" },
		{ "co/link_root", 'l', "/" },
		{ "co/link_in", 'l', "data" },
		{ "co/link_dangling", 'l', "nowhere" },
		{ "co/link_loop", 'l', "link_loop" },
		{ "co/fifo", 'p', NULL },
		{ "co/socket", 's', NULL },
		{ "co/device", 'c', NULL },
	};

	CHECK(test_mkdtemp(tmp));
	snprintf(checkout, sizeof(checkout), "%s/co", tmp);
	for (size_t i = 0; i < TEST_N(tree); i++)
		make(tree[i].name, tree[i].kind, tree[i].text);
	if (!has_device)
		TEST_SKIP("only root makes devices");
}

struct said {
	int count;
	struct buf text;
};

static inline void say(void *arg, const char *text)
{
	struct said *s = arg;

	s->count++;
	buf_adds(&s->text, text);
	buf_addc(&s->text, '\n');
}

static inline void ask_mount(struct spec *s, const char *type, const char *source,
                             const char *target)
{
	struct mount_spec mount = { .type = mem_dup(type),
		                    .source = mem_dup(source),
		                    .target = mem_dup(target) };

	spec_ask_mount(s, &mount);
	mount_spec_free(&mount);
}

static inline struct policy policy(enum policy_use use, const struct docker_options *o,
                                   const struct kv *identity, struct said *said)
{
	return (struct policy){ .use = use,
		                .options = o,
		                .id = "w1",
		                .from = { checkout, checkout, say, said },
		                .identity = identity };
}

#endif
