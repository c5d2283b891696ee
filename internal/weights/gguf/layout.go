package gguf

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// place sets e's offset and size, or says why its type and sizes cannot be.
func (e *info) place(offset uint64) error {
	size, err := sizeOf(e.typ, e.sizes)
	switch {
	case err != nil:
		return err
	case offset > math.MaxInt64:
		return broken("offset %d is too large", offset)
	}
	e.offset, e.size = int64(offset), size
	return nil
}

// sizeOf returns the bytes that a tensor of type t takes. Rows, which run along the
// first of sizes, are whole blocks.
func sizeOf(t dtype, sizes []uint64) (int64, error) {
	row := uint64(1) // a tensor without dimensions is one value
	if len(sizes) > 0 {
		row = sizes[0]
	}
	if row%uint64(t.values) != 0 {
		return 0, broken("rows of %d values are no whole number of %s blocks of %d", row, t.name, t.values)
	}
	size, elements := uint64(t.bytes), uint64(1)
	for i, n := range sizes {
		blocks := n
		if i == 0 {
			blocks = n / uint64(t.values)
		}
		hi, product := bits.Mul64(size, blocks)
		// The number of values as well: it is an int to those who multiply with it.
		hiE, all := bits.Mul64(elements, n)
		switch {
		case n == 0:
			return 0, broken("a dimension of 0 in %v", sizes)
		case hi != 0 || product > math.MaxInt64 || hiE != 0 || all > math.MaxInt:
			return 0, broken("%v values of type %s are too large", sizes, t.name)
		}
		size, elements = product, all
	}
	return int64(size), nil
}

// shape returns the row-major shape: the sizes in reverse.
func (e *info) shape() []int {
	shape := make([]int, len(e.sizes))
	for i, n := range e.sizes {
		shape[len(shape)-1-i] = int(n)
	}
	return shape
}

// checkPlaces reports the first tensor that is not aligned, lies outside dataSize bytes
// of data or inside another. Bytes between tensors may belong to none.
func checkPlaces(infos []info, alignment, dataSize int64) error {
	byPlace := slices.Clone(infos)
	slices.SortStableFunc(byPlace, func(a, b info) int { return cmp.Compare(a.offset, b.offset) })
	end := int64(0)
	for i, e := range byPlace {
		switch {
		case e.offset%alignment != 0:
			return broken("tensor %s: offset %d is no multiple of the alignment of %d", quoted(e.name), e.offset, alignment)
		case e.offset < end:
			return broken("tensor %s: begins at %d, inside tensor %s, which ends at %d", quoted(e.name), e.offset, quoted(byPlace[i-1].name), end)
		case e.size > dataSize || e.offset > dataSize-e.size:
			return broken("tensor %s: %d bytes at %d, but the file has %d bytes of data: it is cut short", quoted(e.name), e.size, e.offset, max(0, dataSize))
		}
		end = e.offset + e.size
	}
	return nil
}
