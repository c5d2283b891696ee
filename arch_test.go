package facet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// order is the import order: a package imports only what stands before it. So media
// packages do not know the model, and nothing but the command knows everything. A test
// in a package of its own (package x_test) stands outside and may look from above.
//
//	kernel knows slices, tensor knows shapes, model knows names, job knows questions,
//	pipeline knows files, cmd knows people
var order = []string{
	"internal/strictjson",
	"internal/kernel",
	"internal/quant",
	"internal/weights",
	"internal/weights/safetensors",
	"internal/weights/gguf",
	"internal/tensor",
	"internal/golden",
	"internal/sandbox",
	"internal/child",
	"vision",
	"vision/foreign",
	"vision/still",
	"vision/still/decoder",
	"vision/pdf",
	"vision/pdf/pdfium",
	"audio",
	"video",
	"video/libav",
	"cmd/facet-media",
	"model/tokenizer",
	"model/chat",
	"model/constrain", // with the issue that brings schemas
	"model",
	"internal/check",
	"pipeline/job",
	"pipeline/sink",
	"pipeline/source",
	"pipeline/journal",
	"internal/faultfs", // what the journal's tests write to
	"pipeline/eval",
	"pipeline",
	"cmd/facet",
}

const module = "facet"

// file is a Go file of the tree, of any build tag or system.
type file struct {
	path    string // slash-separated, from the root
	dir     string // "." for the root
	ast     *ast.File
	imports map[string]string // import path → the name it has in the file
}

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) isExternalTest() bool { return f.isTest() && strings.HasSuffix(f.ast.Name.Name, "_test") }

// isTool reports whether the file belongs to what makes or shows things beside the program.
func (f file) isTool() bool {
	return under(f.dir, "fixtures") || under(f.dir, "scripts") || under(f.dir, "bench")
}

func under(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// parseTree parses every Go file, so that no build tag hides one.
func parseTree(t *testing.T) (*token.FileSet, []file) {
	t.Helper()
	set := token.NewFileSet()
	var files []file
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (name[0] == '.' || name == "out" || name == "bin" || name == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(set, filepath.FromSlash(p), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{path: p, dir: path.Dir(p), ast: parsed, imports: map[string]string{}}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports[imported] = path.Base(imported)
			if spec.Name != nil {
				f.imports[imported] = spec.Name.Name
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found: not run in the root of the tree?", len(files))
	}
	return set, files
}

func TestImportOrder(t *testing.T) {
	_, files := parseTree(t)
	for _, f := range files {
		if f.dir == "." || f.isTool() {
			continue
		}
		at := slices.Index(order, f.dir)
		if at < 0 {
			t.Errorf("%s: package %s has no place in the import order (arch_test.go)", f.path, f.dir)
			continue
		}
		for imported := range f.imports {
			dir, ours := strings.CutPrefix(imported, module+"/")
			switch {
			case !ours:
			case under(dir, "fixtures"):
				if !f.isTest() {
					t.Errorf("%s imports %s, which only tests may", f.path, imported)
				}
			case f.isExternalTest():
			case !slices.Contains(order[:at], dir):
				t.Errorf("%s imports %s, which does not stand before %s in the import order", f.path, imported, f.dir)
			}
		}
	}
}

// seesMemory are the packages that may see memory as numbers or call C. Only the first is linked into facet.
var seesMemory = map[string]string{
	"internal/kernel":  "hot loops",
	"internal/sandbox": "hands a filter of system calls to the kernel",
	"video/libav":      "calls FFmpeg, for facet-media",
}

func TestUnsafeIsInKernelOnly(t *testing.T) {
	_, files := parseTree(t)
	linkname := "//go:" + "linkname"
	for _, f := range files {
		if seesMemory[f.dir] != "" {
			continue
		}
		for _, banned := range []string{"unsafe", "C"} {
			if _, ok := f.imports[banned]; ok {
				t.Errorf("%s imports %q, which is not its business (arch_test.go: seesMemory)", f.path, banned)
			}
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, linkname) {
					t.Errorf("%s uses %s", f.path, linkname)
				}
			}
		}
	}
}

// The packages that other programs may import promise nothing about what is internal.
func TestExportedAPIShowsNoInternalType(t *testing.T) {
	set, files := parseTree(t)
	for _, f := range files {
		if f.isTest() || f.isTool() || under(f.dir, "internal") || under(f.dir, "cmd") {
			continue
		}
		internal := map[string]bool{}
		for imported, name := range f.imports {
			if strings.HasPrefix(imported, module+"/internal/") {
				internal[name] = true
			}
		}
		for _, decl := range f.ast.Decls {
			for _, shown := range exportedParts(decl) {
				ast.Inspect(shown, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := s.X.(*ast.Ident); ok && internal[x.Name] {
							t.Errorf("%s: %s.%s is internal and is shown to other programs", set.Position(s.Pos()), x.Name, s.Sel.Name)
						}
					}
					return true
				})
			}
		}
	}
}

