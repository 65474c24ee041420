/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/launch.h"

#include <string.h>

void gpu_add(gpu_launches *l, const gpu_kernel *k, int64_t grid_x, int64_t grid_y, int64_t grid_z, int block,
             size_t shared, const void *params, size_t params_size) {
    const uint32_t block_max = k->block_max > 0 ? k->block_max : GPU_BLOCK_MAX;
    if (l->n == GPU_MAX_LAUNCHES || params_size > GPU_MAX_PARAMS || (uint32_t)block > block_max) {
        l->n = GPU_MAX_LAUNCHES + 1; /* reported by whoever launches */
        return;
    }
    gpu_launch *a = &l->at[l->n++];
    memset(a, 0, sizeof *a);
    a->kernel = k;
    a->grid[0] = (uint32_t)grid_x;
    a->grid[1] = (uint32_t)grid_y;
    a->grid[2] = (uint32_t)grid_z;
    a->block = (uint32_t)block;
    a->shared = (uint32_t)shared;
    a->params_size = (uint32_t)params_size;
    memcpy(a->params, params, params_size);
}

nb_status gpu_launches_of(const gpu_traits *traits, const krow *row, const kcall *c, void *scratch, gpu_launches *to,
                          nb_error *err) {
    to->traits = traits;
    to->n = 0;
    row->enqueue(row, c, scratch, to);
    if (to->n <= GPU_MAX_LAUNCHES) return NB_OK;
    return err_set(err, NB_ERR_INTERNAL, "%s makes more launches, or larger ones, than fit", row->name);
}

typedef struct parts_head {
    uint32_t n, first[GPU_MAX_PARTS];
} parts_head;
_Static_assert(sizeof(parts_head) == GPU_PARTS_AT, "parts begin where kernels look for them");

void gpu_add_part(gpu_launches *l, const gpu_kernel *k, int64_t grid_x, int64_t grid_y, int64_t grid_z, int block,
                  size_t shared, const void *part) {
    uint8_t params[GPU_MAX_PARAMS] = {0};
    const parts_head head = {.n = 1};
    memcpy(params, &head, sizeof head);
    memcpy(params + GPU_PARTS_AT, part, k->part_size);
    gpu_add(l, k, grid_x, grid_y, grid_z, block, shared, params, GPU_PARTS_AT + GPU_MAX_PARTS * k->part_size);
}

static uint32_t grid_of_turns(uint32_t turns, uint32_t room) {
    return turns < room ? turns : room;
}

void gpu_add_turns(gpu_launches *l, const gpu_kernel *k, int64_t turns, int64_t room, int block, size_t shared,
                   const void *part) {
    gpu_add_part(l, k, grid_of_turns((uint32_t)turns, (uint32_t)room), 1, 1, block, shared, part);
    if (l->n > GPU_MAX_LAUNCHES) return;
    l->at[l->n - 1].turns = (uint32_t)turns;
    l->at[l->n - 1].room = (uint32_t)room;
}

bool gpu_can_join(const gpu_launch *a, const gpu_launch *b) {
    parts_head head, other;
    if (!a->kernel || a->kernel != b->kernel || a->kernel->part_size == 0) return false;
    if (a->grid[1] != b->grid[1] || a->grid[2] != b->grid[2] || a->block != b->block || a->shared != b->shared)
        return false;
    memcpy(&head, a->params, sizeof head);
    memcpy(&other, b->params, sizeof other);
    return head.n < GPU_MAX_PARTS && other.n == 1 &&
           memcmp(a->params + GPU_PARTS_AT, b->params + GPU_PARTS_AT, a->kernel->same) == 0;
}

void gpu_join(gpu_launch *a, const gpu_launch *b) {
    parts_head head;
    memcpy(&head, a->params, sizeof head);
    memcpy(a->params + GPU_PARTS_AT + head.n * a->kernel->part_size, b->params + GPU_PARTS_AT, a->kernel->part_size);
    head.first[head.n++] = a->room ? a->turns : a->grid[0];
    memcpy(a->params, &head, sizeof head);
    a->turns += b->turns;
    a->grid[0] = a->room ? grid_of_turns(a->turns, a->room) : a->grid[0] + b->grid[0];
}

void gpu_add_gemm(gpu_launches *l, const gpu_gemm *g) {
    if (l->n >= GPU_MAX_LAUNCHES) {
        l->n = GPU_MAX_LAUNCHES + 1;
        return;
    }
    l->at[l->n++] = (gpu_launch){.gemm = *g};
}

int64_t gpu_one_task(const krow *row, const kcall *c) {
    (void)row;
    (void)c;
    return 1;
}
