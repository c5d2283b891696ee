package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// entryOf is a member of an archive that a test makes.
type entryOf struct {
	name, content string
	kind          byte // of tar; 0: a file
	target        string
}

func tarOf(t testing.TB, entries ...entryOf) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.target, Size: int64(len(e.content)), Mode: 0o644, ModTime: time.Unix(1e9, 0)}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, entries ...entryOf) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: time.Unix(1e9, 0)}
		switch e.kind {
		case tar.TypeSymlink:
			h.SetMode(os.ModeSymlink | 0o777)
			e.content = e.target
		case tar.TypeFifo:
			h.SetMode(os.ModeNamedPipe | 0o666)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.content); err != nil && e.kind != tar.TypeDir {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// bzip2Of is the archive of one member "a.png" that holds "bytes", by bzip2, which Go only reads.
const bzip2Of = "QlpoOTFBWSZTWTiAAUIAAG37gMmAAAJAAUcAAAhygV4gCAggAFQyKZBo0yYmNBJKaaGmEYmgfVgZIQYzSETZIRiexSMNECGBitHCcwRNSF5h6jkDlErsl8WjjNmy0SSBoXckU4UJA4gAFCA="

var mixed = []entryOf{
	{name: "./pages/", kind: tar.TypeDir},
	{name: "./pages/b.png", content: "bytes of b"},
	{name: "notes.txt", content: "not one"},
	{name: "pages/scan", content: "\x89PNG\r\n\x1a\n by content"},
	{name: ".hidden/c.png"},
	{name: "__MACOSX/pages/._b.png"},
	{name: "inner.zip", content: "PK\x03\x04"},
	{name: "pages/a.png", content: "bytes of a"},
	{name: "pages/b.png", content: "once more"},
	{name: "/etc/abs.png", content: "x"},
	{name: "../up.png", content: "x"},
	{name: "pages/../in.png", content: "x"},
	{name: "link.png", kind: tar.TypeSymlink, target: "/etc/passwd"},
	{name: "pipe.png", kind: tar.TypeFifo},
	{name: "empty.png"},
}

func TestArchives(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	plain := tarOf(t, mixed...)
	for name, data := range map[string][]byte{
		"a.tar": plain, "a.tar.gz": gzipOf(t, plain), "A.TGZ": gzipOf(t, plain), "a.tar.zst": zstdOf(t, plain), "a.zip": zipOf(t, mixed...),
		"falsely.tar": gzipOf(t, plain),
	} {
		t.Run(name, func(t *testing.T) {
			put(t, dir, name, string(data))
			s := open(t, images, name, "after.png")
			if s.Len() != 2 {
				t.Errorf("Len %d before reading, want 2", s.Len())
			}
			want := []string{
				"pages/b.png", "pages/scan", "pages/a.png",
				"etc/abs.png: its name in the archive is an absolute path",
				"../up.png: its name leads out of the archive",
				"in.png: its name leads out of the archive",
				"link.png: a link in an archive, which is not followed",
				"pipe.png: not a regular file",
				"empty.png",
			}
			for i, w := range want {
				want[i] = name + "/" + w
			}
			for range 2 { // the second way changes no count
				expect(t, s, append(want, "after.png")...)
				if s.Skipped() != 4 {
					t.Errorf("%d skipped, want 4", s.Skipped())
				}
				if diff := cmp.Diff([]string{name + "/pages/b.png: named twice"}, s.Warnings()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
			if s.Folder() != "" {
				t.Errorf("folder %q", s.Folder())
			}
			if got := open(t, images, name).Folder(); got != name {
				t.Errorf("folder %q", got)
			}
		})
	}
}

func bytesOf(t *testing.T, i Item) string {
	t.Helper()
	taken, err := i.Take(t.Context())
	if err != nil {
		return err.Error()
	}
	defer taken.Release()
	defer taken.Release()
	return read(t, taken.File)
}

func TestTake(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	spools := t.TempDir()
	t.Setenv("TMPDIR", spools)
	entries := []entryOf{{name: "a.png", content: "bytes of a"}, {name: "x.txt"}, {name: "b.png", content: strings.Repeat("b", 1<<20)}, {name: "c.png"}}
	compressed, err := base64.StdEncoding.DecodeString(bzip2Of)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"a.tar": tarOf(t, entries...), "a.tar.gz": gzipOf(t, tarOf(t, entries...)), "a.tar.zst": zstdOf(t, tarOf(t, entries...)),
		"a.zip": zipOf(t, entries...), "one.tar.bz2": compressed,
	} {
		want := []string{"bytes of a", strings.Repeat("b", 1<<20), ""}
		if name == "one.tar.bz2" {
			want = []string{"bytes"}
		}
		put(t, dir, name, string(data))
		s := open(t, images, name)
		var items []Item
		var got, again, late []string
		for item, err := range s.All(t.Context()) {
			if err != nil {
				t.Fatal(name, err)
			}
			// All members have one time, so that of the archive is in theirs.
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if item.Stat.ModTime != 1e18^info.ModTime().UnixNano() && name != "one.tar.bz2" {
				t.Errorf("%s: stat %+v", name, item.Stat)
			}
			items = append(items, item)
			got = append(got, bytesOf(t, item))
			again = append(again, bytesOf(t, item))
		}
		for _, i := range slices.Backward(items) { // not at hand any more
			late = append(late, bytesOf(t, i))
		}
		slices.Reverse(late)
		for _, i := range items {
			r, err := Reopen(t.Context(), i.Path)
			if err != nil || r.Path != i.Path || read(t, r.File) != want[0] {
				t.Errorf("%s: reopened %+v, %v", name, r, err)
			}
			r.Release()
			want = append(want[1:], want[0])
		}
		for _, g := range [][]string{got, again, late} {
			if diff := cmp.Diff(want, g); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := items[0].Take(t.Context()); err == nil {
			t.Errorf("%s: taken after Close", name)
		}
	}
	if left, err := os.ReadDir(spools); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if r, err := Reopen(t.Context(), "a.tar/nowhere.png"); err == nil || err.Error() != "the archive has no such member" {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := Reopen(t.Context(), "any.png"); err != nil || r.File != "any.png" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// Members named one by one, as errors.jsonl names them, are found on one way through the archive.
func TestMembersByName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "a.tar", string(tarOf(t, entryOf{name: "./b.png", content: "b"}, entryOf{name: "c.png", content: "c"})))
	put(t, dir, "errors.jsonl", `{"path":"a.tar/c.png","error":"x"}
{"path":"a.tar/b.png","budget":70,"error":"x"}
{"path":"a.tar/d.png","error":"x"}
`)
	s := open(t, images, "errors.jsonl", "a.tar")
	var got []string
	for item, err := range s.All(t.Context()) {
		got = append(got, fmt.Sprint(item.Path, " ", item.Options != nil, " ", bytesOf(t, item), " ", err))
	}
	want := []string{
		"a.tar/c.png false c <nil>",
		"a.tar/b.png true b <nil>",
		"a.tar/d.png false the archive has no such member <nil>",
		"a.tar/b.png false b <nil>", // c is in the list
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	put(t, dir, "errors.jsonl", `{"path":"a.tar/b.png"}
{"path":"a.tar/c.png"}
`)
	s = open(t, images, "errors.jsonl")
	var first *archive
	for item := range s.All(t.Context()) {
		bytesOf(t, item)
		if first == nil {
			first = s.cursor.a
		}
	}
	if first == nil || s.cursor.a != first {
		t.Error("the archive was opened again for a member that comes later in it")
	}
}

// A name that leads out of its archive is not that of the file it leads to.
func TestNameOfAnother(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "up.png", "")
	put(t, dir, "a.tar", string(tarOf(t, entryOf{name: "../up.png"})))
	expect(t, open(t, images, "up.png", "a.tar"), "up.png", "a.tar/../up.png: its name leads out of the archive")
}

func TestDamagedArchives(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var entries []entryOf
	for i := range 20 {
		noise := make([]byte, 2000)
		for j := range noise {
			noise[j] = byte(i*j ^ j>>3)
		}
		entries = append(entries, entryOf{name: fmt.Sprintf("%02d.png", i), content: string(noise)})
	}
	plain := tarOf(t, entries...)
	packed := gzipOf(t, plain)
	broken := slices.Clone(packed)
	broken[len(broken)-6] ^= 1 // of the checksum
	flipped := slices.Clone(plain)
	flipped[(2048+512)*10] ^= 1 // a header
	zipped := zipOf(t, entries...)
	content := slices.Clone(zipped)
	content[60] ^= 0xff // of the first member
	flag := slices.Clone(zipped)
	flag[bytes.Index(flag, []byte("PK\x01\x02"))+8] |= 1
	method := slices.Clone(zipped)
	method[bytes.Index(method, []byte("PK\x01\x02"))+10] = 14
	for _, c := range []struct {
		name string
		data []byte
		n    int    // good items
		want string // the error, or the taking of the first
	}{
		{"cut.tar", plain[:(2048+512)*7+100], 7, `cut.tar: damaged at byte 18020, after member 7, "06.png": it ends too early`},
		{"cut.tar.gz", packed[:len(packed)/2], -1, `: it ends too early`},
		{"sum.tar.gz", broken, 20, `after member 20, "19.png": gzip: invalid checksum`},
		{"flip.tar", flipped, 10, `flip.tar: damaged at byte 26112, after member 10, "09.png": archive/tar: invalid tar header`},
		{"no.tar", []byte(strings.Repeat("no tar ", 1000)), 0, `no.tar: damaged at byte 512, before its first member: archive/tar: invalid tar header`},
		{"empty.tar", nil, 0, `empty.tar: the file is empty`},
		{"none.tar", tarOf(t, entryOf{name: "a.txt"}), 0, `none.tar: no images in this archive, one other file`},
		{"short.tar.gz", []byte("\x1f\x8b"), 0, `short.tar.gz: not a packed tar archive: unexpected EOF`},
		{"cut.zip", zipped[:len(zipped)-30], 0, `cut.zip: damaged, or no zip archive: the directory at its end cannot be read`},
		{"none.zip", zipOf(t), 0, `none.zip: no images in this archive`},
		{"content.zip", content, 20, ``},
		{"secret.zip", flag, 19, `secret.zip/00.png: encrypted in its zip archive`},
		{"lzma.zip", method, 20, ``},
		{"a.rar", []byte("Rar!"), 0, `a.rar: archives of this kind are not read: .tar, .tar.gz, .tar.bz2, .tar.zst and .zip are`},
	} {
		put(t, dir, c.name, string(c.data))
		good, bad, last := 0, 0, ""
		s := open(t, images, c.name)
		for item, err := range s.All(t.Context()) {
			if err != nil {
				bad++
				last = item.Path + ": " + err.Error()
				continue
			}
			got := bytesOf(t, item)
			switch {
			case c.name == "content.zip" && good == 0:
				if !strings.Contains(got, "flate: corrupt input") && !strings.Contains(got, "checksum") {
					t.Errorf("%s: got %.100q", c.name, got)
				}
			case c.name == "lzma.zip" && good == 0:
				if got != "compression method 14 of zip archives is not read" {
					t.Errorf("%s: got %.100q", c.name, got)
				}
			case c.name == "cut.tar" && good == 7 || c.name == "cut.tar.gz" && strings.HasPrefix(got, "cut short after "):
				good-- // the one that the cut goes through
			case !slices.ContainsFunc(entries, func(e entryOf) bool { return strings.HasSuffix(item.Path, e.name) && e.content == got }):
				t.Errorf("%s: %s: got %.100q", c.name, item.Path, got)
			}
			good++
		}
		wantBad := min(len(c.want), 1)
		if bad != wantBad || !strings.HasSuffix(last, c.want) || c.n >= 0 && good != c.n || c.n < 0 && (good == 0 || good >= 20) {
			t.Errorf("%s: %d good, %d errors: %s\nwant %d: %s", c.name, good, bad, last, c.n, c.want)
		}
	}
}

// A bomb ends soon, and what stands before it is given.
func TestBombs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	zeros := strings.Repeat("\x00", 3<<20)
	page := entryOf{name: "a.png", content: "a"}
	var many []entryOf
	for i := range 50 {
		many = append(many, entryOf{name: fmt.Sprint(i, ".png")})
	}
	var big []entryOf
	for i := range 10 {
		big = append(big, entryOf{name: fmt.Sprint(i, ".png"), content: zeros[:1<<20]})
	}
	long := entryOf{name: strings.Repeat("n/", 3000) + "b.png"}
	o := images
	o.Limits = Limits{Members: 40, MemberBytes: 2 << 20, Bytes: 8 << 20}
	for _, c := range []struct {
		name    string
		entries []entryOf
		items   int
		want    []string
	}{
		{"many", many, 40, []string{"more than 40 members"}},
		{"large", []entryOf{page, {name: "b.png", content: zeros}, page}, 1, []string{"3145728 bytes unpacked, more than the limit of 2097152"}},
		{"all", append([]entryOf{page}, big...), -1, []string{"more than 8388608 bytes unpacked"}},
		{"hidden", []entryOf{page, {name: "b.txt", content: zeros}, {name: "c.txt", content: zeros}, {name: "d.txt", content: zeros}}, -1, []string{"more than 8388608 bytes unpacked"}},
		{"names", []entryOf{page, long}, 1, nil},
	} {
		for ending, data := range map[string][]byte{
			".tar.gz": gzipOf(t, tarOf(t, c.entries...)), ".tar.zst": zstdOf(t, tarOf(t, c.entries...)), ".zip": zipOf(t, c.entries...),
		} {
			name := c.name + ending
			put(t, dir, name, string(data))
			var errs []string
			good := 0
			s := open(t, o, name)
			for item, err := range s.All(t.Context()) {
				if err == nil {
					if taken, e := item.Take(t.Context()); e != nil {
						err = e
					} else {
						good++
						taken.Release()
					}
				}
				if err != nil {
					errs = append(errs, err.Error())
				}
			}
			if c.name == "hidden" && ending == ".zip" && good == 1 {
				continue // whose other members are never unpacked
			}
			if len(errs) < len(c.want) || c.want == nil && len(errs) > 0 || c.want != nil && !strings.Contains(errs[0], c.want[0]) || c.items >= 0 && good != c.items || good == 0 {
				t.Errorf("%s: %d good, errors %q, want %q", name, good, errs, c.want)
			}
			if c.name == "names" && len(s.Warnings()) != 1 {
				t.Errorf("%s: warnings %q", name, s.Warnings())
			}
		}
	}
}

// The ratio counts from some size on: a gigabyte of zeros in a megabyte is found out after a quarter of it.
func TestRatio(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 30
	tw := tar.NewWriter(w)
	for _, h := range []*tar.Header{{Name: "a.png", Size: 1, Mode: 0o600}, {Name: "b.txt", Size: size, Mode: 0o600}} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		zeros := make([]byte, min(h.Size, 1<<20))
		for n := int64(0); n < h.Size; n += int64(len(zeros)) {
			if _, err := tw.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := put(t, dir, "a.tar.zst", b.String())
	s := open(t, images, path)
	got := told(t, s)
	if len(got) != 2 || !strings.HasSuffix(got[1], "unpacks to more than 100 times its size") {
		t.Errorf("got %q", got)
	}
}

// A directory of a zip archive that claims nothing and holds much is not read to its end.
func TestZipDirectory(t *testing.T) {
	dir := t.TempDir()
	var many []entryOf
	for i := range 20_000 {
		many = append(many, entryOf{name: fmt.Sprintf("%0100d.png", i)})
	}
	o := images
	o.Limits.Members = 10
	path := put(t, dir, "a.zip", string(zipOf(t, many...)))
	if got := told(t, open(t, o, path)); len(got) != 1 || !strings.HasSuffix(got[0], "a.zip: its directory is too large") {
		t.Errorf("got %.300q", got)
	}
}

// Names in zip archives of DOS are code page 437; others are what they say.
func TestZipNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range []*zip.FileHeader{{Name: "Stra\xe1e.png", NonUTF8: true}, {Name: "Größe.png"}, {Name: `dir\x.png`, NonUTF8: true}} {
		if _, err := w.CreateHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.zip", b.String())
	expect(t, open(t, images, "a.zip"), "a.zip/Straße.png", "a.zip/Größe.png", "a.zip/dir/x.png")
}

func TestArchiveFilters(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "a.tar", string(tarOf(t,
		entryOf{name: "new/a.png"}, entryOf{name: "new/b.gif"}, entryOf{name: "drafts/deep/c.png"}, entryOf{name: "d.png"},
	)))
	o := images
	o.Include, o.Exclude = []string{"*.png"}, []string{"drafts"}
	expect(t, open(t, o, "a.tar"), "a.tar/new/a.png", "a.tar/d.png")
	// In a folder an archive is a file like any other.
	put(t, dir, "a.png", "")
	if s := open(t, images, dir); s.Len() != 1 || s.Skipped() != 1 {
		t.Errorf("%d items, %d skipped", s.Len(), s.Skipped())
	}
}

func TestSpoolIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions")
	}
	path := put(t, t.TempDir(), "a.tar", string(tarOf(t, entryOf{name: "a.png", content: "a"})))
	for item := range open(t, images, path).All(t.Context()) {
		taken, err := item.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{taken.File: 0o600, filepath.Dir(taken.File): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
		taken.Release()
		if _, err := os.Stat(taken.File); !os.IsNotExist(err) {
			t.Errorf("released and still there: %v", err)
		}
	}
}
