//go:build !cgo || purego || !(amd64 || (arm64 && (linux || darwin)))

package kernel

func sets() []*bodies { return []*bodies{&portable} }

func int8Sets() []*int8Bodies { return []*int8Bodies{&portableInt8} }

func bf16Sets() []*bf16Bodies { return []*bf16Bodies{&portableBF16} }
