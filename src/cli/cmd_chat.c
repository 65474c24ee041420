/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble chat`: a conversation at the terminal, or with the lines of a pipe. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/conversation.h"
#include "cli/lines.h"
#include "cli/reply.h"
#include "files/store.h"

typedef struct chat {
    answer_args answer;
    context_args context_args;
    template_args template;
    const char *first_system;
    char *system; /* the system message, or NULL */
    nb_model *model;
    nb_context *context;
    conversation c;
    nb_generate_options options;
    reply_args reply_args;
    lines *in;
    reply reply;
    int code; /* what the program will return */
    bool leave;
} chat;

/* ---- One turn -------------------------------------------------------------------------------------------------- */

static bool take_text(void *user, const char *text, size_t length) {
    chat *s = user;
    return reply_text(&s->reply, text, length) && !interrupted();
}

static bool take_token(void *user, int32_t token) {
    (void)user;
    (void)token;
    return !interrupted();
}

/* Prints what went wrong. A person goes on; a pipe has nobody who could react. */
static void turn_failed(chat *s, const nb_error *err) {
    int code = cli_error(err);
    if (lines_interactive(s->in) && !should_end()) return;
    s->code = code;
    s->leave = true;
}

static void turn_finished(chat *s, const nb_generate_result *result) {
    if (s->reply.failed) s->leave = true, s->code = CLI_FAILURE;
    if (s->answer.stats) {
        answer_stats(&s->answer, result);
        fprintf(stderr, "%-11s %6lld tokens\n", "kept:", (long long)s->c.n_reused);
    }
    if (result->finish == NB_FINISH_CONTEXT) cli_note("the context is full; /reset starts over");
    if (lines_interactive(s->in)) out_text("\n", 1);
}

/* After Ctrl-C the conversation goes on, unless it comes from a pipe. */
static void obey_signals(chat *s) {
    if (!interrupted()) return;
    if (should_end() || !lines_interactive(s->in)) {
        s->leave = true;
        s->code = CLI_INTERRUPTED;
    } else {
        interrupted_clear();
    }
}

/* The model's turn; its message joins the conversation. */
static nb_status answer(chat *s, nb_generate_result *result, nb_error *err) {
    char *text = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    reply_free(&s->reply);
    nb_status status = conversation_prompt(&s->c, &text, &ids, &n, err);
    if (!status) status = reply_begin(&s->reply, &s->reply_args, s->model, &s->template, text, err);
    if (!status) status = conversation_generate(&s->c, ids, n, &s->options, result, err);
    if (!status) status = reply_finish(&s->reply, err);
    if (!status) status = conversation_add_message(&s->c, reply_message(&s->reply), err);
    nb_free(text);
    nb_free(ids);
    return status;
}

/* A message was added (or not, with this status); the model answers unless more must come before. */
static void go_on(chat *s, nb_status status, bool complete, nb_error *err) {
    nb_generate_result result = {0};
    if (!status && complete) {
        status = answer(s, &result, err);
        if (status) conversation_drop(&s->c); /* as if it had not been asked */
    }
    if (status)
        turn_failed(s, err);
    else if (complete)
        turn_finished(s, &result);
    obey_signals(s);
}

static void say(chat *s, const char *text) {
    nb_error err = {0};
    nb_status status = text_check(text, strlen(text), "the message", &err);
    if (!status) status = conversation_add(&s->c, "user", text, &err);
    go_on(s, status, true, &err);
}

/* The first call of the last answer that has no result yet, or NULL; *last: no other waits. */
static const cJSON *waiting_call(const chat *s, bool *last) {
    int n_results = 0, i = cJSON_GetArraySize(s->c.messages) - 1;
    const cJSON *calls = NULL;
    for (; i >= 0; i--, n_results++) {
        const cJSON *m = cJSON_GetArrayItem(s->c.messages, i);
        calls = cJSON_GetObjectItemCaseSensitive(m, "tool_calls");
        const char *role = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m, "role"));
        if (calls || !role || strcmp(role, "tool") != 0) break;
    }
    *last = n_results + 1 == cJSON_GetArraySize(calls);
    return calls ? cJSON_GetArrayItem(calls, n_results) : NULL;
}

static void do_tool(chat *s, const char *text) {
    nb_error err = {0};
    bool last;
    const cJSON *call = waiting_call(s, &last);
    if (!call) {
        cli_note("no tool call waits for a result");
        return;
    }
    const cJSON *f = cJSON_GetObjectItemCaseSensitive(call, "function");
    cJSON *m = cJSON_CreateObject();
    bool ok =
        m && cJSON_AddStringToObject(m, "role", "tool") &&
        cJSON_AddItemToObject(m, "name", cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(f, "name"), true)) &&
        cJSON_AddItemToObject(m, "tool_call_id", cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(call, "id"), true)) &&
        cJSON_AddStringToObject(m, "content", text);
    if (!ok) {
        cJSON_Delete(m);
        m = NULL;
    }
    nb_status status = text_check(text, strlen(text), "the result", &err);
    if (!status)
        status = conversation_add_message(&s->c, m, &err);
    else
        cJSON_Delete(m);
    if (!status && !last) cli_note("the next call waits for its result");
    go_on(s, status, last, &err);
}

/* ---- Commands -------------------------------------------------------------------------------------------------- */

static void start_over(chat *s) {
    nb_error err = {0};
    conversation_reset(&s->c);
    if (s->system && conversation_add(&s->c, "system", s->system, &err)) turn_failed(s, &err);
}

static void do_reset(chat *s, const char *text) {
    (void)text;
    start_over(s);
    cli_note("the conversation starts over");
}

static void do_system(chat *s, const char *text) {
    nb_error err = {0};
    if (!*text) {
        cli_note("the system message is %s%s%s", s->system ? "\"" : "", s->system ? s->system : "not set",
                 s->system ? "\"" : "");
        return;
    }
    if (text_check(text, strlen(text), "the system message", &err)) {
        turn_failed(s, &err);
        return;
    }
    free(s->system);
    s->system = strdup(text);
    start_over(s);
    cli_note("the system message is set; the conversation starts over");
}

static void do_stats(chat *s, const char *text) {
    (void)text;
    s->answer.stats = !s->answer.stats;
    cli_note("statistics are %s", s->answer.stats ? "on" : "off");
}

static void do_think(chat *s, const char *text) {
    nb_error err = {0};
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0) {
        cli_note("/think on or /think off");
        return;
    }
    s->template.think = strcmp(text, "on") == 0;
    s->template.no_think = !s->template.think;
    if (template_variables_make(&s->template, &err)) turn_failed(s, &err);
}

static void do_save(chat *s, const char *text) {
    nb_error err = {0};
    if (!*text) {
        cli_note("/save needs the name of a file");
        return;
    }
    char *json = cJSON_Print(s->c.messages);
    nb_status status = json ? file_write(text, json, strlen(json), &err) : err_no_memory(&err, "messages", 0);
    cJSON_free(json);
    if (status)
        turn_failed(s, &err);
    else
        cli_note("the conversation is in %s", text);
}

static void do_exit(chat *s, const char *text) {
    (void)text;
    s->leave = true;
}

static void do_help(chat *s, const char *text);

static const struct chat_command {
    const char *name, *usage, *help;
    void (*run)(chat *s, const char *text);
} chat_commands[] = {
    {"help", "", "this text", do_help},
    {"reset", "", "start the conversation over", do_reset},
    {"system", " TEXT", "set the system message and start over", do_system},
    {"think", " on|off", "ask the template for reasoning, or for none", do_think},
    {"tool", " TEXT", "the result of the tool call that waits for one", do_tool},
    {"stats", "", "tokens per second after each answer, on or off", do_stats},
    {"save", " FILE", "write the conversation as JSON, for `nibble template --messages`", do_save},
    {"exit", "", "leave (as Ctrl-D does)", do_exit},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof chat_commands[0] };

static void do_help(chat *s, const char *text) {
    (void)s;
    (void)text;
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++)
        fprintf(stderr, "  /%s%-*s%s\n", chat_commands[i].name, 16 - (int)strlen(chat_commands[i].name),
                chat_commands[i].usage, chat_commands[i].help);
    fprintf(stderr, "  %-17s%s\n  %-17s%s\n", "\"\"\"", "begins and ends a message of several lines", "Ctrl-C",
            "stops the answer");
}

static void do_command(chat *s, const char *line) {
    size_t n = strcspn(line, " \t");
    const char *text = line + n + strspn(line + n, " \t"), *names[N_CHAT_COMMANDS];
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        names[i] = chat_commands[i].name;
        if (strlen(names[i]) == n && !memcmp(names[i], line, n)) {
            chat_commands[i].run(s, text);
            return;
        }
    }
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)n, line);
    const char *near = cli_nearest(word, names, N_CHAT_COMMANDS);
    cli_note("unknown command /%s%s%s; /help lists them, // begins a message with a slash", word,
             near ? "; did you mean /" : "", near ? near : "");
}

/* ---- The loop -------------------------------------------------------------------------------------------------- */

/* After a line that begins with three quotes: the lines up to the one that ends with three. */
static line_result read_block(chat *s, const char *first, buf *text) {
    const char *line = first + 3;
    for (;;) {
        size_t n = strlen(line);
        bool last = n >= 3 && !strcmp(line + n - 3, "\"\"\"");
        buf_put(text, line, last ? n - 3 : n);
        if (last) return LINE_OK;
        buf_putc(text, '\n');
        line_result r = lines_read(s->in, "... ", &line);
        if (r != LINE_OK) return r;
    }
}

static line_result read_message(chat *s, buf *text) {
    const char *line = NULL;
    buf_clear(text);
    line_result r = lines_read(s->in, "> ", &line);
    if (r != LINE_OK) return r;
    lines_remember(s->in, line);
    if (!strncmp(line, "\"\"\"", 3)) return read_block(s, line, text);
    buf_puts(text, line);
    return LINE_OK;
}

static void loop(chat *s) {
    buf text = {0};
    while (!s->leave) {
        line_result r = read_message(s, &text);
        if (r == LINE_END) {
            if (lines_interactive(s->in)) fputc('\n', stderr);
            break;
        }
        if (r == LINE_INTERRUPTED) {
            obey_signals(s);
            if (!s->leave) cli_note("Ctrl-D or /exit leaves");
            continue;
        }
        if (text.failed) {
            s->code = cli_fail("out of memory for a message");
            break;
        }
        const char *line = text.data;
        if (!line[strspn(line, " \t\n")]) continue;
        if (line[0] == '/' && line[1] != '/')
            do_command(s, line + 1);
        else
            say(s, line[0] == '/' ? line + 1 : line);
    }
    buf_free(&text);
}

/* $NIBBLE_HOME/history (free() it), or NULL: history is a convenience. */
static char *history_path(void) {
    char *home = NULL, *path = NULL;
    if (!store_home("", &home, NULL) && !dir_make(home, NULL)) store_home("history", &path, NULL);
    free(home);
    return path;
}

static void welcome(const chat *s) {
    nb_model_info info;
    nb_context_stats stats;
    nb_model_get_info(s->model, &info);
    nb_context_get_stats(s->context, &stats);
    fprintf(stderr, "%s (%s), context of %lld tokens, on %s\n", path_base(info.path), info.model_type,
            (long long)stats.context_length, stats.device);
    fprintf(stderr, "/help lists commands, Ctrl-C stops an answer, Ctrl-D leaves\n\n");
}

static nb_status prepare(chat *s, nb_error *err) {
    nb_model_info info;
    nb_model_get_info(s->model, &info);
    if (!info.has_chat_template)
        return err_set(err, NB_ERR_UNSUPPORTED, "%s has no chat template; `nibble run --raw` continues a text",
                       info.path);
    nb_status status = answer_resolve(&s->answer, s->model, &s->options, err);
    s->options.on_text = take_text;
    s->options.on_token = take_token;
    s->options.user = s;
    s->options.show_marks = true;
    if (!status) status = template_load(&s->template, err);
    if (!status && s->first_system) {
        status = text_check(s->first_system, strlen(s->first_system), "--system", err);
        s->system = strdup(s->first_system);
        if (!status && !s->system) status = err_no_memory(err, "system message", 0);
    }
    if (!status) status = conversation_init(&s->c, s->model, &s->template, err);
    if (!status) status = context_open(s->model, &s->context_args, 0, &s->context, err);
    if (!status) status = nb_sequence_new(s->context, &s->c.sequence, err);
    char *history = history_path();
    if (!status) status = lines_open(history, &s->in, err);
    free(history);
    return status;
}

static int chat_main(const command *self, int argc, char **argv) {
    chat s = {0};
    sampling_init(&s.answer.sampling);
    const opt table[] = {
        {.kind = OPT_TITLE, .help = "The conversation"},
        {"system", 's', OPT_STRING, &s.first_system, "TEXT", "system message", 0, 0},
        ANSWER_OPTS(s.answer),
        CONTEXT_OPTS(s.context_args),
        TEMPLATE_OPTS(s.template),
        REPLY_OPTS(s.reply_args),
    };
    const char *words[2];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 1);
    if (code >= 0) return code;
    if (s.reply_args.show && s.reply_args.hide)
        return cli_usage(self->name, "--show-reasoning and --hide-reasoning exclude each other");

    nb_error err = {0};
    s.code = model_open(words[0], &s.model);
    if (s.code == CLI_OK) {
        if (prepare(&s, &err)) {
            s.code = cli_error(&err);
        } else {
            if (lines_interactive(s.in)) {
                signals_keep_running();
                welcome(&s);
            }
            start_over(&s);
            loop(&s);
        }
    }
    lines_close(s.in);
    conversation_free(&s.c);
    nb_context_free(s.context);
    nb_model_free(s.model);
    sampling_free(&s.answer.sampling);
    template_free(&s.template);
    reply_free(&s.reply);
    free(s.system);
    return s.code;
}

const command cmd_chat = {
    .name = "chat",
    .usage = "MODEL",
    .summary = "talk with a model",
    .text = "A conversation: each line is a message, /help lists commands. Ctrl-C stops an answer, Ctrl-D leaves. What "
            "was typed is kept in ~/.nibble/history. Lines may also come from a pipe.",
    .run = chat_main,
};
