package model

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"facet/internal/tensor"
	"facet/vision"
)

// cosine of the angle between a and b.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i, v := range a {
		ab += float64(v) * float64(b[i])
		aa += float64(v) * float64(v)
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// worst is the largest difference of a and b as a share of the largest value of b.
func worst(a, b []float32) float64 {
	var d, top float64
	for i, v := range a {
		d = max(d, math.Abs(float64(v)-float64(b[i])))
		top = max(top, math.Abs(float64(b[i])))
	}
	return d / top
}

// leastCosine is the least that soft tokens of fast may agree with those of exact: each
// product is off by some 2⁻⁹ of its size, and a few layers of random weights let that
// grow by ten.
const leastCosine = 0.999

// The reference's pictures in fast: soft tokens point where those of exact do. What the
// tiny checkpoints then answer says nothing: their random layers let the 2⁻²⁴ of
// float32 grow to 4e-4 of a logit, and 2⁻⁹ to all of it.
func TestFastSoftTokens(t *testing.T) {
	for _, checkpoint := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		exact := open(t, "golden/checkpoints/"+checkpoint, Options{Precision: Exact})
		fast := open(t, "golden/checkpoints/"+checkpoint, Options{Precision: Fast})
		if fast.Precision() != Fast {
			t.Fatal("not fast")
		}
		for _, file := range []string{"scene.png", "page.png"} {
			p := patches(t, fast, filepath.Join("golden/media", file), 140)
			want, err := exact.EncodeImage(p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fast.EncodeImage(p)
			if err != nil {
				t.Fatal(err)
			}
			cos := cosine(got.Values, want.Values)
			t.Logf("%s, %s: %d soft tokens, cosine %.6f, largest difference %.4f", checkpoint, file, got.Rows, cos, worst(got.Values, want.Values))
			if !(cos >= leastCosine) {
				t.Errorf("%s, %s: cosine of soft tokens %.6f", checkpoint, file, cos)
			}
			if slices.Equal(got.Values, want.Values) {
				t.Errorf("%s, %s: fast gives the bits of exact", checkpoint, file)
			}
		}
	}
}

// The nano checkpoint was trained, and answers in fast as transformers does in float32
// wherever the choice is clear.
func TestFastNano(t *testing.T) {
	m := open(t, "nano", Options{Precision: Fast})
	tokens, left := 0, 0
	inputs := heldOut(t)
	for _, in := range inputs {
		for i, id := range in.answer(t, m) {
			if id == in.OutputIDs[i] {
				tokens++
				continue
			}
			left++
			// Half a unit of bfloat16 of logits around 10.
			if in.Margin[i] >= 10*0x1p-9 {
				t.Errorf("%s: token %d is %d, want %d, with a margin of %g", in.File, i, id, in.OutputIDs[i], in.Margin[i])
			} else {
				t.Logf("%s: token %d is %d, want %d, with a margin of %g", in.File, i, id, in.OutputIDs[i], in.Margin[i])
			}
			break
		}
	}
	t.Logf("%d inputs, %d tokens as the reference's, %d leave it", len(inputs), tokens, left)
	if left > 12 {
		t.Errorf("%d of %d leave the reference's reply, at most 12 of 70 expected", left, len(inputs))
	}
}

// In fast too a reply is the same whatever runs beside it, however its prompt is cut,
// and for any number of threads.
func TestFastSameBits(t *testing.T) {
	for _, name := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		var want map[string][]Token
		for _, threads := range []int{1, 2, 3} {
			m := open(t, "golden/checkpoints/"+name, Options{Threads: threads, Precision: Fast})
			requests := prompts(t, m, 5)
			for _, batch := range []int{1, 2, 5} {
				for _, room := range []int{1, 7, 64, math.MaxInt / 2} {
					got := map[string][]Token{}
					for group := range slices.Chunk(requests, batch) {
						b := m.NewBatch()
						b.room = room
						for id, tokens := range generate(t, b, group) {
							got[id] = tokens
						}
					}
					if want == nil {
						want = got
					}
					for id, tokens := range got {
						if !slices.Equal(tokens, want[id]) {
							t.Fatalf("%s: request %s with %d threads, %d at a time, %d positions a pass: got %v, want %v", name, id, threads, batch, room, tokens, want[id])
						}
					}
				}
			}
		}
	}
}

