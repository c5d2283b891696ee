package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/source"
)

// A folder with the journal of a million records is gone on with soon and in little memory; what is known is found.
func TestResumeLargeJournal(t *testing.T) {
	count := 20_000
	if os.Getenv("FACET_FULL") != "" {
		count = 1_000_000
	}
	dir := t.TempDir()
	head, err := json.Marshal(header{"test", testPrint})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Create(filepath.Join(dir, journalName), head, journal.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	item := func(i int) source.Item {
		path := fmt.Sprintf("scans/box %04d/page %07d.png", i/1000, i)
		return source.Item{Path: path, File: path, Stat: source.Stat{Size: int64(1000 + i), ModTime: 1e18}}
	}
	text := ""
	for range 60 {
		text += "words "
	}
	var group []journal.Entry
	for i := range count {
		var sum [32]byte
		copy(sum[:], fmt.Sprint(i))
		rec := &job.Record{ID: job.ID(sum, 0), Job: "ocr", Source: job.Source{Path: item(i).Path, SHA256: fmt.Sprintf("%064d", i)}, Text: text}
		r := Result{Item: item(i), Job: "ocr", Record: rec, twin: twinOf("ocr", sum, 0, job.Options{})}
		e, err := r.entry()
		if err != nil {
			t.Fatal(err)
		}
		if group = append(group, e); len(group) == 1000 || i == count-1 {
			if _, err := j.Append(group...); err != nil {
				t.Fatal(err)
			}
			group = group[:0]
		}
	}
	size := j.Size()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	o, err := OpenOutput(OutputOptions{Path: dir}, RunInfo{Job: "ocr", Inputs: count}, testPrint)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	got := after.Sys - before.Sys
	t.Logf("%d records, %d MB: opened in %v, %d MB more from the system, %d MB in use", count, size/1e6, took, got/1e6, (after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))/1e6)
	if took > 20*time.Second || got > 512<<20 {
		t.Error("want at most 20 s and 512 MiB")
	}
	for i := 0; i < count; i += count / 100 {
		if known, ok := o.ledger.recall(keyOf("ocr", item(i)), item(i)); !ok || known.failed {
			t.Errorf("item %d is not known", i)
		}
	}
	if n := len(o.ledger.items); n != count {
		t.Errorf("%d of %d known", n, count)
	}
	o.fail(os.ErrClosed) // or it writes all of them
	o.Close()
}
