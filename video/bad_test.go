//go:build unix

package video

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"facet/fixtures"
	"facet/internal/child"
	"facet/vision/still"
)

// write writes a file into a folder of the test's own and returns its path.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	return readFile(t, fixtures.Path("video/"+name))
}

// firstError does with a file what can be done with one until something fails.
func firstError(path string, o Options) error {
	ctx := context.Background()
	c, err := Open(ctx, path, o)
	if err != nil {
		return err
	}
	defer c.Close()
	x, err := c.Index(ctx, 0)
	if err != nil {
		return err
	}
	for _, err := range c.Frames(ctx, 0, x.Ticks) {
		if err != nil {
			return err
		}
	}
	return nil
}

// What is no film gets one error that says why.
func TestNoFilm(t *testing.T) {
	o := options(t)
	noise := bytes.Repeat([]byte{0x5a, 0x13, 0xc7, 0x00, 0x9e}, 2000)
	whole := fixture(t, "opengop.mp4") // its moov is at the end
	for name, data := range map[string][]byte{
		"empty.mp4": {}, "text.mp4": []byte("no film at all\n"), "noise.mp4": noise, "cut.mp4": whole[:len(whole)/2], "start.mp4": whole[:20],
	} {
		path := write(t, name, data)
		wantError[FormatError](t, firstError(path, o), path)
	}
	path := write(t, "cut.mp4", whole[:len(whole)/2])
	wantError[FormatError](t, firstError(path, o), "moov")

	wantError[FormatError](t, firstError(fixtures.Path("video/empty.mp4"), o), "empty.mp4")
	wantError[FormatError](t, firstError(fixtures.Path("video/beep.mp3"), o), "beep.mp3", "sound but no pictures")
	wantError[FormatError](t, firstError(fixtures.Path("video/cover.m4a"), o), "sound but no pictures")
	wantError[FormatError](t, firstError(t.TempDir(), o), "not a regular file")
	if err := firstError(filepath.Join(t.TempDir(), "gone.mp4"), o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.mp4")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError[FormatError](t, firstError(pipe, o), "not a regular file")
}

func TestNoSound(t *testing.T) {
	_, err := OpenSound(context.Background(), fixtures.Path("video/opengop.mp4"), -1, options(t))
	wantError[FormatError](t, err, "opengop.mp4", "no sound")
}

func TestEncrypted(t *testing.T) {
	o := options(t)
	path := fixtures.Path("video/encrypted.mp4")
	wantError[UnsupportedError](t, firstError(path, o), "encrypted.mp4", "is encrypted")
	_, err := OpenSound(context.Background(), path, -1, o)
	wantError[UnsupportedError](t, err, "encrypted.mp4", "is encrypted")
}

// Of a film that breaks off comes what is there, and a warning.
func TestCutOff(t *testing.T) {
	o := options(t)
	whole := fixture(t, "count.mp4") // its moov is at the front
	c, err := Open(context.Background(), write(t, "cut.mp4", whole[:len(whole)*3/4]), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x := indexOf(t, c)
	if n := len(x.Ticks); n < 5 || n > 45 {
		t.Errorf("%d frames are there", n)
	}
	for i, f := range frames(t, c, x.Ticks[:len(x.Ticks)-4]) { // the last refer to what is cut off
		if number(t, f) != i {
			t.Errorf("frame %d is number %d", i, number(t, f))
		}
	}
	if w := c.Warnings(); len(w) == 0 || !contains(w[0], "cut off") {
		t.Errorf("warnings %q", w)
	}
}

// A file that grows, shrinks or is gone while it is read.
func TestChangingFile(t *testing.T) {
	o := options(t)
	whole := fixture(t, "count.mp4")
	for name, change := range map[string]func(path string) error{
		"grows": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			f.Write(whole)
			return f.Close()
		},
		"gone":    os.Remove,
		"shrinks": func(path string) error { return os.Truncate(path, int64(len(whole)/2)) },
	} {
		path := write(t, name+".mp4", whole)
		c, err := Open(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		x := indexOf(t, c)
		got := frames(t, c, x.Ticks)
		if name != "shrinks" && len(got) != 50 || len(got) < 10 {
			t.Errorf("%s: %d frames", name, len(got))
		}
		for i, f := range got[:len(got)-1] {
			if number(t, f) != i {
				t.Errorf("%s: frame %d is number %d", name, i, number(t, f))
			}
		}
		if w := strings.Join(c.Warnings(), "; "); (w != "") != (name != "gone") || name != "gone" && !contains(w, "changed while it was read") {
			t.Errorf("%s: warnings %q", name, w)
		}
		c.Close()
	}
}

// A playlist under another name neither opens a second file nor a socket. The second file is a sound film, so whoever
// follows the list gets frames and no error.
func TestPlaylistsAreNotFollowed(t *testing.T) {
	o := options(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn.RemoteAddr().String()
			conn.Close()
		}
	}()
	dir := t.TempDir()
	t.Chdir(dir)
	canary := filepath.Join(dir, "canary.mp4")
	if err := os.WriteFile(canary, fixture(t, "count.mp4"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	n := 0
	for _, target := range []string{canary, "canary.mp4", "file:" + canary, "http://" + host + "/a.ts", "tcp://" + host, "concat:" + canary, "subfile,,start,0,end,0,,:" + canary, "crypto+http://" + host} {
		for _, list := range []struct{ kind, text string }{
			{"hls", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + target + "\n#EXT-X-ENDLIST\n"},
			{"hls key", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-KEY:METHOD=AES-128,URI=\"" + target + "\"\n#EXTINF:10,\n" + target + "\n#EXT-X-ENDLIST\n"},
			{"concat", "ffconcat version 1.0\nfile '" + target + "'\n"},
			{"dash", `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>` + target + `</BaseURL></Representation></AdaptationSet></Period></MPD>`},
			{"sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"},
			{"ffmetadata", ";FFMETADATA1\ntitle=" + target + "\n"},
			{"redirect", "RTSP/1.0 302 Moved\r\nLocation: " + target + "\r\n\r\n[Reference]\nRef1=" + target + "\n"},
			{"image2", target + "%03d.mp4\n"},
		} {
			kind, text := list.kind, list.text
			for _, ext := range []string{".mp4", ".mkv"} {
				path := filepath.Join(dir, "list"+ext)
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				if n++; os.Getenv("FACET_FULL") == "" && n%7 != 0 {
					continue // seven and sixteen have no common factor, so each kind of list and each target has its turn
				}
				if err := firstError(path, o); err == nil {
					t.Errorf("%s of %s as %s: no error", kind, target, ext)
				} else if !contains(err.Error(), path) {
					t.Errorf("%s of %s as %s: %v", kind, target, ext, err)
				}
			}
		}
	}
	listener.Close()
	close(accepted)
	for from := range accepted {
		t.Errorf("a connection came from %s", from)
	}
}

// Names are names, never addresses.
func TestNamesAreNames(t *testing.T) {
	o := options(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"concat:a.mp4", "http:", "-i", "pipe:0", "a%03d.mp4"} {
		if err := os.WriteFile(name, fixture(t, "count.mp4"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := firstError(name, o); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// pretender returns options with a decoder that is a shell script.
func pretender(t *testing.T, script string) Options {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	path := write(t, "facet-media", []byte("#!/bin/sh\n"+script+"\n"))
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{Program: path, Limits: Limits{Stall: time.Minute}} // a busy machine starts a shell slowly
}

// A decoder that does not do its work is one error, which says what became of it.
func TestDecoderDies(t *testing.T) {
	film := write(t, "a.mp4", []byte("some bytes"))
	hello := says('h', `{"version":1,"ffmpeg":"x","sandbox":"none"}`)
	for name, c := range map[string]struct {
		script string
		words  string
	}{
		"nothing":     {"exit 0", "the decoder ended: exit status 0"},
		"its words":   {"echo 'facet-media: no such thing' >&2; exit 1", "the decoder ended: no such thing"},
		"crash":       {hello + "kill -SEGV $$", "segmentation fault"},
		"go crash":    {hello + "echo 'fatal error: unexpected signal\n[signal SIGSEGV: segmentation violation' >&2; exit 2", "crashed (SIGSEGV)"},
		"out of mem":  {hello + "echo 'fatal error: runtime: out of memory' >&2; exit 2", "MiB of memory"},
		"killed":      {hello + "kill -KILL $$", "killed"},
		"cpu":         {hello + "exit 71", "CPU time"},
		"hang":        {hello + "exec sleep 60", "hung"},
		"hang mute":   {"exec sleep 60", "hung"},
		"garbage":     {"echo no protocol at all", "answered wrongly"},
		"huge":        {"printf 'f\\377\\377\\377\\377'", "answered wrongly"},
		"wrong reply": {hello + says('d', "") + "exec sleep 60", "answered wrongly"},
	} {
		begin, o := time.Now(), pretender(t, c.script)
		if c.words == "hung" {
			o.Limits.Stall = 300 * time.Millisecond
		}
		err := firstError(film, o)
		wantError[DecoderError](t, err, film, c.words)
		if d := time.Since(begin); d > 30*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

// A decoder that takes long and says that it lives is not taken for one that hangs.
func TestDecoderTakesLong(t *testing.T) {
	film := write(t, "a.mp4", []byte("some bytes"))
	script := says('h', `{"version":1,"ffmpeg":"x","sandbox":"none"}`)
	for range 25 {
		script += says('p', "") + "sleep 0.1; "
	}
	o := pretender(t, script+says('e', `{"kind":"format","text":"at last"}`))
	o.Limits.Stall = 2 * time.Second // less than it takes in all, and enough for a busy machine to sleep 0.1 s
	wantError[FormatError](t, firstError(film, o), "at last")
}

// says returns a line of shell that writes a message.
func says(k kind, text string) string {
	return fmt.Sprintf(`printf '%c\%03o\000\000\000%s'; `, k, len(text), text)
}

// Where nothing can be decoded, the error says what to install.
func TestUnavailable(t *testing.T) {
	film := write(t, "a.mp4", []byte("some bytes"))
	o := pretender(t, "echo \"$0: error while loading shared libraries: libavcodec.so.59: cannot open shared object file: No such file or directory\" >&2; exit 127")
	wantError[UnavailableError](t, firstError(film, o), "libavcodec.so.59", "apt-get install")
	wantError[UnavailableError](t, firstError(film, pretender(t, says('h', `{"version":9,"ffmpeg":"x","sandbox":"none"}`))), "version 9")
	wantError[UnavailableError](t, firstError(film, Options{Program: filepath.Join(t.TempDir(), "none")}), "does not start")
	t.Setenv("FACET_MEDIA", "")
	wantError[UnavailableError](t, firstError(film, Options{}), "facet-media", "apt-get install")
	t.Setenv("FACET_MEDIA", "/no/such/program")
	wantError[UnavailableError](t, firstError(film, Options{}), "FACET_MEDIA", "/no/such/program")
}

// A decoder that asks for more than its memory is ended, and says so.
func TestMemoryLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs limits")
	}
	o := options(t)
	o.Limits.Memory = 24 << 20
	wantError[DecoderError](t, firstError(fixtures.Path("video/count.mp4"), o), "memory")
}

// Frames that are larger than the limit are not decoded.
func TestPixelLimit(t *testing.T) {
	o := options(t)
	o.Limits.Pixels = 64*48 - 1
	err := firstError(fixtures.Path("video/count.mp4"), o)
	if err == nil || !contains(err.Error(), "count.mp4") {
		t.Errorf("error %v", err)
	}
	o = options(t)
	o.Limits.Frames = 49
	wantError[UnsupportedError](t, firstError(fixtures.Path("video/count.mp4"), o), "limit of 49")
}

// A decoder ends with the pipe that requests come through, even while it waits for somebody to read what it says.
func TestEndsWithItsPipe(t *testing.T) {
	file, err := os.Open(fixtures.Path("video/scenes.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, err := start(file, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.greet(); err != nil {
		t.Fatal(err)
	}
	if err := c.ask(context.Background(), request{Op: "open", Pixels: 1 << 20}, nil, func(kind, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.SendJSON(child.KindRequest, request{Op: "frames", Ticks: make([]int64, 1000)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	c.EndRequests()
	ended := make(chan error, 1)
	go func() { ended <- c.Cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended by %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it did not end")
		c.Kill(nil)
	}
	c.close()
}

// What decodes here says of itself, and that it is shut in as far as the kernel can.
func TestFindDecoder(t *testing.T) {
	o := options(t)
	o.Limits = Limits{Memory: 777 << 20, CPU: 90 * time.Second}
	d, err := FindDecoder(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{`"memory":814743552`, `"cpu":90000000000`, `"files":32`, `"fileSize":0`, `"landlock":`, `"seccomp":`} {
		if runtime.GOOS == "linux" && !contains(string(d.Sandbox), word) {
			t.Errorf("sandbox %s has no %s", d.Sandbox, word)
		}
	}
	if !contains(d.FFmpeg, "libavcodec 59.") {
		t.Errorf("FFmpeg is %q", d.FFmpeg)
	}
	o.Sandbox = still.Require
	shut := contains(string(d.Sandbox), `"seccomp":true`) && !contains(string(d.Sandbox), `"landlock":0`)
	if _, err := FindDecoder(o); (err == nil) != shut {
		t.Errorf("%s, and with the sandbox required: %v", d.Sandbox, err)
	}
}

// Films with a few bytes changed give frames, or one error; the decoder's crash would be one, too.
func TestMutants(t *testing.T) {
	o := options(t)
	o.Limits.Stall = 20 * time.Second
	n := 10
	if os.Getenv("FACET_FULL") != "" {
		n = 1000
	}
	names := []string{"count.mp4", "opengop.mp4", "hevc.mp4", "vfr.mkv", "count.webm", "count.avi", "count.mpg", "late.ts", "edited.mp4", "encrypted.mp4"}
	r := rand.New(rand.NewPCG(3, 4))
	kinds := map[string]int{}
	for i := range n {
		data := fixture(t, names[i%len(names)])
		for range 1 + r.IntN(8) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			data = data[:r.IntN(len(data))+1]
		}
		path := write(t, "mutant"+filepath.Ext(names[i%len(names)]), data)
		err := firstError(path, o)
		var died DecoderError
		switch {
		case err == nil:
			kinds["frames"]++
		case errors.As(err, &died):
			kinds["died"]++
			t.Logf("mutant %d of %s: %v", i, names[i%len(names)], err)
		default:
			kinds["refused"]++
			if !contains(err.Error(), path) {
				t.Errorf("mutant %d: %v", i, err)
			}
		}
	}
	t.Log(kinds)
}
