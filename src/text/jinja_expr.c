/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions of templates to trees, with the precedence of jinja2's parser (which differs from Python's here and
 * there: ** groups from the left, ~ binds tighter than +, filters and tests tighter than any binary operator).
 * Chains of one precedence become one node with a list, so that a long sum is not a deep tree. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_impl.h"

static const char *token_text(const token *t, char out[64]) {
    static const char *const marks[] = {[T_EOF] = "end of template",
                                        [T_PRINT_BEGIN] = "begin of print statement",
                                        [T_PRINT_END] = "end of print statement",
                                        [T_DATA] = "template text",
                                        [T_BLOCK_BEGIN] = "begin of statement block",
                                        [T_BLOCK_END] = "end of statement block"};
    if (t->t <= T_BLOCK_END) return marks[t->t];
    size_t n = t->n < 40 ? t->n : 40;
    memcpy(out, t->p, n);
    out[n] = 0;
    return out;
}

_Noreturn void unexpected(parser *p, const token *t, const char *wanted) {
    char text[64];
    p->c->line = t->line;
    if (wanted) jj_error(p->c, "expected %s, got '%s'", wanted, token_text(t, text));
    jj_error(p->c, "unexpected '%s'", token_text(t, text));
}

static const token *now(const parser *p) {
    return &p->tok[p->at];
}

static const token *next(parser *p) {
    const token *t = now(p);
    if (t->t != T_EOF) p->at++;
    p->c->line = t->line;
    return t;
}

static bool accept(parser *p, tok t) {
    if (now(p)->t != t) return false;
    next(p);
    return true;
}

bool tok_is_name(const token *t, const char *name) {
    return t->t == T_NAME && t->n == strlen(name) && memcmp(t->p, name, t->n) == 0;
}

bool accept_name(parser *p, const char *name) {
    if (!tok_is_name(now(p), name)) return false;
    next(p);
    return true;
}

const token *expect(parser *p, tok t) {
    static const char *const names[] = {[T_PRINT_END] = "end of print statement",
                                        [T_BLOCK_END] = "end of statement block",
                                        [T_NAME] = "name",
                                        [T_RBRACKET] = "']'",
                                        [T_RPAREN] = "')'",
                                        [T_LPAREN] = "'('",
                                        [T_RBRACE] = "'}'",
                                        [T_ASSIGN] = "'='",
                                        [T_COLON] = "':'",
                                        [T_COMMA] = "','",
                                        [T_SEMICOLON] = NULL};
    if (now(p)->t != t) unexpected(p, now(p), t < T_SEMICOLON && names[t] ? names[t] : "something else");
    return next(p);
}

const token *expect_name(parser *p, const char *name) {
    if (!tok_is_name(now(p), name)) unexpected(p, now(p), name);
    return next(p);
}

node *new_node(parser *p, node_kind k, int line) {
    node *e = jj_array(p->c, 1, sizeof *e);
    e->k = (uint8_t)k;
    e->line = line;
    return e;
}

void nodes_add(parser *p, node_list *l, node *e) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        node **grown = jj_array(p->c, cap, sizeof *grown);
        if (l->n) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = e;
}

static node *list_node(parser *p, node_kind k, int line, const node_list *l) {
    node *e = new_node(p, k, line);
    e->list = l->v;
    e->n = l->n;
    return e;
}

static node *literal(parser *p, int line, val v) {
    node *e = new_node(p, E_LITERAL, line);
    e->lit = v;
    return e;
}

int parse_atom(parser *p, const char *s, size_t n) {
    jinja *t = p->t;
    for (size_t i = 0; i < t->n_atoms; i++)
        if (t->atoms[i]->n == n && memcmp(t->atoms[i]->p, s, n) == 0) return (int)i;
    if (t->n_atoms == p->atoms_cap) {
        size_t cap = p->atoms_cap ? p->atoms_cap * 2 : 32;
        const jstr **grown = jj_array(p->c, cap, sizeof *grown);
        if (t->n_atoms) memcpy(grown, t->atoms, t->n_atoms * sizeof *grown);
        t->atoms = grown;
        p->atoms_cap = cap;
        if (cap > 65536) jj_fail(p->c, NB_ERR_LIMIT, "more than 65536 variables");
    }
    t->atoms[t->n_atoms] = jstr_new(p->c, s, n);
    return (int)t->n_atoms++;
}

