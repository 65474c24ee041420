/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/forward.h"

#include <string.h>

#include "base/num.h"

enum { PAGES = FORWARD_TOKENS / KV_PAGE_SIZE };

nb_status forward_new(const backend *b, device *d, const plan *p, const weights *files, const executor_options *options,
                      forward *out, nb_error *err) {
    *out = (forward){.device = d};
    executor_options o = *options;
    o.dry = false;
    o.n_batch = FORWARD_TOKENS;
    o.n_pages = FORWARD_SEQUENCES * PAGES;
    o.n_slots = FORWARD_SEQUENCES;
    o.progress = NULL;
    /* The pages of the two take turns, the later ones first: nothing may rely on their order. */
    for (int32_t i = 0; i < PAGES; i++)
        for (int32_t s = 0; s < FORWARD_SEQUENCES; s++) out->pages[s][i] = FORWARD_SEQUENCES * (PAGES - 1 - i) + s;
    nb_status status = b->executor_new(d, p, files, &o, &out->executor, err);
    for (int32_t s = 0; s < FORWARD_SEQUENCES && !status && p->n_states; s++)
        status = out->executor->copy_state(out->executor, -1, s, err);
    return status;
}

void forward_free(forward *f) {
    if (f->executor) f->executor->free(f->executor);
    f->executor = NULL;
}

nb_status forward_run(forward *f, int64_t n_sequences, const int32_t *tokens, int64_t n, int64_t n_outputs,
                      const float **logits, nb_error *err) {
    int32_t positions[FORWARD_TOKENS], slots[FORWARD_TOKENS], outputs[FORWARD_TOKENS];
    const int32_t *tables[FORWARD_TOKENS];
    batch b = {.n_tokens = n_sequences * n,
               .tokens = tokens,
               .positions = positions,
               .tables = tables,
               .slots = slots,
               .outputs = outputs};
    for (int64_t s = 0; s < n_sequences; s++) {
        if (n < 1 || n_outputs > n || f->n_tokens[s] + n > FORWARD_TOKENS || b.n_tokens > FORWARD_TOKENS)
            return err_set(err, NB_ERR_INTERNAL, "a verification's batch of %lld tokens is too long", (long long)n);
        for (int64_t t = 0; t < n; t++) {
            const int64_t at = s * n + t;
            positions[at] = (int32_t)(f->n_tokens[s] + t);
            slots[at] = (int32_t)s;
            tables[at] = f->pages[s];
            if (t >= n - n_outputs) outputs[b.n_outputs++] = (int32_t)at;
        }
    }
    nb_status status = f->executor->run(f->executor, &b, logits, err);
    for (int64_t s = 0; s < n_sequences && !status; s++) f->n_tokens[s] += n;
    return status;
}

int32_t forward_most_likely(const float *logits, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}
