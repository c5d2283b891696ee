//go:build !race

package pdfium

// codeSpace is what the process takes beside the renderer's memory, in bytes: the runtime, the compiled code, pixels on their
// way out.
const codeSpace = 512 << 20
