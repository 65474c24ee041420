/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of formats, and which one a model has. Order and marks are mlx-lm's; a new format is a new row. */
#include <string.h>

#include "text/toolcall_impl.h"

static const tc_tags qwen3_coder = {.call_open = "<function=",
                                    .call_close = "</function>",
                                    .key_open = "<parameter=",
                                    .key_close = ">",
                                    .value_open = "",
                                    .value_close = "</parameter>",
                                    .keep_space = true,
                                    .null_always = true};

static const tc_tags minimax_m2 = {.call_open = "<invoke name=",
                                   .call_close = "</invoke>",
                                   .key_open = "<parameter name=",
                                   .key_close = ">",
                                   .value_open = "",
                                   .value_close = "</parameter>",
                                   .quoted = true,
                                   .null_always = true};

static const tc_tags glm47 = {.call_open = "",
                              .call_close = "",
                              .key_open = "<arg_key>",
                              .key_close = "</arg_key>",
                              .value_open = "<arg_value>",
                              .value_close = "</arg_value>",
                              .untyped_any = true};

static const tc_tags longcat = {.call_open = "",
                                .call_close = "",
                                .key_open = "<longcat_arg_key>",
                                .key_close = "</longcat_arg_key>",
                                .value_open = "<longcat_arg_value>",
                                .value_close = "</longcat_arg_value>",
                                .untyped_any = true};

static const tc_format formats[] = {
    {.name = "minimax_m2",
     .open = "<minimax:tool_call>",
     .close = "</minimax:tool_call>",
     .find = {"<minimax:tool_call>"},
     .byte = tc_tags_byte,
     .end = tc_tags_end,
     .tags = &minimax_m2},
    {.name = "gemma4",
     .open = "<|tool_call>",
     .close = "<tool_call|>",
     .find = {"<|tool_call>", "<tool_call|>"},
     .byte = tc_gemma_byte,
     .end = tc_gemma_end,
     .quote = "<|\"|>"},
    {.name = "function_gemma",
     .open = "<start_function_call>",
     .close = "<end_function_call>",
     .find = {"<start_function_call>"},
     .byte = tc_gemma_byte,
     .end = tc_gemma_end,
     .quote = "<escape>"},
    {.name = "longcat",
     .open = "<longcat_tool_call>",
     .close = "</longcat_tool_call>",
     .find = {"<longcat_tool_call>"},
     .byte = tc_tags_byte,
     .end = tc_tags_end,
     .tags = &longcat},
    {.name = "glm47",
     .open = "<tool_call>",
     .close = "</tool_call>",
     .find = {"<arg_key>"},
     .byte = tc_tags_byte,
     .end = tc_tags_end,
     .tags = &glm47},
    {.name = "pythonic",
     .open = "<|tool_call_start|>",
     .close = "<|tool_call_end|>",
     .find = {"<|tool_list_start|>", "<|tool_call_start|>"},
     .either = true,
     .byte = tc_pythonic_byte,
     .end = tc_pythonic_end},
    {.name = "qwen3_coder",
     .open = "<tool_call>",
     .close = "</tool_call>",
     /* With the newline itself, or as a template spells it in a string. */
     .find = {"<tool_call>\n<function=", "<tool_call>\\n<function="},
     .either = true,
     .byte = tc_tags_byte,
     .end = tc_tags_end,
     .tags = &qwen3_coder},
    {.name = "kimi_k2",
     .open = "<|tool_calls_section_begin|>",
     .close = "<|tool_calls_section_end|>",
     .find = {"<|tool_calls_section_begin|>"},
     .more = {"<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"},
     .byte = tc_kimi_byte,
     .end = tc_kimi_end},
    {.name = "mistral",
     .open = "[TOOL_CALLS]",
     .close = "",
     .find = {"[TOOL_CALLS]"},
     .more = {"[ARGS]", "[CALL_ID]"},
     .byte = tc_mistral_byte,
     .end = tc_mistral_end},
    {.name = "json_tools",
     .open = "<tool_call>",
     .close = "</tool_call>",
     .find = {"<tool_call>", "tool_call.name"},
     .byte = tc_json_tools_byte,
     .end = tc_json_tools_end},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static const tc_reasoning reasonings[] = {
    {"<think>", "</think>", {"<think>", "</think>"}},
    {"<longcat_think>", "</longcat_think>", {"<longcat_think>", "</longcat_think>"}},
    {"[THINK]", "[/THINK]", {"[THINK]", "[/THINK]"}},
    {"<|channel>thought", "<channel|>", {"<|channel>", "<channel|>"}},
};

const tc_format *tc_format_named(const char *name) {
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return strcmp(tc_harmony.name, name) == 0 ? &tc_harmony : NULL;
}

static bool written_in(const tc_format *f, const char *source) {
    bool first = strstr(source, f->find[0]) != NULL, second = f->find[1] && strstr(source, f->find[1]);
    return f->either || !f->find[1] ? first || second : first && second;
}

const tc_format *tc_format_of_template(const char *source) {
    for (size_t i = 0; i < N_FORMATS; i++)
        if (written_in(&formats[i], source)) return &formats[i];
    return written_in(&tc_harmony, source) ? &tc_harmony : NULL;
}

const char *tc_format_name(const tc_format *f) {
    return f->name;
}

bool tc_mark(const tc_format *f, const tc_reasoning *r, size_t i, const char **mark) {
    const char *marks[9];
    size_t n = 0;
    if (f) {
        marks[n++] = f->open;
        marks[n++] = f->close;
        if (f->quote) marks[n++] = f->quote;
        for (size_t k = 0; k < 4 && f->more[k]; k++) marks[n++] = f->more[k];
    }
    if (r) {
        marks[n++] = r->open;
        marks[n++] = r->close;
    }
    if (i >= n) return false;
    *mark = marks[i];
    return true;
}

const tc_reasoning *tc_reasoning_at(size_t i) {
    return i < sizeof reasonings / sizeof reasonings[0] ? &reasonings[i] : NULL;
}
