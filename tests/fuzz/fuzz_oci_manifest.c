/* SPDX-License-Identifier: Apache-2.0 */
/* What describes an image: manifest, index, configuration. */
#include "oci/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform p = { "linux", "arm", "v7" };
	struct str text = { (const char *)data, size };
	struct manifest m;
	struct image_config c;
	struct err e = { 0 };

	if (manifest_parse(text, MEDIA_OCI_INDEX, &p, &m, &e) == 0) {
		if (m.is_index ? !*m.best.digest.text : !*m.config.digest.text)
			abort();
	} else if (!*e.msg || m.layers || m.config.media_type) {
		abort();
	}
	manifest_free(&m);
	if (image_config_parse(text, &c, &e) == 0 && !c.user)
		abort();
	image_config_free(&c);
	return 0;
}
