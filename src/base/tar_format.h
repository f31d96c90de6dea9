/* SPDX-License-Identifier: Apache-2.0 */
/* What tar.c, tar_read.c and tar_pax.c share: where things are in a header, and the extended headers. */
#ifndef BASE_TAR_FORMAT_H
#define BASE_TAR_FORMAT_H

#include "base/tar.h"

/* Offsets and widths of POSIX.1-2001 ustar; of old GNU sparse headers; of star. */
enum {
	TAR_NAME_AT = 0,
	TAR_NAME_SIZE = 100,
	TAR_MODE_AT = 100,
	TAR_UID_AT = 108,
	TAR_GID_AT = 116,
	TAR_ID_SIZE = 8,
	TAR_SIZE_AT = 124,
	TAR_SIZE_SIZE = 12,
	TAR_MTIME_AT = 136,
	TAR_SUM_AT = 148,
	TAR_TYPE_AT = 156,
	TAR_LINK_AT = 157,
	TAR_MAGIC_AT = 257,
	TAR_MAJOR_AT = 329,
	TAR_MINOR_AT = 337,
	TAR_PREFIX_AT = 345,
	TAR_PREFIX_SIZE = 155,
	TAR_STAR_PREFIX_SIZE = 131,
	TAR_STAR_MAGIC_AT = 508,
	TAR_GNU_SPARSE_AT = 386,
	TAR_GNU_SPARSE_N = 4,
	TAR_GNU_MORE_AT = 482,
	TAR_GNU_REALSIZE_AT = 483,
	TAR_EXT_SPARSE_N = 21,
	TAR_EXT_MORE_AT = 504,
};

struct tar_piece {
	uint64_t at, n;
};

/* What the headers before an entry say about it. Strings point into text. */
struct tar_extra {
	struct buf text;       /* of the PAX header, cut up in place */
	struct buf name, link; /* GNU's long names */
	const char *path, *linkpath;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size, uid, gid;
	int64_t mtime;
	unsigned mtime_ns;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	size_t n_xattrs;
	struct buf decoded; /* values that came in base64, which is libarchive's way */
	/* Sparse files in GNU's three PAX forms. */
	bool sparse, sparse_in_data; /* the map comes first in the data (1.0) */
	const char *sparse_name;
	bool has_realsize;
	uint64_t realsize;
	struct tar_piece *pieces; /* owned */
	size_t n_pieces, cap_pieces;
	bool half_piece; /* an offset came whose length is still to come */
};

void tar_extra_free(struct tar_extra *extra); /* all zero again */
/* Takes text (a PAX header's content) apart. */
int tar_pax_parse(struct tar_extra *extra, struct err *e);
int tar_piece_add(struct tar_extra *extra, uint64_t at, uint64_t n, struct err *e);

#endif
