/* SPDX-License-Identifier: Apache-2.0 */
/* See cgroup.h: which controllers are mounted where, and where we are in them; proc_pid_mountinfo(5), cgroups(7). */
#include "base/mem.h"
#include "sandbox/cgroup.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MIN 10 /* of a line of mountinfo, the dash included */

static const char *const names[CGROUP_N] = {
	[CGROUP_CPU] = "cpu",         [CGROUP_MEMORY] = "memory",   [CGROUP_PIDS] = "pids",
	[CGROUP_CPUACCT] = "cpuacct", [CGROUP_FREEZER] = "freezer", [CGROUP_UNIFIED] = "",
};

static bool in_list(struct str list, const char *name)
{
	struct str word;

	while (str_next(&list, ',', &word))
		if (str_eq(word, name))
			return true;
	return false;
}

/* "\040" is a blank. An absolute path without "..", or NULL. */
static char *unescape(struct str s)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];

		if (c == '\\') {
			int v = 0;

			for (int k = 1; k <= 3; k++) {
				if (i + 3 >= s.n || s.p[i + (size_t)k] < '0' ||
				    s.p[i + (size_t)k] > '7') {
					buf_free(&b);
					return NULL;
				}
				v = v * 8 + (s.p[i + (size_t)k] - '0');
			}
			c = v;
			i += 3;
		}
		if (!c)
			break;
		buf_addc(&b, (char)c);
	}
	if (!b.n || b.p[0] != '/' || strstr(b.p, "/../") || str_ends(buf_str(&b), "/..")) {
		buf_free(&b);
		return NULL;
	}
	while (b.n && b.p[b.n - 1] == '/')
		buf_cut(&b, b.n - 1);
	return buf_take(&b);
}

/* Our path in the hierarchy of a controller. false: a malformed line; *path.p NULL: it has none. */
static bool own_path(struct str own, const char *name, struct str *path)
{
	struct str line, number, controllers;
	int64_t n;

	*path = (struct str){ 0 };
	while (str_next(&own, '\n', &line)) {
		if (!line.n)
			continue;
		if (!str_next(&line, ':', &number) || !str_next(&line, ':', &controllers) ||
		    !str_to_i64(number, 0, INT32_MAX, &n) || !line.n || *line.p != '/')
			return false;
		if (*name ? in_list(controllers, name) : n == 0 && !controllers.n)
			*path = line;
	}
	return true;
}

struct mount_line {
	struct str root, point, type, options;
};

static bool split(struct str line, struct mount_line *mount)
{
	struct str field, after[3];
	int n = 0, dash = 0;

	while (str_next(&line, ' ', &field)) {
		n++;
		if (n == 4)
			mount->root = field;
		else if (n == 5)
			mount->point = field;
		else if (n > 6 && !dash && str_eq(field, "-"))
			dash = n;
		else if (dash && n - dash <= 3)
			after[n - dash - 1] = field;
	}
	if (!dash || n - dash != 3 || n < FIELDS_MIN)
		return false;
	mount->type = after[0];
	mount->options = after[2];
	return true;
}

/* Takes the mount if it shows the part of the hierarchy that we are in. */
static void take(struct cgroup_mount *at, const struct mount_line *mount, struct str path, bool v2)
{
	char *root = unescape(mount->root), *point = unescape(mount->point);
	char *own = mem_dupn(path.p, path.n);
	size_t n = root ? strlen(root) : 0;

	if (strcmp(own, "/") == 0)
		*own = 0;
	if (root && point && !strstr(own, "/..") && strncmp(own, root, n) == 0 &&
	    (!own[n] || own[n] == '/')) {
		*at = (struct cgroup_mount){ .dir = point, .own = mem_dup(own + n), .v2 = v2 };
		point = NULL;
	}
	free(root);
	free(point);
	free(own);
}

int cgroup_locate(struct str mountinfo, struct str own, struct cgroup_mount at[CGROUP_N],
                  struct err *e)
{
	struct mount_line mount;
	struct str line;

	memset(at, 0, CGROUP_N * sizeof(*at));
	while (str_next(&mountinfo, '\n', &line)) {
		if (!line.n)
			continue;
		if (!split(line, &mount)) {
			cgroup_mounts_free(at);
			return err_set(e, ERR_PARSE, 0, "mountinfo: \"%.*s\" is malformed",
			               (int)(line.n < 200 ? line.n : 200), line.p);
		}
		for (int i = 0; i < CGROUP_N; i++) {
			bool v2 = i == CGROUP_UNIFIED;
			struct str path;

			if (at[i].dir || !str_eq(mount.type, v2 ? "cgroup2" : "cgroup") ||
			    (!v2 && !in_list(mount.options, names[i])))
				continue;
			if (!own_path(own, names[i], &path)) {
				cgroup_mounts_free(at);
				return err_set(e, ERR_PARSE, 0, "/proc/self/cgroup is malformed");
			}
			if (path.p)
				take(&at[i], &mount, path, v2);
		}
	}
	return 0;
}

void cgroup_mounts_free(struct cgroup_mount at[CGROUP_N])
{
	for (int i = 0; i < CGROUP_N; i++) {
		free(at[i].dir);
		free(at[i].own);
		at[i] = (struct cgroup_mount){ 0 };
	}
}
