//go:build libav

package libav

/*
#include "helper.h"
*/
import "C"

import (
	"errors"
	"fmt"

	"github.com/asticode/go-astiav"

	"facet/video"
)

// Cuts implements [video.Source]. The measure is the scene score of FFmpeg's filter select: the mean absolute difference of luma
// to the frame before, or its change if that is less, so that steady motion is no cut.
func (m *Media) Cuts(track int, threshold float64, emit func(tick int64) error) error {
	s := m.video[track]
	c, err := m.decoder(s)
	if err != nil {
		return err
	}
	defer c.Free()
	if err := m.start(s, m.index[track]); err != nil {
		return err
	}
	g := &cutter{base: s.TimeBase(), threshold: threshold, emit: emit, out: astiav.AllocFrame()}
	defer g.free()
	bad, err := m.decode(s, c, g.add)
	if err != nil {
		return err
	}
	if g.frames == 0 {
		return video.FormatError("no frame could be decoded" + takeLog())
	}
	if bad > 0 {
		m.settings.Note(fmt.Sprintf("packets of the pictures could not be decoded: %d", bad))
	}
	return nil
}

// cutter is a graph of filters for frames of one size and kind.
type cutter struct {
	base      astiav.Rational
	threshold float64
	emit      func(int64) error

	graph                 *astiav.FilterGraph
	in, sink              *astiav.FilterContext
	width, height, format int
	out                   *astiav.Frame
	frames                int   // that came in
	last                  int64 // tick of the last cut
	some                  bool
}

func (g *cutter) add(f *astiav.Frame) error {
	time := int64(C.facet_frame_time(frame(f)))
	if !usable(time) {
		return nil
	}
	g.frames++
	if w, h, format := f.Width(), f.Height(), int(f.PixelFormat()); g.graph == nil || w != g.width || h != g.height || format != g.format {
		first := g.graph == nil
		g.close()
		g.width, g.height, g.format = w, h, format
		if err := g.build(); err != nil {
			return video.UnsupportedError("scenes of this kind of picture cannot be told apart: " + err.Error())
		}
		if !first { // another size is another scene
			if err := g.cut(time); err != nil {
				return err
			}
		}
	}
	f.SetPts(time)
	if err := g.in.BuffersrcAddFrame(f, astiav.NewBuffersrcFlags(astiav.BuffersrcFlagKeepRef)); err != nil {
		return err
	}
	for {
		err := g.sink.BuffersinkGetFrame(g.out, astiav.NewBuffersinkFlags())
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			return nil
		}
		if err != nil {
			return err
		}
		tick := g.out.Pts()
		g.out.Unref()
		if err := g.cut(tick); err != nil {
			return err
		}
	}
}

func (g *cutter) cut(tick int64) error {
	if g.some && tick <= g.last {
		return nil
	}
	g.last, g.some = tick, true
	return g.emit(tick)
}

func (g *cutter) build() error {
	g.graph = astiav.AllocFilterGraph()
	g.graph.SetThreadCount(1)
	var err error
	g.in, err = g.graph.NewFilterContext(astiav.FindFilterByName("buffer"), "in", astiav.FilterArgs{
		"video_size": fmt.Sprintf("%dx%d", g.width, g.height),
		"pix_fmt":    fmt.Sprint(g.format),
		"time_base":  fmt.Sprintf("%d/%d", g.base.Num(), g.base.Den()),
	})
	if err != nil {
		return err
	}
	if g.sink, err = g.graph.NewFilterContext(astiav.FindFilterByName("buffersink"), "out", nil); err != nil {
		return err
	}
	ends, begins := astiav.AllocFilterInOut(), astiav.AllocFilterInOut()
	defer ends.Free()
	defer begins.Free()
	begins.SetName("in")
	begins.SetFilterContext(g.in)
	begins.SetPadIdx(0)
	begins.SetNext(nil)
	ends.SetName("out")
	ends.SetFilterContext(g.sink)
	ends.SetPadIdx(0)
	ends.SetNext(nil)
	if err := g.graph.Parse(fmt.Sprintf("select='gt(scene,%g)'", g.threshold), ends, begins); err != nil {
		return err
	}
	return g.graph.Configure()
}

func (g *cutter) close() {
	for _, c := range []*astiav.FilterContext{g.in, g.sink} {
		if c != nil {
			c.Free()
		}
	}
	if g.graph != nil {
		g.graph.Free()
	}
	g.graph, g.in, g.sink = nil, nil, nil
}

func (g *cutter) free() {
	g.close()
	g.out.Free()
}