static node *name_node(parser *p, const token *t) {
    node *e = new_node(p, E_NAME, t->line);
    e->atom = parse_atom(p, t->p, t->n);
    p->uses_caller |= tok_is_name(t, "caller");
    p->uses_varargs |= tok_is_name(t, "varargs");
    p->uses_kwargs |= tok_is_name(t, "kwargs");
    return e;
}

static val number(parser *p, const token *t) {
    char text[400];
    size_t n = 0;
    for (size_t i = 0; i < t->n && n < sizeof text - 1; i++)
        if (t->p[i] != '_') text[n++] = t->p[i];
    text[n] = 0;
    if (t->t == T_FLOAT) return v_float(strtod(text, NULL));
    int base = 10;
    char mark_of = n > 1 && text[0] == '0' ? (char)(text[1] | 0x20) : 0;
    if (mark_of == 'x') base = 16;
    if (mark_of == 'o') base = 8;
    if (mark_of == 'b') base = 2;
    errno = 0;
    char *end;
    const char *start = base == 10 ? text : text + 2;
    long long v = strtoll(start, &end, base);
    if (errno) jj_fail(p->c, NB_ERR_LIMIT, "the number %.40s does not fit 64 bits", text);
    if (end == start || *end) jj_error(p->c, "malformed number %.40s", text);
    if (base == 10 && text[0] == '0' && v != 0) jj_error(p->c, "malformed number %.40s", text);
    return v_int(v);
}

static node *parse_strings(parser *p) {
    const token *first = next(p);
    if (now(p)->t != T_STRING) return literal(p, first->line, v_jstr(jstr_view(p->c, first->p, first->n)));
    const jstr *s = jstr_view(p->c, first->p, first->n);
    while (now(p)->t == T_STRING) {
        const token *t = next(p);
        s = jstr_concat(p->c, s, jstr_view(p->c, t->p, t->n));
    }
    return literal(p, first->line, v_jstr(s));
}

static node *parse_brackets(parser *p) {
    int line = next(p)->line;
    node_list l = {0};
    while (now(p)->t != T_RBRACKET) {
        if (l.n) expect(p, T_COMMA);
        if (now(p)->t == T_RBRACKET) break;
        nodes_add(p, &l, parse_expression(p));
    }
    expect(p, T_RBRACKET);
    return list_node(p, E_LIST, line, &l);
}

static node *parse_braces(parser *p) {
    int line = next(p)->line;
    node_list l = {0};
    while (now(p)->t != T_RBRACE) {
        if (l.n) expect(p, T_COMMA);
        if (now(p)->t == T_RBRACE) break;
        nodes_add(p, &l, parse_expression(p));
        expect(p, T_COLON);
        nodes_add(p, &l, parse_expression(p));
    }
    expect(p, T_RBRACE);
    return list_node(p, E_DICT, line, &l);
}

static node *parse_name(parser *p, bool targets) {
    const token *t = next(p);
    if (tok_is_name(t, "true") || tok_is_name(t, "True")) return literal(p, t->line, v_bool(true));
    if (tok_is_name(t, "false") || tok_is_name(t, "False")) return literal(p, t->line, v_bool(false));
    if (tok_is_name(t, "none") || tok_is_name(t, "None")) return literal(p, t->line, v_none());
    node *e = name_node(p, t);
    if (targets && accept(p, T_DOT)) {
        const token *attr = expect(p, T_NAME);
        e->k = E_NSREF;
        e->lit = v_str(p->c, attr->p, attr->n);
    }
    return e;
}

node *parse_primary(parser *p, bool targets) {
    const token *t = now(p);
    switch (t->t) {
    case T_NAME:
        return parse_name(p, targets);
    case T_STRING:
        return parse_strings(p);
    case T_INT:
    case T_FLOAT:
        next(p);
        return literal(p, t->line, number(p, t));
    case T_LPAREN: {
        next(p);
        node *e = parse_tuple(p, true, false, true, NULL);
        expect(p, T_RPAREN);
        return e;
    }
    case T_LBRACKET:
        return parse_brackets(p);
    case T_LBRACE:
        return parse_braces(p);
    default:
        unexpected(p, t, NULL);
    }
}

static node *parse_or(parser *p);

