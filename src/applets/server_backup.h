/* SPDX-License-Identifier: Apache-2.0 */
/* `server backup` and `server restore`: argv[0] is that word; exit status. */
#ifndef APPLETS_SERVER_BACKUP_H
#define APPLETS_SERVER_BACKUP_H

int server_backup(int argc, char **argv);
int server_restore(int argc, char **argv);

#endif
