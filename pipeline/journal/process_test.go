package journal_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"facet/pipeline/journal"
)

// victimEnv makes of the test program what its value says, in the directory of its first argument.
const victimEnv = "FACET_JOURNAL_VICTIM"

func TestMain(m *testing.M) {
	switch os.Getenv(victimEnv) {
	case "":
		os.Exit(m.Run())
	case "append":
		appendForever(os.Args[1], journal.Options{})
	case "append without sync":
		appendForever(os.Args[1], journal.Options{NoSync: true})
	case "acknowledge first":
		acknowledgeFirst(os.Args[1])
	case "open":
		openAndCount(os.Args[1])
	case "lock":
		lockAndWait(os.Args[1])
	}
	os.Exit(1)
}

// victim starts the test program in another role.
func victim(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, dir)
	cmd.Env = append(os.Environ(), victimEnv+"="+role)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // open until Wait
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

// numbered is the n-th entry of a victim.
func numbered(n int) journal.Entry {
	return journal.Entry{Kind: "record", Key: strconv.Itoa(n), Body: []byte(`"` + strings.Repeat(strconv.Itoa(n)+" ", n%300) + `"`)}
}

// appendForever goes on where the journal ends, in batches, and prints how many entries are acknowledged after each.
func appendForever(dir string, o journal.Options) {
	lock, err := journal.LockDir(dir)
	if err != nil {
		fail(err)
	}
	defer lock.Close()
	path, n := filepath.Join(dir, "journal"), 0
	j, err := journal.Create(path, []byte(`{}`), o)
	if errors.Is(err, os.ErrExist) {
		j, _, _, err = journal.Open(path, o, func(journal.Entry, journal.Place) error { n++; return nil })
	}
	if err != nil {
		fail(err)
	}
	for {
		var batch []journal.Entry
		for range 1 + n%7 {
			batch = append(batch, numbered(n))
			n++
		}
		if _, err := j.Append(batch...); err != nil {
			fail(err)
		}
		fmt.Println(n)
	}
}

// acknowledgeFirst is the control: it says that entries are safe before it appends them.
func acknowledgeFirst(dir string) {
	j, err := journal.Create(filepath.Join(dir, "journal"), []byte(`{}`), journal.Options{})
	if err != nil {
		fail(err)
	}
	for n := 0; ; n++ {
		fmt.Println(n + 1)
		if _, err := j.Append(numbered(n)); err != nil {
			fail(err)
		}
	}
}

// openAndCount keeps the key and place of every entry, as a run does that goes on, and prints how many there are
// and the milliseconds that it took.
func openAndCount(dir string) {
	start := time.Now()
	done := map[string]journal.Place{}
	j, _, _, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{}, func(e journal.Entry, p journal.Place) error {
		done[e.Key] = p
		return nil
	})
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		fail(err)
	}
	fmt.Println(len(done), time.Since(start).Milliseconds())
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// acks reads what a victim prints and returns the last number; a number without its end was not said.
func acks(r *bufio.Reader) (last int) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return last
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(line, "\n")); err == nil {
			last = n
		}
	}
}

