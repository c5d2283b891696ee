package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"facet/pipeline/journal"
)

func at(index int) journal.Place { return journal.Place{Offset: int64(index)} }

// Whatever order items come to their end in, they are taken in theirs, and each as soon as those before it are there.
func TestOrderTakesInOrder(t *testing.T) {
	const n = 200
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			o := newOrder()
			var taken []int
			go func() {
				for {
					_, at, ok := o.take()
					if !ok {
						return
					}
					taken = append(taken, int(at.Offset))
				}
			}()
			ended := map[int]bool{}
			for _, index := range random.Perm(n) {
				o.put(index, at(index))
				ended[index] = true
				synctest.Wait()
				want := 0
				for ended[want] {
					want++
				}
				if len(taken) != want || o.idle() != true {
					t.Fatalf("%d taken after the end of item %d, want %d", len(taken), index, want)
				}
			}
			o.finish(n)
			synctest.Wait()
			if !slices.IsSorted(taken) || len(taken) != n {
				t.Fatalf("taken: %v", taken)
			}
		})
	}
}

// What is held when no more comes is given out in its order.
func TestOrderClose(t *testing.T) {
	o := newOrder()
	for _, index := range []int{7, 3, 0, 4} {
		o.put(index, at(index))
	}
	o.close()
	var taken []int64
	for {
		index, at, ok := o.take()
		if !ok {
			break
		}
		if int64(index) != at.Offset {
			t.Errorf("index %d at %d", index, at.Offset)
		}
		taken = append(taken, at.Offset)
	}
	if want := []int64{0, 3, 4, 7}; !slices.Equal(taken, want) {
		t.Errorf("taken: %v, want %v", taken, want)
	}
}
