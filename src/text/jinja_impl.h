/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the Jinja interpreter share: values, the syntax tree, and the run state `jj`.
 *
 * Everything that a compilation or a rendering allocates lives in one arena (output: one buffer), so an error needs no
 * unwinding: jj_fail stores its text and jumps back to the entry point, which frees the arena. Values are immutable
 * except for namespaces, loop objects, cyclers and joiners, as in jinja2's immutable sandbox. */
#ifndef NB_TEXT_JINJA_IMPL_H
#define NB_TEXT_JINJA_IMPL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "text/jinja.h"

typedef struct jj jj;
typedef struct node node;
typedef struct scope scope;

/* ---- Values -------------------------------------------------------------------------------------------------- */

typedef enum vtype {
    V_MISSING, /* no value at all: an argument not given, a variable not set */
    V_UNDEF,   /* jinja2's Undefined; s (may be NULL) is what is raised when it is used */
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_RANGE,
    V_VIEW, /* dict.keys(), .values(), .items() */
    V_GEN,  /* what lazy filters return: iterable once, no length, no index */
    V_NS,   /* namespace() */
    V_MACRO,
    V_FUNC,   /* a global function */
    V_METHOD, /* a method bound to its receiver */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
    V_SLICE, /* start:stop:step inside [] */
} vtype;

typedef struct jstr { /* valid UTF-8, not NUL-terminated */
    const char *p;
    size_t n, chars; /* bytes, code points */
} jstr;

typedef struct val {
    uint8_t t; /* vtype */
    bool safe; /* V_STR: markupsafe's Markup, matters only when + mixes it with plain text; V_TUPLE: of groupby */
    union {
        bool b;
        int64_t i;
        double f;
        const jstr *s;
        struct jlist *l;
        struct jdict *d;
        struct jrange *range;
        struct jview *view;
        struct jgen *gen;
        struct jmacro *macro;
        const struct builtin *fn;
        struct jmethod *method;
        struct jloop *loop;
        struct jcycler *cycler;
        struct jslice *slice;
    };
} val;

typedef struct jlist {
    val *v;
    size_t n, cap;
} jlist;

typedef struct jdict { /* in order of insertion; `index` is an open-addressing table once n > 8 */
    val *k, *v;
    size_t n, cap;
    uint32_t *index; /* entry + 1; 0 = free */
    size_t index_size;
} jdict;

typedef struct jrange {
    int64_t start, stop, step;
    size_t n;
} jrange;

typedef enum view_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } view_kind;
typedef struct jview {
    jdict *d;
    view_kind kind;
} jview;

typedef struct jgen {
    jlist *l;
    size_t at;
} jgen;

typedef struct jmacro {
    const node *def; /* S_MACRO or S_CALL */
    scope *closure;
    const jstr *name; /* NULL for a call block's caller */
} jmacro;

typedef struct jloop {
    const node *def;
    struct scope *outer;
    jlist *items;
    size_t at;
    size_t depth0;
    val changed; /* the last argument of loop.changed, a tuple; V_MISSING before the first */
} jloop;

typedef struct jcycler { /* also a joiner: `l` NULL, `first` says whether it was not called yet */
    jlist *l;
    size_t at;
    const jstr *sep;
} jcycler;

typedef struct jslice {
    val start, stop, step;
} jslice;

typedef struct jargs {
    size_t n, n_kw;
    val *v;
    const jstr **kw;
    val *kw_v;
} jargs;

/* A filter, test, method or global. `spec` names the parameters, optional ones after '|' ("old new |count"); they are
 * bound into a[] (V_MISSING when not given). With spec NULL the function reads `raw` itself. */
typedef struct builtin {
    const char *name;
    val (*fn)(jj *c, val self, const val *a, const jargs *raw);
    const char *spec;
    uint32_t types; /* methods: a bit for each vtype that has it */
} builtin;

typedef struct jmethod {
    const builtin *fn;
    val self;
} jmethod;

enum { MAX_PARAMS = 8 };

/* ---- The syntax tree ------------------------------------------------------------------------------------------- */

