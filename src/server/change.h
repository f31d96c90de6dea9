/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of the store: the only way to one. Drafts are made and filled, then the whole is made
 * durable and becomes visible at once; or nothing of it does, on any failure and after any crash.
 *
 *	struct change *ch = change_begin(&s->store);
 *	rec_set(change_edit(ch, workspace), "name", "other");
 *	change_remove(ch, key);
 *	if (change_commit(ch, &e) < 0) …
 *
 * Beginning one costs nothing; several may be under way, the last to be committed wins.
 */
#ifndef SERVER_CHANGE_H
#define SERVER_CHANGE_H

#include "server/store.h"

struct change;

struct change *change_begin(struct store *s);
/* A new, empty draft, last of its kind. After the commit the same pointer is the stored record. */
struct rec *change_add(struct change *ch, enum kind kind);
/* A draft of what is stored; the same one when asked again. r is still what it was until the
 * commit, and has the new values after it: pointers to it stay good. */
struct rec *change_edit(struct change *ch, const struct rec *r);
/* r is freed by the commit. */
void change_remove(struct change *ch, const struct rec *r);
/* Durable and visible when it returns 0. Else nothing has changed: ERR_SYS with errno, such as
 * ENOSPC; ERR_LIMIT for a record that is too large; ERR_EXISTS for a second record with that id.
 * Ends ch either way. */
int change_commit(struct change *ch, struct err *e);
/* Makes a change visible that is not durable: of edits of fields md… alone, which a heartbeat
 * brings again. They reach the disk with the record's next commit, or at a clean end. Ends ch. */
void change_beat(struct change *ch);
void change_drop(struct change *ch); /* forgets it; NULL is fine */

#endif
