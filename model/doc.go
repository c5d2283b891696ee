// Package model is Gemma 4: patches, mel and text in, tokens out.
//
//  1. Open            a folder, or a GGUF file under the same names                   checkpoint.go gguf.go gguf_source.go
//     config, tokenizer; every tensor by name and shape                               config.go load.go model.go
//  2. EncodeImage     patches [P, 768] → vision tower → soft tokens [S, D]            vision_tower.go
//     EncodeVideo     the patches of each frame, with its time                        media.go
//     EncodeAudios    mel frames [N, 128] → audio tower → soft tokens [⌈N/4⌉, D]      audio.go audio_tower.go
//     a. subsample    two convolutions keep one frame in four                         audio_conv.go
//     b. layers       feed-forward, local attention, convolution, feed-forward        audio_attention.go audio_load.go
//     of a 12B        patches [P, 6912], frames [N, 640] → norms, products → [S, D]   unified.go
//  3. ChatPrompt      spans and soft tokens → ids with a place for every soft token   prompt.go media.go tokens.go
//  4. Batch.Add       a request joins the batch with caches of its own                sequence.go cache.go
//  5. Batch.Step      one pass over steps and prompt pieces, ragged                   generate.go
//     a. embed        √D · token rows, media rows as they are, per-layer inputs       decoder.go ple.go
//     b. layers       attention, gated MLP or experts, per-layer branch, scalar       attention.go linear.go moe.go rope.go
//     c. logits       of the wanted rows: norm, tied embedding, soft cap              decoder.go
//     d. sample       greedy, or temperature, top-k, top-p and min-p                  sample.go loop.go
//  6. Finished        tokens with log-probabilities, and why the reply ended
//
// Beside this, Quantize writes a checkpoint as a GGUF file (quantize.go, quantize_keys.go,
// gguf_settings.go).
//
// Shapes are [rows, columns], row-major; T tokens of a pass, D hidden size, H heads,
// K KV heads, E head size, F MLP size, V vocabulary, P patches, N mel frames, S soft tokens, L layers.
//
// Three rules hold everywhere and have tests:
//
//   - Same bits. A reply does not depend on what runs beside it, on how its prompt was
//     cut into passes, nor on the number of threads. Threads share out rows, never a
//     sum; attention is cut at absolute positions and put together in order.
//   - Only the rows that matter. Layers from the first KV-shared one on store nothing,
//     so they run on rows whose logits are wanted.
//   - Weights stay in the file's memory map. The per-layer embedding table is read row
//     by row from the file instead.
//
// Names are the checkpoint's: a layer's fields follow the modules of the transformers
// implementation, and a [Tracer] sees activations under those module paths.
package model
