/* SPDX-License-Identifier: Apache-2.0
 *
 * Events of an answer to stdout, and to a message. */
#include "cli/reply.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

nb_status reply_begin(reply *r, const reply_args *a, const nb_model *model, const template_args *t, const char *prompt,
                      nb_error *err) {
    const char *terminal = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool person = isatty(STDOUT_FILENO);
    *r = (reply){.show = a->show || (person && !a->hide)};
    r->dim = person && !(no_color && *no_color) && terminal && strcmp(terminal, "dumb") != 0;
    r->calls = cJSON_CreateArray();
    if (!r->calls) return err_no_memory(err, "an answer", 0);
    return nb_parser_new(model, template_tools(t), prompt, &r->parser, err);
}

void reply_free(reply *r) {
    nb_parser_free(r->parser);
    buf_free(&r->content);
    buf_free(&r->reasoning);
    cJSON_Delete(r->calls);
    *r = (reply){0};
}

/* ---- Printing -------------------------------------------------------------------------------------------------- */

static void print(reply *r, const char *text, size_t n) {
    if (n == 0) return;
    if (!out_text(text, n)) r->failed = true;
    r->line_open = text[n - 1] != '\n';
    r->ends_in_call = false;
}

/* Escape sequences of our own, which out_text would take out. */
static void paint(reply *r, const char *sequence) {
    if (r->dim && !out_write(sequence, strlen(sequence))) r->failed = true;
}

static void stop_thinking(reply *r) {
    if (!r->thinking) return;
    r->thinking = false;
    paint(r, "\033[0m");
    print(r, r->line_open ? "\n\n" : "\n", r->line_open ? 2 : 1);
}

static void print_reasoning(reply *r, const char *text, size_t n) {
    if (!r->show) return;
    if (!r->thinking) paint(r, "\033[2m");
    r->thinking = true;
    print(r, text, n);
}

/* {"name": ..., "arguments": ..., "id": ...} on a line of its own. */
static bool print_call(reply *r, const nb_event *e) {
    buf line = {0};
    stop_thinking(r);
    if (r->line_open) buf_putc(&line, '\n');
    buf_puts(&line, "{\"name\": ");
    json_put_str(&line, e->name, strlen(e->name));
    buf_puts(&line, ", \"arguments\": ");
    size_t start = line.len;
    buf_put(&line, e->text, e->length);
    /* Newlines in strings are escaped; those between values are only space. */
    for (size_t i = start; i < line.len; i++)
        if (line.data[i] == '\n' || line.data[i] == '\r') line.data[i] = ' ';
    buf_puts(&line, ", \"id\": ");
    json_put_str(&line, e->id, strlen(e->id));
    buf_puts(&line, "}\n");
    bool ok = !line.failed;
    if (ok) print(r, line.data, line.len);
    r->ends_in_call = true;
    buf_free(&line);
    return ok;
}

/* ---- Keeping --------------------------------------------------------------------------------------------------- */

static bool keep_call(reply *r, const nb_event *e) {
    cJSON *call = cJSON_CreateObject(), *arguments = NULL;
    bool ok = call && json_parse(e->text, e->length, "arguments", &arguments, &r->err) == NB_OK &&
              cJSON_AddStringToObject(call, "id", e->id) && cJSON_AddStringToObject(call, "type", "function");
    cJSON *function = ok ? cJSON_AddObjectToObject(call, "function") : NULL;
    ok = function && cJSON_AddStringToObject(function, "name", e->name) &&
         cJSON_AddItemToObject(function, "arguments", arguments);
    if (!ok) cJSON_Delete(arguments);
    if (ok && cJSON_AddItemToArray(r->calls, call)) return true;
    cJSON_Delete(call);
    return false;
}

cJSON *reply_message(const reply *r) {
    cJSON *m = cJSON_CreateObject();
    bool ok = m && cJSON_AddStringToObject(m, "role", "assistant") &&
              cJSON_AddStringToObject(m, "content", r->content.len ? r->content.data : "");
    if (ok && r->reasoning.len) ok = cJSON_AddStringToObject(m, "reasoning_content", r->reasoning.data) != NULL;
    if (ok && cJSON_GetArraySize(r->calls)) {
        cJSON *calls = cJSON_Duplicate(r->calls, true);
        ok = calls && cJSON_AddItemToObject(m, "tool_calls", calls);
    }
    if (ok) return m;
    cJSON_Delete(m);
    return NULL;
}

/* ---- Events ---------------------------------------------------------------------------------------------------- */

static bool take(void *user, const nb_event *e) {
    reply *r = user;
    bool ok = true;
    if (e->kind == NB_EVENT_TEXT) {
        stop_thinking(r);
        print(r, e->text, e->length);
        buf_put(&r->content, e->text, e->length);
    } else if (e->kind == NB_EVENT_REASONING) {
        print_reasoning(r, e->text, e->length);
        buf_put(&r->reasoning, e->text, e->length);
    } else if (e->kind == NB_EVENT_CALL_END) {
        ok = print_call(r, e) && keep_call(r, e);
    }
    if (!ok || r->content.failed || r->reasoning.failed) r->status = err_no_memory(&r->err, "the answer", 0);
    return !r->failed && !r->status && !interrupted();
}

bool reply_text(void *user, const char *text, size_t n) {
    reply *r = user;
    nb_error err = {0};
    nb_status status = nb_parser_put(r->parser, text, n, take, r, &err);
    if (status && status != NB_ERR_CANCELLED && !r->status) r->status = status, r->err = err;
    return status == NB_OK;
}

nb_status reply_finish(reply *r, nb_error *err) {
    nb_error ignored = {0};
    nb_status status = r->status ? NB_OK : nb_parser_finish(r->parser, take, r, &ignored);
    if (status && status != NB_ERR_CANCELLED && !r->status) r->status = status, r->err = ignored;
    bool thought_only = r->reasoning.len && !r->content.len && !cJSON_GetArraySize(r->calls);
    if (r->thinking) paint(r, "\033[0m");
    r->thinking = false;
    if (!r->ends_in_call) print(r, "\n", 1);
    if (thought_only && !r->status && !r->failed && !interrupted())
        cli_note("the model was still thinking when the answer ended (--no-think, where the model knows it)");
    return r->status ? err_set(err, r->status, "%s", r->err.text) : NB_OK;
}
