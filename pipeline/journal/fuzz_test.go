package journal_test

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"testing"

	"facet/internal/faultfs"
	"facet/pipeline/journal"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summed gives a line that begins like ours its checksum, for a journal whose sums begin at 0.
func summed(line string) []byte {
	const start = len(`{"crc":"`)
	b := []byte(line)
	if len(b) >= start+10 && bytes.HasPrefix(b, []byte(`{"crc":"`)) {
		hex := strconv.FormatUint(uint64(crc32.Checksum(b[start+10:], castagnoli)), 16)
		copy(b[start:start+8], "00000000")
		copy(b[start+8-len(hex):], hex)
	}
	return b
}

const plainHeader = `{"crc":"00000000","kind":"journal","key":"1-00000000","body":{}}`

// Lines with the right checksum that are none all the same.
func TestForeignLines(t *testing.T) {
	for _, line := range []string{
		`{"crc":"00000000","kind":"record","key":"a","body":{}]`,
		`{"crc":"00000000","kind":"record","key":"a","body":{}} `,
		`{"crc":"00000000","kind":"record","key":"a","bodies":1}`,
		`{"crc":"00000000","kind":"record","key":"a"}           `,
		`{"crc":"00000000","kind":"record","key":"a\n","body":1}`,
		`{"crc":"00000000","kind":"record","key":"\u00zz","body":1}`,
		`{"crc":"00000000","kind":"record","key":"\u00","body":1}`,
		`{"crc":"00000000","kind":"record","key":"a\","body":1}`,
		`{"crc":"00000000","kind":"record","key":"a`,
		`{"crc":"00000000","king":"record","key":"a","body":1}`,
		`{"crc":"00000000" "kind":"record","key":"a","body":1}`,
		`{"crc":"00000000"}`,
		``,
	} {
		good := `{"crc":"00000000","kind":"record","key":"\"","body":1}`
		data := bytes.Join([][]byte{summed(plainHeader), summed(line), summed(good), nil}, []byte("\n"))
		o, err := openBytes(data)
		if err != nil || len(o.entries) != 1 || o.entries[0].Key != `"` || len(o.rec.Damaged) != 1 || o.rec.Damaged[0].Length != int64(len(line))+1 {
			t.Errorf("%s: %v, %+v, %q", line, err, o.rec, o.entries)
		}
	}
}

// FuzzOpen reads foreign lines behind a good header. Lines that look like ours get the right checksum, so that what stands
// behind it is reached.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"crc":"00000000","kind":"record","key":"a","body":{"a":1}}` + "\n"))
	f.Add([]byte(`{"crc":"00000000","kind":"record","key":"\"\\\u0000\udc80","body":[]}`))
	f.Add([]byte(`x{"crc":"00000000","kind":"record","key":"a","body":{"crc":"00000000","kind":"` + "\x00\n\n}}"))
	f.Add([]byte(`{"crc":"00000000","kind":"r`))
	f.Fuzz(func(t *testing.T, text []byte) {
		data := append(summed(plainHeader), '\n')
		for line := range bytes.Lines(text) {
			inside, ended := bytes.CutSuffix(line, []byte("\n"))
			if data = append(data, summed(string(inside))...); ended {
				data = append(data, '\n')
			}
		}
		d := faultfs.NewDisk(".")
		d.WriteFile("journal", data)
		var seen, again collector
		_, before, err := journal.Read("journal", journal.Options{FS: d}, seen.add)
		if err != nil {
			t.Fatal(err) // nothing behind the header is one
		}
		j, _, rec, err := journal.Open("journal", journal.Options{FS: d}, again.add)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.entries) != len(again.entries) || before.Torn != rec.Torn || len(before.Damaged) != len(rec.Damaged) {
			t.Fatalf("read: %+v, opened: %+v", before, rec)
		}
		for i, p := range again.places {
			if e, err := j.Entry(p); err != nil || !same(e, again.entries[i]) {
				t.Fatalf("entry %d at %v: %q, %v, want %q", i, p, e, err, again.entries[i])
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		var third collector
		_, after, err := journal.Read("journal", journal.Options{FS: d}, third.add)
		if err != nil || after.Torn != 0 || after.Ended || len(third.entries) != len(again.entries) || len(after.Damaged) != len(rec.Damaged) {
			t.Fatalf("opened: %+v, then: %+v, %v", rec, after, err)
		}
	})
}
