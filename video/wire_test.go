package video

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"facet/internal/child"
)

// fakeSource is a film of 100,000 frames of 2 × 1 pixels, number n at tick 10·n, with three channels of sound.
type fakeSource struct{}

func (fakeSource) Info() *Info {
	return &Info{Format: "fake", Duration: 1, Video: []Video{{Codec: "fake", Width: 2, Height: 1, Orientation: 6, Base: Base{1, 1000}}},
		Audio: []Audio{{Codec: "fake", Rate: 100, Channels: 3}}}
}

func (fakeSource) Index(_, most int) (ticks []int64, key []bool, end int64, err error) {
	for i := range int64(100_000) {
		if len(ticks) == most {
			return nil, nil, 0, UnsupportedError("too many frames")
		}
		ticks, key = append(ticks, 10*i-500), append(key, i%7 == 0)
	}
	return ticks, key, ticks[len(ticks)-1] + 10, nil
}

func (fakeSource) Frames(_ int, ticks []int64, emit func(Picture) error) error {
	for _, t := range ticks {
		if err := emit(Picture{t, 2, 1, 6, []byte{1, 2, 3, 4, 5, byte(t)}}); err != nil {
			return err
		}
	}
	return nil
}

func (fakeSource) Cuts(_ int, threshold float64, emit func(int64) error) error {
	for i := range int64(5) {
		if err := emit(i*100 - 200); err != nil {
			return err
		}
	}
	return errors.New("the end is broken")
}

func (fakeSource) Sound(_ int, begin func(int, int, float64) error, emit func([]float32) error) error {
	if err := begin(100, 3, -0.25); err != nil {
		return err
	}
	samples := make([]float32, 3*200_000)
	for i := range samples {
		samples[i] = float32(i)
	}
	return emit(samples)
}

// inProcess is a decoder behind pipes in this process.
type inProcess struct {
	child.Peer
	in, out io.Closer
	ended   chan error
}

func newInProcess(t *testing.T, open func(Settings) (Source, error)) *inProcess {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &inProcess{child.Peer{Reader: child.Reader{R: outRead, Most: most(100)}, Writer: child.Writer{W: inWrite}}, inWrite, outRead, make(chan error, 1)}
	go func() {
		p.ended <- Serve(inRead, outWrite, "1.2.3", json.RawMessage(`{"a":1}`), open)
		outWrite.Close()
		inRead.Close()
	}()
	k, body, err := p.Next()
	if err != nil || k != child.KindHello || string(body) != `{"version":1,"ffmpeg":"1.2.3","sandbox":{"a":1}}` {
		t.Fatalf("hello %c %q, %v", k, body, err)
	}
	t.Cleanup(func() {
		p.in.Close()
		if err := <-p.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		p.out.Close()
	})
	return p
}

func (p *inProcess) ask(_ context.Context, q request, note func(string), each func(kind, []byte) error) error {
	return p.Ask(q, note, each)
}

func (p *inProcess) close() {}