// killed lets a victim write for a while and kills it. It returns how many entries it acknowledged.
func killed(t *testing.T, role, dir string, after time.Duration) int {
	t.Helper()
	cmd, out := victim(t, role, dir)
	first, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("the victim did nothing: %v", err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	last := acks(out)
	if last == 0 {
		last, _ = strconv.Atoi(strings.TrimSuffix(first, "\n"))
	}
	_ = cmd.Wait() // killed
	return last
}

// Kill -9 at any time: what was acknowledged is there, once and in order, and the next one goes on.
func TestKill(t *testing.T) {
	kills := 20
	if os.Getenv("FACET_FULL") != "" {
		kills = 2000
	}
	dir := t.TempDir()
	dice := rand.New(rand.NewPCG(7, 8))
	acked, total, torn := 0, 0, 0
	for kill := range kills {
		if kill%100 == 99 { // not to read ever longer ones
			dir, acked = t.TempDir(), 0
		}
		last := killed(t, "append", dir, time.Duration(dice.IntN(30))*time.Millisecond)
		if last < acked {
			t.Fatalf("kill %d: it went on with entry %d, and %d had been acknowledged", kill, last, acked)
		}
		total, acked = total+last-acked, last
		n := 0
		_, rec, err := journal.Read(filepath.Join(dir, "journal"), journal.Options{}, func(e journal.Entry, _ journal.Place) error {
			if !same(e, numbered(n)) {
				return fmt.Errorf("entry %d is %q", n, e.Key)
			}
			n++
			return nil
		})
		if err != nil || n < acked || !rec.OK() {
			t.Fatalf("kill %d: %d entries of %d acknowledged, %+v, %v", kill, n, acked, rec, err)
		}
		if rec.Torn > 0 {
			torn++
		}
	}
	t.Logf("%d kills, %d entries acknowledged, none lost, the last line torn %d times", kills, total, torn)
}

// The control: who acknowledges before appending is seen to lose.
func TestKillAcknowledgedFirst(t *testing.T) {
	for range 50 {
		dir := t.TempDir()
		last := killed(t, "acknowledge first", dir, 3*time.Millisecond)
		n := 0
		if _, _, err := journal.Read(filepath.Join(dir, "journal"), journal.Options{}, func(journal.Entry, journal.Place) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n < last {
			return
		}
	}
	t.Error("the test does not see what is lost")
}

func lockAndWait(dir string) {
	lock, err := journal.LockDir(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(0)
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = lock.Close()
	os.Exit(0)
}

// Two processes: one has the directory, the other is told which; a kill frees it.
func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, out := victim(t, "lock", dir)
	if line, err := out.ReadString('\n'); line != "locked\n" {
		t.Fatal(line, err)
	}
	var locked journal.Locked
	_, err := journal.LockDir(dir)
	if !errors.As(err, &locked) || locked.Pid != cmd.Process.Pid || !strings.Contains(err.Error(), dir) {
		t.Errorf("beside process %d: %v", cmd.Process.Pid, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	lock, err := journal.LockDir(dir)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	cmd, out = victim(t, "lock", dir)
	if line, _ := out.ReadString('\n'); !strings.Contains(line, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("another process is told %q", line)
	}
	_ = cmd.Wait()
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// Many at once ask for a directory, and one gets it.
func TestLockRace(t *testing.T) {
	dir := t.TempDir()
	for range 50 {
		var wg sync.WaitGroup
		locks := make(chan *journal.Lock, 8)
		for range cap(locks) {
			wg.Go(func() {
				if l, err := journal.LockDir(dir); err == nil {
					locks <- l
				}
			})
		}
		wg.Wait()
		close(locks)
		n := 0
		for l := range locks {
			n++
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if n != 1 {
			t.Fatalf("%d have the lock", n)
		}
	}
}

// Entries are read, and the journal is read as a whole, while several append.
func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path, []byte(`{}`), journal.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 200
	type placed struct {
		at journal.Place
		e  journal.Entry
	}
	places := make(chan placed, writers*each)
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				a, b := numbered(1000*w+i), numbered(1000*w+i+500)
				at, err := j.Append(a, b)
				if err != nil {
					t.Error(err)
					return
				}
				places <- placed{at[i%2], []journal.Entry{a, b}[i%2]}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for p := range places {
				if e, err := j.Entry(p.at); err != nil || !same(e, p.e) {
					t.Errorf("%v: %q, %v", p.at, e.Key, err)
				}
			}
		})
	}
	for range 20 {
		n := int64(0)
		_, rec, err := journal.Read(path, journal.Options{}, func(journal.Entry, journal.Place) error { n++; return nil })
		if err != nil || !rec.OK() || rec.Entries != n {
			t.Errorf("beside writers: %+v, %v", rec, err)
		}
	}
	writing.Wait()
	close(places)
	reading.Wait()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if _, err := j.Append(numbered(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	_, rec, err := journal.Read(path, journal.Options{}, nil)
	if err != nil || rec.Entries != 2*writers*each {
		t.Errorf("%+v, %v", rec, err)
	}
}
