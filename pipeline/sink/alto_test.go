package sink

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/pipeline/job"
)

var update = flag.Bool("update", false, "rewrite the recorded documents in testdata")

// pages are records of OCR of every kind, by name.
func pages() map[string]*job.Record {
	record := func(text string, blocks ...job.Block) *job.Record {
		blank := text == "" && len(blocks) == 0
		return &job.Record{
			ID: "3f2a90c1d4e5f607", Job: "ocr", Source: job.Source{Path: "scans/a.png", SHA256: "3f2a", Bytes: 10, Type: "image/png"},
			Effective: job.Effective{
				Model: "nano", ModelSHA256: "ab12", PromptSHA256: "cd34",
				Seen: &job.Seen{Budget: 70, ImageTokens: 66, SizeSeen: [2]int{480, 288}, SizeOriginal: [2]int{800, 500}},
			},
			Text: text, Blank: &blank, Blocks: blocks, Finish: job.FinishStop, Attempts: 1,
		}
	}
	hostile := record("", job.Block{Text: "a\x00\x1b[31mb \u202egnp.exe \xff \ufffe ]]> --> <script>alert(\"1\")</script> & 'x'\u0085\u2028y", Box: job.Box{10, 10, 790, 40}, Confidence: 0.5})
	hostile.Source.Path = "a\"; bbox 1 2 3 4 'b'\n<&>.png"
	hostile.Effective.Model = "</model>\u202e"
	const far = math.MaxInt / 4
	foreign := record("",
		job.Block{Text: "far", Box: job.Box{-far, -far, far, far}, Confidence: 7},
		job.Block{Text: "outside", Box: job.Box{5000, 5000, 6000, 6000}, Confidence: math.NaN()},
		job.Block{Text: "turned round", Box: job.Box{90, 90, 10, 10}, Confidence: -1},
		job.Block{Text: " \n\t "},
	)
	sizeless := record("", job.Block{Text: "x y", Box: job.Box{10, 10, 50, 20}})
	sizeless.Effective.Seen = nil
	dense := record("", job.Block{Text: strings.Repeat("a ", 30), Box: job.Box{0, 0, 10, 10}, Confidence: 0.0001})
	cut := record("one two", job.Block{Text: "one two", Box: job.Box{0, 0, 100, 10}, Confidence: 0.9})
	cut.Finish = job.FinishLength
	return map[string]*job.Record{
		"page": record("Dear Sir,\nhow are you?\nשלום עולם",
			job.Block{Text: "Dear Sir,", Box: job.Box{100, 50, 300, 80}, Confidence: 0.9888},
			job.Block{Text: "how are you?", Box: job.Box{100, 85, 380, 115}, Confidence: 0.7},
			job.Block{Text: "שלום עולם", Box: job.Box{500, 50, 700, 80}, Confidence: 0.5},
			job.Block{Text: "lost"},
		),
		"plain":    record("A title\n\nThe first line\nand the next."),
		"blank":    record(""),
		"hostile":  hostile,
		"foreign":  foreign,
		"sizeless": sizeless,
		"empty":    {},
		"dense":    dense,
		"cut":      cut,
	}
}

// document is a written page.
func document(t *testing.T, write func(io.Writer, *job.Record, string) error, rec *job.Record) []byte {
	t.Helper()
	var b, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&b, &again} {
		if err := write(w, rec, "1.2 <&>"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("other bytes the second time")
	}
	return b.Bytes()
}

// golden compares with a recorded document.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s, want -, got +:\n%s", path, d)
	}
}

func TestALTODocument(t *testing.T) {
	golden(t, "page.alto.xml", document(t, WriteALTO, pages()["page"]))
}

// altoNode is any element.
type altoNode struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []altoNode `xml:",any"`
}

func (n *altoNode) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *altoNode) box(t *testing.T) (b job.Box) {
	t.Helper()
	var w, h int
	for name, p := range map[string]*int{"HPOS": &b[0], "VPOS": &b[1], "WIDTH": &w, "HEIGHT": &h} {
		if _, err := fmt.Sscan(n.attr(name), p); err != nil {
			t.Errorf("%s: %s %q", n.attr("ID"), name, n.attr(name))
		}
	}
	b[2], b[3] = b[0]+w, b[1]+h
	return b
}

// allWords are those of a record as XML can hold them.
func allWords(rec *job.Record) string {
	text := rec.Text
	if len(rec.Blocks) > 0 {
		text = ""
		for _, b := range rec.Blocks {
			text += b.Text + "\n"
		}
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(Printable(text), "\ufffe", "\ufffd")), " ")
}

func inside(a, b job.Box) bool { return common(a, b) == a }

