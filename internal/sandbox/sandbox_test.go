//go:build linux

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// escapes are what a decoder that was broken into might try. Each returns nil if it worked.
var escapes = map[string]func(canary, address string) error{
	"read a file":          func(canary, _ string) error { _, err := os.ReadFile(canary); return err },
	"read by openat2":      func(canary, _ string) error { return openat2(canary) },
	"list a folder":        func(canary, _ string) error { _, err := os.ReadDir(filepath.Dir(canary)); return err },
	"write a file":         func(canary, _ string) error { return os.WriteFile(canary+".new", []byte("x"), 0o600) },
	"change a file":        func(canary, _ string) error { return os.Truncate(canary, 0) },
	"open a file to all":   func(canary, _ string) error { return os.Chmod(canary, 0o666) },
	"change its time":      func(canary, _ string) error { return os.Chtimes(canary, time.Time{}, time.Unix(1, 0)) },
	"remove a file":        func(canary, _ string) error { return os.Remove(canary) },
	"move a file":          func(canary, _ string) error { return os.Rename(canary, canary+".old") },
	"link a file":          func(canary, _ string) error { return os.Symlink(canary, canary+".link") },
	"make a folder":        func(canary, _ string) error { return os.Mkdir(canary+".dir", 0o700) },
	"dial TCP":             func(_, address string) error { return dial("tcp", address) },
	"dial UDP":             func(_, address string) error { return dial("udp", address) },
	"listen on TCP":        func(_, _ string) error { l, err := net.Listen("tcp", "127.0.0.1:0"); return closed(l, err) },
	"dial a socket's name": func(canary, _ string) error { return dial("unix", canary+".sock") },
	"dial an abstract name": func(_, _ string) error {
		return dial("unix", "@facet")
	},
	"make a socket pair": func(_, _ string) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
	"multipath TCP": func(_, _ string) error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		return err
	},
	"run a program":       func(_, _ string) error { return exec.Command("/bin/true").Run() },
	"replace itself":      func(_, _ string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"fork":                func(_, _ string) error { return fork() },
	"signal its parent":   func(_, _ string) error { return syscall.Kill(os.Getppid(), syscall.SIGWINCH) },
	"signal it by thread": func(_, _ string) error { return unix.Tgkill(os.Getppid(), os.Getppid(), syscall.SIGWINCH) },
	"trace its parent":    func(_, _ string) error { return unix.PtraceSeize(os.Getppid()) },
	"read its memory": func(_, _ string) error {
		var b [1]byte
		_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{{Base: &b[0], Len: 1}}, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0)
		return err
	},
	"lift a limit":  func(_, _ string) error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}) },
	"leave a space": func(_, _ string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"use io_uring": func(_, _ string) error {
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
		if errno == unix.EFAULT { // it was let in, and did not like the argument
			return nil
		}
		return errno
	},
	"load a filter": func(_, _ string) error {
		_, _, errno := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
		if errno == unix.EINVAL {
			return nil
		}
		return errno
	},
	"share memory": func(_, _ string) error { // twice what is allowed, were it private
		_, err := unix.Mmap(-1, 0, 1<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		return err
	},
	"share memory that stays": func(_, _ string) error {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<20, unix.IPC_CREAT|0o600)
		if err == nil {
			_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
		return err
	},
	"chroot": func(canary, _ string) error { return unix.Chroot(filepath.Dir(canary)) },
	"mount":  func(canary, _ string) error { return unix.Mount("none", filepath.Dir(canary), "tmpfs", 0, "") },
}

func dial(network, address string) error {
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err == nil {
		c.Close()
	}
	return err
}

func closed(l net.Listener, err error) error {
	if err == nil {
		l.Close()
	}
	return err
}

func openat2(path string) error {
	_, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_RDONLY})
	return err
}

// fork makes a process that ends at once.
func fork() error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// TestMain runs one deed in a process of its own if the environment asks for it.
func TestMain(m *testing.M) {
	if deed := os.Getenv("SANDBOX_DEED"); deed != "" {
		os.Exit(do(deed))
	}
	os.Exit(m.Run())
}

