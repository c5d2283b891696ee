package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"facet/internal/strictjson"
	"facet/internal/weights"
)

// The names under which a folder holds its weights, in the order they are looked for.
const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// maxIndex is the longest index that is read, in bytes: maxKeys names of 300 bytes
// with their shards. Released ones are under 200 kB.
const maxIndex = 40 << 20

// openFolder opens the single file or the shards of a folder. Files in it may be
// links, as they are in a hub cache.
func openFolder(dir string) (*source, error) {
	single, index := filepath.Join(dir, singleName), filepath.Join(dir, indexName)
	if exists(single) {
		return open(single)
	}
	if exists(index) {
		return openIndex(index)
	}
	return nil, noWeights(dir)
}

func exists(path string) bool {
	info, err := os.Stat(path)
	// A folder of that name would lead open back here.
	return err == nil && !info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// noWeights says why a folder cannot be opened: by the weights of another kind that it
// holds, if it does.
func noWeights(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := weights.SniffName(filepath.Join(dir, e.Name())); err != nil && !e.IsDir() {
			return err
		}
	}
	return fmt.Errorf("%s: %w", dir, broken("holds neither %s nor %s", singleName, indexName))
}

// openIndex opens the shards that an index names, each once, and checks that both
// agree on which tensor lies where.
func openIndex(path string) (*source, error) {
	b, err := strictjson.ReadFile(path, maxIndex)
	if err != nil {
		return nil, err
	}
	shardOf, err := parseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := new(source)
	if err := s.addShards(path, shardOf); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *source) addShards(index string, shardOf map[string]string) error {
	shards := slices.Compact(slices.Sorted(maps.Values(shardOf)))
	dir := filepath.Dir(index)
	for _, shard := range shards { // all of them before the first is mapped
		if _, err := os.Stat(filepath.Join(dir, shard)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", index, broken("shard %s is missing", quoted(shard)))
		}
	}
	for _, shard := range shards {
		f, err := openFile(filepath.Join(dir, shard))
		if err != nil {
			return err
		}
		if err := checkShard(f.entries, shard, shardOf); err != nil {
			f.m.Close()
			return fmt.Errorf("%s: %w", f.m.Path(), err)
		}
		s.add(f)
	}
	for _, name := range slices.Sorted(maps.Keys(shardOf)) {
		if _, ok := s.Tensor(name); !ok {
			return fmt.Errorf("%s: %w", index, broken("tensor %s is not in its shard %s", quoted(name), quoted(shardOf[name])))
		}
	}
	return nil
}

// checkShard reports a tensor of a shard that the index places elsewhere or nowhere.
func checkShard(entries []entry, shard string, shardOf map[string]string) error {
	for _, e := range entries {
		switch want, ok := shardOf[e.name]; {
		case !ok:
			return broken("tensor %s is not in %s", quoted(e.name), indexName)
		case want != shard:
			return broken("tensor %s belongs in %s by %s", quoted(e.name), quoted(want), indexName)
		}
	}
	return nil
}

// parseIndex returns the shard of every tensor. The index's "metadata" must be JSON and
// is not used: writers disagree on whether total_size counts a tied tensor once or
// twice, and every shard's size follows from its own header.
func parseIndex(b []byte) (map[string]string, error) {
	r := strictjson.NewReader(b)
	shardOf := map[string]string{}
	r.Object(func(key string) {
		if key != "weight_map" {
			r.Skip()
			return
		}
		r.Object(func(name string) {
			shard, err := readShard(r, name)
			r.Stop(err)
			shardOf[name] = shard
		})
	})
	r.End()
	switch err := r.Err(); {
	case err != nil:
		return nil, formatError(err)
	case len(shardOf) == 0:
		return nil, broken("weight_map is missing or empty")
	}
	return shardOf, nil
}

// readShard reads the name of the file that a tensor lies in.
func readShard(r *strictjson.Reader, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	shard := r.Text(maxName)
	switch {
	case r.Err() != nil:
		r.In("tensor " + quoted(name))
		return "", nil
	case !plainName(shard):
		return "", broken("tensor %s: shard %s is not the name of a file beside the index", quoted(name), quoted(shard))
	}
	return shard, weights.SniffName(shard)
}

// plainName reports whether name stays in the folder on every system: no way up or
// down, no drive or stream, nothing that a terminal would act on.
func plainName(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, `/\:`) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == utf8.RuneError })
}
