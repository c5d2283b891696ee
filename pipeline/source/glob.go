package source

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func hasMeta(path string) bool { return strings.ContainsAny(path, "*?[") }

// checkPatterns says which pattern path.Match would not understand.
func checkPatterns(what string, patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return fmt.Errorf("%s %q: not a pattern", what, p)
		}
	}
	return nil
}

// chosen tells whether the patterns leave a path in, which has forward slashes.
func (o *Options) chosen(name string) bool {
	if matchAny(o.Exclude, name) {
		return false
	}
	for dir := path.Dir(name); dir != "." && dir != "/" && len(o.Exclude) > 0; dir = path.Dir(dir) {
		if matchAny(o.Exclude, dir) { // of an archive, whose folders nobody enters
			return false
		}
	}
	return len(o.Include) == 0 || matchAny(o.Include, name)
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if !strings.Contains(p, "/") && p != "**" {
			return matchParts([]string{p}, []string{path.Base(name)})
		}
		return matchParts(strings.Split(p, "/"), strings.Split(name, "/"))
	})
}

// matchParts matches part by part; ** stands for any number of parts, none included. Its time is
// the product of the two lengths.
func matchParts(pattern, name []string) bool {
	// reach[i]: the patterns so far match the first i parts
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for _, p := range pattern {
		next := make([]bool, len(name)+1)
		for i := range reach {
			switch {
			case p == "**":
				next[i] = reach[i] || i > 0 && next[i-1]
			case i > 0 && reach[i-1]:
				next[i], _ = path.Match(p, name[i-1])
			}
		}
		reach = next
	}
	return reach[len(name)]
}

// pattern lists what a pattern matches, sorted, as a shell would name it. After ** at the end only media
// count.
func (s *Sources) pattern(pattern string) error {
	parts := strings.Split(filepath.ToSlash(pattern), "/")
	if err := checkPatterns("pattern", []string{filepath.ToSlash(pattern)}); err != nil {
		return err
	}
	root := filepath.VolumeName(pattern)
	parts[0] = strings.TrimPrefix(parts[0], filepath.ToSlash(root))
	if parts[0] == "" && len(parts) > 1 {
		root, parts = root+string(filepath.Separator), parts[1:]
	}
	g := glob{found: map[string]bool{}}
	g.expand(root, parts, 0)
	var paths []string
	last := parts[len(parts)-1]
	for p := range g.found {
		if last == "**" {
			info, err := os.Stat(p)
			if err != nil || info.IsDir() || !s.options.wants(p, info) {
				continue
			}
		}
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s: no file is called so, and as a pattern it matches nothing", pattern)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := s.named(p); err != nil {
			return err
		}
	}
	return nil
}

type glob struct{ found map[string]bool }

// expand finds what parts match below dir. Links to folders are followed where a part
// matches one, but not by **.
func (g *glob) expand(dir string, parts []string, depth int) {
	if len(parts) == 0 {
		g.found[dir] = true
		return
	}
	part, rest := parts[0], parts[1:]
	if part == "" || part == "." && len(rest) > 0 { // a//b, a/./b
		g.expand(dir, rest, depth)
		return
	}
	if !hasMeta(part) {
		if path := filepath.Join(dir, part); exists(path) {
			g.expand(path, rest, depth)
		}
		return
	}
	if part == "**" {
		if len(rest) > 0 {
			g.expand(dir, rest, depth)
		}
		if depth > DefaultLimits.Depth {
			return
		}
	}
	names, _ := namesIn(orHere(dir)) // what cannot be read has no names, as in a shell
	for _, name := range names {
		path := filepath.Join(dir, name)
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		if part == "**" {
			if len(rest) == 0 {
				g.found[path] = true
			}
			if info, err := os.Lstat(path); err == nil && info.IsDir() {
				g.expand(path, parts, depth+1)
			}
			continue
		}
		if !matchParts([]string{part}, []string{name}) {
			continue
		}
		if info, err := os.Stat(path); len(rest) > 0 && (err != nil || !info.IsDir()) {
			continue
		}
		g.expand(path, rest, depth)
	}
}

func orHere(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
