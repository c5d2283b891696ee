package source

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzCSV: whatever a .csv holds is entries with a path or an error.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"path\na.png\n", "path,budget\n\"a\"\"b\",70\r\n", "path,page,subtitles\na,1,true\n", "\xef\xbb\xbfpath\n\"", "path;x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		last := 0
		err := readCSV(bytes.NewReader(data), func(line int, _ int64, p parsed) {
			if p.Path == "" || p.data != "" || line <= last {
				t.Errorf("line %d after %d: %+v", line, last, p)
			}
			last = line
		})
		if err != nil && err.Error() == "" {
			t.Error("an error without a word")
		}
	})
}

// FuzzLine: whatever a line holds is one input, a path or data that begins well, or an error.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		`{"path": "a.png", "page": 2, "budget": 70}`,
		request("x", `[{"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}}, {"type": "text", "text": "Read."}]`, `, "max_tokens": 5`),
		request("x", `[{"type": "image_url", "image_url": {"url": "file:///a%20b", "detail": "low"}}]`, ``),
		request("x", `[{"type": "input_audio", "input_audio": {"data": "YQ", "format": "wav"}}]`, ``),
		`{"body": null}`, `{"custom_id": "x", "body": {"messages": [[]]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := rawLine{text: data}
		p, err := l.parse()
		if err != nil {
			return
		}
		if (p.Path == "") == (p.data == "") || strings.Contains(p.Path, "\x00") || p.MaxTokens < 0 {
			t.Errorf("%q: %+v", data, p)
		}
		if p.data != "" {
			path := inlinePath("m.jsonl", 7, p.data)
			if filepath.ToSlash(filepath.Dir(path)) != "m.jsonl" {
				t.Errorf("%q: %q", data, path)
			}
			var b bytes.Buffer
			if err := writeData(t.Context(), p.data, &b); err == nil && b.Len() > len(p.data) {
				t.Errorf("%d bytes of %d", b.Len(), len(p.data))
			}
		}
	})
}

// FuzzArchive: an archive is listed within its limits, each path below it.
func FuzzArchive(f *testing.F) {
	entries := []entryOf{{name: "a.png", content: "aa"}, {name: "d/", kind: tar.TypeDir}, {name: "../x.png"}, {name: "l.png", kind: tar.TypeSymlink, target: "/"}}
	f.Add(tarOf(f, entries...), false)
	f.Add(gzipOf(f, tarOf(f, entries...)), false)
	f.Add(zstdOf(f, tarOf(f, entries...)), false)
	f.Add(zipOf(f, entries...), true)
	f.Fuzz(func(t *testing.T, data []byte, zipped bool) {
		name := "a.tar"
		if zipped {
			name = "a.zip"
		}
		path := put(t, t.TempDir(), name, string(data))
		o := images
		o.Limits = Limits{Members: 100, MemberBytes: 1 << 20, Bytes: 4 << 20, PathBytes: 512}
		s, err := Open([]string{path}, o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n, ends := 0, 0
		for item, err := range s.All(t.Context()) {
			n++
			if item.Path == path {
				if ends++; err == nil {
					t.Error("the archive is an item of itself")
				}
				continue
			}
			if !strings.HasPrefix(item.Path, path+"/") || len(item.Path) > 512 {
				t.Errorf("path %q", item.Path)
			}
			if err != nil {
				continue
			}
			if strings.Contains(item.Path, "/../") {
				t.Errorf("path %q is not an error", item.Path)
			}
			taken, err := item.Take(t.Context())
			if err != nil {
				continue
			}
			b, err := ReadFile(taken.File, 1<<20)
			if err != nil && err != errEmpty {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			taken.Release()
		}
		if n == 0 || n > 101 || ends > 1 || s.Len() != n {
			t.Errorf("%d items, %d ends, Len %d", n, ends, s.Len())
		}
	})
}
