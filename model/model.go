package model

import (
	"fmt"
	"slices"
	"sync"

	"facet/internal/tensor"
	"facet/model/chat"
	"facet/model/tokenizer"
	"facet/vision"
)

// Options say how a checkpoint is opened.
type Options struct {
	// MMProj is the file with the towers of a GGUF file; "" means the one beside it that
	// fits, if there is one.
	MMProj string
	// Threads is the number of threads that compute; 0 means one for each CPU.
	Threads int
	// WideAudio lets a frame of sound see as many frames before it as the tower's table of
	// distances has, 12, as Google's own implementation does. transformers and llama.cpp
	// leave the last one out.
	WideAudio bool
	// EncoderCache bounds the soft tokens of pictures and sound that are kept for being asked
	// again, in bytes; 0 means 64 MiB (about 9,000 soft tokens of E2B), negative none.
	EncoderCache int64
	// Precision of products. A tracer needs Exact.
	Precision Precision
	// Tracer, if not nil, receives every named activation, and every row then goes
	// through every layer.
	Tracer Tracer
}

// Model is an open checkpoint. It is safe for concurrent use; calls that compute
// take turns, since each uses all threads.
type Model struct {
	checkpoint
	path      string
	tokenizer *tokenizer.Tokenizer // nil for a file without a vocabulary
	ids       specialIDs

	unused  map[string]bool // tensors that the file holds and the model does not read
	decoder *decoder
	vision  imageEncoder // nil in a checkpoint without one
	audio   soundEncoder // nil in a checkpoint without one
	workers *tensor.Pool
	options Options

	encoded *encoderCache
	compute sync.Mutex // held while a pass or a tower runs
	pass    *scratch
	tower   *scratch

	hash func() (string, error)
}

