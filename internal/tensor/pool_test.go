package tensor

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPool returns a pool that the test closes.
func newPool(t testing.TB, threads int) *Pool {
	p := NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

// Every item is visited once, in pieces that start at multiples of chunk.
func TestRunCoversEachItemOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := newPool(t, threads)
		for _, n := range []int{0, 1, 2, 7, 64, 1000} {
			for _, chunk := range []int{1, 3, 64, 2000} {
				seen := make([]atomic.Int32, n)
				p.Run(n, chunk, func(lo, hi int) {
					if lo%chunk != 0 || hi != min(lo+chunk, n) {
						t.Errorf("%d threads: piece [%d, %d) of %d by %d", threads, lo, hi, n, chunk)
					}
					for i := lo; i < hi; i++ {
						seen[i].Add(1)
					}
				})
				for i := range seen {
					if c := seen[i].Load(); c != 1 {
						t.Fatalf("%d threads, n %d, chunk %d: item %d visited %d times", threads, n, chunk, i, c)
					}
				}
			}
		}
	}
}

// Scratch memory indexed by worker is safe: the race detector would see two pieces
// under one number, and the total would be wrong.
func TestRunWorkersNumbersAreExclusive(t *testing.T) {
	p := newPool(t, 4)
	var sums [4]int
	for range 100 {
		p.RunWorkers(64, 1, func(worker, lo, hi int) { sums[worker] += hi - lo })
	}
	if total := sums[0] + sums[1] + sums[2] + sums[3]; total != 6400 {
		t.Errorf("%d items, want 6400", total)
	}
}

// All threads take part: three pieces that wait for each other end only if three
// threads run them, each under its own number.
func TestRunUsesAllThreads(t *testing.T) {
	p := newPool(t, 3)
	for round := range 20 {
		if round%5 == 0 {
			time.Sleep(2 * spin) // so that workers are found asleep as well as spinning
		}
		var together sync.WaitGroup
		together.Add(3)
		var numbers [3]atomic.Int32
		p.RunWorkers(3, 1, func(worker, lo, hi int) {
			numbers[worker].Add(1)
			together.Done()
			together.Wait()
		})
		for i := range numbers {
			if n := numbers[i].Load(); n != 1 {
				t.Fatalf("round %d: %d pieces at a time under number %d", round, n, i)
			}
		}
	}
}

func TestRunFromSeveralGoroutines(t *testing.T) {
	p := newPool(t, 2)
	var wg sync.WaitGroup
	var total atomic.Int64
	for range 4 {
		wg.Go(func() {
			for range 100 {
				var mine atomic.Int64
				p.Run(10, 1, func(lo, hi int) { mine.Add(1) })
				if mine.Load() != 10 {
					t.Errorf("%d pieces when Run returned, want 10", mine.Load())
				}
				total.Add(mine.Load())
			}
		})
	}
	wg.Wait()
	if total.Load() != 4000 {
		t.Errorf("%d pieces, want 4000", total.Load())
	}
}

// A caller that has waited longer than it spins is woken.
func TestRunWaitsForSlowPieces(t *testing.T) {
	p := newPool(t, 2)
	for range 5 {
		var ended atomic.Int32
		p.Run(2, 1, func(lo, hi int) {
			time.Sleep(time.Duration(lo) * 4 * spin)
			ended.Add(1)
		})
		if ended.Load() != 2 {
			t.Fatalf("Run returned after %d of 2 pieces", ended.Load())
		}
	}
}

func TestRunPanicReachesTheCaller(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		p := newPool(t, threads)
		for bad := range 8 {
			got := panicOf(func() {
				p.Run(8, 1, func(lo, hi int) {
					if lo == bad {
						panic(fmt.Sprint("piece ", bad))
					}
				})
			})
			if want := fmt.Sprint("piece ", bad); got != want {
				t.Errorf("%d threads: panic %v, want %v", threads, got, want)
			}
		}
		ran := 0
		p.RunWorkers(1, 1, func(_, lo, hi int) { ran++ }) // the pool still works
		if ran != 1 {
			t.Error("no work after a panic")
		}
	}
}

func TestRunMisuse(t *testing.T) {
	p := newPool(t, 2)
	nested := panicOf(func() {
		p.Run(4, 1, func(int, int) { p.Run(4, 1, func(int, int) {}) })
	})
	if !strings.Contains(fmt.Sprint(nested), "inside Run") {
		t.Errorf("nested Run: panic %v", nested)
	}
	if got := panicOf(func() { p.Run(4, 0, func(int, int) {}) }); got == nil {
		t.Error("pieces of 0: no panic")
	}
	p.Close()
	p.Close()
	if got := panicOf(func() { p.Run(4, 1, func(int, int) {}) }); got == nil {
		t.Error("Run after Close: no panic")
	}
}

// A collection must not wait for threads that spin or sleep.
func TestGarbageCollectionWhileRunning(t *testing.T) {
	p := newPool(t, 2)
	start := time.Now()
	for range 50 {
		p.Run(2, 1, func(lo, hi int) {})
		runtime.GC()
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("50 collections took %v", d)
	}
}

func TestThreads(t *testing.T) {
	if got := newPool(t, 0).Threads(); got != runtime.GOMAXPROCS(0) {
		t.Errorf("NewPool(0) has %d threads, want GOMAXPROCS", got)
	}
	if got := newPool(t, 5).Threads(); got != 5 {
		t.Errorf("NewPool(5) has %d threads", got)
	}
}

func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// What it costs to hand out two empty pieces.
func BenchmarkRun(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p := newPool(b, threads)
			for b.Loop() {
				p.Run(2, 1, func(lo, hi int) {})
			}
		})
	}
}
