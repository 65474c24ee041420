/* SPDX-License-Identifier: Apache-2.0
 *
 * Computes and writes the tensors. All threads work on one tensor at a time: each takes the next block of rows, casts
 * and encodes it in its own buffers, and writes what comes out to its place in the file. Memory is bounded by the
 * buffers; pages of the source are given back when a tensor is done. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/half.h"
#include "base/num.h"
#include "files/convert.h"

/* Bytes of a block's widest form, unless a single row has more; seconds between two syncs. */
enum { BLOCK_BYTES = 1 << 20, SYNC_SECONDS = 5 };

typedef struct buffers {
    void *parts[6]; /* raw rows of up to three tensors, cast rows or scales and biases, outputs */
    size_t sizes[6];
} buffers;

enum { RAW, RAW_SCALES, RAW_BIASES, CAST, OUT_1, OUT_2 };

typedef struct writing {
    const conversion *c;
    pool *threads;
    buffers *own; /* [pool_size] */
    st_writer *writer;
    const convert_step *step;
    int64_t n_rows, block; /* rows of the step's tensor, of a block */
    _Atomic int64_t next;  /* the first row that nobody has taken */
    _Atomic int64_t rows_done;
    atomic_bool stop;
    double bytes_done, bytes_total; /* of the source, for the progress */
    nb_status status;               /* of the first thread that failed */
    nb_error error;
    atomic_flag failed;
} writing;

