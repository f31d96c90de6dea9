/* SPDX-License-Identifier: Apache-2.0 */
/* See hostpath.h. */
#include "providers/docker/engine/hostpath.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void host_path_set(struct host_path *h, const char *ours, const char *engines)
{
	host_path_free(h);
	h->ours = mem_dup(ours);
	h->engines = mem_dup(engines);
}

void host_path_free(struct host_path *h)
{
	free(h->ours);
	free(h->engines);
	*h = (struct host_path){ 0 };
}

static char *exchange(const char *from, const char *to, const char *path)
{
	size_t n = from ? strlen(from) : 0;
	struct buf b = { 0 };

	if (!n || strncmp(path, from, n) != 0 || (path[n] && path[n] != '/'))
		return mem_dup(path);
	buf_addf(&b, "%s%s", to, path + n);
	return buf_take(&b);
}

char *host_path_out(const struct host_path *h, const char *path)
{
	return h ? exchange(h->ours, h->engines, path) : mem_dup(path);
}

char *host_path_in(const struct host_path *h, const char *path)
{
	return h ? exchange(h->engines, h->ours, path) : mem_dup(path);
}

static bool is_id(struct str s)
{
	if (s.n != CONTAINER_ID_LEN)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (str_hex_digit(s.p[i]) < 0)
			return false;
	return true;
}

/* "id parent major:minor ROOT MOUNTPOINT …": where ROOT is below a directory named after the container. */
bool host_path_container(struct str mountinfo, char id[CONTAINER_ID_LEN + 1])
{
	struct str line, field, root = { 0 }, piece;

	while (str_next(&mountinfo, '\n', &line)) {
		for (int i = 0; i < 5 && str_next(&line, ' ', &field); i++)
			if (i == 3)
				root = field;
		if (!str_eq(field, "/etc/hostname"))
			continue;
		while (str_next(&root, '/', &piece)) {
			if (!is_id(piece))
				continue;
			memcpy(id, piece.p, piece.n);
			id[piece.n] = '\0';
			return true;
		}
	}
	return false;
}