// randomTower is a tower with weights N(0, 1/√in) and norms 1; those of queries and keys
// are E^-¼, which gives scores the spread 1 of scaled attention. With norms of 1 it would
// be √E, and each layer would make a small difference ten times larger.
func randomTower(t testing.TB, c *VisionConfig, textHidden int) *visionTower {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	mat := func(out, in int) tensor.Weight {
		data := make([]byte, 2*out*in)
		for i := range out * in {
			bits := math.Float32bits(float32(r.NormFloat64() / math.Sqrt(float64(in))))
			data[2*i], data[2*i+1] = byte(bits>>16), byte(bits>>24)
		}
		w, err := tensor.WeightOf("BF16", data, out, in)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	all := func(n int, value float64) *vector {
		v := &vector{n: n, v: make([]float32, n)}
		for i := range v.v {
			v.v[i] = float32(value)
		}
		return v
	}
	ones := func(n int) *vector { return all(n, 1) }
	root := math.Pow(float64(c.HeadDim), -0.25)
	hidden, q, kv, f := c.HiddenSize, c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim, c.IntermediateSize
	tower := &visionTower{
		config:     c,
		patchProj:  mat(hidden, 3*c.PatchSize*c.PatchSize),
		positions:  mat(2*c.PositionEmbeddingSize, hidden),
		projection: mat(textHidden, hidden),
		rope:       newRope(c.RopeParameters, c.HeadDim/2),
	}
	for range c.NumHiddenLayers {
		tower.layers = append(tower.layers, &visionLayer{
			inputNorm: ones(hidden), postAttentionNorm: ones(hidden), preMLPNorm: ones(hidden), postMLPNorm: ones(hidden),
			attention: attention{
				shape: attentionShape{c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim},
				q:     linear{weight: mat(q, hidden)}, k: linear{weight: mat(kv, hidden)},
				v: linear{weight: mat(kv, hidden)}, o: linear{weight: mat(hidden, q)},
				qNorm: all(c.HeadDim, root), kNorm: all(c.HeadDim, root),
			},
			mlp: mlp{gate: linear{weight: mat(f, hidden)}, up: linear{weight: mat(f, hidden)}, down: linear{weight: mat(hidden, f)}},
		})
	}
	return tower
}

// A random tower of the width of the small released one: the soft tokens of fast point
// where those of exact do. FACET_FULL runs all of its layers on a larger picture.
func TestFastTower(t *testing.T) {
	layers, columns, rows := 2, 21, 12
	if os.Getenv("FACET_FULL") != "" {
		layers, columns, rows = 16, 66, 36
	}
	c := &VisionConfig{HiddenSize: 768, IntermediateSize: 3072, NumHiddenLayers: layers, NumAttentionHeads: 12, NumKeyValueHeads: 12, HeadDim: 64,
		PatchSize: 16, PoolingKernelSize: 3, PositionEmbeddingSize: 128, RMSNormEps: 1e-6, RopeParameters: RopeParameters{RopeType: "axial", RopeTheta: 100}}
	tower := randomTower(t, c, 1536)
	p := &vision.Patches{Columns: columns, Rows: rows, Values: make([]float32, columns*rows*768)}
	r := rand.New(rand.NewPCG(7, 8))
	for i := range p.Values {
		p.Values[i] = r.Float32()
	}
	pool := tensor.NewPool(2)
	defer pool.Close()
	exact, err := tower.encode(newScratch(pool), p)
	if err != nil {
		t.Fatal(err)
	}
	s := newScratch(pool)
	s.fast = true
	fast, err := tower.encode(s, p)
	if err != nil {
		t.Fatal(err)
	}
	cos := cosine(fast.Data, exact.Data)
	t.Logf("%d layers, %d patches: cosine %.6f, largest difference %.4f", layers, columns*rows, cos, worst(fast.Data, exact.Data))
	if !(cos >= leastCosine) {
		t.Errorf("cosine of soft tokens %.6f, want at least %v", cos, leastCosine)
	}
}

// A picture that was not a number leaves nothing behind in the pages of the next: slots
// past its keys have weight 0, and 0 times NaN would not be 0.
func TestRowPagesForget(t *testing.T) {
	p := tensor.NewPool(1)
	defer p.Close()
	fill := func(rows int, v float32) tensor.Mat {
		m := tensor.New(rows, 32)
		for i := range m.Data {
			m.Data[i] = v
		}
		return m
	}
	shape := attentionShape{heads: 1, kvHeads: 1, dim: 32}
	var r rowPages
	bad, good := fill(2*pageKeys, float32(math.NaN())), fill(pageKeys+2, 1)
	r.pack(p, shape, bad, bad)
	r.pack(p, shape, good, good)
	for i, v := range r.values {
		if f := math.Float32frombits(uint32(v) << 16); f != f {
			t.Fatalf("value %d of the pages is NaN", i)
		}
	}
}
