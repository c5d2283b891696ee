// Package faultfs is file systems for tests that go wrong as real ones do.
//
//	Disk      in memory; knows what was synced, and gives every state that a power cut may leave   disk.go cut.go
//	Failing   any file system, of which one call fails, or all from one on                         failing.go
//
// The real one is journal.OS.
package faultfs

import "facet/pipeline/journal"

// FS and File are what the journal asks of a file system.
type (
	FS   = journal.FS
	File = journal.File
)
