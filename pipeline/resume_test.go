package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/source"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/still"
)

// reader is a pipeline whose script reads a page as its checksum, in the form that OCR asks for.
func reader(pool *still.Pool, pause time.Duration) *Pipeline {
	p := scripted(job.OCR, job.Options{Budget: 70}, &script{say: func(q *question, asked int) (string, job.Finish) {
		time.Sleep(pause)
		sum := crc32.NewIEEE()
		for _, v := range q.images[0].Values {
			sum.Write([]byte{byte(math.Float32bits(v) >> 16)})
		}
		return fmt.Sprintf(`[{"box_2d":[10,20,300,400],"text":"page %08x"},{"box_2d":[500,20,600,400],"text":"and more"}]`, sum.Sum32()), job.FinishStop
	}})
	p.Stills, p.Separate = pool, false
	p.Documents.Cache = fixtures.PDFCache()
	return p
}

var testPrint = Fingerprint{"job": "ocr", kernels: "script"}

// runInto runs what is below in into a folder, as the command does.
func runInto(ctx context.Context, p *Pipeline, in, dir string, o OutputOptions, print Fingerprint) (RunInfo, error) {
	sources, err := source.Open([]string{in}, source.Options{Media: job.OCR.Media, Recursive: true})
	if err != nil {
		return RunInfo{}, err
	}
	defer sources.Close()
	o.Path, o.Folder, o.Stills, o.Documents = dir, sources.Folder(), p.Stills, p.Documents
	if o.Formats == nil {
		o.Formats = []Format{JSONL, Text, ALTO}
	}
	out, err := OpenOutput(o, RunInfo{Facet: "test", Job: "ocr", Started: time.Now(), Inputs: sources.Len()}, print)
	if err != nil {
		return RunInfo{}, err
	}
	_, err = p.Run(ctx, sources, out)
	if closing := out.Close(); err == nil {
		err = closing
	}
	return out.Info(), err
}

// nanoReader is a pipeline whose model is nano. Generated pages make it say much, so replies are cut.
func nanoReader(pool *still.Pool) (*Pipeline, error) {
	m, err := nano()
	if err != nil {
		return nil, err
	}
	return New(Settings{Model: m, Job: job.OCR, Options: job.Options{MaxTokens: 12}, Stills: pool, Documents: Documents{Options: pdf.Options{Cache: fixtures.PDFCache()}}})
}

