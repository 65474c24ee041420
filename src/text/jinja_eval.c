/* SPDX-License-Identifier: Apache-2.0
 *
 * Evaluates expressions: names through the scopes, operators, calls and the binding of arguments to parameters. */
#include <string.h>

#include "text/jinja_impl.h"

/* ---- Variables ------------------------------------------------------------------------------------------------- */

scope *scope_push(jj *c) {
    scope *s = jj_array(c, 1, sizeof *s);
    s->parent = c->vars;
    c->vars = s;
    return s;
}

val var_get(jj *c, int atom) {
    for (const scope *s = c->vars; s; s = s->parent)
        for (size_t i = 0; i < s->n; i++)
            if (s->slot[i].atom == atom) return s->slot[i].v;
    return c->globals[atom];
}

void var_set(jj *c, int atom, val v) {
    scope *s = c->vars;
    if (!s) {
        c->globals[atom] = v;
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->slot[i].atom == atom) {
            s->slot[i].v = v;
            return;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        void *grown = jj_array(c, cap, sizeof s->slot[0]);
        if (s->n) memcpy(grown, s->slot, s->n * sizeof s->slot[0]);
        s->slot = grown;
        s->cap = cap;
    }
    s->slot[s->n].atom = atom;
    s->slot[s->n++].v = v;
}

