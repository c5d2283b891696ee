//go:build libav

package libav

/*
#cgo pkg-config: libavformat libavcodec libavutil libswscale
#include "helper.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unsafe"

	"github.com/asticode/go-astiav"

	"facet/video"
)

// containers are FFmpeg's demuxers that a file may choose by its content. None reads other files; playlists (hls, concat,
// dash, ffmetadata), patterns of pictures (image2), devices and network protocols are not among them.
var containers = []string{
	"mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "mxf", "nut", "rm", "dv", "ivf",
	"wav", "w64", "aiff", "caf", "au", "mp3", "aac", "flac", "ac3", "eac3", "dts", "amr", "ape", "wv", "tta",
}

// codecs are FFmpeg's decoders that are used. Every one left out is one less to be broken into.
var codecs = []string{
	"h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4",
	"h261", "h263", "flv", "wmv1", "wmv2", "wmv3", "vc1", "theora", "mjpeg", "prores", "dnxhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff",
	"rawvideo", "rv30", "rv40", "svq1", "svq3", "vp6", "vp6f", "png", "qtrle",
	"aac", "aac_latm", "mp3float", "mp3", "mp2float", "mp2", "ac3", "eac3", "dca", "opus", "libopus", "vorbis", "flac", "alac", "ape", "wavpack", "tta",
	"wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "gsm", "gsm_ms", "speex", "libspeex", "cook", "truehd", "mlp", "nellymoser",
	"adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "adpcm_yamaha", "adpcm_g722", "adpcm_g726",
	"pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_u16le", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
	"pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd",
}

const (
	maxStreams = 64
	// farAhead is the number of frames that are read over rather than skipped by a seek, which in some containers reads as much.
	farAhead = 64
	ioBuffer = 64 << 10
	// maxFailed is how often a decoder may fail without being given a packet: as many as it may have had under way at once.
	maxFailed = 64
	// How much is read to find out what a file holds: FFmpeg's own bounds, which others' files are made for.
	probeBytes    = "5000000" // bytes
	probeDuration = "5000000" // microseconds
)

// Init bounds what FFmpeg allocates at once, in bytes, and keeps it from writing to standard error. It is called once, before
// anything else.
func Init(maxAlloc int64) { C.facet_init(C.size_t(maxAlloc)) }

// Version returns the versions of FFmpeg's libraries that are linked.
func Version() string {
	f, c := uint(C.avformat_version()), uint(C.avcodec_version())
	return fmt.Sprintf("libavformat %d.%d.%d, libavcodec %d.%d.%d", f>>16, f>>8&255, f&255, c>>16, c>>8&255, c&255)
}

// Media is an open file. It is for one goroutine. It implements [video.Source].
type Media struct {
	settings video.Settings
	format   *astiav.FormatContext
	io       *astiav.IOContext
	input    *input
	packet   *astiav.Packet
	frame    *astiav.Frame
	info     video.Info
	video    []*astiav.Stream // of info.Video
	audio    []*astiav.Stream // of info.Audio
	index    map[int]*index   // by video track
	moved    bool             // something was read since the file was opened
	alive    time.Time        // when that was last said
	feeder   *feeder          // where Frames may go on, or nil
	farAhead int              // but for tests, farAhead
}

var _ video.Source = (*Media)(nil)

// Open opens the file that r holds, size bytes of it; what lies behind is not read. Close gives back what it takes.
func Open(r io.ReaderAt, size int64, s video.Settings) (*Media, error) {
	if s.Threads < 1 {
		s.Threads = min(runtime.NumCPU(), 16) // more threads keep more frames
	}
	m := &Media{
		settings: s, index: map[int]*index{}, farAhead: farAhead, input: &input{io.NewSectionReader(r, 0, size)},
		packet: astiav.AllocPacket(), frame: astiav.AllocFrame(),
	}
	if err := m.open(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close frees everything.
func (m *Media) Close() {
	m.stop()
	if m.format != nil {
		m.format.CloseInput()
	}
	if m.io != nil {
		m.io.Free()
	}
	m.input.r = nil
	m.packet.Free()
	m.frame.Free()
}

func (m *Media) open() error {
	takeLog()
	var err error
	if m.io, err = ioContext(m.input); err != nil {
		return err
	}
	format := astiav.AllocFormatContext()
	format.SetPb(m.io)
	options := astiav.NewDictionary()
	defer options.Free()
	for key, value := range map[string]string{
		"format_whitelist":   strings.Join(containers, ","),
		"codec_whitelist":    strings.Join(codecs, ","),
		"protocol_whitelist": "none", // there is no such protocol
		"max_streams":        strconv.Itoa(maxStreams),
		"probesize":          probeBytes,
		"analyzeduration":    probeDuration,
		"max_pixels":         strconv.FormatInt(m.settings.Pixels, 10),
	} {
		if err := options.Set(key, value, 0); err != nil {
			return err
		}
	}
	if err := format.OpenInput("", nil, options); err != nil {
		format.Free() // of FFmpeg's part OpenInput has disposed
		return openError(err)
	}
	m.format = format
	if err := m.format.FindStreamInfo(nil); err != nil {
		return openError(err)
	}
	m.describe()
	return nil
}

// input is what FFmpeg reads. go-astiav keeps the functions of a context for good, so they get at the file through this.
type input struct{ r *io.SectionReader }

// ioContext lets FFmpeg read from i. It never learns a name that it could open.
func ioContext(i *input) (*astiav.IOContext, error) {
	read := func(b []byte) (int, error) {
		n, err := i.r.Read(b)
		switch {
		case n > 0:
			return n, nil
		case err == io.EOF:
			return 0, astiav.ErrEof
		}
		return 0, astiav.ErrEio
	}
	seek := func(offset int64, whence int) (int64, error) {
		if whence&C.AVSEEK_SIZE != 0 {
			return i.r.Size(), nil
		}
		at, err := i.r.Seek(offset, whence&^C.AVSEEK_FORCE)
		if err != nil {
			return 0, astiav.ErrEio
		}
		return at, nil
	}
	return astiav.AllocIOContext(ioBuffer, false, read, seek, nil)
}

var noMemory = astiav.Error(-C.ENOMEM)

const tooGreedy = video.DecoderError("the decoder needed more memory than it may have")

// openError says what is wrong with a file that cannot be opened.
func openError(err error) error {
	detail := takeLog()
	switch {
	case strings.Contains(detail, "max_streams"):
		return video.UnsupportedError(fmt.Sprintf("the file has more than %d streams", maxStreams))
	case errors.Is(err, noMemory):
		return tooGreedy
	case errors.Is(err, astiav.ErrEio):
		return video.FormatError("the file cannot be read" + detail)
	case strings.Contains(detail, "not on whitelist") || strings.Contains(detail, "not in whitelist"):
		return video.UnsupportedError("a file of this kind is not read" + detail)
	}
	return video.FormatError("no media file, or a broken one" + orElse(detail, ": "+err.Error()))
}

// takeLog returns FFmpeg's first error message since the last call, behind a colon, or nothing. What a file put into it is
// made printable.
func takeLog() string {
	var b [1024]C.char
	C.facet_log_take(&b[0], C.size_t(len(b)))
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(C.GoString(&b[0]), "?"))
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return ": " + text
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// Info returns what the container says.
func (m *Media) Info() *video.Info { return &m.info }

func (m *Media) describe() {
	i := &m.info
	i.Format, i.Duration = m.format.InputFormat().Name(), -1
	starts := []float64{}
	for _, s := range m.format.Streams() {
		p := s.CodecParameters()
		switch p.MediaType() {
		case astiav.MediaTypeVideo:
			if C.facet_is_cover(stream(s)) != 0 {
				continue
			}
			v := video.Video{
				Codec: p.CodecID().Name(), Width: p.Width(), Height: p.Height(), Orientation: 1,
				Base: base(s.TimeBase()), Rate: base(s.AvgFrameRate()), Frames: max(s.NbFrames(), 0),
				Encrypted: encrypted(s), Language: tag(s, "language"), Default: C.facet_is_default(stream(s)) != 0,
			}
			if b := s.SideData(astiav.PacketSideDataTypeDisplaymatrix); len(b) >= 36 {
				var matrix [9]int32
				for j := range matrix {
					matrix[j] = int32(binary.NativeEndian.Uint32(b[4*j:]))
				}
				v.Orientation = orientation(matrix)
			}
			i.Video, m.video = append(i.Video, v), append(m.video, s)
		case astiav.MediaTypeAudio:
			a := video.Audio{
				Codec: p.CodecID().Name(), Rate: p.SampleRate(), Channels: p.ChannelLayout().NbChannels(),
				Encrypted: encrypted(s), Language: tag(s, "language"), Default: C.facet_is_default(stream(s)) != 0,
			}
			i.Audio, m.audio = append(i.Audio, a), append(m.audio, s)
		default:
			continue
		}
		if start := s.StartTime(); start != astiav.NoPtsValue {
			starts = append(starts, float64(start)*float64(s.TimeBase().Num())/float64(s.TimeBase().Den()))
		}
	}
	for j, s := range starts {
		if j == 0 || s < i.Origin {
			i.Origin = s
		}
	}
	if d := m.format.Duration(); d != astiav.NoPtsValue && d >= 0 {
		i.Duration = float64(d) / 1e6
		if s := m.format.StartTime(); s != astiav.NoPtsValue {
			i.Duration += float64(s)/1e6 - i.Origin
		}
	}
}

// orientation returns the EXIF orientation that a display matrix (ISO 14496-12, 8.2.2: rows a b u, c d v, x y w) comes closest
// to. A point (x, y), y downwards, is shown at (a·x + c·y, b·x + d·y).
func orientation(m [9]int32) int {
	a, b, c, d := int64(m[0]), int64(m[1]), int64(m[3]), int64(m[4])
	abs := func(v int64) int64 { return max(v, -v) }
	if abs(a)+abs(d) >= abs(b)+abs(c) {
		switch {
		case a >= 0 && d >= 0:
			return 1
		case a < 0 && d >= 0:
			return 2
		case a < 0:
			return 3
		}
		return 4
	}
	switch {
	case b >= 0 && c >= 0:
		return 5
	case b >= 0:
		return 6
	case c < 0:
		return 7
	}
	return 8
}

// encrypted reports whether a stream's container says that its packets are encrypted.
func encrypted(s *astiav.Stream) bool {
	if len(s.SideData(astiav.PacketSideDataTypeEncryptionInitInfo)) > 0 || len(s.SideData(astiav.PacketSideDataTypeEncryptionInfo)) > 0 {
		return true
	}
	var fourCC [4]byte
	binary.LittleEndian.PutUint32(fourCC[:], uint32(s.CodecParameters().CodecTag()))
	switch string(fourCC[:]) {
	case "encv", "enca", "drmi", "drms":
		return true
	}
	return false
}

func tag(s *astiav.Stream, key string) string {
	d := s.Metadata()
	if d == nil {
		return ""
	}
	entry := d.Get(key, nil, 0)
	if entry == nil {
		return ""
	}
	text := strings.ToValidUTF8(entry.Value(), "?")
	return text[:min(len(text), 64)]
}

func base(r astiav.Rational) video.Base { return video.Base{Num: int64(r.Num()), Den: int64(r.Den())} }

// go-astiav keeps FFmpeg's structs to itself, in the field c.
func pointer(v any) unsafe.Pointer { return reflect.ValueOf(v).Elem().FieldByName("c").UnsafePointer() }

func stream(s *astiav.Stream) *C.AVStream              { return (*C.AVStream)(pointer(s)) }
func context(c *astiav.CodecContext) *C.AVCodecContext { return (*C.AVCodecContext)(pointer(c)) }
func frame(f *astiav.Frame) *C.AVFrame                 { return (*C.AVFrame)(f.UnsafePointer()) }

// decoder opens a decoder for a stream.
func (m *Media) decoder(s *astiav.Stream) (*astiav.CodecContext, error) {
	p := s.CodecParameters()
	codec := astiav.FindDecoder(p.CodecID())
	if codec == nil {
		return nil, video.UnsupportedError("the codec " + p.CodecID().Name() + " is not read")
	}
	c := astiav.AllocCodecContext(codec)
	if c == nil {
		return nil, errors.New("no memory")
	}
	options := astiav.NewDictionary()
	defer options.Free()
	for key, value := range map[string]string{
		"codec_whitelist": strings.Join(codecs, ","),
		"max_pixels":      strconv.FormatInt(m.settings.Pixels, 10),
	} {
		options.Set(key, value, 0)
	}
	takeLog()
	err := p.ToCodecContext(c)
	if err == nil {
		c.SetThreadCount(m.settings.Threads)
		C.facet_decoder_base(context(c), stream(s))
		err = c.Open(codec, options)
	}
	if err != nil {
		c.Free()
		detail := takeLog()
		if errors.Is(err, noMemory) || errors.Is(err, astiav.ErrEagain) { // the latter for threads
			return nil, tooGreedy
		}
		if strings.Contains(detail, "whitelist") {
			return nil, video.UnsupportedError("the codec " + p.CodecID().Name() + " is not read")
		}
		return nil, video.FormatError("the decoder of " + p.CodecID().Name() + " does not open" + orElse(detail, ": "+err.Error()))
	}
	return c, nil
}

// start goes to the file's begin, for something else than what was under way; otherwise it is rewind.
func (m *Media) start(s *astiav.Stream, x *index) error {
	m.stop()
	return m.rewind(s, x)
}

func (m *Media) stop() {
	if m.feeder != nil {
		m.feeder.free()
		m.feeder = nil
	}
}

// rewind goes to the file's begin and makes the demuxer pass over all streams but s, whose index x is, if it is known.
func (m *Media) rewind(s *astiav.Stream, x *index) error {
	C.facet_only((*C.AVFormatContext)(pointer(m.format)), C.int(s.Index()))
	if !m.moved {
		m.moved = true
		return nil
	}
	first := s.StartTime()
	switch {
	case x != nil:
		first = x.first
	case first == astiav.NoPtsValue:
		first = 0
	}
	if err := m.format.SeekFrame(s.Index(), first, astiav.NewSeekFlags(astiav.SeekFlagBackward)); err == nil {
		return nil
	}
	if err := m.format.SeekFrame(-1, 0, astiav.NewSeekFlags(astiav.SeekFlagByte)); err != nil {
		return video.UnsupportedError("the file cannot be read twice: " + err.Error())
	}
	return nil
}

// read reads the stream's next packet into m.packet, which the caller unrefs. The end of the file is io.EOF; where it
// breaks off otherwise, that is noted and is the end as well.
func (m *Media) read(s *astiav.Stream) error {
	for {
		if now := time.Now(); now.Sub(m.alive) > time.Second {
			m.alive = now
			m.settings.Alive()
		}
		err := m.format.ReadFrame(m.packet)
		switch {
		case errors.Is(err, astiav.ErrEof):
			return io.EOF
		case err != nil:
			m.settings.Note("the file breaks off: " + err.Error())
			return io.EOF
		case m.packet.StreamIndex() == s.Index():
			if len(m.packet.SideData(astiav.PacketSideDataTypeEncryptionInfo)) > 0 {
				m.packet.Unref()
				return video.UnsupportedError("the track is encrypted")
			}
			return nil
		}
		m.packet.Unref()
	}
}
