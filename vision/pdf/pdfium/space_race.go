//go:build race

package pdfium

// codeSpace has room for what the race detector keeps of each word of memory.
const codeSpace = 64 << 30
