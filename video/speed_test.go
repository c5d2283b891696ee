package video

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// One frame every 2 s of a film with a keyframe every 10 s takes no more than 1.3 times the time of the ffmpeg program, which
// decodes every frame and converts none, and keyframes alone at most a fifth of it. Measured as CPU time, with two threads
// each, so that a busy machine does not matter.
func TestSpeedAgainstFFmpeg(t *testing.T) {
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("FACET_FULL is not set")
	}
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("the ffmpeg program is not installed")
	}
	o := options(t)
	film := os.Getenv("FACET_FILM") // another film, instead of the generated one
	if film == "" {
		film = filepath.Join(t.TempDir(), "film.mp4")
		run(t, exec.Command(ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=60,noise=alls=6:allf=t",
			"-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-g", "250", film))
	}
	baseline := run(t, exec.Command(ffmpeg, "-loglevel", "error", "-threads", "2", "-i", film, "-an", "-vf", "fps=1/2", "-f", "null", "-"))

	measure := func(keyframes bool) (time.Duration, int) {
		c, err := Open(context.Background(), film, o)
		if err != nil {
			t.Fatal(err)
		}
		x := indexOf(t, c)
		var places []int
		for _, w := range x.Windows(PlanOptions{Frames: 32, FPS: 0.5, Keyframes: keyframes}) {
			for _, p := range w.Frames {
				if n := len(places); n == 0 || p > places[n-1] {
					places = append(places, p)
				}
			}
		}
		n := 0
		for _, err := range c.Frames(context.Background(), 0, x.TicksOf(places)) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		cmd := c.child.(*decoder).Cmd
		c.Close()
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), n
	}
	limited := o
	limited.Limits.CPU = time.Second
	wantError[DecoderError](t, firstError(film, limited), film, "CPU time")

	ours, n := measure(false)
	keys, nKeys := measure(true)
	t.Logf("CPU time: ffmpeg %v; %d frames %v (%.2f×); %d keyframes %v (%.1f times as fast)",
		baseline, n, ours, ours.Seconds()/baseline.Seconds(), nKeys, keys, ours.Seconds()/keys.Seconds())
	if ours.Seconds() > 1.3*baseline.Seconds() {
		t.Errorf("%v for %d frames, more than 1.3 × %v", ours, n, baseline)
	}
	if keys.Seconds() > ours.Seconds()/5 {
		t.Errorf("%v for %d keyframes, more than a fifth of %v", keys, nKeys, ours)
	}
}

// run runs a program and returns its CPU time.
func run(t *testing.T, cmd *exec.Cmd) time.Duration {
	t.Helper()
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
