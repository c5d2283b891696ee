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
// Each function has a portable body in Go, which defines it (portable.go). With cgo, on
// amd64 and on arm64 (Linux and macOS), there is one more in C (body.h), written for a
// vector of sixteen float32 and compiled for three instruction sets: AVX-512, AVX2 with
// FMA, and NEON. Products in bfloat16 (bf16_body.h) and in integers (int8_body.h) have
// bodies of their own, some of them for CPUs with more: AVX-512 BF16 and VNNI; on arm64
// SDOT, SMMLA and BFDOT. The best that the CPU has are chosen at start, or what the
// variable [Environment] allows; Name says which. The build tag purego, and a build without
// cgo, leave the portable bodies only.
//
// The arm64 bodies are tested under an emulator (TestOnArm64), which cannot tell how fast
// they are: tiles were chosen by counting registers and instructions, and no speed of
// theirs has been measured. BFMMLA, which does twice the work of BFDOT, is not used.
//
// # Same bits
//
// The value that a function writes to a place depends only on the numbers that go
// into it: not on the rows beside it, nor on how a caller cuts rows or outputs into
// calls, nor on where a value stands in a slice. Sums have one order each, which is
// written down beside the body. The sets in C round alike, operation by operation, and
// give equal bits on amd64 and on arm64 (TestDigests); only VDPBF16PS and BFDOT round in
// ways of their own. Against the portable bodies only error bounds hold.
package kernel
