package video

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"

	"facet/internal/child"
	"facet/vision"
)

// A Clip is an open file with pictures, sound or both. It is for one goroutine.
type Clip struct {
	path  string
	file  *os.File
	begin fs.FileInfo // of the file, when it was opened
	o     Options
	child asker // nil when the last one has ended; the next request starts another

	info     *Info
	warnings []string
}

// asker is a decoder that has the file open.
type asker interface {
	ask(ctx context.Context, q request, note func(string), each func(kind, []byte) error) error
	close()
}

// Open opens the file of that name. Only the file's own bytes are ever read: what it says about other files is not followed.
//
// The error names the file and wraps a [FormatError], an [UnsupportedError], a [DecoderError], an [UnavailableError],
// or what the system said about the file. A file without a track of pictures is none: see [Info].
func Open(ctx context.Context, path string, o Options) (*Clip, error) {
	c := &Clip{path: path, o: o}
	var err error
	if c.file, c.begin, err = openRegular(path); err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, c.named(err)
	}
	return c, nil
}

// openRegular opens a file and refuses what is no file of bytes.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	// A look first: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", path, formatErrorf("not a regular file"))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, nil, err
	}
	if info.Size() == 0 {
		file.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, formatErrorf("the file is empty"))
	}
	return file, info, nil
}

// named puts the file's name before an error.
func (c *Clip) named(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("video: %s: %w", c.path, err)
}

// start starts a child and has it open the file.
func (c *Clip) start(ctx context.Context) error {
	d, err := start(c.file, c.o)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { d.Kill(ctx.Err()) })
	err = d.greet()
	stop()
	if err != nil {
		return err
	}
	if err := c.learn(ctx, d); err != nil {
		d.close()
		return err
	}
	c.child = d
	return nil
}

// learn has a child open the file and describe it.
func (c *Clip) learn(ctx context.Context, d asker) error {
	var info *Info
	q := request{Op: "open", Threads: c.o.Threads, Pixels: c.o.Limits.orDefault().Pixels}
	err := d.ask(ctx, q, c.note, func(k kind, body []byte) error {
		if k != kindInfo || info != nil {
			return child.ProtocolErrorf("a message of kind %q for one info", k)
		}
		info = new(Info)
		if err := child.ReadJSON(body, info); err != nil {
			return err
		}
		return info.check()
	})
	if err == nil && info == nil {
		err = decoderErrorf("the decoder answered wrongly: no info")
	}
	if err != nil {
		return err
	}
	c.info = info
	return nil
}

// check refuses what no decoder may say, since all arithmetic trusts it.
func (i *Info) check() error {
	for _, v := range i.Video {
		if v.Base.Num < 1 || v.Base.Den < 1 || v.Base.Num > 1<<31 || v.Base.Den > 1<<31 || v.Orientation < 1 || v.Orientation > 8 || v.Width < 0 || v.Height < 0 {
			return child.ProtocolErrorf("a video track of %+v", v)
		}
	}
	for _, a := range i.Audio {
		if a.Rate < 0 || a.Channels < 0 {
			return child.ProtocolErrorf("a sound track of %+v", a)
		}
	}
	return nil
}

// Info returns what the container says. The caller does not change it.
func (c *Clip) Info() *Info { return c.info }

// Warnings returns what the user should know about the file although it could be read, each once, in the order of coming. It
// also compares the file with what it was when it was opened.
func (c *Clip) Warnings() []string {
	if now, err := c.file.Stat(); err == nil && (now.Size() != c.begin.Size() || !now.ModTime().Equal(c.begin.ModTime())) {
		c.note("the file changed while it was read")
	}
	return slices.Clone(c.warnings)
}

func (c *Clip) note(text string) {
	if !slices.Contains(c.warnings, text) && len(c.warnings) < 100 {
		c.warnings = append(c.warnings, text)
	}
}

// Close ends the decoder and closes the file.
func (c *Clip) Close() error {
	if c.child != nil {
		c.child.close()
		c.child = nil
	}
	return c.file.Close()
}

// ask sends a request to the clip's child, which it starts if there is none. A child that failed is not used again.
func (c *Clip) ask(ctx context.Context, q request, each func(kind, []byte) error) error {
	if c.child == nil {
		if err := c.start(ctx); err != nil {
			return c.named(err)
		}
	}
	if err := c.child.ask(ctx, q, c.note, each); err != nil {
		c.child.close()
		c.child = nil
		return c.named(err)
	}
	return nil
}

// picture returns the track's description, or the error for a track that is missing or encrypted.
func (c *Clip) picture(track int) (*Video, error) {
	switch n := len(c.info.Video); {
	case n == 0 && len(c.info.Audio) > 0:
		return nil, c.named(formatErrorf("the file has sound but no pictures"))
	case n == 0:
		return nil, c.named(formatErrorf("the file has no pictures"))
	case track < 0 || track >= n:
		return nil, c.named(formatErrorf("there is no track %d of pictures: the file has %d", track+1, n))
	}
	v := &c.info.Video[track]
	if v.Encrypted {
		return nil, c.named(unsupportedErrorf("video track %d is encrypted", track+1))
	}
	return v, nil
}

