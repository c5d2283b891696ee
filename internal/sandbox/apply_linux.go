package sandbox

import (
	"fmt"
	"math"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Apply confines the calling process, all its threads, for good. The error names the limit that the kernel refused; a
// kernel without Landlock or seccomp is no error, see [Report.Full]. Files do not grow by what it writes: the size limit is zero.
func Apply(l Limits) (Report, error) {
	if err := setLimits(l); err != nil {
		return Report{}, err
	}
	r, err := limitsInForce()
	if err != nil {
		return Report{}, err
	}
	if l.Open {
		return r, nil
	}
	if version, err := ll.LandlockGetABIVersion(); err == nil && version > 0 {
		// Without a rule nothing is allowed. V10 handles what is known; an older kernel takes what it knows of it.
		if err := landlock.V10.BestEffort().Restrict(); err != nil {
			return Report{}, fmt.Errorf("sandbox: landlock: %w", err)
		}
		r.Landlock = version
	}
	// Last, because the two above need what it forbids.
	r.Seccomp, err = filterSystemCalls()
	if err != nil {
		return Report{}, fmt.Errorf("sandbox: seccomp: %w", err)
	}
	return r, nil
}

// Available reports whether the kernel can close files and sockets to a process. Nothing is changed by asking.
func Available() bool {
	version, err := ll.LandlockGetABIVersion()
	return err == nil && version > 0 && filtersSystemCalls()
}

// ForbidWriting takes from the calling process, for good, that files grow by what it writes. It is a part of what Apply does,
// for a process that has to open files first.
func ForbidWriting() error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("sandbox: limit of size of files: %w", err)
	}
	return nil
}

func setLimits(l Limits) error {
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
		on       bool
	}{
		{"memory", unix.RLIMIT_DATA, uint64(l.Memory), l.Memory > 0},
		{"CPU time", unix.RLIMIT_CPU, cpuSeconds(l.CPU), l.CPU > 0},
		{"open files", unix.RLIMIT_NOFILE, uint64(l.Files), l.Files > 0},
		{"size of files", unix.RLIMIT_FSIZE, 0, true},
		{"core dump", unix.RLIMIT_CORE, 0, true},
	} {
		if !limit.on {
			continue
		}
		r := unix.Rlimit{Cur: limit.value, Max: limit.value}
		if limit.resource == unix.RLIMIT_CPU {
			r.Max++ // SIGXCPU first, which a program can tell of, and SIGKILL a second later
		}
		if err := unix.Setrlimit(limit.resource, &r); err != nil {
			return fmt.Errorf("sandbox: limit of %s: %w", limit.name, err)
		}
	}
	return nil
}

func cpuSeconds(d time.Duration) uint64 { return uint64((d + time.Second - 1) / time.Second) }

func limitsInForce() (Report, error) {
	var values [4]int64
	for i, resource := range []int{unix.RLIMIT_DATA, unix.RLIMIT_CPU, unix.RLIMIT_NOFILE, unix.RLIMIT_FSIZE} {
		var r unix.Rlimit
		if err := unix.Getrlimit(resource, &r); err != nil {
			return Report{}, fmt.Errorf("sandbox: getrlimit: %w", err)
		}
		values[i] = -1
		if r.Cur <= math.MaxInt64 { // RLIM_INFINITY is all ones
			values[i] = int64(r.Cur)
		}
	}
	report := Report{Memory: values[0], CPU: -1, Files: values[2], FileSize: values[3]}
	if values[1] >= 0 {
		report.CPU = time.Duration(values[1]) * time.Second
	}
	return report, nil
}
