/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs statements: loops, assignments, macros and captured text. */
#include <string.h>

#include "text/jinja_impl.h"

typedef enum flow { RUN, BREAK, CONTINUE } flow;

static flow exec(jj *c, const node *s);

static flow exec_body(jj *c, const node *body) {
    for (size_t i = 0; i < body->n; i++) {
        flow f = exec(c, body->list[i]);
        if (f != RUN) return f;
    }
    return RUN;
}

static void unpack(jj *c, const node *target, val v) {
    iter it;
    if (v.t != V_STR && v.t != V_LIST && v.t != V_TUPLE && v.t != V_DICT && v.t != V_VIEW && v.t != V_GEN &&
        v.t != V_RANGE && v.t != V_UNDEF)
        jj_error(c, "cannot unpack non-iterable %s object", type_name(v));
    iter_start(c, v, &it);
    if (it.n > target->n) jj_error(c, "too many values to unpack (expected %zu)", target->n);
    if (it.n < target->n) jj_error(c, "not enough values to unpack (expected %zu, got %zu)", target->n, it.n);
    jj_enter(c);
    for (size_t i = 0; i < target->n; i++) {
        val item = v_none();
        iter_next(c, &it, &item);
        assign(c, target->list[i], item);
    }
    jj_leave(c);
}

void assign(jj *c, const node *target, val v) {
    if (target->k == E_NAME) {
        var_set(c, target->atom, v);
    } else if (target->k == E_TUPLE) {
        unpack(c, target, v);
    } else {
        val ns = var_get(c, target->atom);
        const jstr *name = c->t->atoms[target->atom];
        if (ns.t == V_MISSING) jj_error(c, "'%.*s' is undefined", JSTR_ARG(name));
        if (ns.t != V_NS) jj_error(c, "cannot assign attribute on non-namespace object");
        if (target->lit.s->n && target->lit.s->p[0] == '_')
            jj_error(c, "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '%.*s'.",
                     JSTR_ARG(target->lit.s));
        dict_set(c, ns.d, target->lit, v);
    }
}

/* Runs a body in a scope of its own and returns what it wrote. */
static const jstr *capture(jj *c, const node *body) {
    scope *outer = c->vars;
    size_t from = mark(c);
    scope_push(c);
    exec_body(c, body);
    c->vars = outer;
    return take(c, from);
}

static void exec_if(jj *c, const node *s, flow *f) {
    for (size_t i = 0; i + 1 < s->n; i += 2) {
        val v = eval(c, s->list[i]);
        if (!truthy(&v)) continue;
        *f = exec_body(c, s->list[i + 1]);
        return;
    }
    if (s->c) *f = exec_body(c, s->c);
}

/* ---- Loops ------------------------------------------------------------------------------------------------------- */

/* The items of a loop, those that its `if` rejects left out. */
static jlist *loop_items(jj *c, const node *s, val iterable) {
    jlist *all = iterable.t == V_LIST || iterable.t == V_TUPLE ? iterable.l : to_list(c, iterable);
    if (!s->c) return all;
    jlist *kept = list_new(c, 0);
    scope *outer = c->vars, *inner = scope_push(c);
    for (size_t i = 0; i < all->n; i++) {
        inner->n = 0;
        assign(c, s->a, all->v[i]);
        val v = eval(c, s->c);
        if (truthy(&v)) list_add(c, kept, all->v[i]);
    }
    c->vars = outer;
    return kept;
}

static void run_loop(jj *c, const node *s, val iterable, scope *outer, size_t depth0) {
    c->vars = outer;
    jlist *items = loop_items(c, s, iterable);
    jloop *loop = jj_array(c, 1, sizeof *loop);
    *loop = (jloop){.def = s, .outer = outer, .items = items, .depth0 = depth0};
    val loop_value = v_of(V_LOOP);
    loop_value.loop = loop;
    scope *inner = scope_push(c);
    for (; loop->at < items->n; loop->at++) {
        jj_step(c, 1);
        inner->n = 0;
        var_set(c, c->t->atom_loop, loop_value);
        assign(c, s->a, items->v[loop->at]);
        if (exec_body(c, s->body) == BREAK) break;
    }
    if (items->n == 0 && s->other) {
        inner->n = 0;
        exec_body(c, s->other);
    }
}

static void exec_for(jj *c, const node *s) {
    scope *outer = c->vars;
    run_loop(c, s, eval(c, s->b), outer, 0);
    c->vars = outer;
}

val loop_call(jj *c, jloop *loop, val iterable) {
    if (!loop->def->flag) jj_error(c, "The loop must have the 'recursive' marker to be called recursively.");
    scope *was = c->vars;
    size_t from = mark(c);
    jj_enter(c);
    run_loop(c, loop->def, iterable, loop->outer, loop->depth0 + 1);
    jj_leave(c);
    c->vars = was;
    return v_jstr(take(c, from));
}

/* ---- Macros ------------------------------------------------------------------------------------------------------ */

static bool take_keyword(const jargs *args, bool *used, const jstr *name, val *out) {
    for (size_t i = 0; i < args->n_kw; i++) {
        if (used[i] || !jstr_equal(args->kw[i], name)) continue;
        used[i] = true;
        *out = args->kw_v[i];
        return true;
    }
    return false;
}

