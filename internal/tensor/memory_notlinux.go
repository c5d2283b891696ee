//go:build unix && !linux

package tensor

func adviseLargePages([]byte) {}
