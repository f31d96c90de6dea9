/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that let a shell complete our words; help --completion is the older way to ask for them. */
#ifndef APPLETS_COMPLETION_H
#define APPLETS_COMPLETION_H

/* Prints that of a shell, or ends the program with 2. Returns the exit status. */
int completion_print(const char *shell);

#endif