typedef enum node_kind {
    /* expressions */
    E_LITERAL, /* lit */
    E_NAME,    /* atom */
    E_NSREF,   /* atom . lit: a target of set */
    E_TUPLE,   /* list */
    E_LIST,    /* list */
    E_DICT,    /* list: key, value, key, value */
    E_COND,    /* a if b else c (c may be NULL) */
    E_OR,      /* list */
    E_AND,     /* list */
    E_NOT,     /* a */
    E_COMPARE, /* list, op[i] stands before list[i] for i > 0; likewise E_MATH */
    E_MATH,
    E_CONCAT, /* list */
    E_NEG,
    E_POS,
    E_ATTR,   /* a . lit */
    E_ITEM,   /* a [ b ] */
    E_SLICE,  /* a : b : c, each may be NULL */
    E_CALL,   /* a ( args ) */
    E_FILTER, /* a | fn(args); a NULL: the captured text of a block; fn NULL: unknown, lit is the name */
    E_TEST,   /* a is fn(args) */
    /* statements */
    S_DATA,    /* lit */
    S_PRINT,   /* a */
    S_IF,      /* list: test, body, test, body; c: else body or NULL */
    S_FOR,     /* a: target, b: iterable, c: filter or NULL, body, other; recursive in op_single */
    S_SET,     /* a: target, b: value */
    S_CAPTURE, /* a: target, b: filter or NULL, body */
    S_MACRO,   /* atom, list: parameters (E_NAME), defaults: the last ones' values, body */
    S_CALL,    /* a: E_CALL, parameters as S_MACRO, body */
    S_FILTER,  /* b: filter, body */
    S_WITH,    /* list: target, value, target, value; body */
    S_SCOPE,   /* body, with its own variables ({% generation %}) */
    S_BREAK,
    S_CONTINUE,
    S_BODY, /* list */
} node_kind;

typedef enum tok {
    T_EOF,
    T_DATA,
    T_PRINT_BEGIN,
    T_PRINT_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STRING,
    T_INT,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_FLOORDIV,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
    T_IN, /* only as operators of E_COMPARE */
    T_NOT_IN,
} tok;

typedef struct token {
    uint8_t t; /* tok */
    int line;
    const char *p; /* the source bytes (names, numbers), or the decoded text (data, strings) */
    size_t n;
} token;

typedef struct call_args {
    node **pos;
    size_t n;
    const jstr **kw;
    node **kw_v;
    size_t n_kw;
    node *dyn, *dyn_kw; /* *args, **kwargs */
} call_args;

struct node {
    uint8_t k; /* node_kind */
    bool flag; /* S_FOR: recursive; S_MACRO, S_CALL: the body uses `caller`; E_FILTER of a missing fn: as a test */
    bool varargs, kwargs; /* S_MACRO: the body uses these names */
    int line;
    int atom;
    size_t n;
    node *a, *b, *c;
    node **list;
    uint8_t *op;
    node *body, *other;
    node **defaults;
    size_t n_defaults;
    val lit;
    const builtin *fn;
    call_args *args;
};

struct jinja {
    arena *mem;
    node *root;
    const char *name;
    const jstr **atoms; /* the names of variables; E_NAME holds an index */
    size_t n_atoms;
    int atom_loop, atom_caller, atom_varargs, atom_kwargs;
};

/* ---- The run state --------------------------------------------------------------------------------------------- */

struct scope {
    scope *parent; /* NULL: the next thing to look at is jj.globals */
    size_t n, cap;
    struct {
        int atom;
        val v;
    } * slot;
};

struct jj {
    arena *mem;
    size_t max_memory;
    size_t steps, max_steps;
    size_t depth, max_depth;
    size_t max_output;
    buf out;         /* the output; text being captured or built lies behind it */
    size_t captures; /* how many captures are open */
    char *tail;      /* free bytes right behind the last concatenated string, for cheap repeated appending */
    size_t tail_room;
    const jinja *t;
    val *globals; /* by atom */
    scope *vars;  /* the innermost scope, NULL = globals */
    jloop *loop;  /* the innermost loop */
    int line;
    const char *name;
    nb_error *err;
    nb_status status;
    jmp_buf on_error;
};

