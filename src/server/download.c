/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs for other machines: Daytona's own binaries from binaries/ (protocol 3.18), and the
 * installer with this executable, so that a network without internet access can install.
 */
#include "server/sums.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/shipped.h"
#include "base/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

/* Sends a packed script with each @BASE_URL@ replaced by our address and suffix. */
static void reply_script(struct call *c, const unsigned char *packed, size_t n, const char *suffix)
{
	static const char mark[] = "@BASE_URL@";
	struct buf base = { 0 }, script = { 0 }, out = { 0 };
	struct str rest;
	const char *at;

	unpack(&script, packed, n);
	rest = buf_str(&script);
	call_base_url(c, &base);
	/* Without a usable address the mark stays: the installer then asks for one. */
	while (base.n && (at = str_find(rest, mark)) != NULL) {
		buf_add(&out, rest.p, (size_t)(at - rest.p));
		buf_addf(&out, "%s%s", buf_cstr(&base), suffix);
		rest.n -= (size_t)(at - rest.p) + sizeof(mark) - 1;
		rest.p = at + sizeof(mark) - 1;
	}
	buf_add_str(&out, rest);
	reply_text(c, 200, buf_cstr(&out));
	buf_free(&base);
	buf_free(&script);
	buf_free(&out);
}

void h_binary_script(struct call *c)
{
	reply_script(c, script_get_daytona_sh, script_get_daytona_sh_n, "");
}

void h_install_script(struct call *c)
{
	reply_script(c, script_install_sh, script_install_sh_n, "/download");
}

/* A regular file as the answer; false when there is none. */
static bool reply_file(struct call *c, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct buf fields = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(&fd);
		return false;
	}
	buf_addf(&fields,
	         "Content-Disposition: attachment; filename=%s\r\nX-Server-Version: %s\r\n", name,
	         c->s->opt.version);
	httpd_respond_file(c->r, 200, "application/octet-stream", buf_cstr(&fields), fd,
	                   (uint64_t)st.st_size);
	buf_free(&fields);
	return true;
}

/* Checked names only: both become path components. */
static bool reply_stored(struct call *c, const char *dir, const char *version, const char *name)
{
	struct buf path = { 0 };
	bool ok = str_is_id(str_of(name)) && (!version || str_is_id(str_of(version)));

	if (ok) {
		buf_addf(&path, "%s/%s/%s%s%s", c->s->store.dir, dir, version ? version : "",
		         version ? "/" : "", name);
		ok = reply_file(c, buf_cstr(&path), name);
	}
	buf_free(&path);
	return ok;
}

/* "daytona-linux-amd64", maybe with ".exe". */
static bool binary_name_ok(const char *name)
{
	struct str rest = str_of(name), piece;
	int parts = 0;

	if (str_ends(rest, ".exe"))
		rest.n -= 4;
	while (str_next(&rest, '-', &piece))
		parts += piece.n ? 1 : 100;
	return parts == 3;
}

void h_binary_get(struct call *c)
{
	const char *version = c->param[0], *name = c->param[1];

	if (!binary_name_ok(name))
		reply_error(c, 500, "failed to get binary path: invalid binary name: %s", name);
	else if (!reply_stored(c, "binaries", version, name) &&
	         !reply_stored(c, "binaries", NULL, name))
		reply_error(c, 500,
		            "failed to get binary path: %s of version %s is not on this server; "
		            "put it into its data directory as binaries/%s/%s",
		            name, version, version, name);
}

static void own_name(struct buf *b)
{
	struct utsname u;
	const char *machine = uname(&u) == 0 ? u.machine : "unknown";

	if (strncmp(machine, "armv7", 5) == 0 || strcmp(machine, "armv8l") == 0)
		machine = "armv7";
	buf_addf(b, "daytona-runner-linux-%s", machine);
}

static void send_download(struct call *c, const char *name)
{
	struct buf own = { 0 };
	bool done;

	own_name(&own);
	if (strcmp(name, "SHA256SUMS") == 0) {
		sums_reply(c, buf_cstr(&own));
		done = true;
	} else if (strcmp(name, buf_cstr(&own)) == 0) {
		done = reply_file(c, SELF, name);
	} else {
		done = reply_stored(c, "downloads", NULL, name);
	}
	if (!done)
		reply_error(c, 404, "no download of that name");
	buf_free(&own);
}

void h_download(struct call *c)
{
	send_download(c, c->param[0]);
}

void h_download_version(struct call *c)
{
	const char *version = c->param[0];

	if (version[0] == 'v')
		version++;
	if (strcmp(version, DR_VERSION) == 0)
		send_download(c, c->param[1]);
	else
		reply_error(c, 404, "this server has version %s only", DR_VERSION);
}
