/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a target for docker-provider: what is taken has the form that a container is made of. */
#include "providers/docker/engine/specbody.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct docker_options o;
	struct buf text = { 0 }, body = { 0 };
	struct spec s = { 0 };
	struct err e;

	buf_add(&text, data, size);
	if (docker_options_parse(&o, NULL, buf_cstr(&text), &e) == 0) {
		spec_apply_options(&s, &o);
		spec_apply_grants(&s, &o);
		if (o.gpus)
			spec_write_gpus(o.gpus, &body);
		for (size_t i = 0; i < s.n_mounts; i++)
			if (s.mounts[i].own || s.mounts[i].target[0] != '/' || !*s.mounts[i].source)
				abort();
		if (o.nano_cpus < 0 || o.memory_bytes < 0 || o.pids < 0 || o.disk_bytes < 0)
			abort();
		spec_free(&s);
		docker_options_free(&o);
	}
	buf_free(&text);
	buf_free(&body);
	return 0;
}
