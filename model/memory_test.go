package model

import "testing"

// The caches of a sequence never take more than Memory says, and at its end, when what
// sliding layers held for the last pass is given back, a good part of it.
func TestMemoryOfCaches(t *testing.T) {
	for _, name := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		for _, precision := range []Precision{Exact, Fast} {
			m := open(t, "golden/checkpoints/"+name, Options{Precision: precision})
			const prompt, reply = 1500, 20
			p := &Prompt{IDs: make([]int32, prompt), Types: make([]TokenType, prompt)}
			for i := range p.IDs {
				p.IDs[i] = int32(300 + i%500)
			}
			b := m.NewBatch()
			if err := b.Add(Request{Prompt: p, MaxTokens: reply, IgnoreEnd: true}); err != nil {
				t.Fatal(err)
			}
			said := m.Memory(prompt+reply, 1, 70).Cache
			var last int64
			for b.Len() > 0 {
				last = b.CacheBytes()
				if last > said {
					t.Fatalf("%s, %v: %d bytes of keys and values, Memory says %d", name, precision, last, said)
				}
				if _, err := b.Step(); err != nil {
					t.Fatal(err)
				}
			}
			if last < said/3 {
				t.Errorf("%s, %v: %d bytes at the end, Memory says %d", name, precision, last, said)
			}
		}
	}
}
