package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/pipeline/journal"
)

// made returns n entries of differing lengths, some with awkward keys.
func made(n int) []journal.Entry {
	keys := []string{"scans/%d.png", "with \"quotes\" and \\ %d", "bytes \xff\xed\xb2\x80 %d", "line\nend \x00 %d", "ж 页 %d", ""}
	entries := make([]journal.Entry, n)
	for i := range entries {
		key := keys[i%len(keys)]
		if key != "" {
			key = fmt.Sprintf(key, i)
		}
		body, err := json.Marshal(map[string]any{"n": i, "text": strings.Repeat("x\"{}\n", i%50)})
		if err != nil {
			panic(err)
		}
		entries[i] = journal.Entry{Kind: "record", Key: key, Body: body}
	}
	return entries
}

// collector keeps what a replay finds.
type collector struct {
	entries []journal.Entry
	places  []journal.Place
}

func (c *collector) add(e journal.Entry, p journal.Place) error {
	e.Body = bytes.Clone(e.Body)
	c.entries = append(c.entries, e)
	c.places = append(c.places, p)
	return nil
}

func same(a, b journal.Entry) bool {
	return a.Kind == b.Kind && a.Key == b.Key && bytes.Equal(a.Body, b.Body)
}

func TestAppendAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "run")
	for range 2 {
		if err := journal.MakeDir(dir, journal.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "journal")
	entries := made(300)
	j, err := journal.Create(path, []byte(`{"run":1}`), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var places []journal.Place
	for i := 0; i < len(entries); i += 7 {
		p, err := j.Append(entries[i:min(i+7, len(entries))]...)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p...)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var c collector
	j, header, rec, err := journal.Open(path, journal.Options{}, c.add)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if string(header) != `{"run":1}` || !rec.OK() || rec.Warnings() != nil || len(c.entries) != len(entries) {
		t.Fatalf("header %s, %+v, %d entries of %d", header, rec, len(c.entries), len(entries))
	}
	for i, e := range entries {
		got, err := j.Entry(places[i])
		if !same(c.entries[i], e) || c.places[i] != places[i] || err != nil || !same(got, e) {
			t.Fatalf("entry %d: %q at %v, want %q at %v; read again: %q, %v", i, c.entries[i], c.places[i], e, places[i], got, err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.SplitAfter(data, []byte("\n")) {
		if len(line) > 0 && !json.Valid(line) {
			t.Errorf("line %d is not JSON: %s", i, line)
		}
	}
	onlooker, _, _, err := journal.OpenRead(path, journal.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer onlooker.Close()
	if got, err := onlooker.Entry(places[7]); err != nil || !same(got, entries[7]) {
		t.Errorf("an onlooker reads %q, %v", got, err)
	}
	if _, err := onlooker.Append(entries[0]); err == nil || onlooker.Size() != j.Size() {
		t.Errorf("an onlooker appended: %v", err)
	}
	if err := journal.MakeDir(filepath.Join(path, "x"), journal.Options{}); err == nil {
		t.Error("a directory in a file")
	}
	if _, err := journal.Create(path, []byte(`{}`), journal.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a journal: %v", err)
	}
}

func TestRefusedEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path, []byte(`{}`), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	size := j.Size()
	for _, e := range []journal.Entry{
		{"", "k", []byte(`{}`)}, {"a b", "k", []byte(`{}`)}, {`"`, "k", []byte(`{}`)},
		{"record", "k", nil}, {"record", "k", []byte("{\n}")}, {"record", "k", []byte(`{}{}`)}, {"record", "k", []byte(`{"a"`)},
		{"record", "k", append(bytes.Repeat([]byte(" "), journal.MaxLine), '1')},
		{"record", strings.Repeat("\xff", journal.MaxLine/5), []byte(`1`)},
	} {
		if _, err := j.Append(journal.Entry{Kind: "record", Key: "good", Body: []byte(`1`)}, e); err == nil {
			t.Errorf("kind %q, key %.9q…, body %.9q… was taken", e.Kind, e.Key, e.Body)
		}
	}
	if j.Size() != size {
		t.Error("a refused entry left something")
	}
	if _, err := j.Append(journal.Entry{Kind: "record", Body: []byte(`1`)}); err != nil {
		t.Errorf("after refused entries: %v", err)
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path, []byte(`{}`), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	entries := made(9)
	places, err := j.Append(entries...)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[places[3].Offset+40] ^= 1                                 // in line 5
	data[places[5].Offset+int64(places[5].Length)] = 'x'           // the end of line 7
	data = append(data, `{"crc":"00000000","kind":"record","k`...) // torn
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		var c collector
		j, _, rec, err := journal.Open(path, journal.Options{}, c.add)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if len(c.entries) != 8 || len(rec.Damaged) != 2 {
			t.Fatalf("round %d: %d entries, %+v", round, len(c.entries), rec)
		}
		if d := rec.Damaged[0]; d.Offset != places[3].Offset || d.Length != int64(places[3].Length)+1 || d.Line != 5 {
			t.Errorf("round %d: damage %+v, want at %v", round, d, places[3])
		}
		if round == 0 && (rec.Torn != 36 || rec.Copied != int64(places[3].Length)+2) || round > 0 && (rec.Torn != 0 || rec.Copied != 0) {
			t.Errorf("round %d: %+v", round, rec)
		}
		if rec.Quarantine != path+".quarantine" {
			t.Errorf("round %d: quarantine %q", round, rec.Quarantine)
		}
		t.Log(rec.Warnings())
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	l, err := journal.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var locked journal.Locked
	if _, err := journal.LockDir(dir); !errors.As(err, &locked) || locked.Pid != os.Getpid() {
		t.Errorf("a second lock: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = journal.LockDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
