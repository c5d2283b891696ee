package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"facet/fixtures"
	"facet/fixtures/sparse"
	"facet/internal/kernel"
)

var update = flag.Bool("update", false, "rewrite the recorded output in testdata/script")

// In a script `facet` runs main in a process of its own. What is run in this one starts it as a decoder.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "decode" {
		main()
	}
	testscript.Main(m, map[string]func(){"facet": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NANO", fixtures.Path("nano"))
			e.Setenv("PAGES", fixtures.Path("pages"))
			e.Setenv("HELDOUT", fixtures.Path("nano/heldout"))
			e.Setenv("GOLDEN", fixtures.Path("golden"))
			e.Setenv("TINY", fixtures.Path("golden/checkpoints"))
			e.Setenv("MEDIA", fixtures.Path("video"))
			e.Setenv("PDF", fixtures.Path("pdf"))
			e.Setenv("XDG_CACHE_HOME", filepath.Dir(filepath.Dir(fixtures.PDFCache()))) // shared by all tests
			e.Setenv("FACET_MODEL", fixtures.Path("nano"))
			e.Setenv("FACET_MEDIA", fixtures.Path("../bin/facet-media"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root": // reads what permissions forbid
				return os.Geteuid() == 0, nil
			case "media": // facet-media is built
				_, err := os.Stat(fixtures.Path("../bin/facet-media"))
				return err == nil, nil
			case "portable": // kernels, which are slow
				return kernel.Name() == "portable", nil
			}
			return false, errors.New("no condition " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    status,
			"json":      jsonValue,
			"bound":     bound,
			"lines":     lines,
			"head":      head,
			"png":       pngHeader,
			"sparse":    sparseCheckpoint,
			"poke":      poke,
			"firstline": firstLine,
			"interrupt": interrupt,
			"counts":    counts,
		},
	})
}

// status N PROGRAM ARGS… runs a program that must end with exit status N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [args…]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want := number(ts, args[0]); got != want {
		ts.Fatalf("%s ended with status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// json FILE PATH WANT compares a value in JSON. PATH is its keys and indices with points
// between them; in a file of several lines the first is the index of the line. Strings
// are compared as they are, other values as JSON. With ! the value must not be there.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg && len(args) != 2 || !neg && len(args) != 3 {
		ts.Fatalf("usage: [!] json file path [want]")
	}
	v, missing := jsonAt(ts, args[0], args[1])
	if neg && missing != "" {
		return
	}
	if neg {
		ts.Fatalf("%s: %s is %v", args[0], args[1], v)
	}
	if missing != "" {
		ts.Fatalf("%s", missing)
	}
	got, ok := v.(string)
	if !ok {
		got = compact(ts, v)
	}
	if got != args[2] {
		ts.Fatalf("%s: %s is %s, want %s", args[0], args[1], got, args[2])
	}
}

// jsonAt is the value at a path of a file of JSON, or what says that there is none. Of several values the first part is the number of one.
func jsonAt(ts *testscript.TestScript, file, path string) (value any, missing string) {
	var values []any
	for d := json.NewDecoder(strings.NewReader(ts.ReadFile(file))); ; {
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			ts.Fatalf("%s: %v", file, err)
		}
		values = append(values, v)
	}
	v := any(values)
	if len(values) == 1 {
		v = values[0]
	}
	for key := range strings.SplitSeq(path, ".") {
		ok := false
		switch parent := v.(type) {
		case map[string]any:
			v, ok = parent[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && i < len(parent) {
				v, ok = parent[i], true
			}
		}
		if !ok {
			return nil, fmt.Sprintf("%s: no %s in %s: %v", file, key, path, v)
		}
	}
	return v, ""
}

// bound holds a number at a path of a file of JSON to a least or a most.
func bound(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 || args[2] != "least" && args[2] != "most" {
		ts.Fatalf("usage: bound file path least|most number")
	}
	v, missing := jsonAt(ts, args[0], args[1])
	if missing != "" {
		ts.Fatalf("%s", missing)
	}
	got, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	ts.Check(err)
	want, err := strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	ts.Logf("%s %v, at %s %v", args[1], got, args[2], want)
	if got != want && (got > want) != (args[2] == "least") {
		ts.Fatalf("%s: %s is %v, want at %s %v", args[0], args[1], got, args[2], want)
	}
}

