/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs for other machines: Daytona's own binaries from binaries/ (protocol 3.18), and the
 * installer with this executable, so that a network without internet access can install.
 */
#include "applets/server/srv.h"

#include "applets/server/install_script.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/unpack.h"
#include "net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

static const char daytona_script[] =
	"#!/bin/sh\n"
	"# Installs the daytona command from the server that this script came from.\n"
	"set -e\n"
	"command -v daytona >/dev/null 2>&1 && exit 0\n"
	"base=${DAYTONA_SERVER_DOWNLOAD_URL:-@BASE_URL@/binary}\n"
	"version=${DAYTONA_SERVER_VERSION:-latest}\n"
	"dir=${DAYTONA_PATH:-/usr/local/bin}\n"
	"case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;;\n"
	"*) echo \"no daytona for $(uname -s)\" >&2; exit 1 ;; esac\n"
	"case $(uname -m) in x86_64|amd64) arch=amd64 ;; aarch64|arm64) arch=arm64 ;;\n"
	"*) echo \"no daytona for $(uname -m)\" >&2; exit 1 ;; esac\n"
	"url=$base/$version/daytona-$os-$arch\n"
	"auth=\"Authorization: Bearer $DAYTONA_SERVER_API_KEY\"\n"
	"mkdir -p \"$dir\"\n"
	"tmp=$(mktemp \"$dir/.daytona.XXXXXX\")\n"
	"trap 'rm -f \"$tmp\"' EXIT\n"
	"try=1\n"
	"until if command -v curl >/dev/null 2>&1; then\n"
	"\tcurl -fsSL -H \"$auth\" -o \"$tmp\" \"$url\"\n"
	"else wget -q --header=\"$auth\" -O \"$tmp\" \"$url\"; fi; do\n"
	"\ttry=$((try + 1))\n"
	"\t[ $try -le 10 ] || { echo \"cannot download $url\" >&2; exit 1; }\n"
	"\tsleep 2\n"
	"done\n"
	"chmod 755 \"$tmp\"\n"
	"mv -f \"$tmp\" \"$dir/daytona\"\n";

/* Sends script with each @BASE_URL@ replaced by our address and suffix. */
static void reply_script(struct call *c, struct str script, const char *suffix)
{
	static const char mark[] = "@BASE_URL@";
	struct buf base = { 0 }, out = { 0 };
	const char *at;

	call_base_url(c, &base);
	/* Without a usable address the mark stays: the installer then asks for one. */
	while (base.n && (at = str_find(script, mark)) != NULL) {
		size_t n = (size_t)(at - script.p);

		buf_add(&out, script.p, n);
		buf_addf(&out, "%s%s", buf_cstr(&base), suffix);
		script.p += n + sizeof(mark) - 1;
		script.n -= n + sizeof(mark) - 1;
	}
	buf_add_str(&out, script);
	reply_text(c, 200, buf_cstr(&out));
	buf_free(&base);
	buf_free(&out);
}

void h_binary_script(struct call *c)
{
	reply_script(c, str_of(daytona_script), "");
}

void h_install_script(struct call *c)
{
	struct buf script = { 0 };

	unpack(&script, dr_install_script, dr_install_script_n);
	if (script.n)
		reply_script(c, buf_str(&script), "/download");
	else
		reply_error(c, 404, "this build has no installer");
	buf_free(&script);
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

static bool add_sum(struct buf *b, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct sha256 *h;
	unsigned char hash[32];
	char chunk[16384];
	ssize_t n;

	if (fd < 0)
		return false;
	h = sha256_new();
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			sha256_add(h, chunk, (size_t)n);
	sha256_end(h, hash);
	close(fd);
	buf_add_hex(b, hash, sizeof(hash));
	buf_addf(b, "  %s\n", name);
	return n == 0;
}

/* This executable and what is in downloads/. */
static void reply_sums(struct call *c)
{
	char *dir = store_path(&c->s->store, "downloads");
	struct buf name = { 0 }, out = { 0 };
	DIR *d = opendir(dir);

	own_name(&name);
	if (!c->s->self_sum) {
		add_sum(&out, SELF, buf_cstr(&name));
		c->s->self_sum = mem_dup(buf_cstr(&out));
		buf_reset(&out);
	}
	buf_adds(&out, c->s->self_sum);
	for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
		char *path = path_join(dir, f->d_name);

		if (str_is_id(str_of(f->d_name)) && f->d_name[0] != '.' &&
		    strcmp(f->d_name, buf_cstr(&name)) != 0)
			add_sum(&out, path, f->d_name);
		free(path);
	}
	if (d)
		closedir(d);
	reply_text(c, 200, buf_cstr(&out));
	buf_free(&name);
	buf_free(&out);
	free(dir);
}

static void send_download(struct call *c, const char *name)
{
	struct buf own = { 0 };
	bool done;

	own_name(&own);
	if (strcmp(name, "SHA256SUMS") == 0) {
		reply_sums(c);
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
