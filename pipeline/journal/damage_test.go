package journal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/internal/faultfs"
	"facet/pipeline/journal"
)

// finished is a journal as bytes.
type finished struct {
	data    []byte
	entries []journal.Entry
	places  []journal.Place
}

// written appends entries one by one, so that the last can be torn alone, and the batch at once.
func written(t *testing.T, single, batch []journal.Entry) finished {
	t.Helper()
	d := faultfs.NewDisk(".")
	j, err := journal.Create("journal", []byte(`{"run":1}`), journal.Options{FS: d, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	f := finished{entries: append(single[:len(single):len(single)], batch...)}
	for i := range single {
		p, err := j.Append(single[i])
		if err != nil {
			t.Fatal(err)
		}
		f.places = append(f.places, p...)
	}
	p, err := j.Append(batch...)
	if err != nil {
		t.Fatal(err)
	}
	f.places = append(f.places, p...)
	if f.data, err = d.ReadFile("journal"); err != nil {
		t.Fatal(err)
	}
	return f
}

// end is where the line of entry i ends, its end included.
func (f finished) end(i int) int { return int(f.places[i].Offset) + int(f.places[i].Length) + 1 }

// opened is what Open makes of bytes.
type opened struct {
	collector
	rec  journal.Recovery
	disk *faultfs.Disk
}

func openBytes(data []byte) (o opened, err error) {
	o.disk = faultfs.NewDisk(".")
	o.disk.WriteFile("journal", data)
	j, _, rec, err := journal.Open("journal", journal.Options{FS: o.disk}, o.add)
	if err != nil {
		return o, err
	}
	o.rec = rec
	if err := j.Close(); err != nil {
		return o, err
	}
	// What was reported is there the next time, and nothing is left to do.
	var again collector
	_, second, err := journal.Read("journal", journal.Options{FS: o.disk}, again.add)
	if err == nil {
		err = missing(again.entries, o.entries, len(o.entries))
	}
	if err == nil && (second.Torn != 0 || second.Ended || len(second.Damaged) != len(rec.Damaged)) {
		err = fmt.Errorf("%+v, and the next time %+v", rec, second)
	}
	return o, err
}

// keeps returns why what was found is not every entry of f but those that the damage from byte from to byte to touched, each
// as it was.
func (f finished) keeps(found []journal.Entry, from, to int) error {
	i := 0
	for n, e := range f.entries {
		touched := from < f.end(n)-1 && int(f.places[n].Offset) < to
		switch {
		case i < len(found) && same(found[i], e) && !touched:
			i++
		case !touched:
			return fmt.Errorf("entry %d, which stands at %v, is lost", n, f.places[n])
		}
	}
	if i < len(found) {
		return fmt.Errorf("%d entries more than there are good ones: %q", len(found)-i, found[i].Key)
	}
	return nil
}

// A last line that is not whole is cut off wherever it ends, and nothing before it is touched.
func TestTornEveryByte(t *testing.T) {
	f := written(t, made(40), nil)
	for cut := f.end(36); cut <= len(f.data); cut++ {
		o, err := openBytes(f.data[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		whole := 37
		for whole < 40 && f.end(whole)-1 <= cut { // a line is whole without its end
			whole++
		}
		torn := cut - f.end(whole-1)
		if err := missing(o.entries, f.entries[:whole], whole); err != nil || !o.rec.OK() || o.rec.Torn != int64(max(0, torn)) || o.rec.Ended != (torn < 0) {
			t.Errorf("cut at %d: %v, %+v, want %d entries and %d bytes torn", cut, err, o.rec, whole, torn)
		}
		after, err := o.disk.ReadFile("journal")
		if err != nil || !bytes.Equal(after, f.data[:f.end(whole-1)]) {
			t.Errorf("cut at %d: %d bytes are left, want %d; %v", cut, len(after), f.end(whole-1), err)
		}
	}
}

// The blocks of the last write come to the disk in any selection, and what was there before stands in the place of the others:
// zeros, or lines of an older journal. A reader that does not look at the checksums takes those.
func TestTornInTheMiddle(t *testing.T) {
	const blocks = 6
	digits := func(d string) (batch []journal.Entry) {
		for i := range 12 {
			body := `"` + strings.Repeat(d, 1800+i) + `"`
			batch = append(batch, journal.Entry{Kind: "record", Key: fmt.Sprint("page ", i), Body: []byte(body)})
		}
		return batch
	}
	f, older := written(t, made(20), digits("1")), written(t, made(20), digits("2"))
	start := f.end(19)
	naive, patterns := 0, 0
	for pattern := range 1 << blocks {
		for _, stale := range [][]byte{make([]byte, len(f.data)), older.data} {
			data := bytes.Clone(f.data)
			bad := make([]bool, len(data)) // bytes that did not arrive
			for b := range blocks {
				from := max(start, (start/4096+b)*4096)
				to := min(len(data), (start/4096+b+1)*4096)
				if pattern>>b&1 == 0 {
					copy(data[from:to], stale[from:to])
					for i := from; i < to; i++ {
						bad[i] = data[i] != f.data[i]
					}
				}
			}
			patterns++
			o, err := openBytes(data)
			if err != nil {
				t.Fatal(err)
			}
			var want []journal.Entry
			for i, e := range f.entries {
				if !bytes.Contains(boolBytes(bad[f.places[i].Offset:f.end(i)-1]), []byte{1}) {
					want = append(want, e)
				}
			}
			if err := missing(o.entries, want, len(want)); err != nil {
				t.Errorf("pattern %06b: %v", pattern, err)
			}
			for _, e := range withoutSums(data) {
				if !known(f.entries, e) {
					naive++
				}
			}
		}
	}
	t.Logf("%d patterns; a reader without checksums took %d lines that are none", patterns, naive)
	if naive == 0 {
		t.Error("the patterns do not need checksums")
	}
}

func boolBytes(b []bool) []byte {
	out := make([]byte, len(b))
	for i := range b {
		if b[i] {
			out[i] = 1
		}
	}
	return out
}

func known(entries []journal.Entry, e journal.Entry) bool {
	for _, k := range entries {
		if same(k, e) {
			return true
		}
	}
	return false
}

// withoutSums is a reader that takes each line that is JSON.
func withoutSums(data []byte) (entries []journal.Entry) {
	for line := range bytes.Lines(data) {
		var l struct {
			Kind, Key string
			Body      json.RawMessage
		}
		if json.Unmarshal(line, &l) == nil && l.Kind == "record" {
			entries = append(entries, journal.Entry{Kind: l.Kind, Key: l.Key, Body: l.Body})
		}
	}
	return entries
}

// ascii returns entries whose keys every reader of JSON gives back.
func ascii(n int) []journal.Entry {
	entries := made(n)
	for i := range entries {
		entries[i].Key = fmt.Sprintf("scans/%d.png", i)
	}
	return entries
}

// count returns so many rounds, a fifth of them by default.
func count(full int) int {
	if os.Getenv("FACET_FULL") == "" {
		return full / 5
	}
	return full
}

// A bit that flipped is found, wherever it is, and costs at most the line that it is in.
func TestFlippedBits(t *testing.T) {
	f := written(t, ascii(60), nil)
	dice := rand.New(rand.NewPCG(1, 2))
	header := int(f.places[0].Offset)
	refused, naive := 0, 0
	flip := func(bit int) {
		at := bit / 8
		data := bytes.Clone(f.data)
		data[at] ^= 1 << (bit % 8)
		o, err := openBytes(data)
		if at < header {
			var format *journal.FormatError
			if after, readErr := o.disk.ReadFile("journal"); !errors.As(err, &format) || readErr != nil || !bytes.Equal(after, data) {
				t.Errorf("bit %d, in the header: %v", bit, err)
			}
			refused++
			return
		}
		if err == nil {
			err = f.keeps(o.entries, at, at+1)
		}
		if err != nil || o.rec.OK() || len(o.rec.Warnings()) == 0 || o.rec.Copied == 0 {
			t.Errorf("bit %d of byte %d (%q): %v, %+v", bit%8, at, f.data[max(0, at-10):min(len(data), at+10)], err, o.rec)
		}
		for _, e := range withoutSums(data) {
			if !known(f.entries, e) {
				naive++
			}
		}
	}
	for range count(10000) {
		flip(dice.IntN(8 * len(f.data)))
	}
	for i := range f.places { // every bit of the places where a line ends
		for bit := range 8 {
			flip(8*(f.end(i)-1) + bit)
		}
	}
	t.Logf("%d in the header refused; a reader without checksums took %d changed entries", refused, naive)
	if naive == 0 || refused == 0 {
		t.Error("the flips do not test much")
	}
}

// A journal that became shorter has what is left. Where it is cut between two lines nobody can tell it from an earlier
// state of the same journal; a line that is cut is noticed.
func TestTruncated(t *testing.T) {
	f := written(t, ascii(60), nil)
	dice := rand.New(rand.NewPCG(3, 4))
	for range count(10000) {
		cut := dice.IntN(len(f.data))
		o, err := openBytes(f.data[:cut])
		var format *journal.FormatError
		if cut < int(f.places[0].Offset) {
			if !errors.As(err, &format) {
				t.Errorf("cut at %d, in the header: %v", cut, err)
			}
			continue
		}
		if err == nil {
			err = f.keeps(o.entries, cut, len(f.data))
		}
		between := f.data[cut-1] == '\n'
		if err != nil || between == (o.rec.Torn > 0 || o.rec.Ended) {
			t.Errorf("cut at %d: %v, %+v", cut, err, o.rec)
		}
	}
}

// A block of zeros costs the lines that it touches.
func TestZeroedBlocks(t *testing.T) {
	f := written(t, ascii(600), nil)
	dice := rand.New(rand.NewPCG(5, 6))
	header := int(f.places[0].Offset)
	for range count(1000) {
		from := header + dice.IntN(len(f.data)-header)
		if dice.IntN(2) == 0 {
			from = max(header, from/4096*4096)
		}
		to := min(len(f.data), from+4096)
		data := bytes.Clone(f.data)
		clear(data[from:to])
		o, err := openBytes(data)
		if err == nil {
			err = f.keeps(o.entries, from, to)
		}
		if err != nil || o.rec.OK() || len(o.rec.Warnings()) == 0 {
			t.Errorf("zeros from %d to %d: %v, %+v", from, to, err, o.rec)
		}
		if err := quarantined(o.disk, data, o.rec); err != nil {
			t.Errorf("zeros from %d to %d: %v", from, to, err)
		}
	}
}

// quarantined returns why the quarantine does not hold what is damaged, each byte once.
func quarantined(d *faultfs.Disk, data []byte, rec journal.Recovery) error {
	held := make([]int, len(data)) // 0: not there
	copied := int64(0)
	_, qrec, err := journal.Read("journal.quarantine", journal.Options{FS: d}, func(e journal.Entry, _ journal.Place) error {
		var p struct {
			Offset, Length int
			Bytes          string
		}
		if err := json.Unmarshal(e.Body, &p); err != nil {
			return err
		}
		b, err := base64.StdEncoding.DecodeString(p.Bytes)
		if err != nil || len(b) != p.Length {
			return fmt.Errorf("%d bytes of %d: %w", len(b), p.Length, err)
		}
		for i, c := range b {
			if held[p.Offset+i] != 0 {
				return fmt.Errorf("byte %d is there twice", p.Offset+i)
			}
			held[p.Offset+i] = 1 + int(c)
			copied++
		}
		return nil
	})
	if err != nil || !qrec.OK() {
		return fmt.Errorf("%w, %+v", err, qrec)
	}
	if copied != rec.Copied {
		return fmt.Errorf("%d bytes are there and %d were copied", copied, rec.Copied)
	}
	for _, damage := range rec.Damaged {
		for i := damage.Offset; i < damage.Offset+damage.Length; i++ {
			if held[i] != 1+int(data[i]) {
				return fmt.Errorf("byte %d is %d there, and %d in the journal", i, held[i]-1, data[i])
			}
		}
	}
	return nil
}

// An unfinished line is copied if it is more than the beginning of one of ours.
func TestWhichUnfinishedLinesAreCopied(t *testing.T) {
	f := written(t, ascii(3), nil)
	for tail, copied := range map[string]bool{
		`{`: false, `{"crc":"01`: false, `{"crc":"0123abcd","kind":"record","key":"ж","body":{"crc`: false,
		"\x00\x00": true, `x`: true, `{"crc":"01G`: true, `{"crc":"0123abcd","king`: true, `{"crc":"0123abcd","kind":"record","key":"` + "\x00": true,
		`{"crc":"0123abcd","kind":"record","key":"{"crc":"0123abcd"`: true,
	} {
		o, err := openBytes(append(bytes.Clone(f.data), tail...))
		if err != nil || o.rec.Torn != int64(len(tail)) || (o.rec.Copied == o.rec.Torn) != copied || (o.rec.Copied != 0) != copied {
			t.Errorf("%q: %v, %+v, want a copy: %v", tail, err, o.rec, copied)
		}
	}
}

// At one place different bytes can be torn one after the other. The quarantine may have been torn itself.
func TestQuarantineOfTheSamePlace(t *testing.T) {
	f := written(t, ascii(3), nil)
	d := faultfs.NewDisk(".")
	for i, tail := range []string{"\x00one", "\x00two", "\x00one", "\x00six"} {
		d.WriteFile("journal", append(bytes.Clone(f.data), tail...))
		if i == 3 {
			q, err := d.ReadFile("journal.quarantine")
			if err != nil {
				t.Fatal(err)
			}
			d.WriteFile("journal.quarantine", q[:len(q)-10]) // loses "two"
		}
		j, _, rec, err := journal.Open("journal", journal.Options{FS: d}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if want := []int64{4, 4, 0, 4}[i]; rec.Copied != want || rec.Torn != 4 {
			t.Errorf("%q: %+v, want %d bytes copied", tail, rec, want)
		}
	}
	_, rec, err := journal.Read("journal.quarantine", journal.Options{FS: d}, nil)
	if err != nil || !rec.OK() || rec.Torn != 0 || rec.Entries != 2 {
		t.Errorf("%+v, %v", rec, err)
	}
}

// Entry trusts neither its caller nor the disk.
func TestEntryThatIsNone(t *testing.T) {
	f := written(t, ascii(5), nil)
	d := faultfs.NewDisk(".")
	d.WriteFile("journal", f.data)
	j, _, _, err := journal.Open("journal", journal.Options{FS: d}, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := f.places[2]
	end := int64(len(f.data))
	for _, p := range []journal.Place{
		{}, {Offset: -1, Length: good.Length}, {Offset: good.Offset, Length: -1}, {Offset: good.Offset, Length: good.Length + 1},
		{Offset: good.Offset + 1, Length: good.Length}, {Offset: end - 10, Length: 100}, {Offset: 1 << 62, Length: 100}, {Offset: 0, Length: 1<<31 - 1},
		{Offset: 0, Length: int32(f.places[0].Offset) - 1}, // the header
	} {
		var format *journal.FormatError
		if e, err := j.Entry(p); !errors.As(err, &format) || format.Path != "journal" {
			t.Errorf("%+v: %q, %v", p, e, err)
		}
	}
	file, err := d.OpenFile("journal", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{'!'}, good.Offset+50); err != nil {
		t.Fatal(err)
	}
	var format *journal.FormatError
	if e, err := j.Entry(good); !errors.As(err, &format) || format.Offset != good.Offset {
		t.Errorf("damaged meanwhile: %q, %v", e, err)
	}
	if err := file.Truncate(good.Offset + 60); err != nil {
		t.Fatal(err)
	}
	if e, err := j.Entry(good); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off meanwhile: %q, %v", e, err)
	}
}

// Damage that grows is copied as far as it is new, also where it is longer than one piece of the quarantine.
func TestQuarantineGrows(t *testing.T) {
	long := []journal.Entry{{Kind: "record", Key: "long", Body: []byte(`"` + strings.Repeat("a", 3<<19) + `"`)}}
	f := written(t, append(ascii(10), long...), ascii(10))
	d := faultfs.NewDisk(".")
	data := bytes.Clone(f.data)
	total := int64(0)
	for i, n := range []int{4, 10, 5, 11, 3, 12} {
		data[f.places[n].Offset+20] ^= 1
		d.WriteFile("journal", data)
		j, _, rec, err := journal.Open("journal", journal.Options{FS: d}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if want := int64(f.places[n].Length) + 1; rec.Copied != want {
			t.Errorf("damage %d: %d bytes copied, want %d: %+v", i, rec.Copied, want, rec)
		}
		total += rec.Copied
		rec.Copied = total
		if err := quarantined(d, data, rec); err != nil {
			t.Errorf("damage %d: %v", i, err)
		}
	}
}

// A body may hold what looks like a line, of any journal: it is none.
func TestBodyThatLooksLikeALine(t *testing.T) {
	inner := written(t, ascii(3), nil)
	line := inner.data[inner.places[1].Offset : inner.end(1)-1]
	entries := ascii(3)
	entries[1].Body = append(append([]byte(`{"a":`), line...), '}')
	entries[2].Body = line
	f := written(t, entries, nil)
	for at := int(f.places[1].Offset); at < len(f.data); at++ {
		data := bytes.Clone(f.data)
		data[at] ^= 0x10
		o, err := openBytes(data)
		if err == nil {
			err = f.keeps(o.entries, at, at+1)
		}
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

// What is too long for a line is passed over piece by piece, and lines go on behind it, also where one begins just at the end
// of what was read at once.
func TestTooLongForALine(t *testing.T) {
	f := written(t, ascii(2), nil)
	path := filepath.Join(t.TempDir(), "journal")
	for _, n := range []int{journal.MaxLine + 1<<20 - 3, 2*journal.MaxLine + 12345} {
		data := append(bytes.Clone(f.data[:f.end(0)]), make([]byte, n)...)
		data = append(data, f.data[f.end(0):]...)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		var c collector
		_, rec, err := journal.Read(path, journal.Options{}, c.add)
		if err != nil {
			t.Fatal(err)
		}
		if err := missing(c.entries, f.entries, 2); err != nil || len(rec.Damaged) != 1 || rec.Damaged[0].Length != int64(n) {
			t.Errorf("%d zeros: %v, %+v", n, err, rec)
		}
	}
}

// Lines that end where a read ends.
func TestLineAtTheEndOfARead(t *testing.T) {
	before := written(t, nil, []journal.Entry{{Kind: "record", Key: "0", Body: []byte(`""`)}})
	for n := 1<<20 - 2; n <= 1<<20+2; n++ {
		body := `"` + strings.Repeat("x", n-len(before.data)) + `"`
		f := written(t, []journal.Entry{{Kind: "record", Key: "0", Body: []byte(body)}}, ascii(3))
		if f.end(0) != n {
			t.Fatal(f.end(0), n)
		}
		o, err := openBytes(f.data)
		if err == nil {
			err = missing(o.entries, f.entries, 4)
		}
		if err != nil || !o.rec.OK() {
			t.Errorf("line that ends at byte %d: %v, %+v", n, err, o.rec)
		}
	}
}

// A file that ends before it should is not taken for a shorter one, except beside a writer, who may cut off what it could not write.
func TestFileThatEndsEarly(t *testing.T) {
	f := written(t, ascii(20), nil)
	d := faultfs.NewDisk(".")
	data := f.data[:f.end(9)+5]
	d.WriteFile("journal", data)
	o := journal.Options{FS: boastful{d}}
	_, _, _, err := journal.Open("journal", o, nil)
	if after, readErr := d.ReadFile("journal"); !errors.Is(err, io.ErrUnexpectedEOF) || readErr != nil || !bytes.Equal(after, data) {
		t.Errorf("%v; %d bytes of %d are left", err, len(after), len(data))
	}
	var c collector
	_, rec, err := journal.Read("journal", o, c.add)
	if err == nil {
		err = missing(c.entries, f.entries[:10], 10)
	}
	if err != nil || rec.Torn != 5 {
		t.Errorf("beside a writer: %v, %+v", err, rec)
	}
}

// boastful says that files are longer than they are.
type boastful struct{ faultfs.FS }

func (b boastful) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := b.FS.OpenFile(name, flag, perm)
	return boastfulFile{f}, err
}

type boastfulFile struct{ faultfs.File }

func (f boastfulFile) Size() (int64, error) {
	n, err := f.File.Size()
	return n + 1000, err
}

func TestDamagedHeader(t *testing.T) {
	f := written(t, ascii(2), nil)
	newer := bytes.Replace(f.data, []byte(`"key":"1-`), []byte(`"key":"2-`), 1)
	for name, data := range map[string][]byte{
		"empty": nil, "half": f.data[:20], "without its end": f.data[:f.places[0].Offset-1], "not one": []byte("\x89PNG\r\n\x1a\nwhatever\n"),
		"zeros": make([]byte, 5000), "another version": newer, "a line": f.data[f.places[0].Offset:],
	} {
		o, err := openBytes(data)
		var format *journal.FormatError
		if !errors.As(err, &format) || format.Path != "journal" || len(o.entries) != 0 {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := o.disk.ReadFile("journal"); err != nil || !bytes.Equal(after, data) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}