static node *parse_cond(parser *p) {
    jj_enter(p->c);
    int line = now(p)->line;
    bool soft = p->soft;
    const node *unknown = p->unknown;
    node *e = parse_or(p);
    while (tok_is_name(now(p), "if")) {
        p->unknown = unknown; /* what stands before this `if` is soft as well */
        next(p);
        p->soft = true;
        node *cond = new_node(p, E_COND, line);
        cond->b = e;
        cond->a = parse_or(p);
        cond->c = accept_name(p, "else") ? parse_cond(p) : NULL;
        p->soft = soft;
        e = cond;
    }
    jj_leave(p->c);
    return e;
}

node *parse_expression(parser *p) {
    return parse_cond(p);
}

static bool ends_tuple(const parser *p, const char *stop) {
    tok t = now(p)->t;
    return t == T_PRINT_END || t == T_BLOCK_END || t == T_RPAREN || (stop && tok_is_name(now(p), stop));
}

/* One expression, or a tuple when there are commas. `targets`: only names and literals (for, set); `parens`: an empty
 * tuple is fine; `stop`: a name that ends it. */
node *parse_tuple(parser *p, bool with_cond, bool targets, bool parens, const char *stop) {
    int line = now(p)->line;
    node_list l = {0};
    bool is_tuple = false;
    for (;;) {
        if (l.n) expect(p, T_COMMA);
        if (ends_tuple(p, stop)) break;
        nodes_add(p, &l, targets ? parse_primary(p, true) : with_cond ? parse_expression(p) : parse_or(p));
        if (now(p)->t != T_COMMA) break;
        is_tuple = true;
    }
    if (!is_tuple && l.n) return l.v[0];
    if (!is_tuple && !parens) unexpected(p, now(p), "an expression");
    return list_node(p, E_TUPLE, line, &l);
}

static node *parse_subscribed(parser *p) {
    int line = now(p)->line;
    node *start = NULL;
    if (now(p)->t != T_COLON) {
        start = parse_expression(p);
        if (now(p)->t != T_COLON) return start;
    }
    next(p);
    node *e = new_node(p, E_SLICE, line);
    e->a = start;
    tok t = now(p)->t;
    if (t != T_COLON && t != T_RBRACKET && t != T_COMMA) e->b = parse_expression(p);
    if (accept(p, T_COLON) && now(p)->t != T_RBRACKET && now(p)->t != T_COMMA) e->c = parse_expression(p);
    return e;
}

static node *parse_subscript(parser *p, node *of) {
    const token *t = next(p);
    if (t->t == T_DOT) {
        const token *attr = next(p);
        if (attr->t != T_NAME && attr->t != T_INT) unexpected(p, attr, "name or number");
        node *e = new_node(p, attr->t == T_NAME ? E_ATTR : E_ITEM, t->line);
        e->a = of;
        if (attr->t == T_NAME)
            e->lit = v_str(p->c, attr->p, attr->n);
        else
            e->b = literal(p, attr->line, number(p, attr));
        return e;
    }
    node_list l = {0};
    while (now(p)->t != T_RBRACKET) {
        if (l.n) expect(p, T_COMMA);
        nodes_add(p, &l, parse_subscribed(p));
    }
    expect(p, T_RBRACKET);
    node *e = new_node(p, E_ITEM, t->line);
    e->a = of;
    e->b = l.n == 1 ? l.v[0] : list_node(p, E_TUPLE, t->line, &l);
    return e;
}

static void add_keyword(parser *p, call_args *a, size_t *cap) {
    if (a->n_kw == *cap) {
        size_t more = *cap ? *cap * 2 : 4;
        const jstr **names = jj_array(p->c, more, sizeof *names);
        node **values = jj_array(p->c, more, sizeof *values);
        if (a->n_kw) memcpy(names, a->kw, a->n_kw * sizeof *names);
        if (a->n_kw) memcpy(values, a->kw_v, a->n_kw * sizeof *values);
        a->kw = names;
        a->kw_v = values;
        *cap = more;
    }
    const token *name = next(p);
    next(p);
    for (size_t i = 0; i < a->n_kw; i++)
        if (a->kw[i]->n == name->n && memcmp(a->kw[i]->p, name->p, name->n) == 0)
            jj_error(p->c, "keyword argument repeated: %.*s", JSTR_ARG(a->kw[i]));
    a->kw[a->n_kw] = jstr_new(p->c, name->p, name->n);
    a->kw_v[a->n_kw++] = parse_expression(p);
}

