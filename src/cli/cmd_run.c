/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble run`: one prompt, one answer. */
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/conversation.h"
#include "cli/reply.h"

enum { MAX_PROMPT = 64 << 20 };

typedef struct run_args {
    const char *system;
    bool raw;
    answer_args answer;
    context_args context;
    template_args template;
    reply_args reply;
} run_args;

/* The prompt: the argument, or stdin without the newline that ends its last line. */
static nb_status read_prompt(const char *argument, buf *out, nb_error *err) {
    if (argument && strcmp(argument, "-") != 0) {
        buf_puts(out, argument);
        if (out->failed) return err_no_memory(err, "prompt", strlen(argument));
        return text_check(out->data, out->len, "the prompt", err);
    }
    if (isatty(STDIN_FILENO)) cli_note("reading the prompt from the terminal; Ctrl-D ends it");
    nb_status status = input_read("-", MAX_PROMPT, out, err);
    if (status) return status;
    if (out->len > 0 && out->data[out->len - 1] == '\n') out->data[--out->len] = 0;
    return text_check(out->data, out->len, "standard input", err);
}

/* *text: what the template made of the prompt; NULL without a template. */
static nb_status prompt_tokens(const run_args *a, const nb_model *model, const buf *prompt, conversation *c,
                               char **text, int32_t **ids, size_t *n, nb_error *err) {
    nb_model_info info;
    nb_model_get_info(model, &info);
    if (a->raw || (!info.has_chat_template && !a->system)) {
        if (!a->raw && info.has_tokenizer)
            cli_note("the model has no chat template: the prompt is continued as it is (--raw)");
        return nb_tokenize(model, prompt->data, prompt->len, true, ids, n, err);
    }
    nb_status status = NB_OK;
    if (a->system) {
        status = text_check(a->system, strlen(a->system), "--system", err);
        if (!status) status = conversation_add(c, "system", a->system, err);
    }
    if (!status) status = conversation_add(c, "user", prompt->data, err);
    if (!status) status = conversation_prompt(c, text, ids, n, err);
    return status;
}

static int finish_run(const run_args *a, const nb_context *context, const nb_generate_result *result) {
    nb_context_stats stats;
    nb_context_get_stats(context, &stats);
    if (a->answer.stats) {
        answer_stats(&a->answer, result);
        fprintf(stderr, "%-11s %s, loaded in %.3f s\n", "device:", stats.device, stats.load_seconds);
    }
    if (result->finish == NB_FINISH_CONTEXT)
        cli_note("the context of %lld tokens is full; the answer is cut off (--ctx-size sets its size)",
                 (long long)stats.context_length);
    if (result->finish == NB_FINISH_CANCELLED) return interrupted() ? CLI_INTERRUPTED : CLI_FAILURE;
    return CLI_OK;
}

/* Text that no template opened is printed as it is. */
static bool show_text(void *user, const char *text, size_t length) {
    (void)user;
    return out_text(text, length) && !interrupted();
}

static nb_status generate(const run_args *a, const nb_model *model, conversation *c, const char *text,
                          const int32_t *ids, size_t n, nb_generate_options *options, nb_generate_result *result,
                          nb_error *err) {
    reply r = {0};
    nb_status status = NB_OK;
    options->on_text = text ? reply_text : show_text;
    options->user = &r;
    options->show_marks = text != NULL;
    if (text) status = reply_begin(&r, &a->reply, model, &a->template, text, err);
    if (!status) status = conversation_generate(c, ids, n, options, result, err);
    if (!status && text)
        status = reply_finish(&r, err);
    else if (!status)
        out_write("\n", 1);
    reply_free(&r);
    return status;
}

static int answer(run_args *a, nb_model *model, const buf *prompt) {
    nb_error err = {0};
    nb_context *context = NULL;
    nb_generate_options options;
    nb_generate_result result = {0};
    conversation c = {0};
    char *text = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    nb_status status = answer_resolve(&a->answer, model, &options, &err);
    if (!status) status = template_load(&a->template, &err);
    if (!status) status = conversation_init(&c, model, &a->template, &err);
    if (!status) status = prompt_tokens(a, model, prompt, &c, &text, &ids, &n, &err);
    if (!status && n == 0) status = err_set(&err, NB_ERR_ARGUMENT, "the prompt is empty");
    if (!status) status = context_open(model, &a->context, 0, &context, &err);
    if (!status) status = nb_sequence_new(context, &c.sequence, &err);
    if (!status) status = generate(a, model, &c, text, ids, n, &options, &result, &err);
    int code = status ? cli_error(&err) : finish_run(a, context, &result);
    nb_free(text);
    nb_free(ids);
    conversation_free(&c);
    nb_context_free(context);
    sampling_free(&a->answer.sampling);
    template_free(&a->template);
    return code;
}

static int run_main(const command *self, int argc, char **argv) {
    run_args a = {0};
    sampling_init(&a.answer.sampling);
    const opt table[] = {
        {.kind = OPT_TITLE, .help = "The prompt"},
        {"system", 's', OPT_STRING, &a.system, "TEXT", "system message", 0, 0},
        {"raw", 0, OPT_FLAG, &a.raw, NULL, "continue the prompt as it is, without the chat template", 0, 0},
        ANSWER_OPTS(a.answer),
        CONTEXT_OPTS(a.context),
        TEMPLATE_OPTS(a.template),
        REPLY_OPTS(a.reply),
    };
    const char *words[3];
    int code = opts_parse(self, table, OPT_COUNT(table), argc, argv, words, 1, 2);
    if (code >= 0) return code;
    if (a.raw && (a.system || a.template.tools_file || a.template.extra || a.template.think || a.template.no_think))
        return cli_usage(self->name,
                         "--raw has no chat template that could use --system, --tools, --think or --template-args");
    if (a.reply.show && a.reply.hide)
        return cli_usage(self->name, "--show-reasoning and --hide-reasoning exclude each other");

    nb_model *model = NULL;
    buf prompt = {0};
    nb_error err = {0};
    code = read_prompt(words[1], &prompt, &err) ? cli_error(&err) : model_open(words[0], &model);
    if (code == CLI_OK) code = answer(&a, model, &prompt);
    nb_model_free(model);
    buf_free(&prompt);
    return code;
}

const command cmd_run = {
    .name = "run",
    .usage = "MODEL [PROMPT]",
    .summary = "answer one prompt",
    .text = "Answers PROMPT, or what standard input holds if there is no PROMPT or it is \"-\". The answer appears on "
            "standard output as it is made.",
    .run = run_main,
};
