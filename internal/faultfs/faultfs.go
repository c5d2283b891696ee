// Package faultfs is file systems for tests that go wrong as real ones do.
package faultfs

import "facet/pipeline/journal"

// FS and File are what the journal asks of a file system.
type (
	FS   = journal.FS
	File = journal.File
)
