package model

import "strings"

// Memory is what a checkpoint takes while it runs, in bytes, computed from shapes.
type Memory struct {
	// Weights in the memory map. They are read where they lie; a page counts towards
	// the resident size once it was touched. Those of a tower that are not in the map stay
	// beside the panels that fast makes of them.
	Decoder int64 `json:"decoder_bytes"`
	Vision  int64 `json:"vision_bytes"`
	Audio   int64 `json:"audio_bytes"`
	// Table is the per-layer embedding table, which is read row by row from the file
	// and never resident.
	Table int64 `json:"per_layer_table_bytes"`
	// Unused is what the file holds and the model does not read.
	Unused int64 `json:"unused_bytes"`
	// Cache is the keys and values of all sequences at the given context.
	Cache int64 `json:"cache_bytes"`
	// Pass is the activations of a pass, Tower those of the vision tower at the given budget,
	// and Sound those of the audio tower for as many clips as it takes together.
	Pass  int64 `json:"pass_bytes"`
	Tower int64 `json:"tower_bytes"`
	Sound int64 `json:"sound_bytes"`
}

// Resident is the most that is resident at once, without the program itself.
func (m Memory) Resident() int64 {
	return m.Decoder + m.Vision + m.Audio + m.Cache + m.Pass + m.Tower + m.Sound
}

// Memory computes what sequences of context positions each take, with pictures of
// budget soft tokens.
func (m *Model) Memory(context, sequences, budget int) Memory {
	var out Memory
	for _, name := range m.source.Names() {
		t, _ := m.source.Tensor(name)
		switch {
		case m.unused[name]:
			out.Unused += t.Bytes()
		case strings.HasSuffix(name, "embed_tokens_per_layer.weight"):
			out.Table += t.Bytes()
		case strings.Contains(name, "vision"):
			out.Vision += t.Bytes()
			if len(t.Shape) == 2 && !t.Mapped() && m.Precision() == Fast {
				out.Vision += 2 * t.Elements()
			}
		case strings.Contains(name, "audio"):
			out.Audio += t.Bytes()
		default:
			out.Decoder += t.Bytes()
		}
	}
	c := &m.config.TextConfig
	out.Cache = int64(sequences) * c.cacheBytes(context, budget, m.Precision() == Fast)
	out.Pass = c.passBytes(sequences, budget)
	if v := m.config.VisionConfig; v != nil {
		out.Tower = v.towerBytes(budget, m.Precision())
	}
	if a := m.config.AudioConfig; a != nil {
		out.Sound = a.towerBytes()
	}
	return out
}

// cacheBytes is the memory of one sequence's keys and values at a context: all
// positions in full layers; in sliding ones the window and the longest pass, which a
// picture that sees itself in both directions lengthens. Pages are whole.
func (t *TextConfig) cacheBytes(context, budget int, packed bool) int64 {
	var n int64
	for i := range t.firstShared() {
		positions := context
		if t.Sliding(i) {
			pass := passTokens
			if t.bidirectionalImages() {
				pass += budget
			}
			positions = min(context, t.SlidingWindow-1+pass+pageKeys) // a page is kept until the window left all of it
		}
		pages := (positions + pageKeys - 1) / pageKeys
		shape := attentionShape{t.heads(i), t.kvHeads(i), t.headDim(i)}
		page := 2 * 4 * shape.pageValues(false) // keys and values, float32
		if packed {
			page = 2 * shape.pageValues(true) // both at once, bfloat16
		}
		n += int64(pages) * int64(page)
	}
	return n
}

// passBytes is the memory of the activations of a full pass that ends all sequences'
// prompts, lengthened by a picture that may not be cut.
func (t *TextConfig) passBytes(sequences, budget int) int64 {
	rows := passTokens + sequences
	if t.bidirectionalImages() {
		rows += budget
	}
	widest := 0
	for i := range t.NumHiddenLayers {
		q, kv := t.heads(i)*t.headDim(i), t.kvHeads(i)*t.headDim(i)
		widest = max(widest, 2*q+2*kv+2*t.intermediateSize(i)+2*t.headDim(i)) // with the rotary tables
	}
	columns := 3*t.HiddenSize + widest + 2*t.NumHiddenLayers*t.HiddenSizePerLayerInput
	if t.EnableMoEBlock { // dense, input and sum; the rows of one expert, at most all
		columns += 3*t.HiddenSize + *t.NumExperts + 2*t.HiddenSize + 3**t.MoEIntermediateSize
	}
	return 4 * (int64(rows)*int64(columns) + int64(sequences)*int64(t.VocabSize))
}

