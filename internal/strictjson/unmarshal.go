package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Keys says what becomes of keys that the destination has no field for.
type Keys int

// AllowUnknown is for files in a form of others, which grows: their keys are dropped.
// RefuseUnknown is for files in a form of ours, where such a key is a misspelt one. Since
// encoding/json matches keys in any letter case, those that differ in nothing else are
// then equal ones.
const (
	AllowUnknown Keys = iota
	RefuseUnknown
)

// Unmarshal is json.Unmarshal for a text that is checked as the package comment says
// first; v is untouched if it does not pass. Errors are an [*Error], or what encoding/json
// says of a value that does not go into v.
func Unmarshal(data []byte, v any, unknown Keys) error {
	r := NewReader(data)
	r.fold = unknown == RefuseUnknown
	r.Skip()
	r.End()
	if r.err != nil {
		return r.err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if unknown == RefuseUnknown {
		d.DisallowUnknownFields()
	}
	return d.Decode(v)
}

// ReadFile returns the bytes of a regular file if there are at most limit of them. It
// refuses pipes and devices, which may never end, without waiting for them, and does not
// trust the size that a file is said to have. Errors name the path.
func ReadFile(path string, limit int64) ([]byte, error) {
	refuse := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: "read", Path: path, Err: err} }
	info, err := os.Stat(path) // before opening: a named pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return refuse(errors.New("not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), limit)) + bytes.MinRead) // enough to see the end without growing
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return refuse(fmt.Errorf("more than %d bytes", limit))
	}
	return b.Bytes(), nil
}
