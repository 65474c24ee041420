/* SPDX-License-Identifier: Apache-2.0
 *
 * What a driver's error means to the one who runs nibble. CUDA and HIP number their errors alike. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gpu/context.h"

enum { NO_MEMORY = 2 };

static const struct {
    int error;
    bool lasting; /* nothing works afterwards in this process */
    const char *meaning;
} meanings[] = {
    {3, false, "the driver was not started, or it was started before a fork"},
    {34, false, "the library is the toolkit's stub, not the driver's"},
    {35, false, "the driver is too old for its library"},
    {46, true, "another program uses the device exclusively"},
    {100, false, "there is no device"},
    {209, false, "the kernels are not for this device"},
    {214, true, "the device's memory is broken"},
    {218, false, "the driver cannot compile the kernels"},
    {220, true, "a link between devices is broken"},
    {222, false, "the driver is too old for these kernels: update it"},
    {304, false, "the operating system refused; is the driver's module loaded?"},
    {700, true, "a kernel reached outside of its memory"},
    {701, false, "a kernel needs more registers or shared memory than the device has"},
    {702, true, "a kernel took longer than the device's watchdog allows"},
    {710, true, "a kernel found itself to be wrong (assert)"},
    {714, true, "a kernel faulted"},
    {715, true, "a kernel faulted"},
    {716, true, "a kernel used an address that is not aligned"},
    {717, true, "a kernel faulted"},
    {718, true, "a kernel faulted"},
    {719, true, "a kernel faulted, or the device was reset"},
    {721, true, "the device's hardware failed"},
    {802, false, "the driver's services do not run (yet)"},
    {803, false, "the driver's library and its kernel module are of different versions: reboot"},
    {804, false, "the driver's kernel module is too old for its library"},
    {999, true, "the driver does not know why; the kernel's log (dmesg) may"},
};

static size_t find(int error) {
    size_t i = 0;
    while (i < sizeof meanings / sizeof *meanings && meanings[i].error != error) i++;
    return i;
}

const char *gpu_error_text(const gpu_calls *calls, int error) {
    const char *text = NULL;
    return calls->error_string && calls->error_string(error, &text) == 0 && text ? text : "unknown error";
}

const char *gpu_error_meaning(int error) {
    const size_t i = find(error);
    return i < sizeof meanings / sizeof *meanings ? meanings[i].meaning : "";
}

static bool is_lasting(int error) {
    const size_t i = find(error);
    return i < sizeof meanings / sizeof *meanings && meanings[i].lasting;
}

/* " (1.5 GB wanted, 0.2 of 79.2 GB are free)" */
static void describe_memory(gpu_context *c, size_t wanted, char *to, size_t size) {
    size_t free_bytes = 0, total = 0;
    *to = 0;
    if (wanted == 0) return;
    if (c->calls.memory_info(&free_bytes, &total) != 0)
        snprintf(to, size, " (%.3f GB wanted)", (double)wanted * 1e-9);
    else
        snprintf(to, size, " (%.3f GB wanted, %.3f of %.3f GB are free)", (double)wanted * 1e-9,
                 (double)free_bytes * 1e-9, (double)total * 1e-9);
}

nb_status gpu_failed(gpu_context *c, gpu_call call, int error, size_t wanted, nb_error *err) {
    const char *meaning = gpu_error_meaning(error), *symbol = c->vendor->symbols[call]; /* '?' marks optional ones */
    char memory[128], line[sizeof c->lost];
    describe_memory(c, error == NO_MEMORY ? wanted : 0, memory, sizeof memory);
    snprintf(line, sizeof line, "%.120s: %s: %.200s (error %d)%s%s%s", c->name, symbol + (symbol[0] == '?'),
             gpu_error_text(&c->calls, error), error, memory, meaning[0] ? ": " : "", meaning);
    if (is_lasting(error) && !c->lost[0]) memcpy(c->lost, line, sizeof line);
    return err_set(err, error == NO_MEMORY ? NB_ERR_NO_MEMORY : NB_ERR_INTERNAL, "%s", line);
}

void gpu_dropped(gpu_context *c, gpu_call call, int error) {
    const bool lost = c->lost[0] != 0;
    nb_error err;
    if (!error) return;
    gpu_failed(c, call, error, 0, &err);
    log_msg(lost ? NB_LOG_DEBUG : NB_LOG_WARN, "%s", err.text);
}

nb_status gpu_enter(gpu_context *c, nb_error *err) {
    if (c->lost[0])
        return err_set(err, NB_ERR_INTERNAL, "the device cannot be used any more in this process: %s", c->lost);
    return c->context ? GPU_TRY(c, context_use, c->context) : GPU_TRY(c, device_use, c->index);
}