/* `caller`, `kwargs` and `varargs`, each only where the body uses it; otherwise surplus arguments are errors. */
static void bind_special(jj *c, const jmacro *m, const jargs *args, bool *used, bool has_caller) {
    const node *def = m->def;
    val v;
    if (def->flag && !has_caller) {
        if (!take_keyword(args, used, c->t->atoms[c->t->atom_caller], &v)) v = v_undef(c, "No caller defined");
        var_set(c, c->t->atom_caller, v);
    }
    jdict *rest = dict_new(c);
    for (size_t i = 0; i < args->n_kw; i++)
        if (!used[i]) dict_set(c, rest, v_jstr(args->kw[i]), args->kw_v[i]);
    const jstr *name = m->name ? m->name : jstr_view(c, "caller", 6);
    if (def->kwargs)
        var_set(c, c->t->atom_kwargs, v_dict(rest));
    else if (rest->n)
        jj_error(c, "macro '%.*s' takes no keyword argument '%.*s'", JSTR_ARG(name), JSTR_ARG(rest->k[0].s));
    if (def->varargs) {
        jlist *more = list_new(c, 0);
        for (size_t i = def->n; i < args->n; i++) list_add(c, more, args->v[i]);
        var_set(c, c->t->atom_varargs, v_tuple(more));
    } else if (args->n > def->n) {
        jj_error(c, "macro '%.*s' takes not more than %zu argument(s)", JSTR_ARG(name), def->n);
    }
}

static void bind_params(jj *c, const jmacro *m, const jargs *args) {
    const node *def = m->def;
    bool *used = jj_array(c, args->n_kw + 1, sizeof *used), has_caller = false;
    val *given = jj_array(c, def->n + 1, sizeof *given);
    for (size_t i = 0; i < def->n; i++) {
        const jstr *name = c->t->atoms[def->list[i]->atom];
        if (i < args->n)
            given[i] = args->v[i];
        else
            take_keyword(args, used, name, &given[i]);
        has_caller |= def->list[i]->atom == c->t->atom_caller;
    }
    bind_special(c, m, args, used, has_caller);
    for (size_t i = 0; i < def->n; i++) {
        size_t from_end = def->n - i;
        if (given[i].t == V_MISSING)
            given[i] = from_end <= def->n_defaults
                           ? eval(c, def->defaults[def->n_defaults - from_end])
                           : v_undef(c, "parameter '%.*s' was not provided", JSTR_ARG(c->t->atoms[def->list[i]->atom]));
        var_set(c, def->list[i]->atom, given[i]);
    }
}

val call_macro(jj *c, jmacro *m, const jargs *args) {
    jj_enter(c);
    scope *was = c->vars;
    size_t from = mark(c);
    c->vars = m->closure;
    scope_push(c);
    bind_params(c, m, args);
    exec_body(c, m->def->body);
    c->vars = was;
    jj_leave(c);
    return v_jstr(take(c, from));
}

static val make_macro(jj *c, const node *def) {
    val v = v_of(V_MACRO);
    v.macro = jj_alloc(c, sizeof *v.macro);
    *v.macro = (jmacro){def, c->vars, def->k == S_MACRO ? def->lit.s : NULL};
    return v;
}

/* ---- All statements ---------------------------------------------------------------------------------------------- */

static void exec_with(jj *c, const node *s) {
    scope *outer = c->vars;
    val *values = jj_array(c, s->n + 1, sizeof *values);
    for (size_t i = 0; i + 1 < s->n; i += 2) values[i] = eval(c, s->list[i + 1]); /* before any is assigned */
    scope_push(c);
    for (size_t i = 0; i + 1 < s->n; i += 2) assign(c, s->list[i], values[i]);
    exec_body(c, s->body);
    c->vars = outer;
}

static flow exec_node(jj *c, const node *s) {
    flow f = RUN;
    switch (s->k) {
    case S_IF:
        exec_if(c, s, &f);
        return f;
    case S_FOR:
        exec_for(c, s);
        return RUN;
    case S_SET:
        assign(c, s->a, eval(c, s->b));
        return RUN;
    case S_CAPTURE: {
        val v = v_jstr(capture(c, s->body));
        assign(c, s->a, s->b ? apply_filter(c, s->b, v) : v);
        return RUN;
    }
    case S_MACRO:
        var_set(c, s->atom, make_macro(c, s));
        return RUN;
    case S_CALL:
        put_value(c, eval_call_with(c, s->a, make_macro(c, s)));
        return RUN;
    case S_FILTER:
        put_value(c, apply_filter(c, s->b, v_jstr(capture(c, s->body))));
        return RUN;
    case S_WITH:
        exec_with(c, s);
        return RUN;
    case S_SCOPE: {
        const jstr *text = capture(c, s->body);
        put(c, text->p, text->n);
        return RUN;
    }
    case S_BREAK:
        return BREAK;
    case S_CONTINUE:
        return CONTINUE;
    default:
        return exec_body(c, s);
    }
}

static flow exec(jj *c, const node *s) {
    c->line = s->line;
    jj_step(c, 1);
    if (s->k == S_DATA) {
        put(c, s->lit.s->p, s->lit.s->n);
        return RUN;
    }
    if (s->k == S_PRINT) {
        put_value(c, eval(c, s->a));
        return RUN;
    }
    jj_enter(c);
    flow f = exec_node(c, s);
    jj_leave(c);
    return f;
}

void run_template(jj *c) {
    exec_body(c, c->t->root);
}
