package journal_test

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"testing"

	"facet/internal/faultfs"
	"facet/pipeline/journal"
)

// FuzzOpen reads foreign lines behind a good header. Lines that look like ours get the right checksum, so that what stands
// behind it is reached.
func FuzzOpen(f *testing.F) {
	const header = `{"crc":"6a9f2c1b","kind":"journal","key":"1-00000000","body":{}}`
	table := crc32.MakeTable(crc32.Castagnoli)
	summed := func(line []byte) []byte {
		const start = len(`{"crc":"`)
		line = bytes.Clone(line)
		if len(line) >= start+10 && bytes.HasPrefix(line, []byte(`{"crc":"`)) {
			hex := strconv.FormatUint(uint64(crc32.Checksum(line[start+10:], table)), 16)
			copy(line[start:start+8], "00000000")
			copy(line[start+8-len(hex):], hex)
		}
		return line
	}
	f.Add([]byte(`{"crc":"00000000","kind":"record","key":"a","body":{"a":1}}` + "\n"))
	f.Add([]byte(`{"crc":"00000000","kind":"record","key":"\"\\\u0000\udc80","body":[]}`))
	f.Add([]byte(`x{"crc":"00000000","kind":"record","key":"a","body":{"crc":"00000000","kind":"` + "\x00\n\n}}"))
	f.Add([]byte(`{"crc":"00000000","kind":"r`))
	f.Fuzz(func(t *testing.T, text []byte) {
		data := append(summed([]byte(header)), '\n')
		for line := range bytes.Lines(text) {
			end := line[len(bytes.TrimSuffix(line, []byte("\n"))):]
			data = append(append(data, summed(line[:len(line)-len(end)])...), end...)
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
