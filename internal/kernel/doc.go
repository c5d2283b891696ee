// Package kernel holds facet's hot loops: arithmetic over slices of float32, with
// weights in the number formats that checkpoints store, and products in bfloat16 and
// in 8-bit integers.
//
// Every function is single-threaded, allocates nothing and knows no shapes beyond
// lengths and strides; threads and matrices are package tensor's. Arguments that
// are too short for what is asked of them are the caller's mistake and panic.
// Strides count values, not bytes. Unless a comment says otherwise, slices must
// not overlap.
//
// # Bodies
//
// Each function has a portable body in Go, which defines it (portable.go). On amd64
// with cgo there is one more in C (body.h), compiled for two instruction sets:
// AVX-512 and AVX2 with FMA. Products in bfloat16 and in integers (int8_body.h) have
// bodies of their own for CPUs with AVX-512 BF16 and VNNI. The best that the CPU has
// are chosen at start, or what the variable [Environment] allows; Name says which. The
// build tag purego, and a build without cgo, leave the portable bodies only.
//
// # Same bits
//
// The value that a function writes to a place depends only on the numbers that go
// into it: not on the rows beside it, nor on how a caller cuts rows or outputs into
// calls, nor on where a value stands in a slice. Sums have one order each, which is
// written down beside the body. The two C sets round alike, operation by operation,
// and give equal bits; against the portable bodies only error bounds hold.
package kernel
