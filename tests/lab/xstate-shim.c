/* SPDX-License-Identifier: MPL-2.0 */
/* LD_PRELOAD shim for Debian's user-mode-linux 6.1 on CPUs with AMX.
 *
 * UML 6.1 keeps 2696 bytes of XSAVE state.  On a CPU with AMX the host kernel
 * refuses PTRACE_SETREGSET(NT_X86_XSTATE) unless the WHOLE area (11008 bytes)
 * is given: -EFAULT, and UML panics with "ptrace set fp regs failed, errno = 14".
 * We read the whole area, lay UML's shorter copy over it, write it back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_XSTATE 0x202
static char big[64 * 1024] __attribute__((aligned(64)));

static long raw(long req, long pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, req, pid, addr, data);
}

long ptrace(enum __ptrace_request req, ...)
{
	va_list ap;
	va_start(ap, req);
	long pid = va_arg(ap, int);
	void *addr = va_arg(ap, void *), *data = va_arg(ap, void *);
	va_end(ap);

	if (req == PTRACE_SETREGSET && (long)addr == NT_XSTATE) {
		struct iovec *in = data, io = { big, sizeof big };
		if (raw(PTRACE_GETREGSET, pid, addr, &io) == 0 &&
		    io.iov_len > in->iov_len) {
			memcpy(big, in->iov_base, in->iov_len);
			return raw(req, pid, addr, &io);
		}
	}
	if (req >= PTRACE_PEEKTEXT && req <= PTRACE_PEEKUSER) {
		long v, r = raw(req, pid, addr, &v);	/* libc's convention */
		if (r == 0) { errno = 0; return v; }
		return r;
	}
	return raw(req, pid, addr, data);
}