// altoContent is what the schema asks of the elements in each, in their order; of what is not named, that it has none.
var altoContent = map[string]*regexp.Regexp{
	"alto":                   regexp.MustCompile(`^Description Tags Layout $`),
	"Description":            regexp.MustCompile(`^MeasurementUnit sourceImageInformation Processing $`),
	"sourceImageInformation": regexp.MustCompile(`^fileName fileIdentifier $`),
	"Processing":             regexp.MustCompile(`^processingCategory (processingStepDescription )*processingStepSettings processingSoftware $`),
	"processingSoftware":     regexp.MustCompile(`^softwareName softwareVersion $`),
	"Tags":                   regexp.MustCompile(`^(OtherTag )*$`),
	"Layout":                 regexp.MustCompile(`^Page $`),
	"Page":                   regexp.MustCompile(`^PrintSpace $`),
	"PrintSpace":             regexp.MustCompile(`^(TextBlock )*$`),
	"TextBlock":              regexp.MustCompile(`^(TextLine )+$`),
	"TextLine":               regexp.MustCompile(`^String (SP String )*$`),
}

// What holds with and without xmllint: elements stand in their order. What schemas cannot say: ids are unique and what refers to one finds it, boxes lie in those around them, and all words
// are there.
func TestALTOStructure(t *testing.T) {
	for name, rec := range pages() {
		t.Run(name, func(t *testing.T) {
			data := document(t, WriteALTO, rec)
			var root altoNode
			if err := xml.Unmarshal(data, &root); err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			ids, words := map[string]bool{}, []string{}
			var refs []string
			var walk func(n *altoNode, around job.Box)
			walk = func(n *altoNode, around job.Box) {
				if n.XMLName.Space != "http://www.loc.gov/standards/alto/ns-v4#" {
					t.Errorf("element %v", n.XMLName)
				}
				if id := n.attr("ID"); id != "" {
					if ids[id] {
						t.Errorf("id %s twice", id)
					}
					ids[id] = true
				}
				order := ""
				for _, c := range n.Children {
					order += c.XMLName.Local + " "
				}
				if want := altoContent[n.XMLName.Local]; want == nil && order != "" || want != nil && !want.MatchString(order) {
					t.Errorf("%s holds %s", n.XMLName.Local, order)
				}
				refs = append(refs, strings.Fields(n.attr("TAGREFS")+" "+n.attr("PROCESSINGREFS"))...)
				switch n.XMLName.Local {
				case "PrintSpace":
					around = n.box(t)
				case "TextBlock", "TextLine", "String":
					b := n.box(t)
					if !hasArea(b) || !inside(b, around) {
						t.Errorf("%s at %v in %v", n.attr("ID"), b, around)
					}
					around = b
				}
				if n.XMLName.Local == "String" {
					words = append(words, n.attr("CONTENT"))
				}
				for i := range n.Children {
					walk(&n.Children[i], around)
				}
			}
			walk(&root, job.Box{})
			for _, r := range refs {
				if !ids[r] {
					t.Errorf("nothing has the id %s", r)
				}
			}
			if got, want := strings.Join(words, " "), allWords(rec); got != want {
				t.Errorf("words %q, want %q", got, want)
			}
			if strings.ContainsFunc(string(data), func(r rune) bool { return r != '\n' && commands(r) }) {
				t.Errorf("commands to a terminal in %q", data)
			}
		})
	}
}

// validALTO validates files against the Library of Congress's schema with xmllint, without a network, and returns what it says.
func validALTO(t *testing.T, files ...string) (string, error) {
	t.Helper()
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils): nothing is validated against ALTO's schema")
	}
	catalog, err := filepath.Abs(filepath.Join("testdata", "catalog.xml"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lint, append([]string{"--noout", "--nonet", "--schema", filepath.Join("testdata", "alto-4-4.xsd")}, files...)...)
	cmd.Env = append(os.Environ(), "XML_CATALOG_FILES=file://"+filepath.ToSlash(catalog))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestALTOSchema(t *testing.T) {
	dir := t.TempDir()
	var files []string
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name+".alto.xml")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for name, rec := range pages() {
		write(name, document(t, WriteALTO, rec))
	}
	write("document", wholeDocument(t, "alto"))
	if out, err := validALTO(t, files...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// A schema that allows everything would be of no use.
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"PHYSICAL_IMG_NR": "NUMBER", "<PrintSpace": "<Margin/><PrintSpace", ">pixel<": ">inch<"} {
		bad := filepath.Join(dir, "bad.xml")
		if err := os.WriteFile(bad, bytes.ReplaceAll(data, []byte(from), []byte(to)), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := validALTO(t, bad); err == nil {
			t.Errorf("valid with %s in place of %s", to, from)
		}
	}
}
