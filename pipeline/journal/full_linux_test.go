package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"facet/pipeline/journal"
)

// full skips what is not asked for.
func full(t *testing.T) {
	t.Helper()
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("FACET_FULL is not set")
	}
}

// command runs a program of the system and skips the test if it cannot.
func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// mounted mounts something until the test ends, or unmount is called.
func mounted(t *testing.T, args ...string) (dir string, unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	dir, done := t.TempDir(), false
	command(t, append(append([]string{"mount"}, args...), dir)...)
	unmount = func() {
		if done {
			return
		}
		done = true
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// image makes an ext4 of so many KiB in a file.
func image(t *testing.T, size int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(size)<<10); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", file)
	return file
}

// powerCut lets a victim write on a real ext4 of so many KiB, and copies the image under the file system while it does: the copy
// lacks what only the page cache has, as a disk does after a power cut. It returns how many entries were acknowledged and
// how many of those the copy has.
func powerCut(t *testing.T, role string, size int, after time.Duration) (acked, found int) {
	t.Helper()
	disk := image(t, size)
	dir, unmount := mounted(t, "-o", "loop", disk)
	cmd, out := victim(t, role, dir)
	last := make(chan int, 1)
	go func() { last <- acks(out) }()
	time.Sleep(after)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	snapshot := disk + ".cut"
	command(t, "cp", "--sparse=never", disk, snapshot)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	acked = <-last
	_ = cmd.Wait()
	unmount()

	dir, unmount = mounted(t, "-o", "loop", snapshot)
	defer unmount()
	j, _, _, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{}, func(e journal.Entry, _ journal.Place) error {
		if !same(e, numbered(found)) {
			return fmt.Errorf("entry %d is %q", found, e.Key)
		}
		found++
		return nil
	})
	var format *journal.FormatError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &format) {
		return acked, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return acked, found
}

func TestPowerCutOfARealDisk(t *testing.T) {
	full(t)
	const cuts = 200
	dice := rand.New(rand.NewPCG(9, 10))
	total := 0
	for cut := range cuts {
		acked, found := powerCut(t, "append", 16<<10, time.Duration(50+dice.IntN(250))*time.Millisecond)
		if found < acked {
			t.Errorf("cut %d: %d entries acknowledged, %d left", cut, acked, found)
		}
		total += acked
	}
	t.Logf("%d cuts, %d entries acknowledged, none lost", cuts, total)
	if total < cuts {
		t.Error("hardly anything was acknowledged")
	}
	lost, all := 0, 0
	for range 20 {
		acked, found := powerCut(t, "append without sync", 256<<10, 100*time.Millisecond)
		if all += acked; found < acked {
			lost++
		}
	}
	t.Logf("without sync %d of 20 cuts lost something of %d entries", lost, all)
	if lost < 18 {
		t.Error("the test does not see what is lost")
	}
}

// A disk that is really full: the journal stays whole, says so, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	full(t)
	sizes, total := 0, 0
	for size := 64; size <= 32<<10; size += max(64, size/8) {
		dir, unmount := mounted(t, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk", size), "none")
		total += fillDisk(t, dir, size)
		unmount()
		sizes++
	}
	for size := 8 << 10; size <= 32<<10; size += 4 << 10 { // a smaller ext4 has hardly room for its own log
		dir, unmount := mounted(t, "-o", "loop", image(t, size))
		total += fillDisk(t, dir, size)
		unmount()
		sizes++
	}
	t.Logf("%d sizes, %d entries acknowledged, none lost", sizes, total)
}

// fillDisk appends until the disk of so many KiB is full, and goes on after something was removed. It returns how many entries
// were acknowledged.
func fillDisk(t *testing.T, dir string, size int) (acked int) {
	t.Helper()
	dice := rand.New(rand.NewPCG(11, uint64(size)))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, size<<10/4), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal")
	j, err := journal.Create(path, []byte(`{}`), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		batch := []journal.Entry{}
		for i := range 1 + dice.IntN(40) {
			batch = append(batch, numbered(acked+i))
		}
		if _, err = j.Append(batch...); err == nil {
			acked += len(batch)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("%d KiB: %v", size, err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	n := 0
	each := func(e journal.Entry, _ journal.Place) error {
		if !same(e, numbered(n)) {
			return fmt.Errorf("entry %d is %q", n, e.Key)
		}
		n++
		return nil
	}
	j, _, rec, err := journal.Open(path, journal.Options{}, each)
	if err != nil || n != acked || rec.Torn != 0 || !rec.OK() {
		t.Fatalf("%d KiB: %d entries of %d, %+v, %v", size, n, acked, rec, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := j.Append(numbered(acked)); err != nil {
			t.Fatalf("%d KiB, with room again: %v", size, err)
		}
		acked++
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	n = 0
	if _, _, err := journal.Read(path, journal.Options{}, each); err != nil || n != acked {
		t.Errorf("%d KiB: %d entries of %d, %v", size, n, acked, err)
	}
	return acked
}

// Opening a journal of a million records.
func TestAMillionRecords(t *testing.T) {
	full(t)
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path, []byte(`{}`), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const records, batch = 1_000_000, 1000
	body := []byte(`{"text":"` + strings.Repeat("A line of a page. ", 35) + `"}`)
	for n := 0; n < records; n += batch {
		entries := make([]journal.Entry, batch)
		for i := range entries {
			entries[i] = journal.Entry{Kind: "record", Key: fmt.Sprintf("scans/%07d.png", n+i), Body: body}
		}
		if _, err := j.Append(entries...); err != nil {
			t.Fatal(err)
		}
	}
	size := j.Size()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, out := victim(t, "open", filepath.Dir(path))
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var entries int
	var milliseconds int64
	if _, err := fmt.Sscan(line, &entries, &milliseconds); err != nil {
		t.Fatal(err)
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("%d records, %d MB, known by their keys after %d ms; at the peak %d MB were resident", entries, size/1e6, milliseconds, peak/1e6)
	if entries != records || size < 600e6 || milliseconds > 20_000 || peak > 512<<20 {
		t.Errorf("more than 20 s or 512 MiB, or not what was written: %s", line)
	}
}
