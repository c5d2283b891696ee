package tokenizer

// trie finds added tokens in text: at each place the longest that matches,
// from left to right, as the reference does.
type trie struct {
	edges map[edge]int32 // node and byte → node; node 0 is the root
	ids   []int32        // per node: the token that ends there, or -1
	first [256]bool      // bytes that some token begins with
}

type edge struct {
	node int32
	b    byte
}

// add puts a token in. The string must not be empty.
func (t *trie) add(s string, id int32) {
	if t.edges == nil {
		t.edges = make(map[edge]int32)
		t.ids = []int32{-1}
	}
	node := int32(0)
	for i := range len(s) {
		e := edge{node, s[i]}
		next, ok := t.edges[e]
		if !ok {
			next = int32(len(t.ids))
			t.edges[e] = next
			t.ids = append(t.ids, -1)
		}
		node = next
	}
	t.ids[node] = id
	t.first[s[0]] = true
}

// find returns the first match in text for which allow holds, its ends and its
// id; ok is false if there is none.
func (t *trie) find(text string, allow func(id int32) bool) (start, end int, id int32, ok bool) {
	for i := range len(text) {
		if !t.first[text[i]] {
			continue
		}
		node := int32(0)
		for j := i; j < len(text); j++ {
			next, more := t.edges[edge{node, text[j]}]
			if !more {
				break
			}
			node = next
			if m := t.ids[node]; m >= 0 && allow(m) {
				start, end, id, ok = i, j+1, m, true
			}
		}
		if ok {
			return start, end, id, ok
		}
	}
	return 0, 0, 0, false
}
