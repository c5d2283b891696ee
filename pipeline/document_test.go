//go:build unix

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/vision/pdf"
	"facet/vision/pdf/pdfium"
	"facet/vision/still"
	"facet/vision/still/decoder"
)

// TestMain is a decoder when package pdf or still starts it as one, and a run that is there to be killed
// or measured.
func TestMain(m *testing.M) {
	if args := os.Getenv("FACET_VICTIM"); args != "" {
		victim(args)
	}
	if args := os.Getenv("FACET_MEASURED"); args != "" {
		measured(args)
	}
	if len(os.Args) > 2 && slices.Equal(os.Args[1:3], still.Command[:]) {
		os.Exit(decoder.Main(os.Args[3:], os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == pdf.Command {
		os.Exit(pdfium.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// documents is a pipeline with a script that says how large the picture is that it sees.
func documents(t *testing.T, change func(*Settings)) *Pipeline {
	p := scripted(job.OCR, job.Options{Boxes: job.BoxesNone, Budget: 70}, &script{backward: true, say: func(q *question, _ int) (string, job.Finish) {
		return fmt.Sprint(len(q.images)), job.FinishStop
	}})
	p.Documents.Cache = fixtures.PDFCache()
	p.Stills = stills(t)
	if change != nil {
		change(&p.Settings)
	}
	return p
}

// numbered writes a document whose page n has n / 10 + 100 points in width, with ink on it.
func numbered(t *testing.T, dir, name string, pages int) string {
	t.Helper()
	var b bytes.Buffer
	var at []int
	object := func(format string, args ...any) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n"+format+"\nendobj\n", append([]any{len(at)}, args...)...)
	}
	b.WriteString("%PDF-1.4\n")
	object("<</Type/Catalog/Pages 2 0 R>>")
	kids := ""
	for i := range pages {
		kids += fmt.Sprintf("%d 0 R ", 4+i)
	}
	object("<</Type/Pages/Count %d/Kids[%s]>>", pages, kids)
	const ink = "10 10 40 20 re f"
	object("<</Length %d>>\nstream\n%s\nendstream", len(ink), ink)
	for i := range pages {
		object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 %.1f 50]/Contents 3 0 R>>", 100+float64(i+1)/10)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return put(t, dir, name, b.String())
}

// Documents among images: pages are items in their order, whatever is answered first, and a document that cannot be opened is one.
func TestDocuments(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	long, count := numbered(t, dir, "long.pdf", 450), 450
	if os.Getenv("FACET_FULL") != "" {
		long, count = numbered(t, dir, "long.pdf", 5000), 5000
	}
	broken := put(t, dir, "broken.pdf", "%PDF-1.4 and no more")
	text := put(t, dir, "text.pdf", "no document")
	numbers := func(path string, page int) source.Item {
		i := item(path, nil)
		i.Page = page
		return i
	}
	meant := item(fixtures.Path("pdf/two.pdf"), nil)
	meant.ID = "0123456789abcdef"
	in := []source.Item{
		item(page("00"), nil), item(long, nil), item(broken, nil), numbers(long, 7), numbers(long, count+1), item(text, nil),
		numbers(page("00"), 1), item(fixtures.Path("pdf/locked.pdf"), nil), meant,
	}
	var seen []int
	results, progress := collect(t, documents(t, func(s *Settings) {
		s.Progress = func(p Progress) { seen = append(seen, p.Inputs) }
	}), in)
	if want := count + 1 + 7 + 1; len(results) != want || progress.Inputs != want || progress.Done != want || progress.Failed != 7 {
		t.Fatalf("%d results, %+v", len(results), progress)
	}
	if !slices.IsSorted(seen) || seen[0] < len(in) {
		t.Errorf("inputs %v…", seen[:10])
	}
	for n, r := range results[1 : count+1] {
		n++
		if r.Err != nil {
			t.Fatalf("page %d: %v", n, r.Err)
		}
		s := r.Record.Source
		width := float64(1000+n) / 10
		if r.Item.Page != n || s.Page != n || s.Path != long || s.Type != "application/pdf" || r.Record.Effective.PagePoints != [2]float64{width, 50} ||
			r.Record.ID != fmt.Sprintf("%s.p%d", s.SHA256[:16], n) {
			t.Fatalf("page %d: %+v of %+v", n, r.Record, r.Item)
		}
	}
	rest := results[count+1:]
	for i, want := range []string{
		"the document is broken, or no PDF",
		"",
		fmt.Sprintf("there is no page %d: the document has %d", count+1, count),
		"the document is broken, or no PDF",
		"only PDF, TIFF and GIF files have pages here",
		"the document is encrypted: --password opens it",
		`the manifest means a file with id "0123456789abcdef", this one has 386021327bc59763`,
		`the manifest means a file with id "0123456789abcdef", this one has 386021327bc59763`,
	} {
		if got := fmt.Sprint(rest[i].Err); want == "" && rest[i].Err != nil || want != "" && got != want {
			t.Errorf("result %d of %+v: %v, want %q", i, rest[i].Item, got, want)
		}
	}
	if rest[1].Record.Source.Page != 7 {
		t.Errorf("%+v", rest[1].Record.Source)
	}
}

// A run that ends leaves no decoder behind, and what it did not reach is not an error.
func TestDocumentInterrupted(t *testing.T) {
	noLeak(t)
	long := numbered(t, t.TempDir(), "long.pdf", 300)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	emitted := 0
	progress, err := emitTo(ctx, documents(t, nil), items(long, long), func(r Result) error {
		if r.Err != nil || r.Item.Page != emitted+1 {
			t.Errorf("result %d: %+v, %v", emitted, r.Item, r.Err)
		}
		if emitted++; emitted == 20 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || emitted < 20 || progress.Failed > 0 || progress.Inputs != 301 {
		t.Errorf("%d emitted, %+v, %v", emitted, progress, err)
	}
}

func TestScale(t *testing.T) {
	a4 := pdf.Page{Width: 595.276, Height: 841.89}
	scan := a4
	scan.Picture = [2]int{2480, 3508}
	huge := pdf.Page{Width: 14400, Height: 14400, Picture: [2]int{60000, 60000}}
	strip := pdf.Page{Width: 3, Height: 14400}
	for _, c := range []struct {
		page        pdf.Page
		budget, dpi int
		want        scale
	}{
		{a4, 1120, 0, scale{1356, 1918, 164, 1120}},
		{a4, 280, 0, scale{678, 959, 82, 280}},
		{a4, 0, 0, scale{1356, 1918, 164, 1120}},
		{a4, 280, 200, scale{1654, 2339, 200, 280}},
		{scan, 280, 0, scale{2480, 3508, scan.DPI(2480, 3508), 280}},
		{scan, 0, 0, scale{2480, 3508, scan.DPI(2480, 3508), 0}}, // as a picture
		{scan, 0, 100, scale{827, 1169, 100, 0}},
		{huge, 70, 0, scale{401, 401, huge.Fit(70*48*48, 300), 70}},
		{pdf.Page{Width: 72, Height: 36}, 1120, 0, scale{300, 150, 300, 1120}}, // no finer than that
		{strip, 70, 0, scale{6, 27000, 135, 70}},
	} {
		r := &run{Pipeline: documents(t, nil)}
		if got := r.scale(c.page, c.budget, c.dpi); got != c.want {
			t.Errorf("%+v in %d tokens at %d dpi: %+v, want %+v", c.page, c.budget, c.dpi, got, c.want)
		}
	}
}

func TestPages(t *testing.T) {
	for s, want := range map[string][]int{
		"1": {1}, "2-4": {2, 3, 4}, "4,2": {2, 4}, "1-2,2-3": {1, 2, 3}, "5-": {5, 6}, "6-99": {6}, "7": nil, " 3 , 1": {1, 3},
		"2-9223372036854775807": {2, 3, 4, 5, 6},
	} {
		p, err := ParsePages(s)
		if err != nil || !slices.Equal(p.of(6), want) {
			t.Errorf("%q: %v, %v, want %v", s, p.of(6), err, want)
		}
	}
	for _, s := range []string{"", ",", "0", "0-3", "-3", "3-1", "a", "1-2-3", "1;2", "99999999999999999999"} {
		if p, err := ParsePages(s); err == nil {
			t.Errorf("%q: %v", s, p)
		}
	}
	if got := Pages(nil).of(3); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("all: %v", got)
	}
}

// Images of every kind are items, those with several pages by page; what they are is in the record.
func TestImagesOfEveryKind(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	types := map[string]string{}
	for name, want := range map[string]string{
		"../vision/foreign/testdata/420.avif": "image/avif", "../vision/foreign/testdata/420.heic": "image/heic",
		"../vision/foreign/testdata/lossy.jxl": "image/jxl", "../vision/pdf/testdata/grey.jp2": "image/jp2",
	} {
		types[put(t, dir, filepath.Base(name), read(t, filepath.FromSlash(name)))] = want
	}
	in := slices.Sorted(maps.Keys(types))
	results, _ := collect(t, documents(t, func(s *Settings) { s.Options.Blank = job.BlankAsk }), items(in...))
	for i, r := range results {
		if r.Record == nil {
			t.Errorf("%s: %v", in[i], r.Err)
			continue
		}
		s := r.Record.Source
		if s.Type != types[s.Path] || s.Page != 0 || r.Record.Effective.Sheet != nil || strings.Contains(r.Record.ID, ".p") {
			t.Errorf("%+v, %+v", s, r.Record.Effective)
		}
	}
}