// Open opens the checkpoint at path: a folder with config.json, tokenizer.json and
// safetensors weights, or a GGUF file, with its towers in an mmproj file. Weights stay
// in the memory map. It binds every tensor by name and shape, and fails if one is
// missing, misshapen or unknown.
func Open(path string, o Options) (*Model, error) {
	m, err := Bind(path, o.MMProj)
	if err != nil {
		return nil, err
	}
	if err := m.load(o); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Bind opens a checkpoint as Open does, with mmproj as in Options, but reads no weight
// and no tokenizer: what it returns answers questions about shapes and sizes and computes
// nothing.
func Bind(path, mmproj string) (*Model, error) {
	c, err := openCheckpoint(path, mmproj)
	if err != nil {
		return nil, err
	}
	m := &Model{path: path, checkpoint: *c}
	m.hash = sync.OnceValues(m.hashFiles)
	if err := m.bind(nil); err != nil {
		m.source.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// bind asks the file for every tensor of the model. With workers it makes them ready
// for fast products.
func (m *Model) bind(workers *tensor.Pool) error {
	b := newBinder(m.source)
	b.workers = workers
	c := m.config
	m.decoder = bindDecoder(b, &c.TextConfig)
	switch v := c.VisionConfig; {
	case v == nil:
	case v.unified():
		m.vision = bindPictureEmbedder(b, v, c.TextConfig.HiddenSize)
	default:
		m.vision = bindVision(b, v, c.TextConfig.HiddenSize)
	}
	switch a := c.AudioConfig; {
	case a == nil:
	case a.unified():
		m.audio = bindSoundEmbedder(b, a, c.TextConfig.HiddenSize)
	default:
		m.audio = bindAudio(b, a, c.TextConfig.HiddenSize)
	}
	m.decoder.vectors = b.vectors
	m.unused = b.unused
	return b.done()
}

// load reads what Bind left: the tokenizer and the small vectors, and starts the threads.
func (m *Model) load(o Options) error {
	var err error
	if m.tokenizer, err = m.readTokenizer(); err != nil {
		return err
	}
	c := m.config
	if m.tokenizer != nil && m.tokenizer.Size() > c.TextConfig.VocabSize {
		return fmt.Errorf("%s: %w", m.path, FormatError(fmt.Sprintf("the tokenizer has %d tokens for a vocab_size of %d", m.tokenizer.Size(), c.TextConfig.VocabSize)))
	}
	if m.ids, err = resolveIDs(m.tokenizer, c); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	m.options = o
	m.workers = tensor.NewPool(o.Threads)
	if m.Precision() == Fast {
		if err := m.bind(m.workers); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	for _, v := range m.decoder.vectors {
		v.load()
	}
	m.decoder.soft = m.ids.soft()
	for kind, name := range []string{slidingAttention, fullAttention} {
		if i := slices.Index(c.TextConfig.LayerTypes, name); i >= 0 {
			m.decoder.ropes[kind] = newRope(c.TextConfig.RopeParameters[name], c.TextConfig.headDim(i))
		}
	}
	if t, ok := m.vision.(*visionTower); ok {
		t.rope = newRope(c.VisionConfig.RopeParameters, c.VisionConfig.HeadDim/2)
	}
	if t, ok := m.audio.(*audioTower); ok {
		t.window = c.AudioConfig.AttentionContextLeft - 1
		if o.WideAudio {
			t.window++
		}
	}
	if o.EncoderCache == 0 {
		o.EncoderCache = 64 << 20
	}
	if o.EncoderCache > 0 && o.Tracer == nil {
		m.encoded = newEncoderCache(o.EncoderCache)
	}
	m.pass, m.tower = newScratch(m.workers), newScratch(m.workers)
	m.pass.tracer, m.tower.tracer = o.Tracer, o.Tracer
	m.pass.fast, m.tower.fast = m.Precision() == Fast, m.Precision() == Fast
	return nil
}

// Close ends the threads and unmaps the files. Nothing of m may be used after it.
func (m *Model) Close() error {
	if m.workers != nil {
		m.workers.Close()
	}
	return m.source.Close()
}

// Path is the folder or the file the checkpoint was opened from.
func (m *Model) Path() string { return m.path }

// Folder is the folder that the checkpoint's files are in.
func (m *Model) Folder() string { return folderOf(m.path) }

// Config returns the checkpoint's configuration, which must not be changed.
func (m *Model) Config() *Config { return m.config }

// Tokenizer returns the checkpoint's tokenizer; nil after Bind, and where a GGUF file
// has no vocabulary.
func (m *Model) Tokenizer() *tokenizer.Tokenizer { return m.tokenizer }

// Threads is the number of threads that compute.
func (m *Model) Threads() int { return m.workers.Threads() }

// HasChat reports whether the checkpoint was made for conversations. One that was
// not continues a text.
func (m *Model) HasChat() bool { return m.chat }

// Template is the family of Gemma 4's chat templates that the checkpoint was trained
// with: Small for E2B and E4B, Large for the others.
func (m *Model) Template() chat.Template {
	if m.config.large() {
		return chat.Large
	}
	return chat.Small
}

// Spec says how pictures must be cut for this checkpoint; ok is false if it takes none.
func (m *Model) Spec() (spec vision.Spec, ok bool) {
	v := m.config.VisionConfig
	if v == nil {
		return vision.Spec{}, false
	}
	return v.spec(), true
}

// spec says how pictures are cut: in a 12B the pixels of a soft token are one patch.
func (v *VisionConfig) spec() vision.Spec {
	if v.unified() {
		return vision.Spec{PatchSize: v.PatchSize * v.PoolingKernelSize, PoolingKernelSize: 1}
	}
	return vision.Spec{PatchSize: v.PatchSize, PoolingKernelSize: v.PoolingKernelSize}
}

// Budget is the soft-token budget for a picture that the checkpoint is set to by
// default; 280 where it says nothing.
func (m *Model) Budget() int {
	if n := m.config.Processor.ImageProcessor.MaxSoftTokens; n > 0 {
		return n
	}
	if v := m.config.VisionConfig; v != nil && v.DefaultOutputLength > 0 {
		return v.DefaultOutputLength
	}
	return 280
}

// imageEncoder turns the patches of a picture into soft tokens: a vision tower, or a 12B's
// pictureEmbedder.
type imageEncoder interface {
	// encode returns the soft tokens [S, D] of one picture, a copy that the caller keeps.
	encode(s *scratch, p *vision.Patches) (tensor.Mat, error)
}

// SoftTokens are the embeddings of one picture, [Rows, Width], as the decoder takes
// them in the places of its soft tokens. They are shared: nobody may change them.
type SoftTokens struct {
	Rows, Width int
	Values      []float32

	hash sync.Once
	sum  [32]byte
}

// EncodeImage runs the vision tower, or what a 12B has in place of one, on one picture. It
// fails if the checkpoint takes no pictures or the picture is larger than its position table.
func (m *Model) EncodeImage(p *vision.Patches) (*SoftTokens, error) { return m.encodeImage(p, 0) }

// encodeImage is EncodeImage for the item-th picture of a prompt, as the trace counts them.
func (m *Model) encodeImage(p *vision.Patches, item int) (*SoftTokens, error) {
	if m.vision == nil {
		return nil, UnsupportedError("this checkpoint has no vision tower: it takes text only")
	}
	var key [32]byte
	if m.encoded != nil {
		key = patchesKey(p)
		if soft := m.encoded.get(key); soft != nil {
			return soft, nil
		}
	}
	m.compute.Lock()
	defer m.compute.Unlock()
	m.tower.item = item
	mat, err := m.vision.encode(m.tower, p)
	if err != nil {
		return nil, err
	}
	soft := &SoftTokens{Rows: mat.Rows, Width: mat.Cols, Values: mat.Data}
	if m.encoded != nil {
		m.encoded.put(key, soft)
	}
	return soft, nil
}

// EncodeImages is EncodeImage for the pictures of one prompt, in order.
func (m *Model) EncodeImages(ps []*vision.Patches) ([]*SoftTokens, error) {
	var out []*SoftTokens
	for i, p := range ps {
		soft, err := m.encodeImage(p, i)
		if err != nil {
			return nil, fmt.Errorf("image %d: %w", i+1, err)
		}
		out = append(out, soft)
	}
	return out, nil
}