// victim is a run in a process of its own that says how many items are accounted for, until somebody kills it.
func victim(args string) {
	engine, dirs, _ := strings.Cut(args, "\n")
	in, dir, _ := strings.Cut(dirs, "\n")
	pool, err := still.Open(still.Options{DecodeOptions: vision.DecodeOptions{Limits: vision.DefaultLimits}, Sandbox: "auto", Children: Decoders})
	if err == nil {
		p := reader(pool, time.Millisecond)
		if engine == "nano" {
			p, err = nanoReader(pool)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		p.Progress = func(p Progress) { fmt.Println(p.Done) }
		_, err = runInto(context.Background(), p, in, dir, OutputOptions{}, testPrint)
		pool.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// contents maps the files below a folder to what they hold, but for those that tell of a run and not of its results.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || name == infoName || name == "lock" || name == journalName {
			return err
		}
		files[filepath.ToSlash(name)] = read(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A run that is killed again and again, and goes on each time, ends with the same bytes as one that nothing disturbs;
// what it had said is accounted for is in the journal whatever came then.
func TestKilledAndResumed(t *testing.T) {
	pages, kills := 40, 5
	if os.Getenv("FACET_FULL") != "" {
		pages, kills = 2000, 100
	}
	killAndResume(t, "script", func(pool *still.Pool) (*Pipeline, error) { return reader(pool, 0), nil }, pages, kills)
}

// The same with a model.
func TestKilledAndResumedNano(t *testing.T) {
	pages, kills := 12, 2
	if os.Getenv("FACET_FULL") != "" {
		pages, kills = 200, 100
	}
	killAndResume(t, "nano", nanoReader, pages, kills)
}

func killAndResume(t *testing.T, engine string, open func(*still.Pool) (*Pipeline, error), pages, kills int) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no SIGKILL")
	}
	dir := t.TempDir()
	in, whole, broken := filepath.Join(dir, "in"), filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	if _, err := fixtures.Pages(in, pages, 1); err != nil {
		t.Fatal(err)
	}
	p, err := open(stills(t))
	if err != nil {
		t.Fatal(err)
	}
	info, err := runInto(t.Context(), p, in, whole, OutputOptions{}, testPrint)
	if err != nil || info.Done != info.Inputs || info.Done < pages*3/4 {
		t.Fatalf("undisturbed: %+v, %v", info, err)
	}
	pages = info.Done
	random := rand.New(rand.NewPCG(3, 4))
	killed := 0
	for ; killed < kills; killed++ {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "FACET_VICTIM="+engine+"\n"+in+"\n"+broken)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		said, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := 1 + random.IntN(max(2, min(pages/2, 2*pages/kills))) // lines
		wait := time.Duration(random.IntN(3000)) * time.Microsecond
		last, n := 0, 0
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("%q", lines.Text())
			}
			if n++; n == after {
				time.Sleep(wait)
				c.Process.Kill()
			}
		}
		err = c.Wait()
		if err == nil {
			break // it came to its end first
		}
		if stderr.Len() > 0 {
			t.Fatalf("run %d: %s", killed, &stderr)
		}
		kept := map[string]bool{}
		if _, _, err := journal.Read(filepath.Join(broken, journalName), journal.Options{}, func(e journal.Entry, _ journal.Place) error {
			if e.Kind == entryRecord || e.Kind == entryFailed {
				if kept[e.Key] {
					t.Errorf("%s twice", e.Key)
				}
				kept[e.Key] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(kept) < last {
			t.Fatalf("run %d said that %d are accounted for, and the journal has %d", killed, last, len(kept))
		}
	}
	t.Logf("killed %d times", killed)
	if killed < kills/2 {
		t.Errorf("killed %d times of %d only", killed, kills)
	}
	info, err = runInto(t.Context(), p, in, broken, OutputOptions{}, testPrint)
	if err != nil || info.Done != pages || !info.Finished {
		t.Fatalf("resumed: %+v, %v", info, err)
	}
	if diff := cmp.Diff(contents(t, whole), contents(t, broken)); diff != "" {
		t.Errorf("killed and resumed (-undisturbed):\n%.3000s", diff)
	}
	if len(contents(t, whole)) != 2+2*pages {
		t.Errorf("%d files", len(contents(t, whole)))
	}
}

// folder makes a folder of a few pages.
func folder(t *testing.T, pages int) (in, out string) {
	t.Helper()
	dir := t.TempDir()
	in = filepath.Join(dir, "in")
	if _, err := fixtures.Pages(in, pages, 2); err != nil {
		t.Fatal(err)
	}
	return in, filepath.Join(dir, "out")
}

func mustRun(t *testing.T, in, out string, o OutputOptions) RunInfo {
	t.Helper()
	p := reader(stills(t), 0)
	asked := 0
	say := p.newEngine().(*script).say
	p.newEngine = func() engine {
		return &script{say: func(q *question, n int) (string, job.Finish) { asked++; return say(q, n) }}
	}
	info, err := runInto(t.Context(), p, in, out, o, testPrint)
	if err != nil {
		t.Fatal(err)
	}
	if info.Inputs != info.Done+info.Failed+info.Pending || !info.Finished {
		t.Errorf("%+v", info)
	}
	if fresh := info.Done - info.Before + info.Failed; asked > max(fresh, 0) {
		t.Errorf("asked about %d of %d", asked, fresh)
	}
	return info
}

// What is there is not done again; what is missing of the formats is made again, without the model.
func TestResumeMakesMissingFiles(t *testing.T) {
	in, out := folder(t, 12)
	n := mustRun(t, in, out, OutputOptions{}).Done
	want := contents(t, out)
	for _, name := range []string{recordsName, errorsName, "000001.png.txt"} {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not among the files", name)
		}
		os.Remove(filepath.Join(out, name))
	}
	entries, _ := filepath.Glob(filepath.Join(out, "*.alto.xml"))
	os.Remove(entries[3])
	i := mustRun(t, in, out, OutputOptions{})
	if i.Before != n {
		t.Errorf("%+v", i)
	}
	if diff := cmp.Diff(want, contents(t, out)); diff != "" {
		t.Error(diff)
	}
}

// New files are added, changed ones read again, and those that are gone stay and are told of.
func TestResumeChangedInputs(t *testing.T) {
	in, out := folder(t, 12)
	n := mustRun(t, in, out, OutputOptions{}).Done
	pngs, _ := filepath.Glob(filepath.Join(in, "*.png"))
	if len(pngs) < 3 {
		t.Fatal(pngs)
	}
	old := records(t, out)
	put(t, in, "zz.png", read(t, page("00")))
	put(t, in, filepath.Base(pngs[1]), read(t, page("01")))
	os.Remove(pngs[2])
	i := mustRun(t, in, out, OutputOptions{})
	if i.Changed != 1 || i.Absent != 1 || i.Done != n || i.Before != n-2 {
		t.Errorf("%+v", i)
	}
	now := records(t, out)
	if len(now) != n+1 || now[pngs[1]] == old[pngs[1]] || now[pngs[2]] != old[pngs[2]] || now[filepath.Join(in, "zz.png")] == "" {
		t.Errorf("%v\nwere\n%v", now, old)
	}
	// A file that was only touched is what it was.
	os.Chtimes(pngs[0], time.Now(), time.Now())
	if i := mustRun(t, in, out, OutputOptions{}); i.Absent != 1 || i.Done != n {
		t.Errorf("%+v", i)
	}
	if diff := cmp.Diff(now, records(t, out)); diff != "" {
		t.Error(diff)
	}
}

