/* SPDX-License-Identifier: Apache-2.0 */
/* What of Dropbear is built: one connection that we hand over, public keys alone, algorithms of today. */
#define NON_INETD_MODE 0
#define INETD_MODE 1
#define DROPBEAR_REEXEC 0
#define DROPBEAR_SMALL_CODE 1

#define DROPBEAR_X11FWD 0
#define DROPBEAR_SVR_AGENTFWD 1 /* refused unless it was allowed */

#define DROPBEAR_AES128 1
#define DROPBEAR_AES256 1
#define DROPBEAR_CHACHA20POLY1305 1
#define DROPBEAR_ENABLE_CTR_MODE 1
#define DROPBEAR_ENABLE_CBC_MODE 0
#define DROPBEAR_ENABLE_GCM_MODE 0
#define DROPBEAR_SHA1_HMAC 0
#define DROPBEAR_SHA1_96_HMAC 0
#define DROPBEAR_SHA2_256_HMAC 1

#define DROPBEAR_RSA 0
#define DROPBEAR_DSS 0
#define DROPBEAR_ECDSA 0
#define DROPBEAR_ED25519 1
#define DROPBEAR_SK_KEYS 0
#define DROPBEAR_DELAY_HOSTKEY 0

#define DROPBEAR_DH_GROUP14_SHA1 0
#define DROPBEAR_DH_GROUP14_SHA256 0
#define DROPBEAR_DH_GROUP16 0
#define DROPBEAR_CURVE25519 1
#define DROPBEAR_SNTRUP761 1
#define DROPBEAR_MLKEM768 0
#define DROPBEAR_ECDH 0

#define DO_MOTD 0
#define DROPBEAR_SVR_PASSWORD_AUTH 0
#define DROPBEAR_SVR_PAM_AUTH 0
#define DROPBEAR_SVR_PUBKEY_AUTH 1
#define DROPBEAR_SVR_PUBKEY_OPTIONS 0
#define DROPBEAR_SVR_MULTIUSER 1
#define DROPBEAR_SVR_DROP_PRIVS 1 /* there is nothing to drop; sockets of files may be forwarded */
#define MAX_AUTH_TRIES 6
#define AUTH_TIMEOUT 60
#define DROPBEAR_USER_ALGO_LIST 0

/* The subsystem's name stands for its command, which dr_ssh_run knows. */
#define DROPBEAR_SFTPSERVER 1
#define SFTPSERVER_PATH DR_SSH_SFTP
#define DR_SSH_SFTP "\001sftp"

#define DEFAULT_RECV_WINDOW (1 << 20)
#define TRANS_MAX_PAYLOAD_LEN 32768

/* PATH stays what it is in the workspace. */
const char *dr_ssh_path(void);
#define DEFAULT_PATH dr_ssh_path()
#define DEFAULT_ROOT_PATH dr_ssh_path()

/* svr-authpubkey.c: the keys come with the session, from no file. */
#ifdef DR_SSH_KEYS
#include <stdio.h>
#include <sys/stat.h>
FILE *dr_ssh_keys(void);
int dr_ssh_stat(struct stat *st);
#define fopen(path, mode) dr_ssh_keys()
#define stat(path, st) dr_ssh_stat(st)
#endif
