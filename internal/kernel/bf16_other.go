//go:build !cgo || purego || !amd64

package kernel

// bf16Sets lists the bodies that this CPU can run, best first.
func bf16Sets() []*bf16Bodies { return []*bf16Bodies{&portableBF16} }