_Noreturn void jj_fail(jj *c, nb_status status, const char *format, ...) NB_PRINTF(3, 4);
#define jj_error(c, ...) jj_fail(c, NB_ERR_FORMAT, __VA_ARGS__)
/* For %.*s of a jstr, cut to a length that fits an error. */
#define JSTR_ARG(s) (int)((s)->n < 200 ? (s)->n : 200), (s)->p

void *jj_alloc(jj *c, size_t size);
void *jj_array(jj *c, size_t count, size_t size); /* zeroed, checked */
/* Counts n steps against the limit. */
void jj_step(jj *c, size_t n);
/* Around everything that recurses. */
void jj_enter(jj *c);
static inline void jj_leave(jj *c) {
    c->depth--;
}

/* jinja_value.c: making and looking at values */
static inline val v_of(vtype t) {
    return (val){.t = (uint8_t)t};
}
static inline val v_none(void) {
    return v_of(V_NONE);
}
static inline val v_bool(bool b) {
    return (val){.t = V_BOOL, .b = b};
}
static inline val v_int(int64_t i) {
    return (val){.t = V_INT, .i = i};
}
static inline val v_float(double f) {
    return (val){.t = V_FLOAT, .f = f};
}
static inline val v_jstr(const jstr *s) {
    return (val){.t = V_STR, .s = s};
}
static inline val v_list(jlist *l) {
    return (val){.t = V_LIST, .l = l};
}
static inline val v_tuple(jlist *l) {
    return (val){.t = V_TUPLE, .l = l};
}
static inline val v_dict(jdict *d) {
    return (val){.t = V_DICT, .d = d};
}
val v_undef(jj *c, const char *format, ...) NB_PRINTF(2, 3);
val v_gen(jj *c, jlist *l);

const jstr *jstr_new(jj *c, const char *p, size_t n);  /* copies */
const jstr *jstr_view(jj *c, const char *p, size_t n); /* points into memory that lives as long as the arena */
val v_str(jj *c, const char *p, size_t n);
val v_cstr(jj *c, const char *text);
bool jstr_is(const jstr *s, const char *text);
bool jstr_equal(const jstr *a, const jstr *b);
const jstr *jstr_concat(jj *c, const jstr *a, const jstr *b);
/* Byte offset of code point i (0 <= i <= chars). */
size_t jstr_offset(const jstr *s, size_t i);
const jstr *jstr_clean(jj *c, const char *p, size_t n); /* invalid bytes become U+FFFD */

jlist *list_new(jj *c, size_t cap);
void list_add(jj *c, jlist *l, val v);
jdict *dict_new(jj *c);
void dict_set(jj *c, jdict *d, val k, val v);
const val *dict_get(jj *c, const jdict *d, val k); /* NULL when absent; fails on an unhashable key */
const val *dict_get_str(const jdict *d, const jstr *k);

bool truthy(const val *v);
bool v_equal(jj *c, val a, val b);
/* -1, 0, 1; `op` is for the error text ("<"). Floats with NaN: 2. */
int v_compare(jj *c, val a, val b, const char *op);
bool v_contains(jj *c, val item, val container);
const char *type_name(val v); /* Python's name: "str", "NoneType" */
bool is_number(val v);        /* int, float or bool */
double as_double(val v);
bool is_undef(val v);

typedef struct iter {
    val v;
    size_t i, n, at; /* at: byte offset in a string */
} iter;
/* Starts an iteration; fails when v is not iterable. it->n is the number of items. */
void iter_start(jj *c, val v, iter *it);
bool iter_next(jj *c, iter *it, val *out);
jlist *to_list(jj *c, val v);

/* jinja_text.c: values as text */
size_t mark(jj *c); /* starts building a string behind the output */
void put(jj *c, const char *p, size_t n);
void put_str(jj *c, const char *text);
const jstr *take(jj *c, size_t from); /* the bytes since mark(), which are removed again */
void put_value(jj *c, val v);         /* str(v) */
void put_repr(jj *c, val v);
const jstr *to_str(jj *c, val v);
size_t float_repr(double f, char out[40]);
val to_json(jj *c, val v, const val *a); /* a: ensure_ascii indent separators sort_keys */