// towerBytes is the memory of the tower's activations for a picture of budget soft
// tokens. What attention does not need is there for one block of patches a thread: see
// towerBlock.
func (v *VisionConfig) towerBytes(budget int, p Precision) int64 {
	if v.unified() {
		return v.embedderBytes(budget)
	}
	patches := budget * v.PoolingKernelSize * v.PoolingKernelSize
	shape := attentionShape{v.NumAttentionHeads, v.NumKeyValueHeads, v.HeadDim}
	q, kv := v.NumAttentionHeads*v.HeadDim, v.NumKeyValueHeads*v.HeadDim
	columns := v.HiddenSize + 2*q + 2*kv + v.HeadDim + 2*3*v.PatchSize*v.PatchSize
	block := 2*v.HiddenSize + 2*v.IntermediateSize
	var packed int64
	if p == Fast {
		packed = int64((patches+pageKeys-1)/pageKeys) * shape.pageBytes(true)
	} else if v.UseClippedLinears {
		block += v.IntermediateSize
	}
	return 4*(int64(patches)*int64(columns)+int64(patches/threadBlocks)*int64(block)) + packed
}

// embedderBytes is the memory of a pictureEmbedder: the patches, and what one block of them a
// thread goes through (see audioBlock).
func (v *VisionConfig) embedderBytes(budget int) int64 {
	side := v.spec().PatchSize
	patch := int64(3 * side * side)
	return 4 * (int64(budget)*patch + int64(budget/4+audioMostRows)*(patch+2*int64(v.MMEmbedDim)))
}

// towerBytes is the memory of the audio tower's activations for audioRowsAtOnce rows: the
// residual stream, queries, keys, values and what the convolutions read. What lies between
// products is there for a quarter of the rows, all threads together: see audioBlock.
func (a *AudioConfig) towerBytes() int64 {
	if a.unified() {
		return 4 * audioRowsAtOnce * int64(a.AudioEmbedDim) // the longest clip is shorter
	}
	d := a.HiddenSize
	block := 3*d + 4*d + 2*d + max(d, a.OutputProjDims)
	if a.UseClippedLinears {
		block += 4 * d
	}
	bins, first, second := halved(melBins), a.SubsamplingConvChannels[0], a.SubsamplingConvChannels[1]
	conv := (2*convRows+1)*bins*first + convRows*halved(bins)*second + max(bins*9, halved(bins)*9*first)
	return 4 * (audioRowsAtOnce*int64(5*d+block/4) + audioRowsAtOnce/(4*audioMostRows)*int64(conv))
}

// Counts are the sizes of a checkpoint's files.
type Counts struct {
	TensorsStored, TensorsUsed int
	Parameters                 int64 // stored
	FileBytes                  int64
}

// Counts returns how many tensors and parameters the checkpoint's files hold.
func (m *Model) Counts() Counts {
	c := Counts{FileBytes: m.source.Size()}
	for _, name := range m.source.Names() {
		t, _ := m.source.Tensor(name)
		c.TensorsStored++
		c.Parameters += t.Elements()
	}
	c.TensorsUsed = c.TensorsStored - len(m.unused)
	return c
}

// TensorInfo describes a stored tensor.
type TensorInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
	Used  bool   `json:"used"`
}

// Tensors lists the stored tensors, sorted by name.
func (m *Model) Tensors() []TensorInfo {
	var out []TensorInfo
	for _, name := range m.source.Names() {
		t, _ := m.source.Tensor(name)
		out = append(out, TensorInfo{name, t.DType, t.Shape, t.Bytes(), !m.unused[name]})
	}
	return out
}

// StepBytes is what a step of one reply reads of the weights: everything the decoder
// has, of the experts only those that a token is sent to.
func (m *Model) StepBytes() int64 {
	n := m.Memory(1, 1, 1).Decoder
	c := &m.config.TextConfig
	if !c.EnableMoEBlock {
		return n
	}
	for _, name := range m.source.Names() {
		if t, _ := m.source.Tensor(name); strings.Contains(name, ".experts.") {
			n -= t.Bytes() / int64(*c.NumExperts) * int64(*c.NumExperts-*c.TopKExperts)
		}
	}
	return n
}

// Limits is what a machine can do.
type Limits struct {
	// Operations a second of products in each kind of number; a multiply and an add count as two.
	Float32, BFloat16, Int8 float64
	// Read is bytes read from memory a second.
	Read float64
}

// Limits measures what this machine's multipliers and memory give to the model's threads.
func (m *Model) Limits() Limits {
	m.compute.Lock()
	defer m.compute.Unlock()
	return Limits(m.workers.Limits())
}