static val eval_name(jj *c, const node *e) {
    val v = var_get(c, e->atom);
    if (v.t != V_MISSING) return v;
    return v_undef(c, "'%.*s' is undefined", JSTR_ARG(c->t->atoms[e->atom]));
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

int64_t arg_int(jj *c, val v, int64_t otherwise, const char *what) {
    if (v.t == V_MISSING) return otherwise;
    if (v.t == V_BOOL) return v.b;
    if (is_undef(v)) fail_undef(c, v);
    if (v.t != V_INT) jj_error(c, "%s must be an integer, not '%s'", what, type_name(v));
    return v.i;
}

bool arg_bool(val v, bool otherwise) {
    return v.t == V_MISSING ? otherwise : truthy(&v);
}

const jstr *arg_str(jj *c, val v, const char *otherwise, const char *what) {
    if (v.t == V_STR) return v.s;
    if (v.t == V_MISSING && otherwise) return jstr_new(c, otherwise, strlen(otherwise));
    if (is_undef(v)) fail_undef(c, v);
    jj_error(c, "%s must be a string, not '%s'", what, type_name(v));
}

static void eval_args(jj *c, const call_args *a, jargs *out, const val *caller) {
    *out = (jargs){0};
    jlist *l = list_new(c, a->n + 1);
    for (size_t i = 0; i < a->n; i++) list_add(c, l, eval(c, a->pos[i]));
    if (a->dyn) {
        jlist *more = to_list(c, eval(c, a->dyn));
        for (size_t i = 0; i < more->n; i++) list_add(c, l, more->v[i]);
    }
    size_t n_kw = a->n_kw + (caller ? 1 : 0);
    jdict *dyn = NULL;
    if (a->dyn_kw) {
        val v = eval(c, a->dyn_kw);
        if (v.t != V_DICT) jj_error(c, "argument after ** must be a mapping, not %s", type_name(v));
        dyn = v.d;
        n_kw += dyn->n;
    }
    out->v = l->v;
    out->n = l->n;
    if (n_kw == 0) return;
    out->kw = jj_array(c, n_kw, sizeof *out->kw);
    out->kw_v = jj_array(c, n_kw, sizeof *out->kw_v);
    for (size_t i = 0; i < a->n_kw; i++) {
        out->kw[out->n_kw] = a->kw[i];
        out->kw_v[out->n_kw++] = eval(c, a->kw_v[i]);
    }
    for (size_t i = 0; dyn && i < dyn->n; i++) {
        if (dyn->k[i].t != V_STR) jj_error(c, "keywords must be strings");
        out->kw[out->n_kw] = dyn->k[i].s;
        out->kw_v[out->n_kw++] = dyn->v[i];
    }
    if (caller) {
        out->kw[out->n_kw] = jstr_view(c, "caller", 6);
        out->kw_v[out->n_kw++] = *caller;
    }
}

/* Which parameter of `spec` has this name; -1 if none. */
static int param_index(const char *spec, const jstr *name) {
    int i = 0;
    for (const char *p = spec; *p; i++) {
        while (*p == ' ' || *p == '|') p++;
        size_t n = strcspn(p, " |");
        if (n == name->n && memcmp(p, name->p, n) == 0) return i;
        p += n;
    }
    return -1;
}

val call_builtin(jj *c, const builtin *f, val self, const jargs *args) {
    val a[MAX_PARAMS] = {{0}};
    if (!f->spec) return f->fn(c, self, a, args);
    size_t n = 0, required = 0;
    bool optional = false;
    for (const char *p = f->spec; *p;) {
        for (; *p == ' ' || *p == '|'; p++) optional |= *p == '|';
        size_t word = strcspn(p, " |");
        n += word > 0;
        required += word > 0 && !optional;
        p += word;
    }
    if (args->n > n) jj_error(c, "%s() takes at most %zu arguments (%zu given)", f->name, n, args->n);
    for (size_t i = 0; i < args->n; i++) a[i] = args->v[i];
    for (size_t i = 0; i < args->n_kw; i++) {
        int at = param_index(f->spec, args->kw[i]);
        if (at < 0) jj_error(c, "%s() got an unexpected keyword argument '%.*s'", f->name, JSTR_ARG(args->kw[i]));
        if (a[at].t != V_MISSING) jj_error(c, "%s() got multiple values for '%.*s'", f->name, JSTR_ARG(args->kw[i]));
        a[at] = args->kw_v[i];
    }
    for (size_t i = 0; i < required; i++)
        if (a[i].t == V_MISSING) jj_error(c, "%s() is missing argument %zu of %zu", f->name, i + 1, required);
    return f->fn(c, self, a, args);
}

val call_value(jj *c, val f, const jargs *args) {
    jj_step(c, 1);
    switch (f.t) {
    case V_FUNC:
        return call_builtin(c, f.fn, v_none(), args);
    case V_METHOD:
        return call_builtin(c, f.method->fn, f.method->self, args);
    case V_MACRO:
        return call_macro(c, f.macro, args);
    case V_LOOP:
        if (args->n != 1 || args->n_kw) jj_error(c, "loop() takes one argument");
        return loop_call(c, f.loop, args->v[0]);
    case V_JOINER:
        if (f.cycler->at++ == 0) return v_cstr(c, "");
        return v_jstr(f.cycler->sep);
    case V_UNDEF:
        fail_undef(c, f);
    default:
        jj_error(c, "'%s' object is not callable", type_name(f));
    }
}

/* For filters such as map and select, which get the name of another filter or test. */
val call_filter(jj *c, val name, val self, const jargs *args) {
    const builtin *f = name.t == V_STR ? find_filter(name.s->p, name.s->n) : NULL;
    if (!f) jj_error(c, "No filter named '%.*s'.", JSTR_ARG(to_str(c, name)));
    return call_builtin(c, f, self, args);
}

bool call_test(jj *c, val name, val self, const jargs *args) {
    const builtin *f = name.t == V_STR ? find_test(name.s->p, name.s->n) : NULL;
    if (!f) jj_error(c, "No test named '%.*s'.", JSTR_ARG(to_str(c, name)));
    val v = call_builtin(c, f, self, args);
    return truthy(&v);
}

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static val eval_list(jj *c, const node *e) {
    jlist *l = list_new(c, e->n);
    for (size_t i = 0; i < e->n; i++) l->v[l->n++] = eval(c, e->list[i]);
    return e->k == E_TUPLE ? v_tuple(l) : v_list(l);
}

static val eval_dict(jj *c, const node *e) {
    jdict *d = dict_new(c);
    for (size_t i = 0; i + 1 < e->n; i += 2) {
        val k = eval(c, e->list[i]);
        dict_set(c, d, k, eval(c, e->list[i + 1]));
    }
    return v_dict(d);
}

static val eval_logic(jj *c, const node *e) {
    val v = v_none();
    for (size_t i = 0; i < e->n; i++) {
        v = eval(c, e->list[i]);
        if (truthy(&v) == (e->k == E_OR)) break;
    }
    return v;
}

static bool compare_one(jj *c, tok op, val a, val b) {
    static const char *const text[] = {[T_LT] = "<", [T_LE] = "<=", [T_GT] = ">", [T_GE] = ">="};
    if (op == T_EQ) return v_equal(c, a, b);
    if (op == T_NE) return !v_equal(c, a, b);
    if (op == T_IN) return v_contains(c, a, b);
    if (op == T_NOT_IN) return !v_contains(c, a, b);
    int d = v_compare(c, a, b, text[op]);
    if (d == 2) return false; /* NaN */
    return op == T_LT ? d < 0 : op == T_LE ? d <= 0 : op == T_GT ? d > 0 : d >= 0;
}

static val eval_compare(jj *c, const node *e) {
    val left = eval(c, e->list[0]);
    for (size_t i = 1; i < e->n; i++) {
        val right = eval(c, e->list[i]);
        if (!compare_one(c, (tok)e->op[i], left, right)) return v_bool(false);
        left = right;
    }
    return v_bool(true);
}

static val eval_math(jj *c, const node *e) {
    val v = eval(c, e->list[0]);
    for (size_t i = 1; i < e->n; i++) v = op_binary(c, (tok)e->op[i], v, eval(c, e->list[i]));
    return v;
}

static val eval_concat(jj *c, const node *e) {
    const jstr *s = to_str(c, eval(c, e->list[0]));
    for (size_t i = 1; i < e->n; i++) s = jstr_concat(c, s, to_str(c, eval(c, e->list[i])));
    return v_jstr(s);
}

static val eval_slice(jj *c, const node *e) {
    val v = v_of(V_SLICE);
    v.slice = jj_alloc(c, sizeof *v.slice);
    v.slice->start = e->a ? eval(c, e->a) : v_none();
    v.slice->stop = e->b ? eval(c, e->b) : v_none();
    v.slice->step = e->c ? eval(c, e->c) : v_none();
    return v;
}

static val eval_cond(jj *c, const node *e) {
    val test = eval(c, e->a);
    if (truthy(&test)) return eval(c, e->b);
    if (e->c) return eval(c, e->c);
    return v_undef(c, "the inline if-expression on line %d evaluated to false and no else section was defined.",
                   e->line);
}

static val eval_call(jj *c, const node *e) {
    val f = eval(c, e->a);
    jargs args;
    eval_args(c, e->args, &args, NULL);
    c->line = e->line;
    return call_value(c, f, &args);
}

/* A {% call %} block: its macro goes along as the keyword argument `caller`. */
val eval_call_with(jj *c, const node *e, val caller) {
    val f = eval(c, e->a);
    jargs args;
    eval_args(c, e->args, &args, &caller);
    c->line = e->line;
    return call_value(c, f, &args);
}

val apply_filter(jj *c, const node *e, val input) {
    jj_enter(c);
    if (e->a) input = e->a->k == E_FILTER ? apply_filter(c, e->a, input) : eval(c, e->a);
    jargs args;
    eval_args(c, e->args, &args, NULL);
    c->line = e->line;
    if (!e->fn) jj_error(c, "No filter named '%.*s' found.", JSTR_ARG(e->lit.s));
    val v = call_builtin(c, e->fn, input, &args);
    jj_leave(c);
    return v;
}

static val eval_test(jj *c, const node *e) {
    val v = eval(c, e->a);
    jargs args;
    eval_args(c, e->args, &args, NULL);
    c->line = e->line;
    if (!e->fn) jj_error(c, "No test named '%.*s' found.", JSTR_ARG(e->lit.s));
    return call_builtin(c, e->fn, v, &args);
}

static val eval_node(jj *c, const node *e) {
    val v;
    switch (e->k) {
    case E_TUPLE:
    case E_LIST:
        return eval_list(c, e);
    case E_DICT:
        return eval_dict(c, e);
    case E_COND:
        return eval_cond(c, e);
    case E_OR:
    case E_AND:
        return eval_logic(c, e);
    case E_NOT:
        v = eval(c, e->a);
        return v_bool(!truthy(&v));
    case E_COMPARE:
        return eval_compare(c, e);
    case E_MATH:
        return eval_math(c, e);
    case E_CONCAT:
        return eval_concat(c, e);
    case E_NEG:
    case E_POS:
        return op_unary(c, e->k == E_NEG, eval(c, e->a));
    case E_ATTR:
        return get_attr(c, eval(c, e->a), e->lit.s);
    case E_ITEM:
        v = eval(c, e->a);
        return get_item(c, v, eval(c, e->b));
    case E_SLICE:
        return eval_slice(c, e);
    case E_CALL:
        return eval_call(c, e);
    case E_FILTER:
        return apply_filter(c, e, v_none());
    case E_TEST:
        return eval_test(c, e);
    default:
        jj_fail(c, NB_ERR_INTERNAL, "not an expression");
    }
}

val eval(jj *c, const node *e) {
    if (e->k == E_LITERAL) return e->lit;
    if (e->k == E_NAME) return eval_name(c, e);
    jj_step(c, 1);
    jj_enter(c);
    c->line = e->line;
    val v = eval_node(c, e);
    jj_leave(c);
    return v;
}
