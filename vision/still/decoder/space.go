//go:build !race

package decoder

// space is what the process takes beside what is asked for, in bytes.
const space = 0
