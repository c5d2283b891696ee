package quant

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
)

// judged is what PyPI's gguf makes of random blocks and values: see fixtures/README.md.
type judged struct {
	Dequantize, Quantize map[string]struct{ Blocks, Values []byte }
}

func judge(t *testing.T) (j judged) {
	t.Helper()
	data, err := os.ReadFile(fixtures.Path("golden/quant/blocks.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &j); err != nil {
		t.Fatal(err)
	}
	return j
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func named(t testing.TB, name string) *Format {
	f, ok := Named(name)
	if !ok {
		t.Fatalf("no format %s", name)
	}
	return f
}

// sameBits reports the first value whose bits differ.
func sameBits(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("value %d: got %g, want %g", i, got[i], want[i])
		}
	}
	return nil
}

// Every format of blocks gives the reference's values to the last bit.
func TestDequantizeAsReference(t *testing.T) {
	cases := judge(t).Dequantize
	for _, f := range formats {
		c, ok := cases[f.Name]
		if f.Values == 1 {
			continue // the kernels' tests hold these
		}
		if !ok {
			t.Errorf("%s: no case", f.Name)
			continue
		}
		got := make([]float32, len(c.Values)/4)
		f.Dequantize(got, c.Blocks)
		if err := sameBits(got, floats(c.Values)); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// The formats without a search give the reference's bytes.
func TestQuantizeAsReference(t *testing.T) {
	for name, c := range judge(t).Quantize {
		f := named(t, name)
		got := make([]byte, len(c.Blocks))
		if err := f.Quantize(got, floats(c.Values)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(got, c.Blocks) {
			for i := 0; i < len(got); i += f.Bytes {
				if g, w := got[i:i+f.Bytes], c.Blocks[i:i+f.Bytes]; !bytes.Equal(g, w) {
					t.Errorf("%s, block %d: got % x, want % x", name, i/f.Bytes, g, w)
				}
			}
		}
	}
}

// gaussian is values as weights have them: normal, each block of 32 with a spread of its own.
func gaussian(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	spread := 0.0
	for i := range v {
		if i%32 == 0 {
			spread = 0.02 * math.Exp(r.NormFloat64()*0.3)
		}
		v[i] = float32(r.NormFloat64() * spread)
	}
	return v
}

// trip returns what is left of values after a way through the format.
func trip(t testing.TB, f *Format, values []float32) (stored []byte, back []float32) {
	t.Helper()
	stored, back = make([]byte, f.Size(len(values))), make([]float32, len(values))
	if err := f.Quantize(stored, values); err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	f.Dequantize(back, stored)
	return stored, back
}

// No value is off by more than the format's step allows.
func TestQuantizeBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		v := gaussian(r, 256)
		lo, hi := slices.Min(v), slices.Max(v)
		top := max(-lo, hi)
		// Half a step of each format, and one more for the rounding of scales to float16 or
		// to 6 bits, which moves the ends most.
		for name, bound := range map[string]float32{
			"F32": 0, "F16": top * 0x1p-11, "BF16": top * 0x1p-8,
			"Q8_0": top/127/2 + top*0x1p-11,
			"Q4_0": top / 8, // values above 7.5 steps, of the sign that has no eighth, lose up to one
			"Q4_K": (hi-lo)/15*0.7 + (hi-lo)/63,
			"Q6_K": top / 31,
		} {
			_, back := trip(t, named(t, name), v)
			for i := range v {
				if d := abs(back[i] - v[i]); !(d <= bound) {
					t.Fatalf("%s: value %d: %g became %g, off by %g, allowed %g", name, i, v[i], back[i], d, bound)
				}
			}
		}
	}
}

func rms(v, back []float32) float64 {
	var sum, all float64
	for i := range v {
		d := float64(back[i] - v[i])
		sum += d * d
		all += float64(v[i]) * float64(v[i])
	}
	return math.Sqrt(sum / all)
}

// plainQ4K is a Q4_K quantiser without a search: the scale and minimum of each 32 values
// span them exactly.
func plainQ4K(v []float32) []float32 {
	back := make([]float32, len(v))
	for i := 0; i < len(v); i += 32 {
		lo, hi := min(0, slices.Min(v[i:i+32])), slices.Max(v[i:i+32])
		scale := (hi - lo) / 15
		for j := i; j < i+32; j++ {
			back[j] = float32(roundEven((v[j]-lo)/scale))*scale + lo
		}
	}
	return back
}

// Quality on normal values: the order of the formats, and the search is worth its time
// although it pays for scales of 6 bits.
func TestQuantizeQuality(t *testing.T) {
	v := gaussian(rand.New(rand.NewPCG(3, 4)), 256*200)
	errs := map[string]float64{"plain Q4_K": rms(v, plainQ4K(v))}
	for _, name := range []string{"Q4_0", "Q4_K", "Q6_K", "Q8_0"} {
		_, back := trip(t, named(t, name), v)
		errs[name] = rms(v, back)
	}
	order := []string{"Q8_0", "Q6_K", "Q4_K", "plain Q4_K", "Q4_0"}
	for i := 1; i < len(order); i++ {
		if errs[order[i-1]] >= errs[order[i]] {
			t.Errorf("relative errors %v: %s is not better than %s", errs, order[i-1], order[i])
		}
	}
	// A uniform quantiser of n levels over the range of 32 normal values, about ±2.1σ, has a
	// relative error of 4.2/n/√12: 0.081 for 15 steps, 0.019 for 64.
	if errs["Q4_K"] > 0.081 || errs["Q6_K"] > 0.019 || errs["Q8_0"] > 0.006 {
		t.Errorf("relative errors %v", errs)
	}
}

// What comes out of a Q4_0 block goes back into the same block, whatever its integers
// are and however small its scale.
func TestQ4_0KeepsItsGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	f := named(t, "Q4_0")
	sameBytes := 0
	const rounds = 20_000
	for n := range rounds {
		block := make([]byte, f.Bytes)
		for j := range block[2:] {
			block[2+j] = byte(r.Uint32())
		}
		span := 1 + r.IntN(8) // integers of −span … span − 1, or up to span
		for j := range block[2:] {
			lo := 8 - span + r.IntN(2*span)
			hi := 8 - span + r.IntN(2*span)
			block[2+j] = byte(min(15, lo) | min(15, hi)<<4)
		}
		putHalf(block, float32(r.NormFloat64()*math.Exp2(float64(r.IntN(30)-24))))
		v := make([]float32, 32)
		f.Dequantize(v, block)
		stored, back := trip(t, f, v)
		if !slices.Equal(back, v) {
			t.Fatalf("block %d, % x: % x holds other values", n, block, stored)
		}
		if bytes.Equal(stored, block) {
			sameBytes++
		} else if slices.Contains(v, half(block)*-8) && half(block) != 0 {
			t.Fatalf("block %d: % x became % x, though it holds a −8", n, block, stored)
		}

		// Values published as bfloat16 are products that were rounded to it.
		for j := range v {
			v[j] = math.Float32frombits(uint32(toBFloat(v[j])) << 16)
		}
		_, back = trip(t, f, v)
		for j := range back {
			back[j] = math.Float32frombits(uint32(toBFloat(back[j])) << 16)
		}
		if !slices.Equal(back, v) {
			t.Fatalf("block %d, % x: after rounding to bfloat16 got %g, want %g", n, block, back, v)
		}
	}
	if sameBytes < rounds/10 {
		t.Errorf("only %d of %d blocks came back byte for byte: the test has lost its point", sameBytes, rounds)
	}
}

