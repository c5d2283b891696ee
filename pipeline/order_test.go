package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
)

// Whatever order items come to their end in, they are emitted in theirs, and each as soon
// as those before it are.
func TestOrderEmitsInOrder(t *testing.T) {
	const n = 200
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		window := 1 + random.IntN(20)
		var emitted []string
		o := newOrder(window, func(r Result) error {
			emitted = append(emitted, r.Item.Path)
			return nil
		})
		var under []int // admitted and not put
		ended := map[int]bool{}
		for next := 0; next < n || len(under) > 0; {
			for next < n && len(o.slots) < window {
				if !o.admit(context.Background()) {
					t.Fatal("not admitted though there was room")
				}
				under = append(under, next)
				next++
			}
			i := random.IntN(len(under))
			index := under[i]
			under = slices.Delete(under, i, i+1)
			ended[index] = true
			if err := o.put(index, Result{Item: Item{Path: fmt.Sprint(index)}}); err != nil {
				t.Fatal(err)
			}
			want := 0
			for ended[want] {
				want++
			}
			if len(emitted) != want {
				t.Fatalf("window %d: %d emitted after the end of item %d, want %d", window, len(emitted), index, want)
			}
		}
		for i, path := range emitted {
			if path != fmt.Sprint(i) {
				t.Fatalf("window %d: emitted %s at place %d", window, path, i)
			}
		}
	}
}

func TestOrderAdmitsAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o := newOrder(3, func(Result) error { return nil })
		admitted := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for o.admit(ctx) {
				admitted++
			}
		}()
		synctest.Wait()
		if admitted != 3 {
			t.Errorf("%d items under way in a window of 3", admitted)
		}
		for _, step := range []struct{ put, want int }{{1, 3}, {2, 3}, {0, 6}, {3, 7}} { // the first holds up those after it
			if err := o.put(step.put, Result{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if admitted != step.want {
				t.Errorf("%d admitted after the end of item %d, want %d", admitted, step.put, step.want)
			}
		}
		cancel()
		<-done
	})
}

func TestOrderFlush(t *testing.T) {
	var emitted []string
	o := newOrder(10, func(r Result) error {
		if r.Item.Path == "9" {
			return errors.New("full")
		}
		emitted = append(emitted, r.Item.Path)
		return nil
	})
	for range 10 {
		o.admit(t.Context())
	}
	for _, i := range []int{7, 0, 2, 5} { // 1 never ends
		if err := o.put(i, Result{Item: Item{Path: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.flush(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0", "2", "5", "7"}; !slices.Equal(emitted, want) {
		t.Errorf("emitted %v, want %v", emitted, want)
	}
	if err := o.flush(); err != nil || len(emitted) != 4 {
		t.Errorf("flushed twice: %v, %v", emitted, err)
	}
	o.put(9, Result{Item: Item{Path: "9"}})
	if err := o.flush(); err == nil {
		t.Error("the error of emit is lost")
	}
}