// exportedParts returns what a declaration shows: the signature of a function, the
// types of fields, variables and constants, as far as their names are exported.
func exportedParts(decl ast.Decl) (parts []ast.Node) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) {
			parts = append(parts, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				if s.Type != nil && slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
					parts = append(parts, s.Type)
				}
			case *ast.TypeSpec:
				if !s.Name.IsExported() {
					continue
				}
				structure, ok := s.Type.(*ast.StructType)
				if !ok {
					parts = append(parts, s.Type)
					continue
				}
				for _, field := range structure.Fields.List {
					if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
						parts = append(parts, field.Type)
					}
				}
			}
		}
	}
	return parts
}

// exportedReceiver reports whether d is a function, or a method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
		}
		return true
	})
	return exported
}

// wellKnown are methods whose meaning the interface of the standard library gives.
var wellKnown = []string{"Error", "Unwrap", "String", "Set", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

func TestExportedNamesAreDocumented(t *testing.T) {
	set, files := parseTree(t)
	packageDoc := map[string]bool{}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		packageDoc[f.dir] = packageDoc[f.dir] || f.ast.Doc != nil
		if f.ast.Name.Name == "main" {
			continue // nobody can import it
		}
		for _, decl := range f.ast.Decls {
			for _, id := range undocumented(decl) {
				t.Errorf("%s: %s has no doc comment", set.Position(id.Pos()), id.Name)
			}
		}
	}
	for dir, ok := range packageDoc {
		if !ok {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

// undocumented returns the exported names of a declaration without a doc comment. One
// comment over a group of constants or variables is enough, and so is the comment of the
// type that they are values of.
func undocumented(decl ast.Decl) (names []*ast.Ident) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		known := d.Recv != nil && slices.Contains(wellKnown, d.Name.Name)
		if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil && !known {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		typed := false // by the first of an iota group for all
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				typed = typed || s.Type != nil
				for _, id := range s.Names {
					if id.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil && !typed {
						names = append(names, id)
					}
				}
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name)
				}
			}
		}
	}
	return names
}

// FFmpeg is for facet-media alone: a program that is linked to it does not start where it is missing.
func TestFFmpegIsForTheDecoderOnly(t *testing.T) {
	_, files := parseTree(t)
	for _, f := range files {
		for imported := range f.imports {
			switch {
			case strings.HasPrefix(imported, "github.com/asticode/go-astiav") && f.dir != "video/libav",
				imported == module+"/video/libav" && f.dir != "cmd/facet-media" && f.dir != "video/libav":
				t.Errorf("%s imports %s", f.path, imported)
			}
		}
	}
}

// PDFium and the machine that runs it are for the decoder alone: another program that reads images does not pay for them.
func TestPDFiumIsForTheDecoderOnly(t *testing.T) {
	const decoder, images = "vision/pdf/pdfium", "vision/foreign"
	_, files := parseTree(t)
	for _, f := range files {
		for imported := range f.imports {
			switch {
			case strings.HasPrefix(imported, "github.com/klippa-app/go-pdfium") && f.dir != decoder,
				strings.HasPrefix(imported, "github.com/tetratelabs/wazero") && f.dir != decoder && f.dir != images,
				imported == module+"/"+images && f.dir != "vision/still/decoder" && !f.isTest(),
				imported == module+"/"+decoder && f.dir != "cmd/facet" && !f.isTest():
				t.Errorf("%s imports %s", f.path, imported)
			}
		}
	}
}

// decodesImages are the packages that may decode images in their own process.
var decodesImages = map[string]string{
	"vision/foreign": "runs in the decoder",
	"internal/check": "the reference's own pictures",
}

// What comes from outside is decoded by package vision/still, in a process that is shut in.
func TestImagesAreDecodedInChildren(t *testing.T) {
	set, files := parseTree(t)
	for _, f := range files {
		name, ok := f.imports[module+"/vision"]
		if imported := module + "/vision/still/decoder"; f.imports[imported] != "" && f.dir != "cmd/facet" && !f.isTest() {
			t.Errorf("%s imports %s", f.path, imported)
		}
		if !ok || f.isTest() || f.isTool() || decodesImages[f.dir] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Decode" && s.Sel.Name != "Open" && s.Sel.Name != "Peek" {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				t.Errorf("%s: %s.%s decodes in this process (arch_test.go: decodesImages)", set.Position(s.Pos()), x.Name, s.Sel.Name)
			}
			return true
		})
	}
}

// Every module that is linked into the programs is named in NOTICE.
func TestNoticeNamesEveryModule(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	notice, err := os.ReadFile("NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command(goTool, "list", "-deps", "-tags", "libav", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	for _, m := range slices.Compact(modules) {
		if !strings.Contains(string(notice), "\n"+m+"\n") {
			t.Errorf("NOTICE does not name %s", m)
		}
	}
}
