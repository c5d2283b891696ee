package pdfium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	binding "github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"facet/internal/sandbox"
)

// renderer is one instance of PDFium.
type renderer struct {
	binding.Pdfium
	pool   binding.Pool
	memory *memory
}

// errCold says that the cache lacks this renderer.
var errCold = errors.New("the PDF renderer is not compiled yet")

// load makes an instance from the compiled code in the cache, with at most so many bytes of memory. If compile is set, code that
// is missing is compiled and written there; otherwise that is errCold, and the process can write no file from then on.
func load(cache string, most int64, compile bool) (*renderer, error) {
	c, err := wazero.NewCompilationCacheWithDir(cache)
	if err != nil {
		return nil, err
	}
	if !compile {
		if err := sandbox.ForbidWriting(); err != nil {
			return nil, err
		}
	}
	r := &renderer{memory: &memory{most: uint64(most)}}
	ctx := experimental.WithMemoryAllocator(context.Background(), r.memory)
	r.pool, err = webassembly.Init(webassembly.Config{
		Context: ctx, MaxTotal: 1, MaxIdle: 1,
		FSConfig: wazero.NewFSConfig(), // nothing: the binding's own choice is the whole disk
		RuntimeConfig: wazero.NewRuntimeConfig().WithCompilationCache(c).
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling),
		Stdout: io.Discard, Stderr: io.Discard,
		RandomSource: strings.NewReader(strings.Repeat("facet", 1<<16)), // the same pixels each time
	})
	if err != nil && !compile {
		return nil, fmt.Errorf("%w: %v", errCold, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the PDF renderer: %w", err)
	}
	if r.Pdfium, err = r.pool.GetInstance(time.Minute); err != nil {
		return nil, fmt.Errorf("the PDF renderer: %w", err)
	}
	return r, nil
}

// compiled lists the folders of a cache that are wazero's.
func compiled(cache string) (folders []string) {
	entries, _ := os.ReadDir(cache) // one that can't be read has none
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "wazero-") {
			folders = append(folders, filepath.Join(cache, e.Name()))
		}
	}
	return folders
}

func (r *renderer) close() { r.pool.Close() }

// memory is the renderer's, of which it gets no more than most bytes. It is reserved once, so that growing copies nothing; the
// kernel gives a page when it is touched.
type memory struct {
	most    uint64
	bytes   []byte
	refused bool // more was asked for
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory {
	m.bytes = make([]byte, m.most)
	return m
}

// Reallocate implements experimental.LinearMemory: nil refuses.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.most {
		m.refused = true
		return nil
	}
	return m.bytes[:size]
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {}
