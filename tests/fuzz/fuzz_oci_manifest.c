/* SPDX-License-Identifier: Apache-2.0 */
/* What describes an image: manifest, index, configuration. */
#include "oci/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform p = { "linux", "arm", "v7" };
	struct str text = { (const char *)data, size };
	struct manifest manifest;
	struct image_config c;
	struct err e = { 0 };

	if (manifest_parse(text, MEDIA_OCI_INDEX, &p, &manifest, &e) == 0) {
		if (manifest.is_index ? !*manifest.best.digest.text : !*manifest.config.digest.text)
			abort();
	} else if (!*e.msg || manifest.layers || manifest.config.media_type) {
		abort();
	}
	manifest_free(&manifest);
	if (image_config_parse(text, &c, &e) == 0 && !c.user)
		abort();
	image_config_free(&c);
	return 0;
}
