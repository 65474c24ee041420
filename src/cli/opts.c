/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing of option tables, and the help made from them. */
#include "cli/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Help ------------------------------------------------------------------------------------------------------ */

void help_wrap(const char *text, int column, int indent) {
    enum { WIDTH = 80 };
    while (*text) {
        if (*text == '\n') {
            out_printf("\n%*s", indent, "");
            column = indent;
            text++;
            continue;
        }
        size_t n = strcspn(text, " \n");
        if (column > indent && column + 1 + (int)n > WIDTH) {
            out_printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            out_write(" ", 1);
            column++;
        }
        out_write(text, n);
        column += (int)n;
        text += n;
        while (*text == ' ') text++;
    }
    out_write("\n", 1);
}

static void print_option(const opt *o) {
    enum { COLUMN = 30 };
    char left[80];
    int n = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? ", " : "  ", o->name, o->value ? " " : "", o->value ? o->value : "");
    if (n >= COLUMN)
        out_printf("%s\n%*s", left, COLUMN, "");
    else
        out_printf("%-*s", COLUMN, left);
    help_wrap(o->help, COLUMN, COLUMN);
}

static void print_help(const command *self, const opt *table, size_t n) {
    out_printf("Usage: nibble %s %s%s[OPTIONS]\n\n", self->name, self->usage, self->usage[0] ? " " : "");
    help_wrap(self->text, 0, 0);
    if (n == 0 || table[0].kind != OPT_TITLE) out_printf("\nOptions:\n");
    for (size_t i = 0; i < n; i++) {
        if (table[i].kind == OPT_TITLE)
            out_printf("\n%s:\n", table[i].help);
        else
            print_option(&table[i]);
    }
    static const opt help = {.name = "help", .letter = 'h', .help = "print this text"};
    out_write("\n", 1);
    print_option(&help);
}

/* For the shell completion: a line "--name" for each option, "--name VALUE" where a value follows. */
static void print_words(const opt *table, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (table[i].kind != OPT_TITLE)
            out_printf("--%s%s%s\n", table[i].name, table[i].value ? " " : "", table[i].value ? table[i].value : "");
    out_printf("--help\n");
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

static int bad_value(const command *self, const opt *o, const char *text, const char *expected) {
    return cli_usage(self->name, "--%s: \"%s\" is not %s", o->name, text, expected);
}

static int parse_int(const command *self, const opt *o, const char *text) {
    char *end, expected[80];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->min, o->max);
    if (end == text || *end || errno || (double)value < o->min || (double)value > o->max)
        return bad_value(self, o, text, expected);
    *(int64_t *)o->to = value;
    return -1;
}

static int parse_real(const command *self, const opt *o, const char *text) {
    char *end, expected[80];
    double value = strtod(text, &end);
    snprintf(expected, sizeof expected, "a number from %g to %g", o->min, o->max);
    if (end == text || *end || !(value >= o->min && value <= o->max)) return bad_value(self, o, text, expected);
    *(double *)o->to = value;
    return -1;
}

static int parse_seed(const command *self, const opt *o, const char *text) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno)
        return bad_value(self, o, text, "a whole number from 0 to 2^64 - 1");
    *(opt_seed *)o->to = (opt_seed){value, true};
    return -1;
}

static int parse_choice(const command *self, const opt *o, const char *text) {
    size_t n = strlen(text);
    int64_t place = (int64_t)o->min;
    for (const char *word = o->value;; word++, place++) {
        size_t length = strcspn(word, "|");
        if (length == n && !memcmp(word, text, n)) {
            *(int64_t *)o->to = place;
            return -1;
        }
        word += length;
        if (!*word) break;
    }
    char expected[120];
    snprintf(expected, sizeof expected, "one of %s", o->value);
    return bad_value(self, o, text, expected);
}

static int parse_value(const command *self, const opt *o, const char *text) {
    switch (o->kind) {
    case OPT_INT:
        return parse_int(self, o, text);
    case OPT_REAL:
        return parse_real(self, o, text);
    case OPT_SEED:
        return parse_seed(self, o, text);
    case OPT_CHOICE:
        return parse_choice(self, o, text);
    case OPT_LIST: {
        opt_list *list = o->to;
        if (list->n == OPT_LIST_MAX) return cli_usage(self->name, "--%s: more than %d of them", o->name, OPT_LIST_MAX);
        list->items[list->n++] = text;
        return -1;
    }
    case OPT_STRING:
        *(const char **)o->to = text;
        return -1;
    case OPT_FLAG:
    case OPT_TITLE:
        break;
    }
    return -1;
}

/* ---- The words of the command line ----------------------------------------------------------------------------- */

static int unknown_option(const command *self, const opt *table, size_t n, const char *name, size_t length) {
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < n && count < 128; i++)
        if (table[i].kind != OPT_TITLE) names[count++] = table[i].name;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *near = cli_nearest(word, names, count);
    if (near) return cli_usage(self->name, "unknown option --%.*s; did you mean --%s?", (int)length, name, near);
    return cli_usage(self->name, "unknown option --%.*s", (int)length, name);
}

static const opt *find_long(const opt *table, size_t n, const char *name, size_t length) {
    for (size_t i = 0; i < n; i++)
        if (table[i].kind != OPT_TITLE && strlen(table[i].name) == length && !memcmp(table[i].name, name, length))
            return &table[i];
    return NULL;
}

static const opt *find_letter(const opt *table, size_t n, char letter) {
    for (size_t i = 0; i < n; i++)
        if (table[i].kind != OPT_TITLE && table[i].letter == letter) return &table[i];
    return NULL;
}

/* One option at argv[*i], whose value may be in the same word or in the next. */
static int parse_option(const command *self, const opt *table, size_t n, int argc, char **argv, int *i) {
    const char *word = argv[*i], *value = NULL;
    const opt *o;
    if (word[1] == '-') {
        const char *name = word + 2;
        size_t length = strcspn(name, "=");
        o = find_long(table, n, name, length);
        if (!o) return unknown_option(self, table, n, name, length);
        if (name[length]) value = name + length + 1;
    } else {
        o = find_letter(table, n, word[1]);
        if (!o) return cli_usage(self->name, "unknown option -%c", word[1]);
        if (word[2]) value = word + 2;
    }
    if (o->kind == OPT_FLAG) {
        if (value) return cli_usage(self->name, "--%s takes no value", o->name);
        *(bool *)o->to = true;
        return -1;
    }
    if (!value) {
        if (*i + 1 >= argc) return cli_usage(self->name, "--%s needs a value (%s)", o->name, o->value);
        value = argv[++*i];
    }
    return parse_value(self, o, value);
}

int opts_parse(const command *self, const opt *table, size_t n, int argc, char **argv, const char **words,
               int min_words, int max_words) {
    int n_words = 0;
    bool only_words = false;
    for (int i = 0; i <= max_words; i++) words[i] = NULL;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || !word[1]) {
            if (n_words == max_words) return cli_usage(self->name, "unexpected argument \"%s\"", word);
            words[n_words++] = word;
        } else if (!strcmp(word, "--")) {
            only_words = true;
        } else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            print_help(self, table, n);
            return CLI_OK;
        } else if (!strcmp(word, "--complete")) {
            print_words(table, n);
            return CLI_OK;
        } else {
            int code = parse_option(self, table, n, argc, argv, &i);
            if (code >= 0) return code;
        }
    }
    if (n_words < min_words) return cli_usage(self->name, "missing arguments: expected %s", self->usage);
    return -1;
}
