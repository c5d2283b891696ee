//go:build !cgo || purego || !amd64

package kernel

// sets lists the bodies that this CPU can run, best first.
func sets() []*bodies { return []*bodies{&portable} }