// do applies the sandbox, unless told not to, and does a deed. It prints what came of it.
func do(deed string) int {
	limits := Limits{Memory: 512 << 20, CPU: time.Second, Files: 24}
	report := Report{}
	if os.Getenv("SANDBOX_OFF") == "" {
		var err error
		if report, err = Apply(limits); err != nil {
			fmt.Println("apply:", err)
			return 1
		}
	}
	switch deed {
	case "report":
		b, _ := json.Marshal(report)
		fmt.Println(string(b))
	case "memory":
		var all [][]byte
		for range 1024 {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
		}
		fmt.Println(len(all), "MiB")
	case "cpu":
		for i := 0; ; i++ {
			sink = i
		}
	case "output":
		for range 1 << 20 {
			if _, err := os.Stdout.Write(make([]byte, 1<<12)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 3
			}
		}
	case "threads":
		// What is needed goes on: new threads, clocks, the open files.
		done := make(chan bool)
		for range 20 {
			go func() { time.Sleep(10 * time.Millisecond); done <- true }()
		}
		for range 20 {
			<-done
		}
		b := make([]byte, 5)
		_, err := os.Stdin.Read(b)
		fmt.Println(string(b), err)
	default:
		err := escapes[deed](os.Getenv("SANDBOX_CANARY"), os.Getenv("SANDBOX_ADDRESS"))
		fmt.Println(deed, ":", err)
		if err == nil {
			return 4
		}
	}
	return 0
}

var sink int

func deed(t *testing.T, name string, env ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := new(strings.Builder)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(env, "SANDBOX_DEED="+name, "GOTRACEBACK=none")...)
	cmd.Stdout, cmd.Stderr, cmd.Stdin = out, out, strings.NewReader("hello")
	return cmd, out
}

func full(t *testing.T) bool {
	t.Helper()
	cmd, out := deed(t, "report")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r Report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Memory != 512<<20 || r.CPU != time.Second || r.Files != 24 || r.FileSize != 0 {
		t.Errorf("limits in force: %+v", r)
	}
	t.Logf("%+v", r)
	return r.Full()
}

func TestReport(t *testing.T) { full(t) }

// Every escape fails inside, and to show that it could have worked, most succeed outside.
func TestEscapes(t *testing.T) {
	if !full(t) {
		t.Skip("this kernel lacks Landlock or seccomp")
	}
	dir := t.TempDir()
	canary := filepath.Join(dir, "canary")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	named, err := net.Listen("unix", canary+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	abstract, err := net.Listen("unix", "@facet")
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()

	worked := 0
	for name := range escapes {
		for _, off := range []bool{false, true} {
			if err := os.WriteFile(canary, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			env := []string{"SANDBOX_CANARY=" + canary, "SANDBOX_ADDRESS=" + listener.Addr().String()}
			if off {
				if slices.Contains([]string{"mount", "chroot", "trace its parent", "signal its parent", "signal it by thread"}, name) {
					continue // nothing to do to the machine, or to this process
				}
				env = append(env, "SANDBOX_OFF=1")
			}
			cmd, out := deed(t, name, env...)
			err := cmd.Run()
			switch code := cmd.ProcessState.ExitCode(); {
			case off && (code == 4 || name == "replace itself" && code == 0 && out.String() == ""):
				worked++
			case off:
				t.Logf("outside: %s%v", out, err)
			case code != 0 || !strings.Contains(out.String(), name):
				t.Errorf("inside: %s%v", out, err)
			}
		}
	}
	if b, err := os.ReadFile(canary); err != nil || string(b) != "secret" {
		t.Errorf("the canary is %q, %v", b, err)
	}
	if worked < len(escapes)/2 {
		t.Errorf("only %d of %d escapes work outside: the test tells little", worked, len(escapes))
	}
}

func TestLimits(t *testing.T) {
	cmd, out := deed(t, "memory")
	if err := cmd.Run(); err == nil || !strings.Contains(out.String(), "out of memory") {
		t.Errorf("a gibibyte: %v: %.200s", err, out)
	}
	cmd, out = deed(t, "cpu")
	begin := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("without end: %v: %s", err, out)
	}
	if d := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); d > 3*time.Second || time.Since(begin) > time.Minute {
		t.Errorf("without end: ended after %v of CPU time", d)
	}
	// A file does not grow, even one that was open.
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd, _ = deed(t, "output")
	cmd.Stdout = file
	if err := cmd.Run(); err == nil {
		t.Error("output to a file: no error")
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

func TestWhatGoesOn(t *testing.T) {
	cmd, out := deed(t, "threads")
	if err := cmd.Run(); err != nil || out.String() != "hello <nil>\n" {
		t.Errorf("%v: %s", err, out)
	}
}