static void *reserve(buffers *b, int part, size_t bytes, nb_status *status, nb_error *err) {
    if (*status || b->sizes[part] >= bytes) return b->parts[part];
    free(b->parts[part]);
    b->sizes[part] = 0;
    b->parts[part] = malloc(bytes);
    if (b->parts[part])
        b->sizes[part] = bytes;
    else
        *status = err_no_memory(err, "a block of a tensor", bytes);
    return b->parts[part];
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static int64_t rows_of(const checkpoint_tensor *t) {
    return t->n_pieces * t->pieces->n_rows;
}

/* Rows [first, first + n) without gaps: where they lie if they do so in the file, else a copy. */
static const void *rows_at(buffers *b, int part, const checkpoint_tensor *t, int64_t first, int64_t n,
                           nb_status *status, nb_error *err) {
    if (checkpoint_is_plain(t)) return t->pieces->data + (size_t)first * t->pieces->row_bytes;
    void *copy = reserve(b, part, (size_t)n * t->pieces->row_bytes, status, err);
    if (!*status) checkpoint_read(t, first, n, copy);
    return copy;
}

/* x rounded to `type`, as an element of it at to[i]. */
static void put_float(void *to, dtype type, int64_t i, float x) {
    if (type == DT_F32)
        memcpy((char *)to + 4 * i, &x, 4);
    else {
        uint16_t h = type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
        memcpy((char *)to + 2 * i, &h, 2);
    }
}

static float one_more(float x, dtype type) {
    x += 1.0f;
    return type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : type == DT_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

/* n floats of `from`'s type as elements of `type`; "plus one" is added, and rounded, before the cast, as MLX does. */
static const void *cast_rows(buffers *b, const checkpoint_tensor *t, const void *rows, int64_t n, dtype type,
                             nb_status *status, nb_error *err) {
    if (*status || (t->type == type && !t->plus_one)) return rows;
    void *to = reserve(b, CAST, (size_t)n * dtype_size(type), status, err);
    if (*status) return NULL;
    for (int64_t i = 0; i < n; i++) {
        float x = float_at_f32(rows, t->type, i);
        put_float(to, type, i, t->plus_one ? one_more(x, t->type) : x);
    }
    return to;
}

/* Whether some of 64 elements have an exponent of ones only. Loops of a fixed length become vector instructions. */
static bool any_not_finite(const void *x, dtype type, int64_t first) {
    uint32_t bad = 0;
    if (type == DT_F32) {
        uint32_t v[64];
        memcpy(v, (const char *)x + 4 * first, sizeof v);
        for (int j = 0; j < 64; j++) bad |= (v[j] & 0x7f800000u) == 0x7f800000u;
    } else {
        const uint16_t ones = type == DT_F16 ? 0x7c00 : 0x7f80;
        uint16_t v[64], some = 0;
        memcpy(v, (const char *)x + 2 * first, sizeof v);
        for (int j = 0; j < 64; j++) some = (uint16_t)(some | ((v[j] & ones) == ones));
        bad = some;
    }
    return bad;
}

/* The first element that is a NaN or an infinity, or n. */
static int64_t find_not_finite(const void *x, dtype type, int64_t n) {
    int64_t i = 0;
    while (i + 64 <= n && !any_not_finite(x, type, i)) i += 64;
    while (i < n && isfinite(float_at_f32(x, type, i))) i++;
    return i;
}

/* ---- Blocks ---------------------------------------------------------------------------------------------------- */

static nb_status put(const writing *w, int out, int64_t first, int64_t n, const void *data, nb_error *err) {
    const convert_output *o = &w->step->out[out];
    const size_t row = o->bytes / (size_t)w->n_rows;
    return st_writer_put_at(w->writer, o->index, (size_t)first * row, data, (size_t)n * row, err);
}

static nb_status copy_block(const writing *w, buffers *b, int64_t first, int64_t n, nb_error *err) {
    const checkpoint_tensor *t = w->step->from.weight;
    nb_status status = NB_OK;
    const void *rows = rows_at(b, RAW, t, first, n, &status, err);
    if (dtype_is_float(t->type) && !status)
        rows = cast_rows(b, t, rows, n * (int64_t)(t->pieces->row_bytes / dtype_size(t->type)), w->step->cast, &status,
                         err);
    return status ? status : put(w, 0, first, n, rows, err);
}

static nb_status encode_block(const writing *w, buffers *b, int64_t first, int64_t n, nb_error *err) {
    const convert_step *s = w->step;
    const checkpoint_tensor *t = s->from.weight;
    const int64_t k = t->shape[t->n_dims - 1], groups = n * (k / s->format.group_size);
    const size_t codes_bytes = (size_t)(groups * quant_group_bytes(&s->format)), some = (size_t)groups * sizeof(float);
    nb_status status = NB_OK;
    const void *rows = rows_at(b, RAW, t, first, n, &status, err);
    rows = status ? NULL : cast_rows(b, t, rows, n * k, s->cast, &status, err);
    uint8_t *codes = reserve(b, OUT_1, codes_bytes, &status, err);
    uint8_t *scales = reserve(b, OUT_2, 2 * some, &status, err);
    if (status) return status;
    int64_t bad = find_not_finite(rows, s->cast, n * k);
    if (bad < n * k)
        return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: element %lld is %s and cannot be quantized", t->file,
                       t->original, (long long)(first * k + bad),
                       s->cast == t->type ? "not finite" : "not finite in the type that it is cast to");
    quant_encode(&s->format, s->cast, rows, groups, codes, scales, scales + some);
    status = put(w, 0, first, n, codes, err);
    if (!status) status = put(w, 1, first, n, scales, err);
    return !status && s->n_out == 3 ? put(w, 2, first, n, scales + some, err) : status;
}

static nb_status decode_block(const writing *w, buffers *b, int64_t first, int64_t n, nb_error *err) {
    const convert_step *s = w->step;
    const quant_module *m = &s->from;
    const convert_output *o = &s->out[0];
    const int64_t k = o->shape[o->n_dims - 1], per_row = k / s->format.group_size, groups = n * per_row;
    nb_status status = NB_OK;
    const void *codes = rows_at(b, RAW, m->weight, first, n, &status, err), *biases = NULL;
    const void *scales = status ? NULL : rows_at(b, RAW_SCALES, m->scales, first, n, &status, err);
    dtype scale_type = s->format.mode == W_AFFINE ? s->cast : DT_U8;
    void *values = reserve(b, OUT_1, (size_t)(n * k) * dtype_size(o->type), &status, err);
    if (m->biases && !status) {
        biases = rows_at(b, RAW_BIASES, m->biases, first, n, &status, err);
        if (!status && scale_type != m->biases->type) { /* cast_rows has one buffer, which the scales will need */
            biases = cast_rows(b, m->biases, biases, groups, scale_type, &status, err);
            void *kept = reserve(b, OUT_2, (size_t)groups * sizeof(float), &status, err);
            if (!status) biases = memcpy(kept, biases, (size_t)groups * dtype_size(scale_type));
        }
    }
    if (scale_type != DT_U8 && !status) scales = cast_rows(b, m->scales, scales, groups, scale_type, &status, err);
    if (status) return status;
    quant_decode(&s->format, scale_type, codes, scales, biases, groups, o->type, values);
    return put(w, 0, first, n, values, err);
}

static nb_status run_block(const writing *w, buffers *b, int64_t first, int64_t n, nb_error *err) {
    switch (w->step->kind) {
    case CONVERT_ENCODE:
        return encode_block(w, b, first, n, err);
    case CONVERT_DECODE:
        return decode_block(w, b, first, n, err);
    default:
        return copy_block(w, b, first, n, err);
    }
}

/* ---- Threads --------------------------------------------------------------------------------------------------- */

static void fail(writing *w, nb_status status, const nb_error *err) {
    if (!atomic_flag_test_and_set(&w->failed)) {
        w->status = status;
        w->error = *err;
    }
    atomic_store(&w->stop, true);
}

/* Only the caller's thread may call the progress function. */
static void show_progress(writing *w) {
    const nb_convert_options *o = w->c->options;
    if (!o->progress) return;
    size_t bytes = checkpoint_bytes(w->step->from.weight);
    double part = (double)atomic_load(&w->rows_done) / (double)max_i64(1, w->n_rows);
    if (o->progress(o->progress_user, w->c->decode ? "dequantize" : "quantize", w->bytes_done + part * (double)bytes,
                    w->bytes_total))
        return;
    nb_error err;
    fail(w, err_set(&err, NB_ERR_CANCELLED, "%s: cancelled; the same command goes on with it", w->c->to), &err);
}

static void run_thread(void *user, int index) {
    writing *w = user;
    while (!atomic_load(&w->stop)) {
        int64_t first = atomic_fetch_add(&w->next, w->block);
        if (first >= w->n_rows) break;
        int64_t n = min_i64(w->block, w->n_rows - first);
        nb_error err;
        nb_status status = run_block(w, &w->own[index], first, n, &err);
        if (status) fail(w, status, &err);
        atomic_fetch_add(&w->rows_done, n);
        if (index == 0) show_progress(w);
    }
}

static nb_status run_step(writing *w, const convert_step *s, nb_error *err) {
    const checkpoint_tensor *t = s->from.weight;
    size_t widest = 1;
    w->step = s;
    w->n_rows = rows_of(t);
    for (int i = 0; i < s->n_out && w->n_rows > 0; i++)
        widest = (size_t)max_i64((int64_t)widest, (int64_t)s->out[i].bytes);
    if (w->n_rows > 0) {
        size_t row = (size_t)max_i64((int64_t)(widest / (size_t)w->n_rows), (int64_t)t->pieces->row_bytes);
        w->block = max_i64(1, BLOCK_BYTES / max_i64(1, (int64_t)row));
    }
    atomic_store(&w->next, 0);
    atomic_store(&w->rows_done, 0);
    if (w->n_rows <= w->block)
        run_thread(w, 0);
    else
        pool_run(w->threads, run_thread, w);
    if (w->status) {
        if (err) *err = w->error;
        return w->status;
    }
    for (int i = 0; i < s->n_out; i++) st_writer_mark_done(w->writer, s->out[i].index);
    for (int64_t i = 0; i < t->n_pieces; i++) weights_release(w->c->files, t->pieces[i].from);
    w->bytes_done += (double)checkpoint_bytes(t);
    return NB_OK;
}

/* ---- Files ----------------------------------------------------------------------------------------------------- */

static nb_status declare(const conversion *c, const convert_shard *shard, st_writer *writer, size_t done,
                         nb_error *err) {
    nb_status status = st_writer_metadata(writer, "format", "mlx", err);
    for (size_t i = shard->first; i < shard->end; i++)
        for (int o = 0; o < c->steps[i].n_out && !status; o++) {
            const convert_output *out = &c->steps[i].out[o];
            status = st_writer_declare(writer, out->name, out->type, out->n_dims, out->shape, NULL, err);
        }
    if (!status) status = st_writer_begin(writer, err);
    for (size_t i = shard->first; i < done && !status; i++)
        for (int o = 0; o < c->steps[i].n_out; o++) st_writer_mark_done(writer, c->steps[i].out[o].index);
    return status;
}

static nb_status sync_now(writing *w, convert_progress *p, nb_error *err) {
    nb_status status = st_writer_sync(w->writer, err);
    return status ? status : p->sync(p->user, p->done, err);
}

/* One file, from step p->done on. What was computed before a failure is kept for the next run. */
static nb_status write_shard(writing *w, const convert_shard *shard, const char *path, convert_progress *p,
                             nb_error *err) {
    nb_status status = st_writer_continue(path, &w->writer, err);
    if (!status) status = declare(w->c, shard, w->writer, p->done, err);
    double synced = clock_now();
    while (!status && p->done < shard->end) {
        status = run_step(w, &w->c->steps[p->done], err);
        if (status) break;
        p->done++;
        if (clock_now() - synced < SYNC_SECONDS) continue;
        status = sync_now(w, p, err);
        synced = clock_now();
    }
    if (!status) {
        status = st_writer_finish(w->writer, err);
        w->writer = NULL;
        return status ? status : p->sync(p->user, p->done, err);
    }
    if (w->writer) sync_now(w, p, NULL);
    st_writer_abort(w->writer);
    w->writer = NULL;
    return status;
}

static nb_status write_all(writing *w, const char *dir, convert_progress *p, nb_error *err) {
    const conversion *c = w->c;
    nb_status status = NB_OK;
    for (size_t i = 0; i < c->n_steps; i++) w->bytes_total += (double)checkpoint_bytes(c->steps[i].from.weight);
    for (size_t i = 0; i < p->done; i++) w->bytes_done += (double)checkpoint_bytes(c->steps[i].from.weight);
    for (size_t i = 0; i < c->n_shards && !status; i++) {
        const convert_shard *s = &c->shards[i];
        char *path = path_join(dir, s->name);
        if (!path) return err_no_memory(err, dir, 0);
        if (p->done < s->end || !path_is_file(path)) {
            if (path_is_file(path)) /* it was complete, only nobody had noted it */
                p->done = s->end;
            else
                status = write_shard(w, s, path, p, err);
        }
        free(path);
    }
    return status;
}

nb_status convert_write(const conversion *c, const char *dir, convert_progress *p, nb_error *err) {
    writing w = {.c = c, .failed = ATOMIC_FLAG_INIT};
    nb_status status = pool_new(c->options->n_threads, &w.threads, err);
    if (status) return status;
    const int n = pool_size(w.threads);
    w.own = calloc((size_t)n, sizeof *w.own);
    status = w.own ? write_all(&w, dir, p, err) : err_no_memory(err, "buffers", 0);
    for (int i = 0; i < n && w.own; i++)
        for (int part = 0; part < 6; part++) free(w.own[i].parts[part]);
    free(w.own);
    pool_free(w.threads);
    return status;
}
