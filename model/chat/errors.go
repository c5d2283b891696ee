package chat

// FormatError says that a conversation or a value is malformed.
type FormatError string

func (e FormatError) Error() string { return "invalid conversation: " + string(e) }

// UnsupportedError says that a conversation is sound, but asks for what the
// template cannot express.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "unsupported conversation: " + string(e) }
