/* SPDX-License-Identifier: Apache-2.0
 *
 * The entry points of the Jinja interpreter: compile, render, and the way from JSON to values. */
#include "text/jinja.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

enum { DEPTH_UNIT = 10 }; /* one level of nesting in a template is about this many nested evaluations */
static const jinja_limits DEFAULTS = {50000000, 200, 16 << 20, 256 << 20};
enum { MAX_SOURCE = 16 << 20, MAX_NESTING = 2000 };

static size_t limit_or(size_t limit, size_t otherwise) {
    return limit ? limit : otherwise;
}

/* ---- Compiling --------------------------------------------------------------------------------------------------- */

static nb_status compile(jj *c, jinja *t, const char *source, size_t n) {
    if (setjmp(c->on_error)) return c->status;
    c->line = 1;
    if (n > MAX_SOURCE) jj_fail(c, NB_ERR_LIMIT, "the template has %zu bytes, more than %d", n, MAX_SOURCE);
    if (!utf8_valid(source, n)) jj_error(c, "the template is not valid UTF-8");
    parser p = {.c = c, .t = t};
    p.tok = lex(c, source, n);
    t->root = parse_template(&p);
    return NB_OK;
}

nb_status jinja_compile(const char *source, size_t n, const char *name, jinja **out, nb_error *err) {
    *out = NULL;
    jinja *t = calloc(1, sizeof *t);
    if (t) t->mem = arena_new(DEFAULTS.max_memory);
    if (!t || !t->mem || !(t->name = arena_strdup(t->mem, name ? name : "template"))) {
        jinja_free(t);
        return err_no_memory(err, "a chat template", 0);
    }
    jj c = {.mem = t->mem,
            .max_memory = DEFAULTS.max_memory,
            .max_steps = SIZE_MAX / 2,
            .max_depth = 2 * DEFAULTS.max_depth, /* brackets count twice */
            .name = t->name,
            .err = err};
    nb_status status = compile(&c, t, source, n);
    buf_free(&c.out);
    if (status) {
        jinja_free(t);
        return status;
    }
    *out = t;
    return NB_OK;
}

void jinja_free(jinja *t) {
    if (!t) return;
    arena_free(t->mem);
    free(t);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static val from_number(const cJSON *j) {
    const char *text = j->valuestring; /* set by jinja_json_parse only */
    if (text && !strpbrk(text, ".eE")) {
        errno = 0;
        long long i = strtoll(text, NULL, 10);
        if (!errno) return v_int(i);
    }
    double d = j->valuedouble;
    if (!text && d == floor(d) && fabs(d) <= 9007199254740992.0) return v_int((int64_t)d);
    return v_float(d);
}

static val from_json(jj *c, const cJSON *j) {
    if (cJSON_IsString(j)) return v_jstr(jstr_clean(c, j->valuestring, strlen(j->valuestring)));
    if (cJSON_IsNumber(j)) return from_number(j);
    if (cJSON_IsBool(j)) return v_bool(cJSON_IsTrue(j) != 0);
    if (!cJSON_IsArray(j) && !cJSON_IsObject(j)) return v_none();
    jj_enter(c);
    val v;
    if (cJSON_IsArray(j)) {
        v = v_list(list_new(c, 0));
        for (const cJSON *item = j->child; item; item = item->next) list_add(c, v.l, from_json(c, item));
    } else {
        v = v_dict(dict_new(c));
        for (const cJSON *item = j->child; item; item = item->next)
            dict_set(c, v.d, v_jstr(jstr_clean(c, item->string, strlen(item->string))), from_json(c, item));
    }
    jj_leave(c);
    return v;
}

/* Does the double that cJSON keeps say all that this spelling does? */
static bool plain_int(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((p[i] < '0' || p[i] > '9') && p[i] != '-') return false;
    return n < 16;
}

typedef struct speller {
    const char *p, *end;
    bool no_memory;
} speller;

/* Numbers stand in the text in the order in which a walk through the tree meets them. */
static void keep_spelling(speller *s, cJSON *j, int depth) {
    if (cJSON_IsNumber(j)) {
        while (s->p < s->end && *s->p != '-' && (*s->p < '0' || *s->p > '9')) {
            if (*s->p++ != '"') continue;
            while (s->p < s->end && *s->p != '"') s->p += *s->p == '\\' ? 2 : 1;
            s->p++;
        }
        const char *from = s->p;
        while (s->p < s->end && *s->p && strchr("0123456789+-.eE", *s->p)) s->p++;
        if (from >= s->end || plain_int(from, (size_t)(s->p - from))) return;
        j->valuestring = cJSON_malloc((size_t)(s->p - from) + 1);
        if (!j->valuestring) {
            s->no_memory = true;
            return;
        }
        memcpy(j->valuestring, from, (size_t)(s->p - from));
        j->valuestring[s->p - from] = 0;
    }
    if (depth > MAX_NESTING) return; /* cJSON's own parser stops at 1000 */
    for (cJSON *item = j->child; item; item = item->next) keep_spelling(s, item, depth + 1);
}

nb_status jinja_json_parse(const char *text, size_t n, const char *name, cJSON **out, nb_error *err) {
    nb_status status = json_parse(text, n, name, out, err);
    if (status) return status;
    speller s = {.p = text, .end = text + n};
    keep_spelling(&s, *out, 0);
    if (!s.no_memory) return NB_OK;
    cJSON_Delete(*out);
    *out = NULL;
    return err_no_memory(err, name, 0);
}

/* ---- Rendering --------------------------------------------------------------------------------------------------- */

static nb_status render(jj *c, const cJSON *vars) {
    if (setjmp(c->on_error)) return c->status;
    c->line = 1;
    val all = vars ? from_json(c, vars) : v_dict(dict_new(c));
    if (all.t != V_DICT) jj_error(c, "the variables must be a JSON object");
    c->globals = jj_array(c, c->t->n_atoms + 1, sizeof(val));
    for (size_t i = 0; i < c->t->n_atoms; i++) {
        const jstr *name = c->t->atoms[i];
        const val *v = dict_get_str(all.d, name);
        if (v) {
            c->globals[i] = *v;
            continue;
        }
        const builtin *f = find_global(name->p, name->n);
        if (f) c->globals[i] = (val){.t = V_FUNC, .fn = f};
    }
    run_template(c);
    return NB_OK;
}

nb_status jinja_render(const jinja *t, const cJSON *vars, const jinja_limits *limits, char **text, size_t *len,
                       nb_error *err) {
    *text = NULL;
    if (len) *len = 0;
    jinja_limits l = limits ? *limits : DEFAULTS;
    size_t depth = limit_or(l.max_depth, DEFAULTS.max_depth);
    jj c = {.max_memory = limit_or(l.max_memory, DEFAULTS.max_memory),
            .max_steps = limit_or(l.max_steps, DEFAULTS.max_steps),
            .max_depth = (depth < MAX_NESTING / DEPTH_UNIT ? depth : MAX_NESTING / DEPTH_UNIT) * DEPTH_UNIT,
            .max_output = limit_or(l.max_output, DEFAULTS.max_output),
            .name = t->name,
            .t = t,
            .err = err};
    c.mem = arena_new(c.max_memory);
    if (!c.mem) return err_no_memory(err, "rendering a chat template", 0);
    nb_status status = render(&c, vars);
    arena_free(c.mem);
    if (!status && !(*text = buf_take(&c.out, len))) status = err_no_memory(err, "a rendered chat template", 0);
    buf_free(&c.out);
    return status;
}