static call_args *parse_args(parser *p) {
    call_args *a = jj_array(p->c, 1, sizeof *a);
    node_list pos = {0};
    size_t cap = 0;
    const char *invalid = "invalid syntax for function call expression";
    expect(p, T_LPAREN);
    for (bool comma = false; now(p)->t != T_RPAREN; comma = true) {
        if (comma) expect(p, T_COMMA);
        if (now(p)->t == T_RPAREN) break;
        if (accept(p, T_MUL)) {
            if (a->dyn || a->dyn_kw) jj_error(p->c, "%s", invalid);
            a->dyn = parse_expression(p);
        } else if (accept(p, T_POW)) {
            if (a->dyn_kw) jj_error(p->c, "%s", invalid);
            a->dyn_kw = parse_expression(p);
        } else if (now(p)->t == T_NAME && p->tok[p->at + 1].t == T_ASSIGN) {
            if (a->dyn_kw) jj_error(p->c, "%s", invalid);
            add_keyword(p, a, &cap);
        } else {
            if (a->dyn || a->dyn_kw || a->n_kw) jj_error(p->c, "%s", invalid);
            nodes_add(p, &pos, parse_expression(p));
        }
    }
    expect(p, T_RPAREN);
    a->pos = pos.v;
    a->n = pos.n;
    return a;
}

static node *parse_call(parser *p, node *f) {
    node *e = new_node(p, E_CALL, now(p)->line);
    e->a = f;
    e->args = parse_args(p);
    return e;
}

/* How long the chain of one expression's postfixes and filters may be: each nests the tree by one. */
static void count_link(parser *p, size_t *links) {
    if (++*links > p->c->max_depth) jj_fail(p->c, NB_ERR_LIMIT, "an expression of more than %zu links", *links - 1);
}

node *parse_postfix_of(parser *p, node *e) {
    for (size_t links = 0;; count_link(p, &links)) {
        tok t = now(p)->t;
        if (t == T_DOT || t == T_LBRACKET)
            e = parse_subscript(p, e);
        else if (t == T_LPAREN)
            e = parse_call(p, e);
        else
            return e;
    }
}

/* "name" or "name.name"; unknown ones are an error after parsing, or when reached if they stand inside an `if`. */
static void name_builtin(parser *p, node *e, bool filter) {
    const token *t = expect(p, T_NAME);
    const jstr *name = jstr_new(p->c, t->p, t->n);
    while (accept(p, T_DOT)) {
        t = expect(p, T_NAME);
        name = jstr_concat(p->c, name, jstr_view(p->c, ".", 1));
        name = jstr_concat(p->c, name, jstr_new(p->c, t->p, t->n));
    }
    e->lit = v_jstr(name);
    e->fn = filter ? find_filter(name->p, name->n) : find_test(name->p, name->n);
    if (!e->fn && !p->soft && !p->unknown) p->unknown = e;
}

static node *parse_filter(parser *p, node *input, bool start_inline) {
    for (size_t links = 0; start_inline || now(p)->t == T_PIPE; count_link(p, &links)) {
        if (!start_inline) next(p);
        start_inline = false;
        node *e = new_node(p, E_FILTER, now(p)->line);
        e->a = input;
        name_builtin(p, e, true);
        e->args = now(p)->t == T_LPAREN ? parse_args(p) : jj_array(p->c, 1, sizeof(call_args));
        input = e;
    }
    return input;
}

static node *parse_test(parser *p, node *of) {
    int line = next(p)->line;
    bool negated = accept_name(p, "not");
    node *e = new_node(p, E_TEST, line);
    e->a = of;
    name_builtin(p, e, false);
    const token *t = now(p);
    if (t->t == T_LPAREN) {
        e->args = parse_args(p);
    } else {
        e->args = jj_array(p->c, 1, sizeof(call_args));
        bool has_arg = t->t == T_NAME || t->t == T_STRING || t->t == T_INT || t->t == T_FLOAT || t->t == T_LBRACKET ||
                       t->t == T_LBRACE;
        if (has_arg && !tok_is_name(t, "else") && !tok_is_name(t, "or") && !tok_is_name(t, "and")) {
            if (tok_is_name(t, "is")) jj_error(p->c, "You cannot chain multiple tests with is");
            node_list one = {0};
            nodes_add(p, &one, parse_postfix_of(p, parse_primary(p, false)));
            e->args->pos = one.v;
            e->args->n = 1;
        }
    }
    if (!negated) return e;
    node *not = new_node(p, E_NOT, line);
    not ->a = e;
    return not ;
}

