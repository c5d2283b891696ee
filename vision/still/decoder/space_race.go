//go:build race

package decoder

// space has room for what the race detector keeps of each word of memory.
const space = 64 << 30
