//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that fail with EACCES, on top of those of the architecture. What is not listed goes through: an
// allocator, threads, clocks, and reading and writing of what is open. A list of what is allowed would be tighter, and
// would break with each new C library.
var denied = append([]uint32{
	// Files: none is opened, made, moved or removed, and none is changed but by writing, the open ones neither.
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_MKDIRAT,
	unix.SYS_MKNODAT, unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_RENAMEAT2,
	unix.SYS_TRUNCATE, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHMOD, unix.SYS_FCHOWNAT, unix.SYS_FCHOWN,
	unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR,
	unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	// Sockets.
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT,
	unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
	// Other programs and processes. New processes: see below.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PROCESS_MADVISE, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIDFD_GETFD, unix.SYS_UNSHARE, unix.SYS_SETNS,
	// Memory and queues that processes share: they are none of the memory that is limited, and outlive the process.
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_MSGGET, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	// Ways around this filter and into the kernel, and what only the machine's owner does.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_BPF,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_PRLIMIT64, unix.SYS_SETRLIMIT,
}, deniedHere...)

// Offsets in struct seccomp_data, which the filter reads.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16 // eight bytes each, low half first on both architectures
)

// filterSystemCalls puts the filter over all threads. It reports false if the kernel has no seccomp.
func filterSystemCalls() (bool, error) {
	program := filter(uint32(os.Getpid()))
	header := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}

	// Whoever cannot gain privileges may filter itself. The kernel hands both on to the other threads.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return false, err
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&header)))
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return false, nil
	case errno != 0:
		return false, errno
	case thread != 0:
		return false, errors.New("a thread has a filter of its own")
	}
	return true, nil
}

// filtersSystemCalls asks the kernel whether it knows what the filter does.
func filtersSystemCalls() bool {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// filter returns the program: in the order of the kernel's checks, refuse foreign calling conventions, processes that are
// no threads, signals to others, and the calls of the list; allow the rest.
func filter(pid uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
	}
	fail := func(errno uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno}
	}
	allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
	eacces := uint32(unix.EACCES)

	p := []unix.SockFilter{
		load(offsetArch), jump(unix.BPF_JEQ, auditArch, 1, 0), fail(eacces),
		load(offsetNumber), jump(unix.BPF_JGE, 0x4000_0000, 0, 1), fail(eacces), // the x32 numbers of amd64
		// The C library makes threads by clone where there is no clone3, whose flags a filter cannot read.
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), fail(uint32(unix.ENOSYS)),
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(offsetArgs), jump(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1), allow, fail(eacces),
		// Go stops its own threads by signals.
		jump(unix.BPF_JEQ, unix.SYS_TGKILL, 0, 4), load(offsetArgs), jump(unix.BPF_JEQ, pid, 0, 1), allow, fail(eacces),
	}
	// The limit of memory counts private mappings alone, so there are no others. MAP_SHARED_VALIDATE has the same bit.
	p = append(p,
		jump(unix.BPF_JEQ, unix.SYS_MMAP, 0, 4), load(offsetArgs+3*8), jump(unix.BPF_JSET, unix.MAP_SHARED, 0, 1), fail(eacces), allow)
	for _, number := range denied {
		p = append(p, jump(unix.BPF_JEQ, number, 0, 1), fail(eacces))
	}
	return append(p, allow)
}
