/* SPDX-License-Identifier: Apache-2.0 */
/* git status, as JSON; see gitstatus.h. */
#include "git/status.h"

#include "base/jsonw.h"
#include "base/spawn_child.h"
#include "git/clone.h"
#include "git/run.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const char *status_word(char c)
{
	switch (c) {
	case 'M':
	case 'T':
		return "Modified";
	case 'A':
		return "Added";
	case 'D':
		return "Deleted";
	case 'R':
		return "Renamed";
	case 'C':
		return "Copied";
	case 'U':
		return "Updated but unmerged";
	case '?':
		return "Untracked";
	default:
		return "Unmodified";
	}
}

struct status {
	struct str branch;
	bool published;
	int64_t ahead, behind;
	struct buf files;
	unsigned n_files;
};

static void header(struct status *s, struct str line)
{
	struct str word;

	if (str_starts(line, "# branch.head ")) {
		s->branch = (struct str){ line.p + 14, line.n - 14 };
		if (str_eq(s->branch, "(detached)"))
			s->branch = STR_LIT("HEAD");
	} else if (str_starts(line, "# branch.ab ")) { /* only with an upstream that exists */
		s->published = true;
		line = (struct str){ line.p + 12, line.n - 12 };
		if (str_next(&line, ' ', &word))
			str_to_i64(word, 0, INT32_MAX, &s->ahead);
		if (str_next(&line, ' ', &word) && word.n > 1)
			str_to_i64((struct str){ word.p + 1, word.n - 1 }, 0, INT32_MAX,
			           &s->behind);
	}
}

static void file(struct status *s, const char xy[2], struct str name, struct str extra)
{
	if (name.n == 0 || s->n_files >= GIT_STATUS_FILES_MAX)
		return;
	s->n_files++;
	jw_obj(&s->files);
	jw_key(&s->files, "name");
	jw_str(&s->files, name);
	jw_key(&s->files, "extra");
	jw_str(&s->files, extra);
	jw_kstr(&s->files, "staging", status_word(xy[0]));
	jw_kstr(&s->files, "worktree", status_word(xy[1]));
	jw_obj_end(&s->files);
}

/* The path is what follows n blanks: 8 fields for "1", 9 for "2", 10 for "u". */
static struct str path_after(struct str line, unsigned blanks)
{
	struct str word;

	while (blanks-- > 0) {
		if (!str_next(&line, ' ', &word))
			return (struct str){ 0 };
	}
	return line;
}

void git_status_parse(struct str rest, struct buf *json)
{
	struct status s = { 0 };
	struct str line, from;

	while (rest.n > 0 && rest.p[rest.n - 1] != '\0')
		rest.n--; /* an entry without its end was cut */
	jw_arr(&s.files);
	while (str_next(&rest, '\0', &line)) {
		if (line.n < 4)
			continue;
		switch (line.p[0]) {
		case '#':
			header(&s, line);
			break;
		case '1':
			file(&s, line.p + 2, path_after(line, 8), STR_LIT(""));
			break;
		case '2':
			if (str_next(&rest, '\0', &from) && from.n > 0)
				file(&s, line.p + 2, path_after(line, 9), from);
			break;
		case 'u':
			file(&s, line.p + 2, path_after(line, 10), STR_LIT(""));
			break;
		case '?':
			file(&s, "??", (struct str){ line.p + 2, line.n - 2 }, STR_LIT(""));
			break;
		default:
			break;
		}
	}
	jw_arr_end(&s.files);
	if (!s.branch.n) {
		buf_free(&s.files);
		return;
	}
	jw_obj(json);
	jw_key(json, "currentBranch");
	jw_str(json, s.branch);
	jw_key(json, "fileStatus");
	jw_raw(json, buf_str(&s.files));
	jw_kbool(json, "branchPublished", s.published);
	jw_kint(json, "ahead", s.ahead);
	jw_kint(json, "behind", s.behind);
	jw_obj_end(json);
	buf_free(&s.files);
}

static const char *const git_argv[] = {
	"git",
	"--no-optional-locks",
	"-c",
	"core.fsmonitor=false",
	"-c",
	"core.hooksPath=/dev/null",
	"-c",
	"safe.directory=*",
	"status",
	"--porcelain=v2",
	"--branch",
	"-z",
	"--untracked-files=all",
	"--ignore-submodules=all",
	NULL,
};

static void status_env(struct kv *env)
{
	git_env(env, "/nonexistent");
	/* A repository around the directory is not the workspace's. */
	kv_set(env, "GIT_DIR", ".git");
}

_Noreturn void git_status_exec(const char *dir)
{
	struct kv env = { 0 };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), code;

	if (chdir(dir) < 0) /* not yet there, or removed by its user */
		_exit(0);
	dup2(null_fd, 0);
	dup2(null_fd, 2);
	status_env(&env);
	code = spawn_exec(NULL, git_argv, (const char *const *)kv_to_env(&env));
	if (code == ENOENT)
		dprintf(1, "-%s", GIT_MISSING_TEXT);
	else
		dprintf(1, "-git: %s", strerror(code));
	_exit(127);
}

#define STATUS_MAX (8u << 20)

static void take_status(void *arg, struct str bytes)
{
	struct err cut = { 0 }; /* an entry that was cut is left out */

	buf_add_max(arg, bytes.p, bytes.n, STATUS_MAX, &cut);
}

int git_status_read(const char *dir, struct deadline d, struct buf *json, struct err *e)
{
	struct kv env = { 0 };
	struct buf text = { 0 };
	const struct git_run run = {
		.argv = git_argv, .env = &env, .cwd = dir, .output = take_status, .arg = &text
	};
	size_t before = json->n;
	int status = 0, rc;

	status_env(&env);
	rc = git_run(&run, d, &status, e);
	if (rc == 0)
		git_status_parse(buf_str(&text), json);
	if (rc == 0 && json->n == before)
		rc = err_set(e, ERR_OTHER, status, "%s is no git repository", dir);
	kv_free(&env);
	buf_free(&text);
	return rc;
}
