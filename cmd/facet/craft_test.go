package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// png WIDTH HEIGHT FILE writes the beginning of a PNG file (RFC 2083): a header that
// claims this size, 8-bit RGB, and an empty IDAT chunk.
func pngHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: png width height file")
	}
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(kind), data...)
		b.Write(body)
		binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	var header []byte
	for _, side := range args[:2] {
		header = binary.BigEndian.AppendUint32(header, uint32(number(ts, side)))
	}
	chunk("IHDR", append(header, 8, 2, 0, 0, 0))
	chunk("IDAT", nil)
	chunk("IEND", nil)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b.Bytes(), 0o666))
}

// poke FILE TENSOR adds 1 to the first value of a float32 tensor in a safetensors file:
// eight bytes with the length of a JSON header, the header, the values.
func poke(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: poke file tensor")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	start := 8 + binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string    `json:"dtype"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	ts.Check(json.Unmarshal(data[8:start], &header))
	t, ok := header[args[1]]
	if !ok || t.DType != "F32" {
		ts.Fatalf("%s has no F32 tensor %s", args[0], args[1])
	}
	value := data[start+t.Offsets[0]:]
	binary.LittleEndian.PutUint32(value, math.Float32bits(1+math.Float32frombits(binary.LittleEndian.Uint32(value))))
	ts.Check(os.WriteFile(path, data, 0o666))
}