/* jinja_ops.c */
val op_binary(jj *c, tok op, val a, val b);
val op_unary(jj *c, bool negative, val a);
val get_attr(jj *c, val o, const jstr *name);
val get_item(jj *c, val o, val key);
/* "a.b.0" as filters' attribute= means it. */
val get_path(jj *c, val o, val path);
_Noreturn void fail_undef(jj *c, val v);
const jstr *escape_html(jj *c, const jstr *s);

/* jinja_eval.c */
val eval(jj *c, const node *e);
val call_value(jj *c, val f, const jargs *args);
val call_builtin(jj *c, const builtin *f, val self, const jargs *args);
val call_filter(jj *c, val name, val self, const jargs *args);
bool call_test(jj *c, val name, val self, const jargs *args);
val var_get(jj *c, int atom);
void var_set(jj *c, int atom, val v);
scope *scope_push(jj *c);
/* jinja_exec.c */
val call_macro(jj *c, jmacro *m, const jargs *args);
val loop_call(jj *c, jloop *loop, val iterable);
void assign(jj *c, const node *target, val v);
val apply_filter(jj *c, const node *e, val input);
val eval_call_with(jj *c, const node *e, val caller);
void run_template(jj *c);

/* tables; NULL when there is none of that name */
const builtin *find_filter(const char *p, size_t n);
const builtin *find_test(const char *p, size_t n);
const builtin *find_global(const char *p, size_t n);
const builtin *find_method(val v, const jstr *name);
extern const builtin string_methods[], more_string_methods[], text_filters[], list_filters[];
const builtin *find_in(const builtin *table, const char *p, size_t n);

/* arguments that must be of a type */
int64_t arg_int(jj *c, val v, int64_t otherwise, const char *what);
bool arg_bool(val v, bool otherwise);
const jstr *arg_str(jj *c, val v, const char *otherwise, const char *what);

/* jinja_format.c */
val format_percent(jj *c, const jstr *format, val args);
val format_braces(jj *c, const jstr *format, const jargs *args);

/* Unicode, jinja_strings.c */
bool is_space(uint32_t cp);
const jstr *str_strip(jj *c, const jstr *s, const jstr *chars, bool left, bool right);
jlist *str_split(jj *c, const jstr *s, const jstr *sep, int64_t max, bool from_right);
jlist *str_splitlines(jj *c, const jstr *s, bool keep_ends);
const jstr *str_replace(jj *c, const jstr *s, const jstr *old, const jstr *fresh, int64_t max);
const jstr *str_map(jj *c, const jstr *s, char how); /* 'u'pper, 'l'ower, 't'itle, 'c'apitalize, 's'wapcase */
bool str_cased(const jstr *s, bool upper);           /* Python's isupper / islower */

/* jinja_lex.c, jinja_parse.c, jinja_expr.c */
typedef struct parser {
    jj *c;
    token *tok; /* ends with T_EOF */
    size_t at;
    bool soft;           /* directly inside an if: unknown filters and tests fail only when they are reached */
    const node *unknown; /* the first unknown filter or test that is not soft */
    jinja *t;
    size_t atoms_cap, loops;
    bool uses_caller, uses_varargs, uses_kwargs; /* of the macro being parsed */
} parser;

token *lex(jj *c, const char *source, size_t n);
node *parse_template(parser *p);
node *parse_tuple(parser *p, bool with_cond, bool targets, bool parens, const char *stop);
node *parse_expression(parser *p);
node *parse_primary(parser *p, bool targets);
node *parse_postfix_of(parser *p, node *e);
node *parse_filters(parser *p, node *input, bool start_inline);
node *new_node(parser *p, node_kind k, int line);
int parse_atom(parser *p, const char *s, size_t n);
bool tok_is_name(const token *t, const char *name);
bool accept_name(parser *p, const char *name);
const token *expect(parser *p, tok t);
const token *expect_name(parser *p, const char *name);
_Noreturn void unexpected(parser *p, const token *t, const char *wanted);
typedef struct node_list {
    node **v;
    size_t n, cap;
} node_list;
void nodes_add(parser *p, node_list *l, node *e);

#endif
