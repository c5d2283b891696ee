package tokenizer

import (
	"math"
	"unicode/utf8"
)

// pair is two neighbouring tokens.
type pair struct{ left, right int32 }

const noRank = math.MaxUint32

// merger is a run of text on its way to tokens: a doubly linked list of
// symbols in arrays and a heap of the merges that may be due.
type merger struct {
	t    *Tokenizer
	id   []int32  // by symbol
	rank []uint32 // of the merge with the next symbol; noRank for none and for dead symbols
	prev []int32  // -1 before the first
	next []int32  // len(id) after the last
	heap []uint64 // rank<<32 | symbol: best rank first, then leftmost
}

// merge appends the tokens of one run of normalised text to dst: the merge of
// best rank is done first, of equals the leftmost, until none is left.
//
// The obvious way looks for the best pair again after every merge, which takes
// quadratic time; here a heap holds them. An entry whose symbol has changed
// since is known by its rank: boundaries between symbols only vanish, so a
// symbol and its next never have a rank a second time.
func (t *Tokenizer) merge(text string, dst []int32) []int32 {
	if len(text) > math.MaxInt32/2 {
		panic("tokenizer: Encode: text of 1 GiB and more")
	}
	m := t.symbols(text)
	for i := range m.id {
		m.rank[i] = noRank
		m.see(int32(i))
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.heap) > 0 {
		top := m.heap[0]
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
		m.down(0)

		i, rank := int32(uint32(top)), uint32(top>>32)
		if m.rank[i] != rank {
			continue
		}
		m.join(i, t.merged[rank])
	}
	for i := int32(0); int(i) < len(m.id); i = m.next[i] {
		dst = append(dst, m.id[i])
	}
	return dst
}

// symbols starts with one symbol a character, or one a byte where the
// vocabulary does not have the character or uses it for control.
func (t *Tokenizer) symbols(text string) *merger {
	n := utf8.RuneCountInString(text)
	m := &merger{t: t, id: make([]int32, 0, n)}
	for i, r := range text {
		s := text[i : i+utf8.RuneLen(r)]
		if id, ok := t.ids[s]; ok && !t.special[id] {
			m.id = append(m.id, id)
			continue
		}
		for _, b := range []byte(s) {
			m.id = append(m.id, t.byteID[b])
		}
	}
	n = len(m.id)
	m.rank = make([]uint32, n)
	links := make([]int32, 2*n)
	m.prev, m.next = links[:n], links[n:]
	for i := range n {
		m.prev[i], m.next[i] = int32(i)-1, int32(i)+1
	}
	m.heap = make([]uint64, 0, n)
	return m
}

// see looks up the merge of symbol i and the next one and appends it to the
// heap, which may then be out of order at its end.
func (m *merger) see(i int32) (found bool) {
	m.rank[i] = noRank
	if j := m.next[i]; int(j) < len(m.id) {
		if rank, ok := m.t.ranks[pair{m.id[i], m.id[j]}]; ok {
			m.rank[i] = rank
			m.heap = append(m.heap, uint64(rank)<<32|uint64(i))
			return true
		}
	}
	return false
}

// join makes symbol i and the next one the token id.
func (m *merger) join(i, id int32) {
	j := m.next[i]
	m.id[i] = id
	m.rank[j] = noRank
	m.next[i] = m.next[j]
	if k := m.next[j]; int(k) < len(m.id) {
		m.prev[k] = i
	}
	if m.see(i) {
		m.up(len(m.heap) - 1)
	}
	if h := m.prev[i]; h >= 0 && m.see(h) {
		m.up(len(m.heap) - 1)
	}
}

// up and down restore the order of the heap around entry i. container/heap
// would box every entry and triple the time.
func (m *merger) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if m.heap[parent] <= m.heap[i] {
			return
		}
		m.heap[parent], m.heap[i] = m.heap[i], m.heap[parent]
		i = parent
	}
}

func (m *merger) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.heap[child+1] < m.heap[child] {
			child++
		}
		if m.heap[i] <= m.heap[child] {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}
