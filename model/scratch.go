package model

import "facet/internal/tensor"

// scratch is the working memory of one forward pass or tower run, kept for the
// next. The fields are named for what they hold; a step's result stays valid until
// the step of the same name in the next layer.
type scratch struct {
	pool      *tensor.Pool
	attention *attentionScratch // made by the first attend

	x, h, norm tensor.Mat // residual stream, branch, normed input
	q, k, v    tensor.Mat
	packed     rowPages
	blocks     []*scratch // one a thread: see eachBlock
	mixed      tensor.Mat // attention output before o_proj
	gate, up   tensor.Mat
	clipped    tensor.Mat
	cos, sin   [2]tensor.Mat // rotary tables of the pass: sliding, full
	pleInput   tensor.Mat    // [T + wanted, L·P]
	pleFirst   int           // row of pleInput that belongs to row 0 of the residual stream
	pleToken   tensor.Mat
	pleGate    tensor.Mat
	logits     tensor.Mat
	allowed    tensor.Mat // logits of allowed tokens only
	moe        moeScratch
	pixels     tensor.Mat
	pooled     tensor.Mat
	audio      audioScratch
	stored     []byte    // a table's row as the file has it
	tableRow   []float32 // the same, widened

	fast   bool // products in bfloat16 or int8
	tracer Tracer
	item   int // which picture of the prompt a tower is running on
}

func newScratch(pool *tensor.Pool) *scratch { return &scratch{pool: pool} }

// Tracer receives named activations in the order they are computed. Names are the
// module paths of the transformers implementation; data is [rows, cols] and only
// valid during the call. item counts the pictures of a prompt for tower
// activations and is 0 for the decoder's.
type Tracer interface {
	Trace(name string, item, rows, cols int, data []float32)
}

func (s *scratch) trace(name, suffix string, m tensor.Mat) {
	if s.tracer != nil {
		s.tracer.Trace(name+suffix, s.item, m.Rows, m.Cols, m.Data)
	}
}
