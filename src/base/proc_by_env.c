/* SPDX-License-Identifier: Apache-2.0 */
/* See proc_by_env.h; the environment is read from /proc/PID/environ (proc(5)). */
#include "base/proc_by_env.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRON_MAX (256 << 10)

void proc_list_add(struct proc_list *l, struct proc_id id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].pid == id.pid)
			return;
	}
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->v = mem_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = id;
}

void proc_list_free(struct proc_list *l)
{
	free(l->v);
	*l = (struct proc_list){ 0 };
}

static bool has_mark(pid_t pid, struct str mark, struct buf *scratch)
{
	char path[64];
	struct err ignored = { 0 }; /* it has ended, or belongs to somebody else */
	struct stat st;
	struct str rest, var;

	snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
	if (stat(path, &st) < 0 || st.st_uid != geteuid())
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
	buf_reset(scratch);
	if (file_read(path, ENVIRON_MAX, scratch, &ignored) < 0)
		return false;
	rest = buf_str(scratch);
	while (str_next(&rest, '\0', &var)) {
		if (var.n == mark.n && memcmp(var.p, mark.p, mark.n) == 0)
			return true;
	}
	return false;
}

bool proc_has_env(pid_t pid, const char *name, const char *value)
{
	struct buf mark = { 0 }, scratch = { 0 };
	bool has;

	buf_addf(&mark, "%s=%s", name, value);
	has = has_mark(pid, buf_str(&mark), &scratch);
	buf_free(&mark);
	buf_wipe(&scratch);
	return has;
}

void proc_list_by_env(struct proc_list *l, const char *name, const char *value)
{
	struct buf mark = { 0 }, scratch = { 0 };
	DIR *dir = opendir("/proc");
	struct dirent *ent;
	struct proc_id id;
	int64_t pid;

	buf_addf(&mark, "%s=%s", name, value);
	while (dir && (ent = readdir(dir)) != NULL) {
		if (str_to_i64(str_of(ent->d_name), 2, INT_MAX, &pid) && pid != getpid() &&
		    has_mark((pid_t)pid, buf_str(&mark), &scratch) &&
		    proc_identify((pid_t)pid, &id))
			proc_list_add(l, id);
	}
	if (dir)
		closedir(dir);
	buf_free(&mark);
	buf_wipe(&scratch); /* others' environments hold secrets */
}
