/* SPDX-License-Identifier: Apache-2.0
 *
 * The tests of `x is ...`. */
#include <string.h>

#include "text/jinja_impl.h"

#define FN(name) static val name(jj *c, val self, const val *a, const jargs *raw)
#define UNUSED   (void)c, (void)self, (void)a, (void)raw

FN(t_defined) {
    UNUSED;
    return v_bool(!is_undef(self));
}
FN(t_undefined) {
    UNUSED;
    return v_bool(is_undef(self));
}
FN(t_none) {
    UNUSED;
    return v_bool(self.t == V_NONE);
}
FN(t_boolean) {
    UNUSED;
    return v_bool(self.t == V_BOOL);
}
FN(t_true) {
    UNUSED;
    return v_bool(self.t == V_BOOL && self.b);
}
FN(t_false) {
    UNUSED;
    return v_bool(self.t == V_BOOL && !self.b);
}
FN(t_integer) {
    UNUSED;
    return v_bool(self.t == V_INT);
}
FN(t_float) {
    UNUSED;
    return v_bool(self.t == V_FLOAT);
}
FN(t_number) {
    UNUSED;
    return v_bool(is_number(self));
}
FN(t_string) {
    UNUSED;
    return v_bool(self.t == V_STR);
}
FN(t_mapping) {
    UNUSED;
    return v_bool(self.t == V_DICT);
}
FN(t_sequence) {
    UNUSED;
    return v_bool(self.t == V_STR || self.t == V_LIST || self.t == V_TUPLE || self.t == V_DICT || self.t == V_RANGE ||
                  self.t == V_UNDEF);
}
FN(t_iterable) {
    UNUSED;
    return v_bool(self.t == V_STR || self.t == V_LIST || self.t == V_TUPLE || self.t == V_DICT || self.t == V_RANGE ||
                  self.t == V_UNDEF || self.t == V_VIEW || self.t == V_GEN || self.t == V_LOOP);
}
FN(t_callable) {
    UNUSED;
    return v_bool(self.t == V_FUNC || self.t == V_METHOD || self.t == V_MACRO || self.t == V_LOOP ||
                  self.t == V_JOINER || self.t == V_UNDEF);
}
FN(t_escaped) {
    UNUSED;
    return v_bool(self.t == V_STR && self.safe);
}
FN(t_lower) {
    UNUSED;
    return v_bool(str_cased(to_str(c, self), false));
}
FN(t_upper) {
    UNUSED;
    return v_bool(str_cased(to_str(c, self), true));
}
FN(t_filter) {
    UNUSED;
    return v_bool(self.t == V_STR && find_filter(self.s->p, self.s->n) != NULL);
}
FN(t_test) {
    UNUSED;
    return v_bool(self.t == V_STR && find_test(self.s->p, self.s->n) != NULL);
}

static val modulo_is(jj *c, val self, val by, int64_t rest) {
    return v_bool(v_equal(c, op_binary(c, T_MOD, self, by), v_int(rest)));
}
FN(t_even) {
    UNUSED;
    return modulo_is(c, self, v_int(2), 0);
}
FN(t_odd) {
    UNUSED;
    return modulo_is(c, self, v_int(2), 1);
}
FN(t_divisibleby) {
    UNUSED;
    return modulo_is(c, self, a[0], 0);
}

FN(t_eq) {
    UNUSED;
    return v_bool(v_equal(c, self, a[0]));
}
FN(t_ne) {
    UNUSED;
    return v_bool(!v_equal(c, self, a[0]));
}
FN(t_lt) {
    UNUSED;
    return v_bool(v_compare(c, self, a[0], "<") == -1);
}
FN(t_gt) {
    UNUSED;
    return v_bool(v_compare(c, self, a[0], ">") == 1);
}
FN(t_le) {
    UNUSED;
    return v_bool(v_compare(c, self, a[0], "<=") <= 0);
}
FN(t_ge) {
    UNUSED;
    int d = v_compare(c, self, a[0], ">=");
    return v_bool(d == 0 || d == 1);
}
FN(t_in) {
    UNUSED;
    return v_bool(v_contains(c, self, a[0]));
}

/* Python's `is`: small values are the same object when they are equal and of one type, containers by identity. */
FN(t_sameas) {
    UNUSED;
    if (self.t != a[0].t) return v_bool(false);
    if (self.t == V_LIST || self.t == V_TUPLE) return v_bool(self.l == a[0].l);
    if (self.t == V_DICT) return v_bool(self.d == a[0].d);
    return v_bool(v_equal(c, self, a[0]));
}

const builtin *find_test(const char *p, size_t n) {
    static const builtin table[] = {
        {"defined", t_defined, "", 0},
        {"undefined", t_undefined, "", 0},
        {"none", t_none, "", 0},
        {"boolean", t_boolean, "", 0},
        {"true", t_true, "", 0},
        {"false", t_false, "", 0},
        {"integer", t_integer, "", 0},
        {"float", t_float, "", 0},
        {"number", t_number, "", 0},
        {"string", t_string, "", 0},
        {"mapping", t_mapping, "", 0},
        {"sequence", t_sequence, "", 0},
        {"iterable", t_iterable, "", 0},
        {"callable", t_callable, "", 0},
        {"escaped", t_escaped, "", 0},
        {"lower", t_lower, "", 0},
        {"upper", t_upper, "", 0},
        {"filter", t_filter, "", 0},
        {"test", t_test, "", 0},
        {"even", t_even, "", 0},
        {"odd", t_odd, "", 0},
        {"divisibleby", t_divisibleby, "num", 0},
        {"eq", t_eq, "other", 0},
        {"equalto", t_eq, "other", 0},
        {"==", t_eq, "other", 0},
        {"ne", t_ne, "other", 0},
        {"!=", t_ne, "other", 0},
        {"lt", t_lt, "other", 0},
        {"lessthan", t_lt, "other", 0},
        {"<", t_lt, "other", 0},
        {"gt", t_gt, "other", 0},
        {"greaterthan", t_gt, "other", 0},
        {">", t_gt, "other", 0},
        {"le", t_le, "other", 0},
        {"<=", t_le, "other", 0},
        {"ge", t_ge, "other", 0},
        {">=", t_ge, "other", 0},
        {"in", t_in, "seq", 0},
        {"sameas", t_sameas, "other", 0},
        {0},
    };
    return find_in(table, p, n);
}
