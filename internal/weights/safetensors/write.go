package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"facet/internal/weights"
)

// Write writes the tensors, of which Name, DType, Shape and Data count, to one file in
// the order given. What it writes, Open reads.
//
// The file appears under its name when it is complete and on the disk, in place of any
// that was there: Open files keep what they had. A tensor that Open would refuse, such as
// one whose Data has another size than its type and shape, is an error and nothing is
// written.
func Write(path string, tensors []weights.Tensor) error {
	for _, t := range tensors {
		if size, err := sizeOfTensor(t); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		} else if size != t.Bytes() {
			return fmt.Errorf("%s: tensor %s: %w", path, quoted(t.Name), broken("%s %v takes %d bytes, %d given", t.DType, t.Shape, size, t.Bytes()))
		}
	}
	return write(path, tensors, func(f *os.File, _ int64) error {
		for _, t := range tensors {
			if _, err := f.Write(t.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// WriteSparse is Write without Data: every value reads as 0, and the file takes hardly
// any room on a file system that knows holes, whatever its size. A released checkpoint's
// names and shapes can be tried so without its weights.
func WriteSparse(path string, tensors []weights.Tensor) error {
	return write(path, tensors, func(f *os.File, size int64) error {
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		return f.Truncate(at + size)
	})
}

// WriteIndex writes the index of a checkpoint in shards: the shard of each tensor, and
// the bytes that all tensors take together. Like Write, it writes the whole file or none.
func WriteIndex(path string, shardOf map[string]string, totalSize int64) error {
	b, err := json.MarshalIndent(map[string]any{
		"metadata":   map[string]int64{"total_size": totalSize},
		"weight_map": shardOf,
	}, "", "  ")
	if err != nil {
		return err
	}
	return weights.ReplaceFile(path, func(f *os.File) error {
		_, err := f.Write(append(b, '\n'))
		return err
	})
}

// write writes the length, the header and what data writes, which gets the size of
// the data in bytes.
func write(path string, tensors []weights.Tensor, data func(f *os.File, size int64) error) error {
	header, size, err := formatHeader(tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return weights.ReplaceFile(path, func(f *os.File) error {
		if _, err := f.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
			return err
		}
		if _, err := f.Write(header); err != nil {
			return err
		}
		return data(f, size)
	})
}

// formatHeader returns the header, padded with spaces so that the data begins at a
// multiple of 8 bytes, and the size of the data.
func formatHeader(tensors []weights.Tensor) (header []byte, dataSize int64, err error) {
	b := bytes.NewBufferString("{")
	for i, t := range tensors {
		size, err := sizeOfTensor(t)
		if err != nil {
			return nil, 0, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(t.Name) // a string of valid UTF-8 cannot fail
		shape, _ := json.Marshal(append([]int{}, t.Shape...))
		fmt.Fprintf(b, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, dataSize, dataSize+size)
		dataSize += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if _, err := parseHeader(b.Bytes(), dataSize); err != nil { // also finds a name given twice
		return nil, 0, err
	}
	return b.Bytes(), dataSize, nil
}

// sizeOfTensor returns the bytes that t's type and shape ask for.
func sizeOfTensor(t weights.Tensor) (int64, error) {
	if err := checkName(t.Name); err != nil {
		return 0, err
	}
	shape := make([]uint64, len(t.Shape))
	for i, d := range t.Shape {
		if d < 0 {
			return 0, broken("tensor %s: negative dimension in shape %v", quoted(t.Name), t.Shape)
		}
		shape[i] = uint64(d)
	}
	size, err := sizeOf(t.DType, shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
	}
	return int64(size), nil
}
