package tensor

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is a number of threads that wait for work: the caller's and Threads − 1
// workers, each locked to a thread of the operating system for as long as the pool
// lives. It is safe for concurrent use; calls take turns.
type Pool struct {
	workers []*worker
	exited  sync.WaitGroup

	mu       sync.Mutex // held for the length of a Run
	closed   bool
	current  atomic.Pointer[job]
	finished chan struct{} // wakes the caller when it sleeps until the last piece is done

	buffers buffers
}

// worker is one waiting thread.
type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// task is what is done with a piece: one of the two.
type task struct {
	plain  func(lo, hi int)
	worker func(worker, lo, hi int)
}

func (t task) do(worker, lo, hi int) {
	if t.plain != nil {
		t.plain(lo, hi)
	} else {
		t.worker(worker, lo, hi)
	}
}

// job is one call of Run. It belongs to that call alone, so that a worker that wakes
// late finds its pieces taken and touches nothing of the next one's.
type job struct {
	n, chunk int
	f        task
	next     atomic.Int64 // first item that nobody has taken
	done     atomic.Int64 // items finished
	waiting  atomic.Bool  // the caller sleeps
	panicked atomic.Pointer[any]
	quit     bool
}

// spin is how long a thread looks for work, or for the end of a job, before it
// sleeps. The steps of a forward pass follow each other within microseconds, and
// waking a thread takes longer than that.
const spin = 50 * time.Microsecond

// NewPool returns a pool of the given number of threads, the caller's included; 0
// means runtime.GOMAXPROCS. Close gives the threads back.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{finished: make(chan struct{}, 1)}
	for i := 1; i < threads; i++ {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		p.exited.Go(func() { p.work(w, i) })
	}
	return p
}

// Threads returns the number of threads that share the work.
func (p *Pool) Threads() int { return len(p.workers) + 1 }

// Close ends the workers, after the call in progress if there is one. A pool must not
// be used after it; closing twice is harmless.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.post(&job{quit: true})
		p.exited.Wait()
	}
}

// Run calls f for pieces [lo, hi) of [0, n), each chunk long or the rest, on all
// threads at once, and returns when all are done. The pieces are the same for any
// number of threads; which thread takes one is not. A panic in f reaches the caller
// of Run, after the pieces that had begun; the others are left out.
//
// f must not call Run of a pool that has several threads: it panics, or deadlocks
// where that pool is another one. It panics as well if chunk is not positive and if
// the pool is closed.
func (p *Pool) Run(n, chunk int, f func(lo, hi int)) {
	p.run(n, chunk, task{plain: f})
}

// RunWorkers is Run with the number of the thread that takes a piece, from 0 (the
// caller's) to Threads − 1; within a call no two pieces run under one number at the
// same time.
func (p *Pool) RunWorkers(n, chunk int, f func(worker, lo, hi int)) {
	p.run(n, chunk, task{worker: f})
}

func (p *Pool) run(n, chunk int, f task) {
	if chunk <= 0 {
		panic(fmt.Sprintf("tensor: Run: pieces of %d", chunk))
	}
	if n <= chunk || len(p.workers) == 0 {
		for lo := 0; lo < n; lo += chunk {
			f.do(0, lo, min(lo+chunk, n))
		}
		return
	}
	if !p.mu.TryLock() {
		if withinRun() { // would wait for itself
			panic("tensor: Run called from inside Run")
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.closed {
		panic("tensor: Run on a closed Pool")
	}
	j := &job{n: n, chunk: chunk, f: f}
	p.post(j)
	j.run(p, 0)
	p.await(j)
	j.f = task{} // workers that still know the job must not keep alive what f holds
	if v := j.panicked.Load(); v != nil {
		panic(*v)
	}
}

// post shows j to the workers and wakes those that sleep.
func (p *Pool) post(j *job) {
	p.current.Store(j)
	for _, w := range p.workers {
		if w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// await returns when every item of j is done.
func (p *Pool) await(j *job) {
	if spinUntil(func() bool { return j.done.Load() == int64(j.n) }) {
		return
	}
	j.waiting.Store(true)
	if j.done.Load() == int64(j.n) && j.waiting.CompareAndSwap(true, false) {
		return
	}
	<-p.finished
}

// work is the life of worker number i.
func (p *Pool) work(w *worker, i int) {
	runtime.LockOSThread()
	var last *job
	for {
		j := p.nextJob(w, last)
		if j.quit {
			return
		}
		j.run(p, i)
		last = j
	}
}

// nextJob waits for another job than last.
func (p *Pool) nextJob(w *worker, last *job) *job {
	for {
		if spinUntil(func() bool { return p.current.Load() != last }) {
			return p.current.Load()
		}
		w.asleep.Store(true)
		if p.current.Load() != last && w.asleep.CompareAndSwap(true, false) {
			return p.current.Load()
		}
		<-w.wake // post has seen asleep, or will
	}
}

// run takes pieces of j until none is left.
func (j *job) run(p *Pool, worker int) {
	for {
		hi := int(j.next.Add(int64(j.chunk)))
		lo := hi - j.chunk
		if lo >= j.n {
			return
		}
		hi = min(hi, j.n)
		j.piece(worker, lo, hi)
		if j.done.Add(int64(hi-lo)) == int64(j.n) && j.waiting.CompareAndSwap(true, false) {
			p.finished <- struct{}{}
		}
	}
}

// piece calls f, unless a piece has panicked, and keeps the first panic.
func (j *job) piece(worker, lo, hi int) {
	if j.panicked.Load() != nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			first := new(any) // and not &v, which would be allocated for every piece
			*first = v
			j.panicked.CompareAndSwap(nil, first)
		}
	}()
	j.f.do(worker, lo, hi)
}

// spinUntil asks over and over, for the length of spin, and reports whether the
// answer was yes. The loop has no calls that park: a locked goroutine that yields
// costs two switches of threads.
func spinUntil(ok func() bool) bool {
	start := time.Now()
	for {
		for range 64 {
			if ok() {
				return true
			}
		}
		if time.Since(start) > spin {
			return false
		}
	}
}

// withinRun reports whether the calling goroutine is inside a piece of some job.
func withinRun() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for more := true; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			if strings.HasSuffix(frame.Function, "internal/tensor.(*job).piece") {
				return true
			}
		}
	}
}
