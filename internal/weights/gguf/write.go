package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"facet/internal/weights"
)

// KV is a key with its value, whose Go type gives the kind: a uint8 … uint64, int8 …
// int64, float32, float64, bool or string, or a slice of one of them for an array.
type KV struct {
	Key   string
	Value any
}

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType string // ggml's name, as in weights.Tensor
	Shape []int  // row-major
	// Write writes the values: as many bytes as the type and the shape take.
	Write func(w io.Writer) error
}

// Write writes a file of version 3 with the metadata and tensors in the order given.
// Values are asked for one tensor after the other and never held together, so that a
// file may be larger than the memory. What it writes, Open reads.
//
// The file appears under its name when it is complete and on the disk, in place of any
// that was there: Open files keep what they had. A key or tensor that Open would refuse,
// and a tensor whose Write writes another size, is an error and nothing is left.
// It panics on a value of a Go type that is not in KV's list.
func Write(path string, metadata []KV, tensors []Tensor) error {
	h, header, err := format(metadata, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return weights.ReplaceFile(path, func(f *os.File) error {
		w := &countingWriter{w: bufio.NewWriterSize(f, 1<<20)}
		w.Write(header) // the buffer keeps the first error, and Flush returns it
		for i, t := range tensors {
			w.zeros(h.dataAt + h.infos[i].offset - w.n)
			start := w.n
			if err := t.Write(w); err != nil {
				return fmt.Errorf("%s: tensor %s: %w", path, quoted(t.Name), err)
			}
			if got := w.n - start; got != h.infos[i].size {
				return fmt.Errorf("%s: tensor %s: %w", path, quoted(t.Name), broken("%s %v takes %d bytes, %d were written", t.DType, t.Shape, h.infos[i].size, got))
			}
		}
		return w.w.Flush()
	})
}

// format returns the header's bytes, and what Open reads in them.
func format(metadata []KV, tensors []Tensor) (*header, []byte, error) {
	le := binary.LittleEndian
	b := append([]byte("GGUF"), 3, 0, 0, 0)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(metadata)))
	alignment := int64(defaultAlignment)
	for _, kv := range metadata {
		b = appendString(b, kv.Key)
		b = appendValue(b, kv)
		if n, ok := kv.Value.(uint32); ok && kv.Key == alignmentKey {
			alignment = max(1, int64(n))
		}
	}
	end := int64(0)
	for _, t := range tensors {
		typ, sizes, err := t.layout()
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
		}
		b = appendString(b, t.Name)
		b = le.AppendUint32(b, uint32(len(sizes)))
		for _, n := range sizes {
			b = le.AppendUint64(b, n)
		}
		b = le.AppendUint32(b, typ.number)
		offset := (end + alignment - 1) / alignment * alignment
		b = le.AppendUint64(b, uint64(offset))
		size, err := sizeOf(typ, sizes)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
		}
		end = offset + size
	}
	h, err := parse(b, int64(len(b))+alignment+end) // also finds names given twice, and too long
	return h, b, err
}

// layout returns t's type, and its sizes in the file's order.
func (t *Tensor) layout() (dtype, []uint64, error) {
	typ, err := dtypeNamed(t.DType)
	if err != nil {
		return typ, nil, err
	}
	sizes := make([]uint64, len(t.Shape))
	for i, n := range t.Shape {
		if n < 0 {
			return typ, nil, broken("a negative dimension in shape %v", t.Shape)
		}
		sizes[len(sizes)-1-i] = uint64(n)
	}
	return typ, sizes, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue appends the kind and the value of kv.
func appendValue(b []byte, kv KV) []byte {
	le := binary.LittleEndian
	k, length := kindOf(kv)
	if length >= 0 {
		b = le.AppendUint32(b, uint32(kindArray))
	}
	b = le.AppendUint32(b, uint32(k))
	if length >= 0 {
		b = le.AppendUint64(b, uint64(length))
	}
	switch v := kv.Value.(type) {
	case string:
		return appendString(b, v)
	case []string:
		for _, s := range v {
			b = appendString(b, s)
		}
		return b
	}
	b, err := binary.Append(b, le, kv.Value)
	if err != nil {
		panic(err) // kindOf knows fixed sizes only
	}
	return b
}

// kindOf returns the kind of kv's value, and its length if it is an array, otherwise −1.
func kindOf(kv KV) (k kind, length int) {
	switch v := kv.Value.(type) {
	case uint8:
		return kindUint8, -1
	case int8:
		return kindInt8, -1
	case uint16:
		return kindUint16, -1
	case int16:
		return kindInt16, -1
	case uint32:
		return kindUint32, -1
	case int32:
		return kindInt32, -1
	case uint64:
		return kindUint64, -1
	case int64:
		return kindInt64, -1
	case float32:
		return kindFloat32, -1
	case float64:
		return kindFloat64, -1
	case bool:
		return kindBool, -1
	case string:
		return kindString, -1
	case []uint8:
		return kindUint8, len(v)
	case []int8:
		return kindInt8, len(v)
	case []uint16:
		return kindUint16, len(v)
	case []int16:
		return kindInt16, len(v)
	case []uint32:
		return kindUint32, len(v)
	case []int32:
		return kindInt32, len(v)
	case []uint64:
		return kindUint64, len(v)
	case []int64:
		return kindInt64, len(v)
	case []float32:
		return kindFloat32, len(v)
	case []float64:
		return kindFloat64, len(v)
	case []bool:
		return kindBool, len(v)
	case []string:
		return kindString, len(v)
	}
	panic(fmt.Sprintf("gguf: Write: key %s: a value of type %T", quoted(kv.Key), kv.Value))
}

// countingWriter knows how far it is in the file.
type countingWriter struct {
	w *bufio.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// zeros writes n bytes of padding.
func (w *countingWriter) zeros(n int64) {
	for ; n > 0; n-- {
		w.w.WriteByte(0)
		w.n++
	}
}
