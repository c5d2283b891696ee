package model

// FormatError says that a checkpoint's file is broken.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// UnsupportedError says that a checkpoint is sound but needs what this engine lacks.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }
