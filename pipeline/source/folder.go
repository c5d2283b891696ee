package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"facet/audio"
	"facet/pipeline/job"
	"facet/vision"
)

// endings are those under which media travel. A file that has one is an item
// whatever it holds: if it is something else after all, its error says so.
var endings = map[job.Medium][]string{
	job.Image: {
		".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".pdf",
		".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".pnm", ".pbm", ".pgm", ".ppm", ".pam",
	},
	job.Sound: {".wav", ".wave", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".amr", ".aif", ".aiff", ".mka"},
	job.Film:  {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".ogv"},
}

// byName tells by the ending of a name whether a file is one of the media; known is false
// where it is the ending of none.
func (o *Options) byName(name string) (wanted, known bool) {
	ext := strings.ToLower(filepath.Ext(name))
	for medium, list := range endings {
		if slices.Contains(list, ext) {
			return slices.Contains(o.Media, medium), true
		}
	}
	return false, false
}

// byContent tells the same by the first bytes.
func (o *Options) byContent(head []byte) bool {
	sound := audio.Sniff(head)
	return slices.ContainsFunc(o.Media, func(m job.Medium) bool {
		return m == job.Image && vision.Sniff(head) != "" || m == job.Sound && sound != "" || m == job.Film && strings.HasPrefix(sound, "video/")
	})
}

// folder lists what a folder holds that the user named.
func (s *Sources) folder(dir string, info fs.FileInfo) error {
	before, skipped := len(s.items)+s.repeats, s.skipped
	w := walk{Sources: s, entered: map[folderID]string{}}
	if s.options.Recursive {
		w.markAbove(dir)
	}
	if id, ok := idOf(dir, info); ok {
		w.entered[id] = dir
	}
	if err := w.enter(filepath.Clean(dir), "", 1); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if len(s.items)+s.repeats == before {
		return fmt.Errorf("%s: no %s in this folder%s", dir, s.options.kinds(), others(s.skipped-skipped))
	}
	return nil
}

// walk is one way through a folder.
type walk struct {
	*Sources
	entered map[folderID]string // folders and the path that they were entered by
}

// markAbove counts the folders that dir is in as entered: a link to one of them, such as to /, would make all of a disk
// the input.
func (w *walk) markAbove(dir string) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return // what was opened by this path will say what is wrong
	}
	for above := filepath.Dir(real); ; above = filepath.Dir(above) {
		if info, err := os.Stat(above); err == nil {
			if id, ok := idOf(above, info); ok {
				w.entered[id] = above + ", which it is in,"
			}
		}
		if above == filepath.Dir(above) {
			return
		}
	}
}

// enter lists one folder; below is its path in the folder that the user named, with a slash at the end.
func (w *walk) enter(dir, below string, depth int) error {
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path) // through links
		isFolder := err == nil && info.IsDir()
		switch hidden := strings.HasPrefix(name, "."); {
		case isFolder && (hidden || !w.options.Recursive || matchAny(w.options.Exclude, below+name)):
		case isFolder:
			w.below(path, below+name+"/", info, depth+1)
		case hidden || !w.options.chosen(below+name) || !w.options.wants(path, info): // info is nil where a link leads nowhere
			w.skipped++
		case len(path) > w.options.Limits.PathBytes:
			w.warn("%s: this path has more than %d bytes and is left out", path, w.options.Limits.PathBytes)
			w.skipped++
		default:
			l := listed{}
			if info != nil {
				l.size, l.modTime = info.Size(), info.ModTime().UnixNano()
			}
			w.add(path, l)
		}
	}
	return nil
}

// below enters a folder that was found in another. What is wrong with it is a warning.
func (w *walk) below(dir, below string, info fs.FileInfo, depth int) {
	if depth > w.options.Limits.Depth {
		w.warn("%s: more than %d folders deep, not entered", dir, w.options.Limits.Depth)
		return
	}
	if id, ok := idOf(dir, info); ok {
		if first, again := w.entered[id]; again {
			w.warn("%s: leads to the same folder as %s and is not entered again", dir, first)
			return
		}
		w.entered[id] = dir
	}
	if err := w.enter(dir, below, depth); err != nil {
		w.warn("%s: this folder cannot be read: %v", dir, err)
	}
}

// namesIn lists a folder, sorted.
func namesIn(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, bare(err)
	}
	slices.Sort(names)
	return names, nil
}

func others(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ", one other file"
	}
	return fmt.Sprintf(", %d other files", n)
}

// kinds names what is looked for.
func (o *Options) kinds() string {
	plural := map[job.Medium]string{job.Image: "images", job.Sound: "recordings", job.Film: "videos"}
	var names []string
	for _, m := range o.Media {
		names = append(names, plural[m])
	}
	return strings.Join(names, " or ")
}

// wants reports whether a file of a folder has an ending of the media that are looked for,
// or begins as they do. One that cannot be read counts, so that it is reported and not
// passed over. info may be nil.
func (o *Options) wants(path string, info fs.FileInfo) bool {
	if wanted, known := o.byName(path); known {
		return wanted
	}
	if info == nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := openRegular(path)
	if err != nil {
		return true
	}
	defer f.Close()
	head, err := headOf(f)
	return err != nil || o.byContent(head)
}

// names lists what standard input names.
func (s *Sources) names() error {
	switch {
	case s.stdin:
		return errors.New("-: standard input is named twice")
	case s.options.Stdin == nil:
		return errors.New("-: there is no standard input")
	}
	s.stdin = true
	n, some := 0, false
	lines := bufio.NewScanner(s.options.Stdin)
	lines.Buffer(nil, maxEntry)
	if s.options.NulNames {
		lines.Split(nulTerminated)
	} else {
		lines.Split(lineTerminated)
	}
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		some = true
		if err := s.named(lines.Text()); err != nil {
			return fmt.Errorf("-:%d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("-:%d: %w", n+1, tooLong(err))
	}
	if !some {
		return errors.New("-: no names on standard input")
	}
	return nil
}

func nulTerminated(data []byte, atEOF bool) (advance int, token []byte, err error) {
	return terminated(data, atEOF, 0)
}

// lineTerminated leaves a carriage return alone where it may be part of a name.
func lineTerminated(data []byte, atEOF bool) (advance int, token []byte, err error) {
	advance, token, err = terminated(data, atEOF, '\n')
	if runtime.GOOS == "windows" {
		token = bytes.TrimSuffix(token, []byte("\r"))
	}
	return advance, token, err
}

func terminated(data []byte, atEOF bool, end byte) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, end); i >= 0 {
		return i + 1, data[:i:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