// What goes into one end comes out of the other.
func TestBothEnds(t *testing.T) {
	ctx := context.Background()
	p := newInProcess(t, func(s Settings) (Source, error) {
		s.Note("a note")
		return fakeSource{}, nil
	})
	c := &Clip{path: "fake", child: p}
	if err := c.learn(ctx, p); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.warnings, []string{"a note"}) {
		t.Errorf("warnings %q", c.warnings)
	}
	x, err := c.Index(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(x.Ticks); n != 100_000 || x.Ticks[77_777] != 777_270 || x.Ticks[0] != -500 || x.End != 999_500 || len(x.Key) != 14286 || x.Key[2] != 14 {
		t.Errorf("%d frames, end %d, %d keyframes", n, x.End, len(x.Key))
	}
	n := 0
	for f, err := range c.Frames(ctx, 0, x.Ticks[50:60]) {
		if err != nil {
			t.Fatal(err)
		}
		// Turned by orientation 6: a row becomes a column.
		if img := f.Image; f.Tick != int64(10*n) || f.Seconds != float64(n)/100 || img.Width != 1 || img.Height != 2 || !bytes.Equal(img.Pix, []byte{1, 2, 3, 4, 5, byte(10 * n)}) {
			t.Errorf("frame %d: %+v %+v", n, f, img)
		}
		n++
	}
	if n != 10 {
		t.Errorf("%d frames", n)
	}
	if _, err := c.Cuts(ctx, 0, 0.5); err == nil || !strings.Contains(err.Error(), "fake: the end is broken") {
		t.Errorf("cuts: %v", err)
	}
	c.child = p // which a failure lets go
	s := &Sound{clip: c, messages: make(chan []byte, 4), done: make(chan struct{}), ended: make(chan struct{})}
	begun := make(chan error, 1)
	go s.pump(ctx, 0, begun)
	if err := <-begun; err != nil || s.Rate() != 100 || s.Channels() != 3 || s.Start() != -0.25 {
		t.Fatalf("sound %+v, %v", s.header, err)
	}
	at := 0
	for buf := make([]float32, 1000); ; { // 1000 is no multiple of 3
		n, err := s.Read(buf)
		for _, v := range buf[:n] {
			if v != float32(at) {
				t.Fatalf("sample %d is %v", at, v)
			}
			at++
		}
		if n%3 != 0 {
			t.Fatalf("%d samples of 3 channels", n)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if at != 600_000 {
		t.Errorf("%d samples", at)
	}
}

// Errors keep their kind, and requests that make no sense get one.
func TestServerErrors(t *testing.T) {
	for _, want := range []error{FormatError("f"), UnsupportedError("u"), DecoderError("d"), errors.New("o")} {
		p := newInProcess(t, func(Settings) (Source, error) { return nil, want })
		err := p.Ask(request{Op: "open"}, nil, nil)
		var f child.Failure
		if !errors.As(err, &f) || f.Text != want.Error() {
			t.Errorf("%T: %v", want, err)
		}
		if _, isPlain := want.(interface{ Is(error) bool }); !isPlain && want.Error() != "o" && toldBy(f) != want {
			t.Errorf("%T became %T", want, toldBy(f))
		}
	}
	p := newInProcess(t, func(Settings) (Source, error) { return fakeSource{}, nil })
	for _, q := range []request{{Op: "index"}, {Op: "dance"}} {
		if err := p.Ask(q, nil, nil); err == nil {
			t.Errorf("%+v: no error before a file is open", q)
		}
	}
	ignore := func(kind, []byte) error { return nil }
	if err := p.Ask(request{Op: "open"}, nil, ignore); err != nil {
		t.Fatal(err)
	}
	for _, q := range []request{{Op: "index", Track: 1}, {Op: "frames", Track: -1}, {Op: "sound", Track: 7}, {Op: "dance"}} {
		if err := p.Ask(q, nil, ignore); err == nil {
			t.Errorf("%+v: no error", q)
		}
	}
}

// Whatever a decoder says, this side neither panics nor takes much more memory than what was said.
func FuzzClient(f *testing.F) {
	message := func(k kind, body []byte) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte{byte(k)}, uint32(len(body))), body...)
	}
	info, _ := json.Marshal(fakeSource{}.Info())
	begin := append(message(kindInfo, info), message(child.KindDone, nil)...)
	frame := append(frameHeader{10, 2, 1, 6}.append(nil), 1, 2, 3, 4, 5, 6)
	for _, rest := range [][]byte{
		nil,
		message(kindTicks, appendTick(appendTick(nil, 1, true), 2, false)),
		message(kindFrame, frame),
		append(message(child.KindNote, []byte("note")), message(child.KindFailed, []byte(`{"kind":"format","text":"x"}`))...),
		append(message(kindTrack, []byte(`{"rate":100,"channels":2,"start":1}`)), message(kindSamples, make([]byte, 64))...),
		{'f', 255, 255, 255, 255, 1, 2, 3},
		{'s', 0, 0, 16, 0, 1},
	} {
		f.Add(append(bytes.Clone(begin), append(rest, message(child.KindDone, nil)...)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ctx := context.Background()
		for op := range 4 {
			p := &replay{child.Peer{Reader: child.Reader{R: bytes.NewReader(data), Most: most(DefaultLimits.Pixels)}, Writer: child.Writer{W: io.Discard}}}
			c := &Clip{path: "x", child: p}
			if c.learn(ctx, p) != nil {
				break
			}
			switch op {
			case 0:
				if x, err := c.Index(ctx, 0); err == nil {
					if len(x.Ticks) == 0 || !slices.IsSorted(x.Ticks) || x.End <= x.Ticks[len(x.Ticks)-1] || math.IsNaN(x.Duration()) {
						t.Errorf("index %+v", x)
					}
					x.Windows(PlanOptions{Frames: 3, FPS: 1, Cuts: x.Ticks})
				}
			case 1:
				for f, err := range c.Frames(ctx, 0, []int64{1, 2, 3}) {
					if err == nil && len(f.Image.Pix) != 3*f.Image.Width*f.Image.Height {
						t.Errorf("frame %+v", f)
					}
				}
			case 2:
				c.Cuts(ctx, 0, 0.5)
			case 3:
				s := &Sound{clip: c, messages: make(chan []byte, 4), done: make(chan struct{}), ended: make(chan struct{})}
				begun := make(chan error, 1)
				go s.pump(ctx, 0, begun)
				if <-begun == nil {
					buf := make([]float32, s.Channels()*2)
					for {
						if _, err := s.Read(buf); err != nil {
							break
						}
					}
				}
				<-s.ended
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20+1000*uint64(len(data)) {
			t.Errorf("%d bytes took %d", len(data), used)
		}
	})
}

// replay says what it was given, whatever it is asked.
type replay struct{ child.Peer }

func (p *replay) ask(_ context.Context, q request, note func(string), each func(kind, []byte) error) error {
	return p.Ask(q, note, each)
}

func (p *replay) close() {}
