//go:build !unix

package source

import (
	"io/fs"
	"path/filepath"
)

// folderID tells folders apart, whatever path leads to them.
type folderID struct{ real string }

// idOf is false where the system does not say.
func idOf(path string, _ fs.FileInfo) (folderID, bool) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	return folderID{real}, err == nil
}

const openFlags = 0