node *parse_filters(parser *p, node *e, bool start_inline) {
    if (start_inline) return parse_filter(p, e, true);
    for (size_t links = 0;; count_link(p, &links)) {
        const token *t = now(p);
        if (t->t == T_PIPE)
            e = parse_filter(p, e, false);
        else if (tok_is_name(t, "is"))
            e = parse_test(p, e);
        else if (t->t == T_LPAREN)
            e = parse_call(p, e);
        else
            return e;
    }
}

static node *parse_unary(parser *p, bool with_filters) {
    jj_enter(p->c);
    const token *t = now(p);
    node *e;
    if (t->t == T_SUB || t->t == T_ADD) {
        next(p);
        e = new_node(p, t->t == T_SUB ? E_NEG : E_POS, t->line);
        e->a = parse_unary(p, false);
    } else {
        e = parse_primary(p, false);
    }
    e = parse_postfix_of(p, e);
    if (with_filters) e = parse_filters(p, e, false);
    jj_leave(p->c);
    return e;
}

/* Operands joined by operators that `is_op` recognizes (it consumes them and returns which; T_EOF = none). */
static node *parse_chain(parser *p, node_kind kind, node *(*operand)(parser *), tok (*is_op)(parser *)) {
    int line = now(p)->line;
    node *first = operand(p);
    tok op = is_op(p);
    if (op == T_EOF) return first;
    node_list l = {0};
    nodes_add(p, &l, first);
    size_t cap = 8;
    uint8_t *kept = jj_alloc(p->c, cap);
    while (op != T_EOF) {
        if (l.n == cap) {
            uint8_t *grown = jj_alloc(p->c, cap * 2);
            memcpy(grown, kept, cap);
            kept = grown;
            cap *= 2;
        }
        kept[l.n] = (uint8_t)op;
        nodes_add(p, &l, operand(p));
        op = is_op(p);
    }
    node *e = list_node(p, kind, line, &l);
    e->op = kept;
    return e;
}

static tok take_if(parser *p, tok a, tok b) {
    tok t = now(p)->t;
    if (t != a && t != b) return T_EOF;
    next(p);
    return t;
}
static tok op_pow(parser *p) {
    return take_if(p, T_POW, T_POW);
}
static tok op_concat(parser *p) {
    return take_if(p, T_TILDE, T_TILDE);
}
static tok op_sum(parser *p) {
    return take_if(p, T_ADD, T_SUB);
}
static tok op_product(parser *p) {
    tok t = take_if(p, T_MUL, T_DIV);
    return t ? t : take_if(p, T_FLOORDIV, T_MOD);
}
static tok op_and(parser *p) {
    return accept_name(p, "and") ? T_NAME : T_EOF;
}
static tok op_or(parser *p) {
    return accept_name(p, "or") ? T_NAME : T_EOF;
}
static tok op_compare(parser *p) {
    tok t = now(p)->t;
    if (t >= T_EQ && t <= T_GE) {
        next(p);
        return t;
    }
    if (accept_name(p, "in")) return T_IN;
    if (tok_is_name(now(p), "not") && tok_is_name(&p->tok[p->at + 1], "in")) {
        next(p);
        next(p);
        return T_NOT_IN;
    }
    return T_EOF;
}

static node *operand_unary(parser *p) {
    return parse_unary(p, true);
}
static node *parse_pow(parser *p) {
    return parse_chain(p, E_MATH, operand_unary, op_pow);
}
static node *parse_product(parser *p) {
    return parse_chain(p, E_MATH, parse_pow, op_product);
}
static node *parse_concat(parser *p) {
    return parse_chain(p, E_CONCAT, parse_product, op_concat);
}
static node *parse_sum(parser *p) {
    return parse_chain(p, E_MATH, parse_concat, op_sum);
}
static node *parse_compare(parser *p) {
    return parse_chain(p, E_COMPARE, parse_sum, op_compare);
}

static node *parse_not(parser *p) {
    if (!tok_is_name(now(p), "not")) return parse_compare(p);
    jj_enter(p->c);
    node *e = new_node(p, E_NOT, next(p)->line);
    e->a = parse_not(p);
    jj_leave(p->c);
    return e;
}

static node *parse_and(parser *p) {
    return parse_chain(p, E_AND, parse_not, op_and);
}
static node *parse_or(parser *p) {
    return parse_chain(p, E_OR, parse_and, op_or);
}
