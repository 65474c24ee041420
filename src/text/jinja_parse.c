/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements of templates to trees. Tags that need other templates (extends, include, import) are refused, as they
 * fail in transformers, which gives the environment no loader. */
#include <string.h>

#include "text/jinja_impl.h"

static node *parse_body(parser *p, const char *const *stops);

static const token *now(const parser *p) {
    return &p->tok[p->at];
}

static bool accept(parser *p, tok t) {
    if (now(p)->t != t) return false;
    p->at++;
    return true;
}

/* From the end of an opening tag to one of the `stops`, whose name is the next token after. `hard`: jinja2 compiles
 * this body in a frame of its own, where unknown filters fail at once. */
static node *parse_block(parser *p, const char *const *stops, bool soft) {
    bool was = p->soft;
    p->soft = soft;
    accept(p, T_COLON);
    expect(p, T_BLOCK_END);
    node *body = parse_body(p, stops);
    if (now(p)->t == T_EOF) {
        p->c->line = now(p)->line;
        jj_error(p->c, "Unexpected end of template. Expected '%s'.", stops[0]);
    }
    p->soft = was;
    return body;
}

/* The same, with the one closing name consumed. */
static node *parse_until(parser *p, const char *stop) {
    node *body = parse_block(p, (const char *const[]){stop, NULL}, false);
    p->at++;
    return body;
}

static void check_target(parser *p, const node *e) {
    p->c->line = e->line;
    if (e->k == E_NAME || e->k == E_NSREF) return;
    if (e->k != E_TUPLE) jj_error(p->c, "can't assign to this expression");
    for (size_t i = 0; i < e->n; i++) {
        if (e->list[i]->k == E_TUPLE) jj_enter(p->c);
        check_target(p, e->list[i]);
        if (e->list[i]->k == E_TUPLE) jj_leave(p->c);
    }
}

static node *parse_target(parser *p, const char *stop) {
    node *e = parse_tuple(p, false, true, false, stop);
    check_target(p, e);
    return e;
}

static node *parse_if(parser *p, int line) {
    node *e = new_node(p, S_IF, line);
    node_list l = {0};
    static const char *const stops[] = {"endif", "elif", "else", NULL};
    for (;;) {
        bool was = p->soft;
        p->soft = true;
        nodes_add(p, &l, parse_tuple(p, false, false, false, NULL));
        p->soft = was;
        nodes_add(p, &l, parse_block(p, stops, true));
        if (accept_name(p, "elif")) continue;
        if (accept_name(p, "else")) e->c = parse_block(p, (const char *const[]){"endif", NULL}, true);
        expect_name(p, "endif");
        e->list = l.v;
        e->n = l.n;
        return e;
    }
}

static node *parse_for(parser *p, int line) {
    node *e = new_node(p, S_FOR, line);
    e->a = parse_target(p, "in");
    expect_name(p, "in");
    e->b = parse_tuple(p, false, false, false, "recursive");
    if (accept_name(p, "if")) e->c = parse_expression(p);
    e->flag = accept_name(p, "recursive");
    p->loops++;
    e->body = parse_block(p, (const char *const[]){"endfor", "else", NULL}, false);
    p->loops--;
    if (accept_name(p, "endfor")) return e;
    p->at++;
    e->other = parse_until(p, "endfor");
    return e;
}

static node *parse_set(parser *p, int line) {
    node *e = new_node(p, S_SET, line);
    e->a = parse_target(p, NULL);
    if (accept(p, T_ASSIGN)) {
        e->b = parse_tuple(p, true, false, false, NULL);
        return e;
    }
    e->k = S_CAPTURE;
    if (now(p)->t == T_PIPE) e->b = parse_filters(p, NULL, false);
    e->body = parse_until(p, "endset");
    return e;
}

static void parse_signature(parser *p, node *e) {
    node_list names = {0}, defaults = {0};
    expect(p, T_LPAREN);
    while (now(p)->t != T_RPAREN) {
        if (names.n) expect(p, T_COMMA);
        const token *t = expect(p, T_NAME);
        node *name = new_node(p, E_NAME, t->line);
        name->atom = parse_atom(p, t->p, t->n);
        nodes_add(p, &names, name);
        if (accept(p, T_ASSIGN))
            nodes_add(p, &defaults, parse_expression(p));
        else if (defaults.n)
            jj_error(p->c, "non-default argument follows default argument");
    }
    expect(p, T_RPAREN);
    e->list = names.v;
    e->n = names.n;
    e->defaults = defaults.v;
    e->n_defaults = defaults.n;
}

/* The body of a macro or call block, noting which of the special names it uses. */
static void parse_macro_body(parser *p, node *e, const char *stop) {
    bool caller = p->uses_caller, varargs = p->uses_varargs, kwargs = p->uses_kwargs;
    size_t loops = p->loops;
    p->uses_caller = p->uses_varargs = p->uses_kwargs = false;
    p->loops = 0;
    e->body = parse_until(p, stop);
    e->flag = p->uses_caller;
    e->varargs = p->uses_varargs;
    e->kwargs = p->uses_kwargs;
    p->uses_caller |= caller;
    p->uses_varargs |= varargs;
    p->uses_kwargs |= kwargs;
    p->loops = loops;
}

