/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What request bodies look like: one table a type, from which come decoding errors and "required"
 * errors with the reference's own texts (protocol 2).
 */
#ifndef SERVER_DTO_H
#define SERVER_DTO_H

#include "base/buf.h"
#include "base/json.h"

enum dto_type {
	DTO_STRING,
	DTO_UINT64,
	DTO_UINT32,
	DTO_INT,
	DTO_BOOL,
	DTO_STRINGS, /* array of strings */
	DTO_MAP,     /* string to string */
	DTO_OBJECT,  /* always there: checked inside even when absent */
	DTO_POINTER, /* to an object: checked inside only when present */
	DTO_OBJECTS, /* array of objects; elements are decoded, not validated */
	DTO_OBJECT_MAP,
};

struct dto;

/* The field's name in Go, for messages, is the one in JSON with a capital letter. */
struct dto_field {
	const char *json;
	const struct dto *of; /* object kinds */
	const char *go_type;  /* named type in errors; NULL: by type */
	unsigned char type;   /* enum dto_type */
	bool required;
	bool renamed; /* the name in Go is another: it follows the NUL of json */
};

struct dto {
	const char *name, *package;
	const struct dto_field *fields;
	size_t n;
};

extern const struct dto dto_job_state, dto_runner_metadata, dto_create_runner,
	dto_provider_metadata_workspace, dto_provider_metadata_target, dto_workspace_metadata,
	dto_target_metadata, dto_create_config, dto_create_target, dto_create_workspace, dto_env,
	dto_git, dto_create_build, dto_prebuild, dto_template, dto_server_config, dto_labels;

/* False with the text for a 400 appended to why. */
bool dto_check(const struct dto *d, struct json v, struct buf *why);

#endif
