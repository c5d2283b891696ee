package model

import (
	"slices"
	"testing"

	"facet/vision"
)

// A picture that was encoded lately is not encoded again, and its soft tokens are the same.
func TestEncoderCache(t *testing.T) {
	m, plain := open(t, "nano", Options{}), open(t, "nano", Options{EncoderCache: -1})
	p := patches(t, m, "pages/ocr_00.png", 70)
	var got []*SoftTokens
	for range 2 {
		soft, err := m.EncodeImage(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, soft)
	}
	want, err := plain.EncodeImage(p)
	if err != nil {
		t.Fatal(err)
	}
	if m.encoded.hits != 1 || !slices.Equal(got[0].Values, want.Values) || !slices.Equal(got[1].Values, want.Values) {
		t.Errorf("%d hits, or other soft tokens", m.encoded.hits)
	}
	changed := *p
	changed.Values = slices.Clone(p.Values)
	changed.Values[7] += 0.5
	if patchesKey(&changed) == patchesKey(p) || patchesKey(&vision.Patches{Columns: p.Rows, Rows: p.Columns, Values: p.Values}) == patchesKey(p) {
		t.Error("another picture has the same key")
	}
}

// The cache keeps to its budget and drops what was used longest ago.
func TestEncoderCacheBudget(t *testing.T) {
	c := newEncoderCache(100)
	key := func(i byte) [32]byte { return [32]byte{i} }
	soft := func() *SoftTokens { return &SoftTokens{Values: make([]float32, 10)} } // 40 bytes
	c.put(key(1), soft())
	c.put(key(2), soft())
	c.get(key(1))
	c.put(key(3), soft())
	if c.get(key(1)) == nil || c.get(key(2)) != nil || c.get(key(3)) == nil || c.bytes != 80 {
		t.Errorf("holds %d bytes, or not the two used last", c.bytes)
	}
	c.put(key(4), &SoftTokens{Values: make([]float32, 26)})
	if c.get(key(4)) != nil || c.bytes != 80 {
		t.Error("took what is larger than the budget")
	}
}
