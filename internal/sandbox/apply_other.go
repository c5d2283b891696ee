//go:build !linux

package sandbox

// Apply does nothing here but say so.
func Apply(Limits) (Report, error) { return Report{Memory: -1, CPU: -1, Files: -1, FileSize: -1}, nil }

// ForbidWriting does nothing here.
func ForbidWriting() error { return nil }

// Available reports whether the kernel can close files and sockets to a process: not this one.
func Available() bool { return false }
