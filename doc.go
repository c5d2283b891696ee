// Package facet holds no code: it is the map of the tree for go doc.
//
// facet runs Google's Gemma 4 over many files. It reads images and gives back text
// with its coordinates. Data flows one way, and imports point back along it:
//
//	media ──────► tensors ─────► embeddings ──► tokens ─────► records ─────► outputs
//	files         vision         model          model         pipeline/job   pipeline/sink
//	                             (towers)       (decoder)
//
// For other programs:
//
//	vision           image files → upright pixels → patches
//	video            films and compressed sound → timed frames, samples
//	model            Gemma 4: patches and text in, tokens out
//	model/tokenizer  text ↔ token ids
//	model/chat       conversations ↔ the text the model was trained on
//	pipeline         files → records, in order, with bounded memory
//	pipeline/job     what to ask of a file, and how to read the answer
//	pipeline/sink    records → JSON lines, text, pictures
//	pipeline/eval    records against labels
//
// For facet alone:
//
//	internal/kernel   hot loops over slices, in C with intrinsics and in portable Go
//	internal/quant    the blocks of quantised weights: values ↔ bytes
//	internal/weights  safetensors and GGUF files: headers, checks, memory maps
//	internal/tensor   matrices, and the threads that share out their rows
//	internal/golden   comparing with reference outputs
//	internal/check    the reference cases of a folder, for facet check
//	internal/sandbox  taking files, sockets and too much memory from a process
//	video/libav       FFmpeg, behind the build tag libav
//	cmd/facet         the program
//	cmd/facet-media   the decoder child of facet, which alone is linked to FFmpeg
//	fixtures          a small trained checkpoint, reference data, and what made them
//
// ARCHITECTURE.md follows one file through all of this. arch_test.go holds the order of
// imports.
package facet
