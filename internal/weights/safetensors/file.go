package safetensors

import (
	"encoding/binary"
	"fmt"

	"facet/internal/weights"
)

// maxHeader is the longest header that is read, in bytes: the reference reader's limit.
const maxHeader = 100_000_000

// lengthBytes is the size of the header's length, in front of the header.
const lengthBytes = 8

// file is one mapped safetensors file whose header has been checked.
type file struct {
	m       *weights.Map
	dataAt  int64   // offset of the data in the file
	entries []entry // by begin
}

// openFile maps the file at path and reads its header. Errors name the path.
func openFile(path string) (*file, error) {
	if err := weights.Sniff(path); err != nil {
		return nil, err
	}
	m, err := weights.OpenMap(path)
	if err != nil {
		return nil, err
	}
	f, err := readFile(m)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// readFile reads the header of m by file offset and not through the map, so that a
// file that is being cut short is an error here and not a fault.
func readFile(m *weights.Map) (*file, error) {
	if m.Size() < lengthBytes {
		return nil, broken("%d bytes are too few for a safetensors file", m.Size())
	}
	var length [lengthBytes]byte
	if _, err := m.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	n, left := binary.LittleEndian.Uint64(length[:]), m.Size()-lengthBytes
	switch {
	case n > maxHeader:
		return nil, broken("header length %d is over the limit of %d bytes: not a safetensors file", n, maxHeader)
	case n > uint64(left):
		return nil, broken("header length %d, but only %d bytes follow: the file is cut short", n, left)
	}
	header := make([]byte, n)
	if _, err := m.ReadAt(header, lengthBytes); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	entries, err := parseHeader(header, left-int64(n))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return &file{m: m, dataAt: lengthBytes + int64(n), entries: entries}, nil
}
