// What llama.cpp computes for given token ids: the other side of bench/kl, and the judge of load time.
//
//   logits MODEL.gguf IDS OUT THREADS
//
// IDS holds int32 ids, one sequence. OUT gets, for each position, the logits of the next token: float32 [ids, vocabulary].
// Both are in the machine's byte order. Standard output gets one JSON object: the seconds until the model was ready,
// with the weights mapped and repacked and memory for the sequence, and the sizes.
#include "ggml-backend.h"
#include "llama.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

[[noreturn]] static void fail(const char *what, const char *name) {
    fprintf(stderr, "logits: %s: %s\n", name, what);
    exit(1);
}

static std::vector<llama_token> read_ids(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail("cannot be opened", path);
    std::vector<llama_token> ids;
    for (llama_token id; fread(&id, sizeof id, 1, f) == 1;) ids.push_back(id);
    fclose(f);
    if (ids.empty()) fail("no ids", path);
    return ids;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: logits MODEL.gguf IDS OUT THREADS\n");
        return 2;
    }
    std::vector<llama_token> ids = read_ids(argv[2]);
    llama_log_set([](ggml_log_level level, const char *text, void *) { if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr); }, nullptr);
    ggml_backend_load_all();

    auto start = std::chrono::steady_clock::now();
    llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) fail("cannot be loaded", argv[1]);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = ids.size();
    // As exact as it can be told to: what is left is its rounding of activations and of GELU.
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED; // which computes in float16
    params.n_threads = params.n_threads_batch = atoi(argv[4]);
    llama_context *context = llama_init_from_model(model, params);
    if (!context) fail("no context", argv[1]);
    double load = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    FILE *out = fopen(argv[3], "wb");
    if (!out) fail("cannot be written", argv[3]);
    size_t vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    const size_t piece = 64; // positions at once: the logits of all would take half a gigabyte
    llama_batch batch = llama_batch_init(piece, 0, 1);
    for (size_t from = 0; from < ids.size(); from += piece) {
        batch.n_tokens = std::min(piece, ids.size() - from);
        for (int i = 0; i < batch.n_tokens; i++) {
            batch.token[i] = ids[from + i];
            batch.pos[i] = from + i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = true;
        }
        if (llama_decode(context, batch) != 0) fail("decoding failed", argv[1]);
        for (int i = 0; i < batch.n_tokens; i++)
            if (fwrite(llama_get_logits_ith(context, i), sizeof(float), vocabulary, out) != vocabulary) fail("write failed", argv[3]);
    }
    if (fclose(out) != 0) fail("write failed", argv[3]);
    printf("{\"load_seconds\": %.3f, \"positions\": %zu, \"vocabulary\": %zu}\n", load, ids.size(), vocabulary);
}
