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

// Names gives each item a place below an output folder: the item's own path
// without its extension and without the folder that all items are in, made
// safe on any system. The names depend on the order of the calls where two
// items want the same one, so ask in input order. Not safe for concurrent use.
type Names struct {
	shared   []string // the parts that are left out
	suffixes []string
	stems    map[string]string // source path and page → stem
	taken    map[string]bool   // what is used, as a disk that folds case sees it: true for folders
}

// NewNames starts with no name taken. shared is the folder that the items are
// in, from SharedFolder; names begin below it. suffixes are the endings that
// the caller will put behind a stem, such as ".txt".
func NewNames(shared string, suffixes ...string) *Names {
	return &Names{shared: split(shared), suffixes: suffixes, stems: map[string]string{}, taken: map[string]bool{}}
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

// Stem returns the name for the item with this source path and, if it is
// positive, page, relative and with forward slashes, without a suffix. Folders
// below the shared one are kept: with "scans", "scans/new/a.png" gives "new/a",
// page 3 of "scans/b.pdf" gives "b.p3".
// The same item has the same name each time; a second item that would get it,
// or one that differs in case only, gets a mark made from its path behind it.
func (n *Names) Stem(source string, page int) string {
	key := fmt.Sprintf("%d %s", page, source)
	if s, ok := n.stems[key]; ok {
		return s
	}
	parts := split(source)
	if k := len(n.shared); k < len(parts) && slices.Equal(parts[:k], n.shared) {
		parts = parts[k:]
	}
	last := len(parts) - 1
	if last >= 0 {
		parts[last] = strings.TrimSuffix(parts[last], path.Ext(parts[last]))
		if page > 0 {
			parts[last] = fmt.Sprintf("%s.p%d", parts[last], page)
		}
	}
	var safe []string
	for _, p := range parts {
		if p != ".." {
			safe = append(safe, safePart(p))
		}
	}
	if len(safe) == 0 {
		safe = []string{safePart("")}
	}
	mark := "~" + digest(key)
	s := strings.Join(safe, "/")
	if len(s) > maxStem { // the file's own name tells most
		s = safe[len(safe)-1] + mark
	}
	if !n.take(s) {
		// Folders may be what is in the way, so the mark replaces them.
		s = safe[len(safe)-1] + mark
		for i := 2; !n.take(s); i++ {
			s = fmt.Sprintf("%s%s.%d", safe[len(safe)-1], mark, i)
		}
	}
	n.stems[key] = s
	return s
}

// take marks the files of stem and the folders on the way as used. It does
// nothing and returns false where one of them is in use as something else.
func (n *Names) take(stem string) bool {
	var folders []string
	for dir := path.Dir(stem); dir != "."; dir = path.Dir(dir) {
		if folder, used := n.taken[foldName(dir)]; used && !folder {
			return false
		}
		folders = append(folders, foldName(dir))
	}
	for _, suffix := range n.suffixes {
		if _, used := n.taken[foldName(stem+suffix)]; used {
			return false
		}
	}
	for _, f := range folders {
		n.taken[f] = true
	}
	for _, suffix := range n.suffixes {
		n.taken[foldName(stem+suffix)] = false
	}
	return true
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
