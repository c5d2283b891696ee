//go:build libav

package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain is the program itself if the environment asks for it: it shuts its process in, so it needs one of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FACET_MEDIA_TEST") != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// What a person or a broken client gets. What facet gets is tested in package video.
func TestStart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		args   []string
		in     string
		status int
		errs   string
		hello  bool
	}{
		{nil, "", 2, "no command for people", false},
		{[]string{"-serve", "film.mp4"}, "", 2, "no command for people", false},
		{[]string{"-no-such-flag"}, "", 2, "no-such-flag", false},
		{[]string{"-serve"}, "", 0, "", true},
		{[]string{"-serve"}, "no protocol", 1, "a message of kind", true},
		{[]string{"-serve"}, "q\x05\x00\x00\x00{\"op\"", 1, "EOF", true},
		{[]string{"-serve"}, "q\xff\xff\xff\xff", 1, "more than", true},
	} {
		cmd := exec.Command(self, c.args...)
		cmd.Env = append(os.Environ(), "FACET_MEDIA_TEST=1")
		cmd.ExtraFiles = []*os.File{file}
		cmd.Stdin = strings.NewReader(c.in)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Run()
		hello := strings.Contains(out.String(), `"version":`)
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(errs.String(), c.errs) || (c.errs == "") != (errs.Len() == 0 && c.status == 0) || hello != c.hello {
			t.Errorf("%q on %q: %v, says %q, hello %v", c.args, c.in, cmd.ProcessState, errs.String(), hello)
		}
	}
}
