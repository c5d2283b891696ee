package model

import (
	"cmp"
	"math"
	"slices"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// experts is the mixture of experts that stands beside the dense MLP of a layer (26B-A4B).
type experts struct {
	name           string
	count, topK    int
	width          int           // MLP size of one expert
	router         tensor.Weight // [X, D]
	routerScale    *vector       // [D]
	perExpertScale *vector       // [X]
	gateUp         tensor.Weight // [X·2F, D]: per expert F gate rows, then F up rows
	gate, up       tensor.Weight // [X·F, D] each, where gateUp is nil: some files keep them apart
	down           tensor.Weight // [X·D, F]

	preNorm, postDenseNorm, postNorm *vector
}

type moeScratch struct {
	dense, logits, sum, y tensor.Mat
	in, act, out          tensor.Mat
	gateUp, gate, up      tensor.Mat
}

// choice is one expert a row was sent to.
type choice struct {
	row    int
	weight float32
}

// forward returns norm₁(dense) + norm₂(Σ weight·expert(norm(x))), where dense is
// the MLP's output and x the residual stream before the MLP's norm. The experts of
// a row are added in index order, so that the sum does not depend on the batch.
func (m *experts) forward(s *scratch, dense, x tensor.Mat, eps float32) tensor.Mat {
	t := &s.moe
	norm(s, &t.dense, dense, m.postDenseNorm.v, eps)
	s.trace(m.name, ".post_feedforward_layernorm_1", t.dense)
	chosen := m.route(s, x, eps)
	y := norm(s, &t.y, x, m.preNorm.v, eps)
	s.trace(m.name, ".pre_feedforward_layernorm_2", y)
	t.sum.Reshape(x.Rows, x.Cols)
	clear(t.sum.Data)
	for e, rows := range chosen {
		m.run(s, e, rows, y)
	}
	s.trace(m.name, ".experts", t.sum)
	norm(s, &t.sum, t.sum, m.postNorm.v, eps)
	s.trace(m.name, ".post_feedforward_layernorm_2", t.sum)
	add(s, t.dense, t.sum)
	return t.dense
}

// route returns, per expert, the rows that chose it and with what weight: the
// top-k of softmax(router(RMSNorm(x)·scale/√D)), renormalised, times the expert's scale.
func (m *experts) route(s *scratch, x tensor.Mat, eps float32) [][]choice {
	t := &s.moe
	z := norm(s, &t.y, x, nil, eps)
	s.trace(m.name, ".router.norm", z)
	root := float32(1 / math.Sqrt(float64(x.Cols)))
	for r := range z.Rows {
		for i, w := range m.routerScale.v {
			z.Row(r)[i] *= w * root
		}
	}
	t.logits.Reshape(x.Rows, m.count)
	m.router.MatMul(s.pool, t.logits, z)
	s.trace(m.name, ".router.proj", t.logits)
	chosen := make([][]choice, m.count)
	order := make([]int, m.count)
	for r := range t.logits.Rows {
		p := t.logits.Row(r)
		kernel.Scale(p, 1/kernel.ExpSum(p, p, kernel.Max(p)))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
		var sum float32
		for _, e := range order[:m.topK] {
			sum += p[e]
		}
		for _, e := range order[:m.topK] {
			chosen[e] = append(chosen[e], choice{r, p[e] / sum * m.perExpertScale.v[e]})
		}
	}
	s.trace(m.name, ".router", t.logits)
	return chosen
}

// run adds expert e's weighted output for its rows of y to s.moe.sum.
func (m *experts) run(s *scratch, e int, rows []choice, y tensor.Mat) {
	if len(rows) == 0 {
		return
	}
	t, hidden := &s.moe, y.Cols
	t.in.Reshape(len(rows), hidden)
	for n, c := range rows {
		copy(t.in.Row(n), y.Row(c.row))
	}
	m.activate(s, e)
	t.out.Reshape(len(rows), hidden)
	tensor.RowsOf(m.down, e*hidden, (e+1)*hidden).MatMul(s.pool, t.out, t.act)
	for n, c := range rows {
		kernel.AddScaled(t.sum.Row(c.row), t.out.Row(n), c.weight)
	}
}

// activate sets s.moe.act [T, F] to GELU(gate(x))·up(x) of expert e, where x is s.moe.in.
func (m *experts) activate(s *scratch, e int) {
	t := &s.moe
	rows, lo, hi := t.in.Rows, e*m.width, (e+1)*m.width
	t.act.Reshape(rows, m.width)
	if m.gateUp != nil {
		t.gateUp.Reshape(rows, 2*m.width)
		tensor.RowsOf(m.gateUp, 2*lo, 2*hi).MatMul(s.pool, t.gateUp, t.in)
		for n := range rows {
			gu := t.gateUp.Row(n)
			kernel.GELUMul(t.act.Row(n), gu[:m.width], gu[m.width:])
		}
		return
	}
	t.gate.Reshape(rows, m.width)
	t.up.Reshape(rows, m.width)
	tensor.MatMuls(s.pool, t.in, tensor.Product{Dst: t.gate, W: tensor.RowsOf(m.gate, lo, hi)}, tensor.Product{Dst: t.up, W: tensor.RowsOf(m.up, lo, hi)})
	for n := range rows {
		kernel.GELUMul(t.act.Row(n), t.gate.Row(n), t.up.Row(n))
	}
}
