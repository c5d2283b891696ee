package foreign

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"facet/vision"
)

//go:embed wasm/*.wasm.gz
var wasm embed.FS

// A machine is a decoder, compiled: which takes a quarter of a second, once for all files of a process. That is too little for
// a cache on the disk, which others could write to.
type machine struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

var machines = map[string]func() (machine, error){
	"heif": sync.OnceValues(func() (machine, error) { return compile("heif") }),
	"avif": sync.OnceValues(func() (machine, error) { return compile("avif") }),
	"jxl":  sync.OnceValues(func() (machine, error) { return compile("jxl") }),
}

func compile(name string) (machine, error) {
	ctx := context.Background()
	packed, err := wasm.ReadFile("wasm/" + name + ".wasm.gz")
	if err != nil {
		return machine{}, err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return machine{}, err
	}
	code, err := io.ReadAll(z)
	if err != nil {
		return machine{}, err
	}
	m := machine{runtime: wazero.NewRuntime(ctx)}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return machine{}, err
	}
	m.compiled, err = m.runtime.CompileModule(ctx, code)
	return m, err
}

// An instance is a decoder with a memory of its own, for one file: what a file does to it ends with it. It has no files, no
// clock and no output.
type instance struct {
	module api.Module
	memory *memory
	ctx    context.Context
}

func start(name string) (*instance, error) {
	m, err := machines[name]()
	if err != nil {
		return nil, fmt.Errorf("the decoder %s: %w", name, err)
	}
	in := &instance{memory: &memory{}}
	in.ctx = experimental.WithMemoryAllocator(context.Background(), in.memory)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	if in.module, err = m.runtime.InstantiateModule(in.ctx, m.compiled, config); err != nil {
		return nil, in.broken(err)
	}
	return in, nil
}

func (in *instance) close() { in.module.Close(in.ctx) }

// call calls a function that returns a number.
func (in *instance) call(function string, args ...uint64) (uint32, error) {
	out, err := in.module.ExportedFunction(function).Call(in.ctx, args...)
	if err != nil {
		return 0, in.broken(err)
	}
	if in.memory.refused {
		return 0, errMemory
	}
	return uint32(out[0]), nil
}

// errMemory says that a decoder wanted more than it may have.
var errMemory = vision.UnsupportedError(fmt.Sprintf("decoding it takes more than %d MiB of memory", mostMemory>>20))

// broken tells a trap, which a file brought about, without the stack that wazero adds.
func (in *instance) broken(err error) error {
	if in.memory.refused {
		return errMemory
	}
	text, _, _ := bytes.Cut([]byte(err.Error()), []byte("\n"))
	return vision.FormatError("the decoder failed: " + string(text))
}

// room makes room for so many bytes and returns where.
func (in *instance) room(n int) (uint64, error) {
	if n > mostMemory {
		return 0, errMemory
	}
	at, err := in.call("malloc", uint64(n))
	if err == nil && at == 0 {
		err = errMemory
	}
	return uint64(at), err
}

// put copies data into the memory.
func (in *instance) put(data []byte) (uint64, error) {
	at, err := in.room(len(data))
	if err == nil && !in.module.Memory().Write(uint32(at), data) {
		err = errMemory
	}
	return at, err
}

// word reads the i-th number at an address.
func (in *instance) word(at uint64, i int) int {
	v, _ := in.module.Memory().ReadUint32Le(uint32(at) + uint32(4*i)) // in what room gave
	return int(v)
}

// view returns n bytes at an address, which are valid until the next call.
func (in *instance) view(at uint64, n int) ([]byte, error) {
	b, ok := in.module.Memory().Read(uint32(at), uint32(n))
	if !ok {
		return nil, errors.New("the decoder answered wrongly")
	}
	return b, nil
}

// mostMemory is what a decoder may have, in bytes: enough for a picture of 150 million pixels in the format that wants most, and less than the
// whole of what WebAssembly can address.
const mostMemory = 3 << 30

// memory is an instance's.
type memory struct {
	bytes   []byte
	refused bool // more was asked for
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory: nil refuses.
func (m *memory) Reallocate(size uint64) []byte {
	if size > mostMemory {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		grown := make([]byte, size, min(size+size/4, mostMemory))
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {}
