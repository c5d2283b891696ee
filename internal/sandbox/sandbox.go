// Package sandbox takes from a process what the decoding of foreign bytes has no need of: files, sockets, other
// programs, and more than its share of memory and time.
//
//	Apply
//	 1. limits      setrlimit(2)                        memory, CPU time, open files, size of files
//	 2. Landlock    landlock(7), by go-landlock         no file can be opened, no TCP port reached, no foreign signal
//	 3. seccomp     seccomp(2), filter_linux.go         no file, socket, process or limit by their system calls
//
// The process keeps the files that it has open: its pipes, and its one input. Each layer stands alone, for a kernel may
// lack the others. None can be taken back, by the process or by what it starts. This is Linux; elsewhere nothing is
// taken, and the [Report] says so.
package sandbox

import (
	"fmt"
	"time"
)

// Mode says what a process does where the kernel cannot close files and sockets to it.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // go on with what there is
	Require Mode = "require" // end
	Off     Mode = "off"     // do without, even where the kernel can; limits alone
)

// Set implements flag.Value.
func (m *Mode) Set(s string) error {
	switch Mode(s) {
	case Auto, Require, Off:
		*m = Mode(s)
		return nil
	}
	return fmt.Errorf("want %s, %s or %s", Require, Auto, Off)
}

func (m *Mode) String() string { return string(*m) }

// Limits bound what a process may use. A field of zero sets no limit.
type Limits struct {
	Memory int64         // bytes of private memory: heap, stacks, decoded frames (RLIMIT_DATA)
	CPU    time.Duration // of all its threads together, rounded up to seconds (RLIMIT_CPU)
	Files  int           // numbers of open files are below this (RLIMIT_NOFILE)
	Open   bool          // limits alone: neither Landlock nor seccomp
}

// Report says what holds after [Apply], as the kernel gives it and not as it was asked for.
type Report struct {
	Memory   int64         `json:"memory"`   // bytes of private memory; -1 without limit
	CPU      time.Duration `json:"cpu"`      // nanoseconds; -1 without limit
	Files    int64         `json:"files"`    // open files; -1 without limit
	FileSize int64         `json:"fileSize"` // bytes of a file written; -1 without limit
	Landlock int           `json:"landlock"` // version of the kernel's Landlock; 0 without
	Seccomp  bool          `json:"seccomp"`  // the filter of system calls is on
}

// Full reports whether files and sockets are closed to the process.
func (r Report) Full() bool { return r.Landlock > 0 && r.Seccomp }
