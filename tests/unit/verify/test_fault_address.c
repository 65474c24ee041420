/* SPDX-License-Identifier: Apache-2.0
 *
 * A read past the end of an operand faults, and the address of the fault names the operand and how far past its end it
 * was; with operands at odd addresses too. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verify/check.h"
#include "verify/guard.h"

static sigjmp_buf back;
static check *current;
static char text[CHECK_ADDRESS_TEXT];
static bool named;

static void faulted(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    named = check_address_text(current, info->si_addr, text) != NULL;
    siglongjmp(back, 1);
}

typedef void reader(const kcall *c, int64_t begin);

static volatile uint8_t sink;

static void nothing(const kcall *c, int64_t begin) {
    (void)c, (void)begin;
}

static void past_x(const kcall *c, int64_t begin) {
    (void)begin;
    sink = ((const volatile uint8_t *)c->x.data)[((c->x.rows - 1) * c->x.stride + c->x.cols) * 4 + 2];
}

static void past_weight(const kcall *c, int64_t begin) {
    (void)begin;
    sink = ((const volatile uint8_t *)c->weight.data)[c->x.cols * 2 + 1];
}

static void elsewhere(const kcall *c, int64_t begin) {
    (void)c, (void)begin;
    const volatile uint8_t *volatile nowhere = (const volatile uint8_t *)64;
    sink = *nowhere;
}

static reader *current_reader;

static bool takes(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return true;
}

static int64_t one(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

static void run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)end, (void)scratch;
    current_reader(c, begin);
}

static nb_status run_on_device(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch,
                               nb_error *err) {
    (void)d, (void)err;
    row->run(row, c, begin, end, scratch);
    return NB_OK;
}

/* The text of the fault that the reader makes; NULL: none, or one that says nothing. */
static const char *fault_of(reader *r, bool misaligned) {
    static const krow row = {.name = "reader", .op = KOP_RMSNORM, .takes = takes, .tasks = one, .run = run};
    const check_spec spec = {.op = KOP_RMSNORM,
                             .rows = 2,
                             .cols = 7,
                             .parts = 1,
                             .seed = 1,
                             .w_type = DT_BF16,
                             .x_type = DT_F32,
                             .y_type = DT_F32,
                             .misaligned = misaligned};
    device d = {.run = run_on_device};
    finding f;
    double worst;
    nb_error err;
    current_reader = r;
    named = false;
    assert_int_equal(check_new(&current, &err), NB_OK);
    assert_int_equal(check_load(current, &spec, &err), NB_OK);
    assert_true(check_takes(current, &row));
    if (sigsetjmp(back, 1) == 0) assert_int_equal(check_row(current, &d, &row, &f, &worst, &err), NB_OK);
    check_free(current);
    return named ? text : NULL;
}

static void test_text(void **state) {
    (void)state;
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = faulted;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &old);
    assert_null(fault_of(nothing, false));
    assert_string_equal(fault_of(past_x, false), "3 bytes past the end of x");
    assert_string_equal(fault_of(past_weight, false), "2 bytes past the end of weight");
    assert_string_equal(fault_of(past_weight, true), "2 bytes past the end of weight");
    assert_null(fault_of(elsewhere, false));
    sigaction(SIGSEGV, &old, NULL);
}

static void test_gap(void **state) {
    (void)state;
    guard g = {0};
    uint8_t *data = guard_input_before(&g, 10, 3);
    assert_non_null(data);
    assert_true(data[10] == 0xff && data[12] == 0xff);
    assert_int_equal(guard_past_end(&g, data + 12), 0); /* can be read */
    assert_int_equal(guard_past_end(&g, data + 13), 4);
    data = guard_input(&g, 10);
    assert_int_equal(guard_past_end(&g, data + 10), 1);
    guard_free(&g);
    assert_int_equal(guard_past_end(&g, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_gap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