// records maps the paths of records.jsonl to ids.
func records(t *testing.T, dir string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for line := range strings.Lines(read(t, filepath.Join(dir, recordsName))) {
		var r job.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		key := r.Source.Path
		if r.Source.Page > 0 {
			key += fmt.Sprint("#", r.Source.Page)
		}
		if ids[key] != "" {
			t.Errorf("%s twice", key)
		}
		ids[key] = r.ID
	}
	return ids
}

// A run with other settings does not go on in the folder, and says which they are; other kernels are a warning.
func TestResumeOtherSettings(t *testing.T) {
	in, out := folder(t, 4)
	mustRun(t, in, out, OutputOptions{})
	before := contents(t, out)
	p := reader(stills(t), 0)
	other := Fingerprint{"job": "ocr", kernels: "other", "budget": "280"}
	_, err := runInto(t.Context(), p, in, out, OutputOptions{}, other)
	if err == nil || !strings.Contains(err.Error(), "budget was not set and is 280") || strings.Contains(err.Error(), "other settings: kernels") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, contents(t, out)); diff != "" {
		t.Error(diff)
	}
	var warnings []string
	_, err = runInto(t.Context(), p, in, out, OutputOptions{Warn: func(s string) { warnings = append(warnings, s) }}, Fingerprint{"job": "ocr", kernels: "other"})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "kernels script and goes on with other") {
		t.Errorf("got %v, %q", err, warnings)
	}
}

// What failed stays so until it is asked for, or its file is another.
func TestRetryFailed(t *testing.T) {
	in, out := folder(t, 8)
	bad := put(t, in, "bad.png", read(t, page("00"))[:1500])
	fail := true
	p := reader(stills(t), 0)
	say := p.newEngine().(*script).say
	p.newEngine = func() engine {
		return &script{say: func(q *question, n int) (string, job.Finish) {
			if n%4 == 3 && fail {
				return "fail", ""
			}
			return say(q, n)
		}}
	}
	run := func(o OutputOptions) RunInfo {
		t.Helper()
		i, err := runInto(t.Context(), p, in, out, o, testPrint)
		if err != nil || i.Inputs != i.Done+i.Failed {
			t.Fatalf("%+v, %v", i, err)
		}
		if n := strings.Count(read(t, filepath.Join(out, errorsName)), "\n"); n != i.Failed {
			t.Errorf("%d lines in errors.jsonl, %d failed", n, i.Failed)
		}
		if n := strings.Count(read(t, filepath.Join(out, recordsName)), "\n"); n != i.Done {
			t.Errorf("%d lines in records.jsonl, %d done", n, i.Done)
		}
		return i
	}
	first := run(OutputOptions{})
	failed, n := first.Failed, first.Inputs
	if failed < 2 || failed > 3 {
		t.Errorf("%+v", first)
	}
	fail = false
	if i := run(OutputOptions{}); i.Failed != failed || i.Before != n {
		t.Errorf("again: %+v", i)
	}
	if i := run(OutputOptions{RetryFailed: true}); i.Failed != 1 || i.Before != n-failed {
		t.Errorf("retried: %+v", i)
	}
	put(t, in, filepath.Base(bad), read(t, page("00")))
	if i := run(OutputOptions{}); i.Failed != 0 || i.Before != n-1 {
		t.Errorf("mended: %+v", i)
	}
}

// Files with equal bytes are asked about once and recorded once for each path, in one run and in a later one.
func TestTwins(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	for i := range 30 {
		put(t, in, fmt.Sprintf("%02d.png", i), read(t, page(fmt.Sprintf("%02d", i%3))))
	}
	put(t, in, "30.png", "\x89PNG\r\n\x1a\nbroken")
	put(t, in, "31.png", "\x89PNG\r\n\x1a\nbroken")
	asked := 0
	run := func() RunInfo {
		t.Helper()
		p := reader(stills(t), 0)
		say := p.newEngine().(*script).say
		p.newEngine = func() engine {
			return &script{say: func(q *question, n int) (string, job.Finish) { asked++; return say(q, n) }}
		}
		i, err := runInto(t.Context(), p, in, filepath.Join(dir, "out"), OutputOptions{}, testPrint)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	if i := run(); asked != 3 || i.Done != 30 || i.Failed != 2 {
		t.Errorf("asked %d times: %+v", asked, i)
	}
	if r := records(t, filepath.Join(dir, "out")); len(r) != 30 || r[filepath.Join(in, "04.png")] != r[filepath.Join(in, "01.png")] {
		t.Errorf("records: %v", r)
	}
	put(t, in, "40.png", read(t, page("02")))
	if i := run(); asked != 3 || i.Done != 31 || i.Before != 32 {
		t.Errorf("later, asked %d times: %+v", asked, i)
	}
}
