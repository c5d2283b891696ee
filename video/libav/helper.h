#pragma once
#include <stdint.h>
#include <stddef.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

// facet_init sets what is global in FFmpeg: no allocation above max_alloc bytes, and errors kept for facet_log_take.
void facet_init(size_t max_alloc);

// facet_log_take copies the first error message since the last call, if any, and forgets it.
void facet_log_take(char *dst, size_t size);

// facet_decoder_base tells a decoder its packets' time base. It trims samples and times only with it.
void facet_decoder_base(AVCodecContext *c, AVStream *s);
void facet_decoder_flush(AVCodecContext *c);
// facet_decoder_skip makes a decoder pass over frames that no other frame needs, or not.
void facet_decoder_skip(AVCodecContext *c, int nonref);

// facet_only makes the demuxer pass over every stream but one.
void facet_only(AVFormatContext *f, int stream);

int facet_is_cover(AVStream *s);
int facet_is_default(AVStream *s);

int64_t facet_frame_time(AVFrame *f);
// facet_frame_matrix copies the frame's own display matrix, and returns 0 if it has none.
int facet_frame_matrix(AVFrame *f, int32_t m[9]);

// facet_rgb writes the frame as rows of red, green, blue without padding. *sws is kept for the next frame.
int facet_rgb(AVFrame *f, struct SwsContext **sws, uint8_t *dst);

// facet_samples writes the frame's samples with channels interleaved, full scale ±1.
int facet_samples(AVFrame *f, float *dst);
