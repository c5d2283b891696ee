//go:build !cgo || purego || !amd64

package kernel

// int8Sets lists the integer bodies that this CPU can run, best first.
func int8Sets() []*int8Bodies { return []*int8Bodies{&portableInt8} }
