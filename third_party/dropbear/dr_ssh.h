/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropbear's server for one connection, all that is seen of it: the rest of its symbols stay in its object file.
 * It works as whoever calls it: no change of user, no accounts but the one given here, no log of its own.
 */
#ifndef DR_SSH_H
#define DR_SSH_H

#define DR_SSH_KEY_SIZE 32 /* of each half of an ed25519 key */

struct dr_ssh {
	int fd; /* the connection: a socket, which becomes non-blocking; > 2 */
	unsigned char seed[DR_SSH_KEY_SIZE], public_key[DR_SSH_KEY_SIZE]; /* the host's key */
	const char *authorized; /* the key that may log in: one line as in authorized_keys */
	int forward_agent;      /* a client may offer its ssh agent */
	const char *user;       /* whatever name a client asks for, it gets this one */
	const char *home, *shell;
	const char *dir;                            /* where its commands start */
	void (*log)(int problem, const char *text); /* a line without its end */
	const char *sftp_program;                   /* the sftp subsystem; NULL: the next, */
	int (*sftp)(
		void); /* in a process of its own, on its standard streams; returns the exit status */
};

/* For a process that has no other work: ends it when the connection ends. Its commands are children of it; those that
 * still run by then get SIGHUP. All pointers stay valid. */
__attribute__((noreturn)) void dr_ssh_serve(const struct dr_ssh *s);
void dr_ssh_new_key(unsigned char *seed, unsigned char *public_key); /* DR_SSH_KEY_SIZE each */

#endif
