package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/vision"
)

// Item is one input of a run.
type Item struct {
	Path string
}

// Sources are the inputs that a list of paths leads to.
type Sources struct {
	Items []Item
	// Skipped counts the files of folders that are no media, by name and by content.
	Skipped int
}

// imageNames are the endings under which pictures travel. A file that has one is an
// item whatever it holds: if it is no picture after all, its record says so.
var imageNames = []string{".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"}

// Open lists the items that paths lead to, in this order: a file is an item, whatever
// it is, and so is a path that leads nowhere; a folder gives its pictures, sorted by
// name. Folders in folders are not entered. It fails on a folder that cannot be read
// or that has no pictures in it.
func Open(paths []string) (Sources, error) {
	var s Sources
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			s.Items = append(s.Items, Item{path})
			continue
		}
		if err := s.folder(path); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Sources) folder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	before, skipped := len(s.Items), 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // through links
		switch {
		case err == nil && info.IsDir():
		case err != nil && !errors.Is(err, fs.ErrNotExist), err == nil && isMedia(path, info):
			s.Items = append(s.Items, Item{path})
		default:
			skipped++
		}
	}
	s.Skipped += skipped
	if len(s.Items) == before {
		return fmt.Errorf("%s: no pictures in this folder (%d other files)", dir, skipped)
	}
	return nil
}

// isMedia reports whether a file has a picture's ending or begins as a picture does.
// One that cannot be read counts, so that it is reported and not passed over.
func isMedia(path string, info fs.FileInfo) bool {
	if slices.Contains(imageNames, strings.ToLower(filepath.Ext(path))) {
		return true
	}
	if !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	return vision.Sniff(head[:n]) != ""
}

// read returns the bytes of an item's file, if they are within the limit.
func read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a named pipe would wait for its writer
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
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

// bare takes the path out of an error of the file system, since it is named already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
