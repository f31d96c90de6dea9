/* SPDX-License-Identifier: Apache-2.0 */
/* See labels.h. */
#include "providers/labels.h"

#include "base/attr.h"

#include <string.h>

const char *const identity_labels[] = { LABEL_TARGET, LABEL_WORKSPACE, LABEL_REPOSITORY,
	                                LABEL_RUNNER, LABEL_BUILD,     LABEL_HELPER,
	                                LABEL_NONCE };
const size_t identity_labels_n = ARRAY_LEN(identity_labels);

bool label_is_reserved(const char *key)
{
	return strcmp(key, LABEL_PORTS) != 0 &&
	       (strncmp(key, "daytona.", 8) == 0 || strncmp(key, "com.docker.", 11) == 0);
}