// Quantising twice changes nothing: what a file holds can be read and written again.
func TestQuantizeTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"F32", "F16", "BF16", "Q4_0", "Q8_0"} {
		f := named(t, name)
		stored, back := trip(t, f, gaussian(r, 256*50))
		again, _ := trip(t, f, back)
		if !bytes.Equal(again, stored) {
			t.Errorf("%s: other bytes the second time", name)
		}
	}
}

func TestQuantizeEdges(t *testing.T) {
	for _, f := range formats {
		if !f.CanQuantize() {
			continue
		}
		n := max(f.Values, 256)
		fill := func(v float32) []float32 { return slices.Repeat([]float32{v}, n) }
		if _, back := trip(t, f, fill(0)); slices.ContainsFunc(back, func(v float32) bool { return v != 0 }) {
			t.Errorf("%s: zeros became %v", f.Name, back[:32])
		}
		for _, v := range []float32{1, -1, f.limit, -f.limit, 0.1} {
			_, back := trip(t, f, fill(v))
			for _, b := range back { // 1/60: a constant costs Q4_K half a step of its minimum or scale
				if !(abs(b-v) <= abs(v)/60) {
					t.Errorf("%s: %g became %g", f.Name, v, b)
					break
				}
			}
		}
		// Values that no scale can hold are lost, not undefined.
		for _, v := range []float32{1e-40, -1e-40, math.SmallestNonzeroFloat32} {
			x := fill(0)
			x[3], x[40%n] = v, v
			_, back := trip(t, f, x)
			for i, b := range back {
				if abs(b) > abs(v) || x[i] == 0 && b != 0 {
					t.Errorf("%s: %g became %g", f.Name, x[i], b)
				}
			}
		}
		// One large value does not spoil the rest's finiteness.
		x := fill(1e-30)
		x[n-1] = f.limit
		if _, back := trip(t, f, x); slices.ContainsFunc(back, func(v float32) bool { return !(abs(v) <= f.limit*1.01) }) {
			t.Errorf("%s: not finite beside %g", f.Name, f.limit)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, f := range formats {
		if !f.CanQuantize() {
			continue
		}
		v := []float32{nan, inf, -inf}
		if beyond := math.Nextafter32(f.limit, inf); beyond < inf {
			v = append(v, beyond, -beyond)
		}
		for _, v := range v {
			x := make([]float32, 3*f.Values)
			at := 2*f.Values + f.Values/2
			x[at] = v
			err := f.Quantize(make([]byte, f.Size(len(x))), x)
			if want := fmt.Sprintf("value %d is %g, which %s cannot hold", at, v, f.Name); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
}

func TestWrongCalls(t *testing.T) {
	f := named(t, "Q4_0")
	for name, c := range map[string]struct {
		call func()
		want string
	}{
		"no whole block":     {func() { f.Size(33) }, "33 values are no whole number of Q4_0 blocks of 32"},
		"too few bytes":      {func() { f.Dequantize(make([]float32, 64), make([]byte, 18)) }, "18 bytes of Q4_0 for 64 values"},
		"too many bytes":     {func() { f.Dequantize(make([]float32, 32), make([]byte, 36)) }, "36 bytes of Q4_0 for 32 values"},
		"into too few bytes": {func() { f.Quantize(make([]byte, 17), make([]float32, 32)) }, "17 bytes of Q4_0 for 32 values"},
		"a format not written": {func() { named(t, "Q5_K").Quantize(make([]byte, 176), make([]float32, 256)) },
			"Q5_K is not written"},
	} {
		func() {
			defer func() {
				if r := recover(); !strings.Contains(fmt.Sprint(r), c.want) {
					t.Errorf("%s: got %v, want %s", name, r, c.want)
				}
			}()
			c.call()
		}()
	}
	if _, ok := Named("Q2_K"); ok || f.Fits(33) || f.Fits(-32) || !f.Fits(64) {
		t.Error("Named or Fits")
	}
}

// All float16 values, and what lies between two of them, against the arithmetic of float64.
func TestHalf(t *testing.T) {
	value := func(h int) float64 { // of a finite float16, from its definition
		e, f := h>>10&31, float64(h&1023)
		if e == 0 {
			return f * 0x1p-24
		}
		return (1 + f/1024) * math.Exp2(float64(e-15))
	}
	for h := range 0x7c00 {
		for _, sign := range []uint16{0, 0x8000} {
			v := fromHalf(uint16(h) | sign)
			if float64(abs(v)) != value(h) || math.Signbit(float64(v)) != (sign != 0) {
				t.Fatalf("%04x: got %g, want %g", h, v, value(h))
			}
			if back := toHalf(v); back != uint16(h)|sign {
				t.Fatalf("%g: got %04x, want %04x", v, back, uint16(h)|sign)
			}
		}
		next := value(h + 1)
		if h == 0x7bff {
			next = 65536
		}
		middle := float32((value(h) + next) / 2)
		even := h + h&1
		for _, c := range []struct {
			v    float32
			want int
		}{{math.Nextafter32(middle, 0), h}, {middle, even}, {math.Nextafter32(middle, 1e9), h + 1}} {
			if got := toHalf(c.v); got != uint16(c.want) {
				t.Fatalf("%g after %04x: got %04x, want %04x", c.v, h, got, c.want)
			}
		}
	}
	if v := fromHalf(0x7c00); !math.IsInf(float64(v), 1) {
		t.Errorf("7c00 is %g", v)
	}
	if v := fromHalf(0x7e01); v == v {
		t.Errorf("7e01 is %g", v)
	}
	if toHalf(float32(math.NaN()))&0x7fff <= 0x7c00 || toHalf(float32(math.Inf(-1))) != 0xfc00 {
		t.Error("NaN or −Inf")
	}
}

func BenchmarkDequantize(b *testing.B) {
	v := gaussian(rand.New(rand.NewPCG(1, 2)), 1<<16)
	for _, f := range formats {
		b.Run(f.Name, func(b *testing.B) {
			data := make([]byte, f.Size(len(v)))
			if f.CanQuantize() {
				if err := f.Quantize(data, v); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f.Dequantize(v, data)
			}
			b.ReportMetric(float64(b.N)*float64(len(v))/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}

func BenchmarkQuantize(b *testing.B) {
	v := gaussian(rand.New(rand.NewPCG(1, 2)), 1<<16)
	for i := range v { // as checkpoints have them
		v[i] = math.Float32frombits(uint32(toBFloat(v[i])) << 16)
	}
	for _, f := range formats {
		if !f.CanQuantize() {
			continue
		}
		b.Run(f.Name, func(b *testing.B) {
			data := make([]byte, f.Size(len(v)))
			for b.Loop() {
				if err := f.Quantize(data, v); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(v))/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}
