/* SPDX-License-Identifier: Apache-2.0 */
/* Between config.c (table, precedence) and config_file.c (the INI file). */
#ifndef HOST_CONFIG_INTERNAL_H
#define HOST_CONFIG_INTERNAL_H

#include "host/config.h"

#define CONFIG_FILE_MAX (1u << 20)

enum config_rank { RANK_DEFAULT, RANK_OLD_ENV, RANK_FILE, RANK_ENV, RANK_FLAG };

/* Sets key from text; base: directory of relative paths, NULL for the current one. "" is the
 * default. */
int config_set(struct config *c, size_t key, const char *text, const char *base, const char *source,
               struct err *e);

/* One setting of the file. section: "runner", "server" or "provider"; provider: its name or
 * NULL. */
struct config_line {
	const char *section, *provider, *key, *value;
	int line;
};
/* Calls each for every setting. ERR_CONFIG "<label>:LINE: …" for anything else than known
 * sections with key = value lines; each's error gets the same prefix. 0, or the negated number of the wrong line. */
int config_scan(const char *label, struct str text,
                int (*each)(void *arg, const struct config_line *l, struct err *e), void *arg,
                struct err *e);
/* One setting of [provider "name"]. */
int config_set_provider(struct config *c, const char *name, const char *key, const char *value,
                        struct err *e);
/* config_env.c: everything of the environment; and the variable that the reference reads for a key, below the file. */
int config_load_env(struct config *c, struct err *e);
void config_old_env(struct config *c, size_t key);
/* rc, or 0 after a fault that config_look notes and leaves out. */
int config_passed(struct config *c, int rc, struct err *e);
/* 0 if only we and root can read and change the file, or nobody can because its mount is
 * read-only. */
int config_check_private(const char *path, struct err *e);
/* Splits "section.key" or "provider \"name\".key"; section points at the head's text, appended
 * to head. False if it is neither. */
bool config_split_name(const char *full, struct buf *head, const char **key);

#endif
