package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Names gives what is made of each item a place below an output folder: by default the item's own path
// without the folder that all items are in, made safe on any system. The names depend on the order of the
// calls where two items want the same one, so ask in input order. Not safe for concurrent use.
type Names struct {
	shared   []string // the parts that are left out
	occupied func(name string, folder bool) bool
	taken    map[nameKey]owner // what is used, as a disk that folds case sees it
}

type (
	nameKey [16]byte // hash of a name; a run of a million items keeps a few of them for each
	owner   [8]byte  // hash of the item that a file belongs to; zero for a folder
)

// NameOptions say where names begin and which are not to be had.
type NameOptions struct {
	// Shared is the folder that the items are in, from SharedFolder; {dir} begins below it.
	Shared string
	// Reserved are names in the output folder that are not for items, such as "run.json".
	Reserved []string
	// Occupied, if not nil, reports whether the place of a file, or of a folder on the way to
	// one, is held by something that must stay, see Dir.Occupied. Names are asked for once, and
	// folders until one is in use.
	Occupied func(name string, folder bool) bool
}

// NewNames starts with no name taken but the reserved ones.
func NewNames(o NameOptions) *Names {
	n := &Names{shared: split(o.Shared), occupied: o.Occupied, taken: map[nameKey]owner{}}
	for _, r := range o.Reserved {
		n.taken[keyOf(r)] = ownerOf("reserved")
	}
	return n
}

// SharedFolder returns the deepest folder that all of these paths lead
// through, as they are written, or "" if there is none.
func SharedFolder(paths []string) string {
	var shared []string
	for i, p := range paths {
		folders := split(p)
		folders = folders[:max(0, len(folders)-1)]
		if i == 0 {
			shared = folders
		}
		n := 0
		for n < min(len(shared), len(folders)) && shared[n] == folders[n] {
			n++
		}
		shared = shared[:n]
	}
	return strings.Join(shared, "/")
}

// split returns the parts of a path, whatever system it comes from, without those that
// lead nowhere.
func split(path string) []string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	return slices.DeleteFunc(parts, func(p string) bool { return p == "." })
}

// Stem returns the name for what a template makes of an item, relative and with forward slashes, without a
// suffix; suffixes are those that the caller puts behind it, such as ".txt". With "scans" shared and the default
// template, "scans/new/a.png" gives "new/a.png", page 3 of "scans/b.pdf" gives "b.pdf.p0003", and the document
// itself, page 0, "b.pdf".
// The same item has the same name each time; a second item that would get it, or one that differs in case only,
// gets a mark made from its path behind it, and so does one whose place is reserved or occupied.
func (n *Names) Stem(t Template, it Named, suffixes ...string) string {
	folders, name := split(it.Source), ""
	if k := len(n.shared); k < len(folders) && slices.Equal(folders[:k], n.shared) {
		folders = folders[k:]
	}
	folders = slices.DeleteFunc(folders, func(p string) bool { return p == ".." })
	if last := len(folders) - 1; last >= 0 {
		folders, name = folders[:last], folders[last]
	}
	safe := t.expand(it, folders, name)
	key := strings.TrimPrefix(fmt.Sprintf("%s %d %s", it.Job, it.Page, it.Source), " ")
	file, mark := safe[len(safe)-1], "~"+digest(key)
	s := strings.Join(safe, "/")
	if len(s) > maxStem { // the file's own name tells most
		s = file + mark
	}
	if n.take(s, key, suffixes) {
		return s
	}
	// Folders may be what is in the way, so the mark replaces them.
	s = file + mark
	for i := 2; !n.take(s, key, suffixes); i++ {
		s = fmt.Sprintf("%s%s.%d", file, mark, i)
	}
	return s
}

// take marks the files of stem as those of the item with this key, and the folders on the way as used. It does
// nothing and returns false where one of them is in use as something else.
func (n *Names) take(stem, key string, suffixes []string) bool {
	mine := ownerOf(key)
	var folders []nameKey
	for dir := path.Dir(stem); dir != "."; dir = path.Dir(dir) {
		k := keyOf(dir)
		of, used := n.taken[k]
		if used && of != (owner{}) || !used && n.occupied != nil && n.occupied(dir, true) {
			return false
		}
		folders = append(folders, k)
	}
	files := make([]nameKey, len(suffixes))
	for i, suffix := range suffixes {
		files[i] = keyOf(stem + suffix)
		of, used := n.taken[files[i]]
		if used && of != mine || !used && n.occupied != nil && n.occupied(stem+suffix, false) {
			return false
		}
	}
	for _, k := range folders {
		n.taken[k] = owner{}
	}
	for _, k := range files {
		n.taken[k] = mine
	}
	return true
}

func keyOf(name string) nameKey {
	sum := sha256.Sum256([]byte(foldName(name)))
	return nameKey(sum[:])
}

func ownerOf(key string) owner {
	sum := sha256.Sum256([]byte(key))
	return owner(sum[:])
}

const (
	maxPart = 120 // bytes; file systems allow 255, and suffix and mark come behind it
	maxStem = 800 // bytes; Linux allows 4,096 for a path, macOS 1,024
)

// safePart makes one part of a path a name that every file system takes: no
// control characters, none that switch the direction of reading, none that
// Windows reserves, no dot or space at the ends where they hide or are
// dropped, no name of a device, and not too long.
func safePart(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || commands(r) || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '_'
		}
		return r
	}, norm.NFC.String(s))
	if len(s) > maxPart {
		cut := maxPart - digestLen - 1
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "~" + digest(s)
	}
	s = strings.TrimRight(s, ". ")
	if strings.HasPrefix(s, ".") {
		s = "_" + s[1:]
	}
	base, _, _ := strings.Cut(strings.ToUpper(s), ".")
	if device[strings.TrimSpace(base)] || s == "" {
		s = "_" + s
	}
	return s
}

// device holds the names that Windows keeps for devices in every folder,
// with any extension.
var device = func() map[string]bool {
	m := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true, "CONIN$": true, "CONOUT$": true}
	for _, d := range "0123456789¹²³" {
		m["COM"+string(d)], m["LPT"+string(d)] = true, true
	}
	return m
}()

// foldName is a name as a disk that folds case and composes characters sees it.
func foldName(s string) string {
	return cases.Fold().String(norm.NFC.String(s))
}

const digestLen = 8

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:digestLen/2])
}
