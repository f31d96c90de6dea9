/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's kinds of resources as a person sees them: what is shown of each, and where it stands in the
 * Server's answers. Keys and the values of variables are shown nowhere but where somebody asks for them by name.
 */
#ifndef API_KINDS_H
#define API_KINDS_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

enum api_show {
	SHOW_TEXT,  /* strings, numbers, true and false; a map as K=V */
	SHOW_STATE, /* in capitals */
	SHOW_AGE,   /* a time: how long ago */
	SHOW_COUNT, /* of a list: how many it has */
};

struct api_field {
	const char *key;  /* in our own JSON, camel case: headings are made of it */
	const char *path; /* in the Server's: members with dots between */
	unsigned char
		rank; /* of a column: the highest goes first where it is narrow; 0: no column */
	unsigned char show; /* enum api_show */
};

struct api_kind {
	const char *name;        /* "workspace", as the Server's jobs and logs call it */
	const char *path;        /* of the list */
	const char *id, *called; /* members of an element: the id, and the name people use */
	bool one; /* path/NAME gives the one of that name or id, since no two have the same */
	const char *note; /* path of what a list to choose from says besides; "": nothing */
	/* Paths of the name and the id of the runner that does its jobs; "" */
	const char *runner, *runner_id;
	const struct api_field *fields;
	size_t n;
};

extern const struct api_kind api_workspace_kind, api_target_kind, api_target_config_kind,
	api_job_kind, api_key_kind, api_env_kind;

struct json api_kind_get(struct json element, const char *path);

#endif
