package pipeline

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/audio"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// Item is one input of a run. Equal files at two paths are two items.
type Item struct {
	Path string
	// What a manifest says besides: the id that the file must have, the page of a
	// document, the job, and options that go before those of the run. Zero says nothing.
	ID      string
	Page    int
	Job     string
	Options job.Options
}

// Sources are the inputs that a list of paths leads to.
type Sources struct {
	Items []Item
	// Skipped counts the files of folders that are nothing for the job, by name and by content.
	Skipped int

	media []job.Medium
}

// Folder is the deepest folder that all items are in, "" if there is none.
func (s Sources) Folder() string {
	var paths []string
	for _, item := range s.Items {
		paths = append(paths, item.Path)
	}
	return sink.SharedFolder(paths)
}

// names are the endings under which media travel. A file that has one is an item
// whatever it holds: if it is something else after all, its error says so.
var names = map[job.Medium][]string{
	job.Image: {".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".pdf"},
	job.Sound: {".wav", ".wave", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".amr", ".aif", ".aiff", ".mka"},
	job.Film:  {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".ogv"},
}

// manifestName is the ending of a list of inputs: lines of JSON as job.ParseEntry
// reads them. The errors.jsonl of a run is one.
const manifestName = ".jsonl"

// Open lists the items that paths lead to, in their order: a manifest gives its entries
// and a folder its media of the kinds that a job takes, sorted by name; any other file is
// an item, whatever it is, and so is a path that leads nowhere. Folders in folders are not
// entered, hidden files and what neither is called nor begins like such media are skipped.
//
// It fails on a folder that cannot be read or has none of them, and on a manifest that
// cannot be read or has a line that is wrong.
func Open(paths []string, media []job.Medium) (Sources, error) {
	s := Sources{media: media}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			err = s.folder(path)
		case err == nil && strings.EqualFold(filepath.Ext(path), manifestName):
			err = s.manifest(path)
		default:
			s.Items, err = append(s.Items, Item{Path: path}), nil
		}
		if err != nil {
			return Sources{}, err
		}
	}
	return s, nil
}

func (s *Sources) folder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, bare(err))
	}
	before, skipped := len(s.Items), 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // through links
		switch {
		case err == nil && info.IsDir():
		case s.wants(path, info): // info is nil where a link leads nowhere
			s.Items = append(s.Items, Item{Path: path})
		default:
			skipped++
		}
	}
	s.Skipped += skipped
	if len(s.Items) == before {
		return fmt.Errorf("%s: no %s in this folder%s", dir, s.kinds(), others(skipped))
	}
	return nil
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

// kinds names what is looked for in a folder.
func (s *Sources) kinds() string {
	plural := map[job.Medium]string{job.Image: "images", job.Sound: "recordings", job.Film: "videos"}
	var names []string
	for _, m := range s.media {
		names = append(names, plural[m])
	}
	return strings.Join(names, " or ")
}

// wants reports whether a file has an ending of the media that are looked for, or begins as
// they do. One that cannot be read counts, so that it is reported and not passed over. info
// may be nil.
func (s *Sources) wants(path string, info fs.FileInfo) bool {
	if strings.HasPrefix(filepath.Base(path), ".") {
		return false // hidden, such as the ._NAME.png that macOS leaves beside NAME.png
	}
	ext := strings.ToLower(filepath.Ext(path))
	for kind, endings := range names {
		if slices.Contains(endings, ext) {
			return slices.Contains(s.media, kind)
		}
	}
	if info == nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	head, err := headOf(f)
	if err != nil {
		return true
	}
	sound := audio.Sniff(head)
	for _, m := range s.media {
		if m == job.Image && vision.Sniff(head) != "" || m == job.Sound && sound != "" || m == job.Film && strings.HasPrefix(sound, "video/") {
			return true
		}
	}
	return false
}

// maxEntry is the longest line of a manifest, in bytes: a question may have 64 KiB and
// JSON may write a byte as six.
const maxEntry = 1 << 20

func (s *Sources) manifest(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	defer f.Close()
	before, line := len(s.Items), 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		line++
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		e, err := job.ParseEntry(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, line, err)
		}
		s.Items = append(s.Items, Item{Path: e.Path, ID: e.ID, Page: e.Page, Job: e.Job, Options: e.Options})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, line+1, bare(err))
	}
	if len(s.Items) == before {
		return fmt.Errorf("%s: no entries in this manifest", path)
	}
	return nil
}

// over returns o with the fields that it leaves open filled from d.
func over(o, d job.Options) job.Options {
	if o.Subtitles { // which have pieces of their own length
		d.Segment = 0
	}
	return job.Options{
		Budget:      cmp.Or(o.Budget, d.Budget),
		Boxes:       cmp.Or(o.Boxes, d.Boxes),
		Blank:       cmp.Or(o.Blank, d.Blank),
		Language:    cmp.Or(o.Language, d.Language),
		Prompt:      cmp.Or(o.Prompt, d.Prompt),
		MaxTokens:   cmp.Or(o.MaxTokens, d.MaxTokens),
		Temperature: cmp.Or(o.Temperature, d.Temperature),
		Seed:        cmp.Or(o.Seed, d.Seed),
		DPI:         cmp.Or(o.DPI, d.DPI),
		Listening: job.Listening{
			Translate: cmp.Or(o.Translate, d.Translate),
			Context:   cmp.Or(o.Context, d.Context),
			Numbers:   cmp.Or(o.Numbers, d.Numbers),
			Segment:   cmp.Or(o.Segment, d.Segment),
			Subtitles: o.Subtitles || d.Subtitles && o.Segment == 0,
			Channels:  cmp.Or(o.Channels, d.Channels),
			Detect:    o.Detect || d.Detect && o.Language == "",
			Track:     cmp.Or(o.Track, d.Track),
		},
		Watching: job.Watching{
			Detail:     cmp.Or(o.Detail, d.Detail),
			WithSpeech: o.WithSpeech || d.WithSpeech,
			Window:     cmp.Or(o.Window, d.Window),
			FPS:        cmp.Or(o.FPS, d.FPS),
			Frames:     cmp.Or(o.Frames, d.Frames),
			Scene:      cmp.Or(o.Scene, d.Scene),
			FastSeek:   o.FastSeek || d.FastSeek,
		},
	}
}

// ReadFile returns the bytes of a media file if there are at most limit of them. It
// refuses what is no regular file: a pipe or a device may never end. Its errors do not
// name the path, which the caller knows.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, bare(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("larger than the limit of %d bytes", limit)
	}
	if len(data) == 0 {
		return nil, errors.New("the file is empty")
	}
	return data, nil
}

// openRegular opens a regular file, with errors that do not name it.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path) // before opening: a named pipe would wait for its writer
	if err != nil {
		return nil, bare(err)
	}
	if info.IsDir() {
		return nil, errors.New("is a folder")
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	return f, nil
}

// bare takes the path out of an error of the file system, since it is named already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