// DefaultVideo returns the number of the track that a player shows: the first that is marked so, or 0.
func (i *Info) DefaultVideo() int {
	return max(slices.IndexFunc(i.Video, func(v Video) bool { return v.Default }), 0)
}

// DefaultAudio returns the number of the track that a player plays: the first that is marked so, or 0.
func (i *Info) DefaultAudio() int {
	return max(slices.IndexFunc(i.Audio, func(a Audio) bool { return a.Default }), 0)
}

// Index reads the times of all frames of a track. The file is read once from end to end; nothing is decoded.
func (c *Clip) Index(ctx context.Context, track int) (*Index, error) {
	v, err := c.picture(track)
	if err != nil {
		return nil, err
	}
	x := &Index{Base: v.Base, Origin: c.info.Origin}
	most := c.o.Limits.orDefault().Frames
	err = c.ask(ctx, request{Op: "index", Track: track, Frames: most}, func(k kind, body []byte) error {
		if k != kindTicks {
			return child.ProtocolErrorf("a message of kind %q for ticks", k)
		}
		return readTicks(body, func(tick int64, key bool) error {
			if n := len(x.Ticks); n > 0 && tick <= x.Ticks[n-1] || n > most {
				return child.ProtocolErrorf("tick %d out of order, or past %d frames", tick, most)
			}
			if key {
				x.Key = append(x.Key, len(x.Ticks))
			}
			x.Ticks = append(x.Ticks, tick)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(x.Ticks) < 2 {
		return nil, c.named(formatErrorf("video track %d has no frames", track))
	}
	x.End = x.Ticks[len(x.Ticks)-1]
	x.Ticks = x.Ticks[:len(x.Ticks)-1]
	if n := len(x.Key); n > 0 && x.Key[n-1] == len(x.Ticks) {
		x.Key = x.Key[:n-1]
	}
	return x, nil
}

// A Frame is one picture of a film.
type Frame struct {
	Tick    int64   // when it begins to be shown, in the track's time base
	Seconds float64 // the same on the clip's clock
	Image   *vision.Image
}

// Frames decodes the frames that begin at the given ticks, which ascend, and yields them one by one in that order. Ticks
// are those of an [Index]; at any other the next frame comes, and past the last the last. A tick given twice yields its
// frame twice. The caller owns the images.
//
// An error is the last thing that is yielded. Whoever stops early ends the decoder; the next call starts another.
// Frames panics if ticks descend.
func (c *Clip) Frames(ctx context.Context, track int, ticks []int64) iter.Seq2[Frame, error] {
	if !slices.IsSorted(ticks) {
		panic("video: Frames: ticks descend")
	}
	return func(yield func(Frame, error) bool) {
		v, err := c.picture(track)
		if err != nil {
			yield(Frame{}, err)
			return
		}
		if len(ticks) == 0 {
			return
		}
		n, stopped := 0, errors.New("stopped")
		err = c.ask(ctx, request{Op: "frames", Track: track, Ticks: ticks}, func(k kind, body []byte) error {
			if k != kindFrame || n == len(ticks) {
				return child.ProtocolErrorf("a message of kind %q for frame %d of %d", k, n, len(ticks))
			}
			h, pix, err := readFrame(body)
			if err != nil {
				return err
			}
			n++
			img := &vision.Image{
				Width: h.width, Height: h.height, Pix: pix, Format: "video/" + v.Codec,
				StoredWidth: h.width, StoredHeight: h.height, Orientation: 1, Pages: 1,
			}
			if !yield(Frame{h.tick, c.info.Seconds(track, h.tick), img.Upright(h.orientation)}, nil) {
				return stopped
			}
			return nil
		})
		if errors.Is(err, stopped) {
			return
		}
		if err == nil && n < len(ticks) {
			err = c.named(decoderErrorf("the decoder answered wrongly: %d frames of %d", n, len(ticks)))
		}
		if err != nil {
			yield(Frame{}, err)
		}
	}
}

// Cuts decodes a track and returns the ticks of the frames at which a scene begins, but for the first, ascending.
// threshold is the share of change from one frame to the next, above which it is a cut: from 0 to 1, and 0.3 suits most films. It
// panics outside of that.
func (c *Clip) Cuts(ctx context.Context, track int, threshold float64) ([]int64, error) {
	if !(threshold >= 0 && threshold <= 1) {
		panic(fmt.Sprintf("video: Cuts at a threshold of %v", threshold))
	}
	if _, err := c.picture(track); err != nil {
		return nil, err
	}
	var cuts []int64
	err := c.ask(ctx, request{Op: "cuts", Track: track, Threshold: threshold}, func(k kind, body []byte) error {
		if k != kindTicks {
			return child.ProtocolErrorf("a message of kind %q for ticks", k)
		}
		return readTicks(body, func(tick int64, _ bool) error {
			if n := len(cuts); n > 0 && tick <= cuts[n-1] || n > c.o.Limits.orDefault().Frames {
				return child.ProtocolErrorf("a cut at %d out of order", tick)
			}
			cuts = append(cuts, tick)
			return nil
		})
	})
	return cuts, err
}
