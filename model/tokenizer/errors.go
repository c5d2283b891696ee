package tokenizer

// FormatError says that a tokenizer.json is broken.
type FormatError string

func (e FormatError) Error() string { return "invalid tokenizer: " + string(e) }

// UnsupportedError says that a tokenizer.json is sound, but of a kind that
// Gemma does not use and this package does not know.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "unsupported tokenizer: " + string(e) }
