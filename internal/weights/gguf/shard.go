package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"facet/internal/weights"
)

// Keys that tell shards apart. no counts from 0, the file names from 1.
const (
	splitNo      = "split.no"
	splitCount   = "split.count"
	splitTensors = "split.tensors.count"
)

// maxShards is far above the 5 or so that the largest files come in.
const maxShards = 1024

// shardName is how llama.cpp names shards: PREFIX-00001-of-00003.gguf.
var shardName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// shardPaths returns the paths of all shards of the file at path, in order; path alone
// where its name counts none. It fails if one of them is missing.
func shardPaths(path string) ([]string, error) {
	dir, name := filepath.Split(path)
	parts := shardName.FindStringSubmatch(name)
	if parts == nil {
		return []string{path}, nil
	}
	no, _ := strconv.Atoi(parts[2]) // five digits
	count, _ := strconv.Atoi(parts[3])
	if no < 1 || no > count || count > maxShards {
		return nil, fmt.Errorf("%s: %w", path, broken("shard %d of %d by its name; there may be up to %d", no, count, maxShards))
	}
	if _, err := os.Stat(path); err != nil { // before what it would be a part of
		return nil, err
	}
	paths := make([]string, count)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("%s-%05d-of-%05d.gguf", parts[1], i+1, count))
		if _, err := os.Stat(paths[i]); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", path, broken("shard %s is missing", quoted(filepath.Base(paths[i]))))
		}
	}
	return paths, nil
}

// addShards opens the files, checks that they are the shards of one, and adds them.
func (f *File) addShards(paths []string) error {
	total := 0
	for i, path := range paths {
		m, h, err := openShard(path)
		if err != nil {
			return err
		}
		if i == 0 {
			f.Metadata = h.Metadata
		}
		if err := f.checkShard(h, i, len(paths)); err != nil {
			m.Close()
			return fmt.Errorf("%s: %w", path, err)
		}
		total += len(h.infos)
		f.add(m, h)
	}
	want, ok, err := f.Uint(splitTensors)
	if err == nil && ok && want != uint64(total) {
		err = broken("key %q is %d, but the shards hold %d tensors", splitTensors, want, total)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", paths[0], err)
	}
	return nil
}

// checkShard reports that h is not shard i of count, or holds a tensor of an earlier one.
func (f *File) checkShard(h *header, i, count int) error {
	for _, c := range []struct {
		key  string
		want int
	}{{splitNo, i}, {splitCount, count}} {
		got, ok, err := h.Uint(c.key)
		switch {
		case err != nil:
			return err
		case !ok && count == 1: // a whole file need not say so
		case !ok:
			return broken("key %q is missing, which every shard has", c.key)
		case c.key == splitCount && got == 0 && count == 1: // what llama.cpp writes when it merges shards
		case got != uint64(c.want):
			return broken("key %q is %d, but the file's name says %d", c.key, got, c.want)
		}
	}
	for _, e := range h.infos {
		if _, twice := f.Tensor(e.name); twice {
			return broken("tensor %s is in an earlier shard as well", quoted(e.name))
		}
	}
	return nil
}

var _ weights.Source = (*File)(nil)

// IsFirstShard reports whether a file of this name is a whole file or the first of its shards.
func IsFirstShard(name string) bool {
	parts := shardName.FindStringSubmatch(filepath.Base(name))
	return parts == nil || parts[2] == "00001"
}
