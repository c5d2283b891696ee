//go:build linux

package still_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"facet/vision"
	"facet/vision/still"
	"facet/vision/still/decoder"
)

// TestMain is a decoder when package still starts it as one.
func TestMain(m *testing.M) {
	if args, ok := decoder.Started(os.Args); ok {
		os.Exit(decoder.Run(args, os.Stdin, os.Stdout, os.Stderr, openEvil))
	}
	os.Exit(m.Run())
}

// evilMagic begins a file that takes the decoder over: the deed follows, and what it is done to.
const evilMagic = "EVIL "

// openEvil is decoder.Open for a decoder with a hole in it.
func openEvil(data []byte, o vision.DecodeOptions) (still.Source, error) {
	opened++
	text, evil := strings.CutPrefix(string(data), evilMagic)
	if !evil {
		return decoder.Open(data, o)
	}
	deed, object, _ := strings.Cut(text, "|")
	return &evilSource{deed, object}, nil
}

type evilSource struct{ deed, object string }

func (s *evilSource) Type() string { return "image/evil" }

func (s *evilSource) Count() int {
	if s.deed == "pages" {
		return -1
	}
	return 1
}

// errEscaped says that a deed succeeded.
var errEscaped = vision.FormatError("escaped")

// opened counts the files of this decoder.
var opened int

// Decode does the deed. It returns errEscaped if that worked, and otherwise why it did not as an UnsupportedError.
func (s *evilSource) Decode(int) (*vision.Image, error) {
	var err error
	if escape, ok := escapes[s.deed]; ok {
		err = escape(s.object)
	} else {
		err = misdeeds[s.deed]()
	}
	if err == nil {
		return nil, errEscaped
	}
	return nil, vision.UnsupportedError(err.Error())
}

// escapes reach for what is outside.
var escapes = map[string]func(object string) error{
	"read a file":   func(o string) error { _, err := os.ReadFile(o); return err },
	"read passwd":   func(string) error { _, err := os.ReadFile("/etc/passwd"); return err },
	"list a folder": func(string) error { _, err := os.ReadDir("/"); return err },
	"write a file":  func(o string) error { return os.WriteFile(o+".new", []byte("x"), 0o600) },
	"remove a file": func(o string) error { return os.Remove(o) },
	"connect":       func(o string) error { return closeConn(net.DialTimeout("tcp", o, 5*time.Second)) },
	"send":          func(o string) error { return closeConn(net.Dial("udp", o)) },
	"listen": func(string) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			l.Close()
		}
		return err
	},
	"run a program":  func(string) error { return exec.Command("/bin/true").Run() },
	"become another": func(string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"fork": func(string) error {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		switch {
		case errno != 0:
			return errno
		case pid == 0:
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return nil
	},
	"signal its parent": func(string) error { return syscall.Kill(os.Getppid(), syscall.SIGWINCH) },
	// The runtime keeps a number of its control group open; nothing of the user's is.
	"read what is open": func(o string) error {
		for fd := range 32 {
			var info syscall.Stat_t
			if syscall.Fstat(fd, &info) == nil && fmt.Sprint(info.Dev) == o {
				return nil
			}
		}
		return errors.New("no file is open")
	},
}

func closeConn(c net.Conn, err error) error {
	if err == nil {
		c.Close()
	}
	return err
}

var waste [][]byte

// misdeeds are what a decoder may die of, or say that is not so.
var misdeeds = map[string]func() error{
	"crash": func() error {
		var s *evilSource
		go func() { s.deed = "" }() // not where a recover could be
		select {}
	},
	"exit":  func() error { os.Exit(0); return nil },
	"hang":  func() error { select {} },
	"sleep": func() error { time.Sleep(time.Hour); return nil },
	"spin": func() error {
		for {
			waste = nil
		}
	},
	"kill": func() error { unix.Tgkill(os.Getpid(), os.Getpid(), unix.SIGKILL); select {} },
	"greed": func() error {
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			waste = append(waste, b)
		}
	},
	"tell": func() error { return fmt.Errorf("decoder %d, file %d", os.Getpid(), opened) },
	"grudge": func() error { // comes to grief on what others left behind
		if opened > 1 {
			os.Exit(1)
		}
		return errors.New("fresh")
	},
	"chatter": func() error {
		for {
			if _, err := io.WriteString(os.Stderr, strings.Repeat("chatter\n", 512)); err != nil {
				return err
			}
		}
	},
	"garbage":  func() error { os.Stdout.Write([]byte("\xff\xff\xff\xff\xff\xff\xff\xff")); select {} },
	"promise":  func() error { say('r', 1<<30, nil); select {} },
	"huge":     func() error { page(1<<30, 1<<30, 0); select {} },
	"large":    func() error { page(60_000, 60_000, 0); select {} },
	"negative": func() error { page(-1, 10, 0); select {} },
	"less":     func() error { page(4, 5, 59); say('d', 0, nil); select {} },
	"more":     func() error { page(4, 5, 61); say('d', 0, nil); select {} },
	"twice":    func() error { page(4, 5, 60); page(4, 5, 60); select {} },
	"nothing":  func() error { say('d', 0, nil); select {} },
	"endless": func() error {
		for {
			say('p', 0, nil)
		}
	},
}

// say writes a message that claims to have so many bytes.
func say(kind byte, claim uint32, body []byte) {
	b := binary.LittleEndian.AppendUint32([]byte{kind}, claim)
	os.Stdout.Write(append(b, body...))
}

func page(width, height, bytes int) {
	b := fmt.Appendf(nil, `{"width":%d,"height":%d,"format":"","storedWidth":4,"storedHeight":5,"orientation":1,"pages":1}`, width, height)
	say('g', uint32(len(b)), b)
	say('r', uint32(bytes), make([]byte, bytes))
}
