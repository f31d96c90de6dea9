/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See confine.h: seccomp. A list of what is refused, so that programs nobody thought of go on working. From SYSCALLS_SANDBOX on
 * every call up to LAST_KNOWN has been judged and what is newer is unknown, so the list is as good as one of what is allowed.
 */
#include "base/attr.h"
#include "base/confine.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__arm__)
#define ARCH AUDIT_ARCH_ARM
#else
#define ARCH 0
#endif

#define X32_BIT 0x40000000 /* of x86-64's numbers; no other architecture comes near it */
/* From 403 on the numbers are the same everywhere; headers may be older. */
#define IO_URING_SETUP 425
#define CLONE3 435
#define LAST_KNOWN 469       /* file_setattr, Linux 6.17 */
#define ARM_PRIVATE 0xf0000u /* cacheflush, set_tls and their like lie above it */
#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

/* In the order of the levels. */
static const uint16_t refused[] = {
/* clang-format off */
#if defined(__x86_64__)
	SYS_iopl, SYS_ioperm,
#endif
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
	SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct,
	SYS_open_by_handle_at, /* the last of SYSCALLS_MACHINE */
	IO_URING_SETUP, SYS_bpf, SYS_userfaultfd,
	SYS_perf_event_open, /* the last of SYSCALLS_WORKSPACE */
	426 /* io_uring_enter */, 427 /* io_uring_register */,
	SYS_setns, SYS_unshare, SYS_mount, SYS_umount2, SYS_pivot_root,
	428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */,
	433 /* fspick */, 442 /* mount_setattr */, 467 /* open_tree_attr */,
	SYS_keyctl, SYS_add_key, SYS_request_key,
	/* Of other processes, beyond ptrace; of their memory's place. */
	SYS_kcmp, 438 /* pidfd_getfd */, 440 /* process_madvise */, SYS_get_mempolicy, SYS_set_mempolicy,
	SYS_mbind, SYS_migrate_pages, SYS_move_pages, 450 /* set_mempolicy_home_node */,
	/* Of the whole machine, or of what a kernel no longer has. */
#if defined(__arm__)
	79 /* settimeofday */, 262 /* clock_settime */, 404 /* with 64 bits */, SYS_bdflush, SYS_pciconfig_iobase,
	SYS_pciconfig_read, SYS_pciconfig_write,
#else
	SYS_settimeofday, SYS_clock_settime,
#endif
#if defined(__x86_64__)
	SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS_getpmsg, SYS_putpmsg,
	SYS_afs_syscall, SYS_tuxcall, SYS_security,
#endif
#if defined(__x86_64__) || defined(__arm__)
	SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_vserver,
#endif
	SYS_syslog, SYS_vhangup, SYS_sethostname, SYS_setdomainname, SYS_quotactl, 443 /* quotactl_fd */,
	SYS_fanotify_init, SYS_nfsservctl, 460 /* lsm_set_self_attr */,
	SYS_lookup_dcookie, /* the last of SYSCALLS_SANDBOX */
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
	SYS_personality,
	/* clang-format on */
};
static const uint16_t last[] = {
	[SYSCALLS_MACHINE] = SYS_open_by_handle_at,
	[SYSCALLS_WORKSPACE] = SYS_perf_event_open,
	[SYSCALLS_SANDBOX] = SYS_lookup_dcookie,
	[SYSCALLS_TOOL] = SYS_personality,
};

struct program {
	struct sock_filter code[2 * ARRAY_LEN(refused) + 48];
	unsigned short n;
};

static void add(struct program *p, int code, uint32_t k, int yes, int no)
{
	p->code[p->n++] = (struct sock_filter){ (uint16_t)code, (uint8_t)yes, (uint8_t)no, k };
}

static void load(struct program *p, size_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Its low half: all architectures are little-endian. */
static void load_arg(struct program *p, int i)
{
	load(p, offsetof(struct seccomp_data, args) + 8 * (size_t)i);
}

static void if_equal(struct program *p, uint32_t k, int yes, int no)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, k, yes, no);
}

static void answer(struct program *p, int error)
{
	add(p, BPF_RET | BPF_K, error ? SECCOMP_RET_ERRNO | (uint32_t)error : SECCOMP_RET_ALLOW, 0,
	    0);
}

static void refuse(struct program *p, uint32_t call, int error)
{
	if_equal(p, call, 0, 1);
	answer(p, error);
}

/* A program that asks whether there is one takes the usual calls instead. */
static bool is_io_uring(uint32_t call)
{
	return call >= IO_URING_SETUP && call <= IO_URING_SETUP + 2;
}

static void refuse_surfaces(struct program *p)
{
	static const uint8_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

	if_equal(p, SYS_ioctl, 0, 5);
	load_arg(p, 1);
	if_equal(p, TIOCSTI, 1, 0); /* typing into the terminal */
	if_equal(p, TIOCLINUX, 0, 1);
	answer(p, EPERM);
	answer(p, 0);
	if_equal(p, SYS_socket, 0, 3 + ARRAY_LEN(families));
	load_arg(p, 0);
	for (int i = ARRAY_LEN(families); i-- > 0;)
		if_equal(p, families[i], i + 1, 0);
	answer(p, EAFNOSUPPORT);
	answer(p, 0);
}

static void refuse_namespaces(struct program *p)
{
	refuse(p, CLONE3, ENOSYS); /* its flags are in memory; clone is used instead */
	if_equal(p, SYS_clone, 0, 4);
	load_arg(p, 0);
	add(p, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
	answer(p, EPERM);
	answer(p, 0);
}

/* What makes 32-bit programs and old ones run. */
static void refuse_personalities(struct program *p)
{
	static const uint32_t usual[] = { 0, 0x8, 0x20000, 0x20008, 0xffffffff };

	if_equal(p, SYS_personality, 0, 3 + ARRAY_LEN(usual));
	load_arg(p, 0);
	for (int i = ARRAY_LEN(usual); i-- > 0;)
		if_equal(p, usual[i], i + 1, 0);
	answer(p, EPERM);
	answer(p, 0);
}

static void refuse_unknown(struct program *p)
{
#if defined(__arm__)
	add(p, BPF_JMP | BPF_JGE | BPF_K, ARM_PRIVATE, 2, 0);
#endif
	add(p, BPF_JMP | BPF_JGT | BPF_K, LAST_KNOWN, 0, 1);
	answer(p, ENOSYS);
}

bool confine_syscalls(enum confine_syscalls level)
{
	struct program p = { 0 };
	size_t i = 0;

	if (!ARCH)
		return false;
	load(&p, offsetof(struct seccomp_data, arch));
	/* Another ABI has other numbers, and would go around each of these: all of it is unknown. */
	if_equal(&p, ARCH, 1, 0);
	answer(&p, ENOSYS);
	load(&p, offsetof(struct seccomp_data, nr));
	add(&p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(&p, ENOSYS);
	do
		refuse(&p, refused[i], is_io_uring(refused[i]) ? ENOSYS : EPERM);
	while (refused[i++] != last[level]);
	if (level >= SYSCALLS_SANDBOX)
		refuse_unknown(&p);
	if (level == SYSCALLS_SANDBOX)
		refuse_personalities(&p);
	if (level >= SYSCALLS_WORKSPACE)
		refuse_surfaces(&p);
	if (level >= SYSCALLS_SANDBOX)
		refuse_namespaces(&p);
	answer(&p, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
	             &(struct sock_fprog){ .len = p.n, .filter = p.code }, 0, 0) == 0;
}
