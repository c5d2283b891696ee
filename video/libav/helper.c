//go:build libav

#include "helper.h"
#include <libavutil/display.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libavutil/samplefmt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_first[1024];

// What a file makes FFmpeg say may be of any length: vsnprintf, never vsprintf.
static void on_log(void *ptr, int level, const char *format, va_list args) {
	if (level > AV_LOG_ERROR) return;
	pthread_mutex_lock(&log_lock);
	if (!log_first[0]) vsnprintf(log_first, sizeof log_first, format, args);
	pthread_mutex_unlock(&log_lock);
}

void facet_init(size_t max_alloc) {
	av_max_alloc(max_alloc);
	av_log_set_callback(on_log);
}

void facet_log_take(char *dst, size_t size) {
	pthread_mutex_lock(&log_lock);
	snprintf(dst, size, "%s", log_first);
	log_first[0] = 0;
	pthread_mutex_unlock(&log_lock);
}

void facet_decoder_base(AVCodecContext *c, AVStream *s) { c->pkt_timebase = s->time_base; }
void facet_decoder_flush(AVCodecContext *c) { avcodec_flush_buffers(c); }
void facet_decoder_skip(AVCodecContext *c, int nonref) { c->skip_frame = nonref ? AVDISCARD_NONREF : AVDISCARD_DEFAULT; }

void facet_only(AVFormatContext *f, int stream) {
	for (unsigned i = 0; i < f->nb_streams; i++)
		f->streams[i]->discard = (int)i == stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
}

int facet_is_cover(AVStream *s) { return (s->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)) != 0; }
int facet_is_default(AVStream *s) { return (s->disposition & AV_DISPOSITION_DEFAULT) != 0; }

int64_t facet_frame_time(AVFrame *f) { return f->best_effort_timestamp; }

int facet_frame_matrix(AVFrame *f, int32_t m[9]) {
	AVFrameSideData *d = av_frame_get_side_data(f, AV_FRAME_DATA_DISPLAYMATRIX);
	if (!d || d->size < 9 * sizeof *m) return 0;
	memcpy(m, d->data, 9 * sizeof *m);
	return 1;
}

// The colours are those of FFmpeg's scale filter with -sws_flags bicubic+accurate_rnd+full_chroma_int: the matrix and range that
// the frame states, else BT.601 and limited; in 4:2:0 chroma lies halfway between two rows.
int facet_rgb(AVFrame *f, struct SwsContext **sws, uint8_t *dst) {
	if (!sws_isSupportedInput(f->format)) return AVERROR(ENOSYS);
	int flags = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT;
	int *in = NULL, *out = NULL, in_full, out_full, brightness, contrast, saturation, rc;
	if (!*sws) {
		if (!(*sws = sws_alloc_context())) return AVERROR(ENOMEM);
		av_opt_set_int(*sws, "sws_flags", flags, 0);
		av_opt_set_int(*sws, "srcw", f->width, 0);
		av_opt_set_int(*sws, "srch", f->height, 0);
		av_opt_set_int(*sws, "src_format", f->format, 0);
		av_opt_set_int(*sws, "dstw", f->width, 0);
		av_opt_set_int(*sws, "dsth", f->height, 0);
		av_opt_set_int(*sws, "dst_format", AV_PIX_FMT_RGB24, 0);
		if (f->format == AV_PIX_FMT_YUV420P) av_opt_set_int(*sws, "src_v_chr_pos", 128, 0);
		if ((rc = sws_init_context(*sws, NULL, NULL)) < 0) return rc;
	}
	if (sws_getColorspaceDetails(*sws, &in, &in_full, &out, &out_full, &brightness, &contrast, &saturation) >= 0) {
		int space = f->colorspace;
		if (space < 1 || space > 10 || space == 8) space = AVCOL_SPC_BT470BG;
		if (f->color_range != AVCOL_RANGE_UNSPECIFIED) in_full = f->color_range == AVCOL_RANGE_JPEG;
		sws_setColorspaceDetails(*sws, sws_getCoefficients(space), in_full, out, out_full, brightness, contrast, saturation);
	}
	// swscale writes whole vectors past the end of a row, and asks for rows that begin on their bounds.
	int stride = (3 * f->width + 63) & ~63;
	uint8_t *rows = av_malloc((size_t)stride * f->height + 64);
	if (!rows) return AVERROR(ENOMEM);
	uint8_t *to[4] = {rows};
	int strides[4] = {stride};
	rc = sws_scale(*sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, to, strides);
	if (rc >= 0)
		for (int y = 0; y < f->height; y++) memcpy(dst + (size_t)3 * f->width * y, rows + (size_t)stride * y, (size_t)3 * f->width);
	av_free(rows);
	return rc < 0 ? rc : rc == f->height ? 0 : AVERROR_EXTERNAL;
}

int facet_samples(AVFrame *f, float *dst) {
	int channels = f->ch_layout.nb_channels, planar = av_sample_fmt_is_planar(f->format);
	for (int c = 0; c < channels; c++) {
		const uint8_t *src = planar ? f->extended_data[c] : f->extended_data[0];
		int step = planar ? 1 : channels, at = planar ? 0 : c;
#define COPY(type, value) \
	for (int i = 0; i < f->nb_samples; i++) { \
		type v = ((const type *)src)[(size_t)i * step + at]; \
		dst[(size_t)i * channels + c] = (float)(value); \
	} \
	break
		switch (av_get_packed_sample_fmt(f->format)) {
		case AV_SAMPLE_FMT_U8: COPY(uint8_t, (v - 128) / 128.0f);
		case AV_SAMPLE_FMT_S16: COPY(int16_t, v / 32768.0f);
		case AV_SAMPLE_FMT_S32: COPY(int32_t, v / 2147483648.0);
		case AV_SAMPLE_FMT_S64: COPY(int64_t, v / 9223372036854775808.0);
		case AV_SAMPLE_FMT_FLT: COPY(float, v);
		case AV_SAMPLE_FMT_DBL: COPY(double, v);
		default: return AVERROR(ENOSYS);
		}
#undef COPY
	}
	return 0;
}