static node *parse_macro(parser *p, int line) {
    node *e = new_node(p, S_MACRO, line);
    const token *t = expect(p, T_NAME);
    e->atom = parse_atom(p, t->p, t->n);
    e->lit = v_str(p->c, t->p, t->n);
    parse_signature(p, e);
    parse_macro_body(p, e, "endmacro");
    return e;
}

static node *parse_call_block(parser *p, int line) {
    node *e = new_node(p, S_CALL, line);
    if (now(p)->t == T_LPAREN) parse_signature(p, e);
    e->a = parse_expression(p);
    if (e->a->k != E_CALL) jj_error(p->c, "expected call");
    parse_macro_body(p, e, "endcall");
    return e;
}

static node *parse_filter_block(parser *p, int line) {
    node *e = new_node(p, S_FILTER, line);
    e->b = parse_filters(p, NULL, true);
    e->body = parse_until(p, "endfilter");
    return e;
}

static node *parse_with(parser *p, int line) {
    node *e = new_node(p, S_WITH, line);
    node_list l = {0};
    while (now(p)->t != T_BLOCK_END) {
        if (l.n) expect(p, T_COMMA);
        nodes_add(p, &l, parse_target(p, NULL));
        expect(p, T_ASSIGN);
        nodes_add(p, &l, parse_expression(p));
    }
    e->list = l.v;
    e->n = l.n;
    e->body = parse_until(p, "endwith");
    return e;
}

static node *parse_generation(parser *p, int line) {
    node *e = new_node(p, S_SCOPE, line);
    size_t loops = p->loops;
    p->loops = 0;
    e->body = parse_until(p, "endgeneration");
    p->loops = loops;
    return e;
}

static node *parse_loop_control(parser *p, int line, node_kind kind) {
    if (p->loops == 0) jj_error(p->c, "'%s' outside loop", kind == S_BREAK ? "break" : "continue");
    return new_node(p, kind, line);
}

static node *parse_print_tag(parser *p, node_list *l) {
    while (now(p)->t != T_BLOCK_END) {
        if (l->n) expect(p, T_COMMA);
        node *e = new_node(p, S_PRINT, now(p)->line);
        e->a = parse_expression(p);
        nodes_add(p, l, e);
    }
    node *e = new_node(p, S_BODY, now(p)->line);
    e->list = l->v;
    e->n = l->n;
    return e;
}

static node *parse_statement(parser *p) {
    const token *t = now(p);
    int line = t->line;
    p->c->line = line;
    if (t->t != T_NAME) unexpected(p, t, "tag name");
    p->at++;
    if (tok_is_name(t, "if")) return parse_if(p, line);
    if (tok_is_name(t, "for")) return parse_for(p, line);
    if (tok_is_name(t, "set")) return parse_set(p, line);
    if (tok_is_name(t, "macro")) return parse_macro(p, line);
    if (tok_is_name(t, "call")) return parse_call_block(p, line);
    if (tok_is_name(t, "filter")) return parse_filter_block(p, line);
    if (tok_is_name(t, "with")) return parse_with(p, line);
    if (tok_is_name(t, "generation")) return parse_generation(p, line);
    if (tok_is_name(t, "break")) return parse_loop_control(p, line, S_BREAK);
    if (tok_is_name(t, "continue")) return parse_loop_control(p, line, S_CONTINUE);
    if (tok_is_name(t, "print")) return parse_print_tag(p, &(node_list){0});
    jj_error(p->c, "Encountered unknown tag '%.*s'.", (int)(t->n < 100 ? t->n : 100), t->p);
}

static bool at_stop(const parser *p, const char *const *stops) {
    for (; stops && *stops; stops++)
        if (tok_is_name(now(p), *stops)) return true;
    return false;
}

/* Text, prints and tags until a tag named in `stops` (its name is then the next token) or the end. */
static node *parse_body(parser *p, const char *const *stops) {
    jj_enter(p->c);
    node *body = new_node(p, S_BODY, now(p)->line);
    node_list l = {0};
    while (now(p)->t != T_EOF) {
        const token *t = now(p);
        p->at++;
        if (t->t == T_DATA) {
            node *e = new_node(p, S_DATA, t->line);
            e->lit = v_jstr(jstr_view(p->c, t->p, t->n));
            nodes_add(p, &l, e);
        } else if (t->t == T_PRINT_BEGIN) {
            node *e = new_node(p, S_PRINT, t->line);
            e->a = parse_tuple(p, true, false, false, NULL);
            nodes_add(p, &l, e);
            expect(p, T_PRINT_END);
        } else if (at_stop(p, stops)) {
            break;
        } else {
            nodes_add(p, &l, parse_statement(p));
            expect(p, T_BLOCK_END);
        }
    }
    body->list = l.v;
    body->n = l.n;
    jj_leave(p->c);
    return body;
}

node *parse_template(parser *p) {
    p->t->atom_loop = parse_atom(p, "loop", 4);
    p->t->atom_caller = parse_atom(p, "caller", 6);
    p->t->atom_varargs = parse_atom(p, "varargs", 7);
    p->t->atom_kwargs = parse_atom(p, "kwargs", 6);
    node *root = parse_body(p, NULL);
    if (!p->unknown) return root;
    p->c->line = p->unknown->line;
    jj_error(p->c, "No %s named '%.*s'.", p->unknown->k == E_FILTER ? "filter" : "test", JSTR_ARG(p->unknown->lit.s));
}