func compact(ts *testscript.TestScript, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	ts.Check(e.Encode(v))
	return strings.TrimSpace(b.String())
}

// lines FILE N counts the lines of a file.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file n")
	}
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); got != number(ts, args[1]) {
		ts.Fatalf("%s has %d lines, want %s", args[0], got, args[1])
	}
}

// head FROM N TO copies the first N bytes of a file.
func head(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: head from n to")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), data[:number(ts, args[1])], 0o666))
}

// sparse SIZE DIR [TENSOR [NAME|SHAPE]] writes a checkpoint of full size without values.
// TENSOR is left out, or renamed, or given another shape, as in 8,16.
func sparseCheckpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 4 {
		ts.Fatalf("usage: sparse size dir [tensor [name|shape]]")
	}
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(sparse.Write(dir, args[0], func(tensors map[string][]int) {
		if len(args) < 3 {
			return
		}
		old, ok := tensors[args[2]]
		if !ok {
			ts.Fatalf("%s has no tensor %s", args[0], args[2])
		}
		delete(tensors, args[2])
		if len(args) < 4 {
			return
		}
		var shape []int
		if err := json.Unmarshal([]byte("["+args[3]+"]"), &shape); err == nil {
			tensors[args[2]] = shape
		} else {
			tensors[args[3]] = old
		}
	}))
}

// firstline PROGRAM ARGS… reads a line of a program's output and closes it, as
// `| head -1` does. The program must end soon and say nothing.
func firstLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: firstline program [args…]")
	}
	cmd := command(ts, args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	ts.Check(out.Close())
	waitSoon(ts, cmd)
	if stderr.Len() > 0 {
		ts.Fatalf("said after its reader had gone: %s", &stderr)
	}
	ts.Logf("%s", line)
}

// interrupt FILE PROGRAM ARGS… presses Ctrl-C as soon as FILE holds something. The
// program must end with status 130; what it prints goes to stdout.txt and stderr.txt.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt file program [args…]")
	}
	cmd := command(ts, args[1:])
	var err error
	cmd.Stdout, err = os.Create(ts.MkAbs("stdout.txt"))
	ts.Check(err)
	defer cmd.Stdout.(*os.File).Close()
	cmd.Stderr, err = os.Create(ts.MkAbs("stderr.txt"))
	ts.Check(err)
	defer cmd.Stderr.(*os.File).Close()
	ts.Check(cmd.Start())
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(ts.MkAbs(args[0])); err == nil && info.Size() > 0 {
			break
		}
		if time.Since(start) > patience {
			cmd.Process.Kill()
			ts.Fatalf("%s: nothing in it after %v", args[0], patience)
		}
	}
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	waitSoon(ts, cmd)
	if got := cmd.ProcessState.ExitCode(); got != statusInterrupted {
		ts.Fatalf("ended with %v, want status %d", cmd.ProcessState, statusInterrupted)
	}
}

// counts DIR checks that what run.json says is what lies in the folder of a run.
func counts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: counts dir")
	}
	var run struct{ Inputs, Done, Failed, Pending int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0]+"/run.json")), &run))
	records := strings.Count(ts.ReadFile(args[0]+"/records.jsonl"), "\n")
	failed := strings.Count(ts.ReadFile(args[0]+"/errors.jsonl"), "\n")
	if run.Done != records || run.Failed != failed || run.Inputs != run.Done+run.Failed+run.Pending {
		ts.Fatalf("%s: %d records and %d errors, run.json says %+v", args[0], records, failed, run)
	}
}

// patience is far more than anything here takes on a slow machine.
const patience = time.Minute

func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := filepath.SplitList(ts.Getenv("PATH"))[0] // where testscript installs facet
	cmd := exec.Command(filepath.Join(path, args[0]), args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "FACET_MODEL="+ts.Getenv("FACET_MODEL"))
	return cmd
}

func waitSoon(ts *testscript.TestScript, cmd *exec.Cmd) {
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
