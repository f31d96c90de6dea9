/* SPDX-License-Identifier: Apache-2.0 */
/* An image to its registry; see pull.h. */
#include "oci/pull.h"

#include "base/file.h"
#include "oci/image_ref.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int push_blob(struct imgstore *s, struct registry *r, const char *path,
                     const struct digest *digest, struct deadline d, struct err *e)
{
	int fd = imgstore_open_blob(s, digest, e), rc;
	struct stat st;
	void *p;

	if (fd < 0)
		return -1;
	p = fstat(fd, &st) < 0 ? MAP_FAILED
	                       : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	rc = p == MAP_FAILED ? err_sys(e, errno, "read blob %s", digest->text)
	                     : registry_push_blob(r, path, digest,
	                                          (struct str){ p, (size_t)st.st_size }, d, e);
	if (p != MAP_FAILED)
		munmap(p, (size_t)st.st_size);
	fd_close(&fd);
	return rc;
}

/* The manifest last: whoever sees it finds all that it names. */
static int push(struct imgstore *s, const struct stored *i, const struct image_ref *ref,
                struct registry *r, struct deadline d, struct err *e)
{
	struct platform p = platform_here();
	struct manifest manifest = { 0 };
	struct buf text = { 0 };
	int rc = imgstore_read_blob(s, &i->manifest, MANIFEST_MAX, &text, e);

	if (rc == 0)
		rc = manifest_parse(buf_str(&text), "", &p, &manifest, e);
	for (size_t k = 0; rc == 0 && k < manifest.n_layers; k++)
		rc = push_blob(s, r, ref->path, &manifest.layers[k].digest, d, e);
	if (rc == 0)
		rc = push_blob(s, r, ref->path, &manifest.config.digest, d, e);
	if (rc == 0)
		rc = registry_push_manifest(r, ref->path, ref->tag, manifest_type(buf_str(&text)),
		                            buf_str(&text), d, e);
	manifest_free(&manifest);
	buf_free(&text);
	return rc;
}

int images_push(struct imgstore *s, const char *name, const struct registry_options *o,
                struct deadline d, struct err *e)
{
	struct image_ref ref = { 0 };
	struct registry *r = NULL;
	struct stored i = { 0 };
	int rc = image_ref_parse(name, &ref, e);

	if (rc == 0)
		rc = images_find(s, name, &i, e);
	if (rc == 0)
		rc = registry_open(&r, ref.domain, o, e);
	if (rc == 0)
		rc = push(s, &i, &ref, r, d, e);
	registry_close(r);
	stored_free(&i);
	image_ref_free(&ref);
	return rc < 0 ? err_wrap(e, "push %s", name) : 0;
}
