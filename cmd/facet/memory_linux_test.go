package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"facet/fixtures"
)

// Loading a quantised checkpoint and answering about a picture takes at most 1.25 times
// the memory that its files are long: what is repacked is not resident twice. A 31B cut
// to six layers holds all that can be: no per-layer table, which stays in the file.
func TestPeakMemory(t *testing.T) {
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("FACET_FULL is not set: it writes 4 GB")
	}
	dir := t.TempDir()
	text, towers := filepath.Join(dir, "31b.gguf"), filepath.Join(dir, "31b-mmproj.gguf")
	write := exec.Command("go", "run", "facet/bench/gguf", "31B", text, "--layers", "6", "--mmproj", towers)
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var files int64
	for _, path := range []string{text, towers} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files += info.Size()
	}
	answer := exec.Command("facet", "generate", "--model", text, "--raw", "--image", fixtures.Path("pages/ocr_03.png"),
		"--budget", "70", "--max-tokens", "4", "--ignore-eos", "<bos>What is this?<|image|>")
	if out, err := answer.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	peak := answer.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // VmHWM, in KiB
	ratio := float64(peak) / float64(files)
	t.Logf("peak %s, files %s: %.3f", size(peak), size(files), ratio)
	if !(ratio <= 1.25) {
		t.Errorf("the peak of %s is %.3f times the files' %s, want at most 1.25", size(peak), ratio, size(files))
	}
}
