/* SPDX-License-Identifier: Apache-2.0
 *
 * The command `nibble`: finds the subcommand and runs it. COMMANDS is the only list of subcommands; --help, the
 * suggestions for misspelled ones and the shell completion read the table made from it. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/opts.h"

/* In the order of --help. One line and one file cmd_NAME.c make a subcommand. */
#define COMMANDS(X)                                                                                                    \
    X(run)                                                                                                             \
    X(chat)                                                                                                            \
    X(list)                                                                                                            \
    X(import)                                                                                                          \
    X(quantize)                                                                                                        \
    X(dequantize)                                                                                                      \
    X(inspect)                                                                                                         \
    X(devices)                                                                                                         \
    X(verify)                                                                                                          \
    X(bench)                                                                                                           \
    X(perplexity)                                                                                                      \
    X(tokenize)                                                                                                        \
    X(template)                                                                                                        \
    X(logits)

#define DECLARE(name) extern const command cmd_##name;
COMMANDS(DECLARE)
#define ROW(name) &cmd_##name,
static const command *const commands[] = {COMMANDS(ROW)};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const command *find_command(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static void print_help(FILE *to) {
    fprintf(to, "nibble runs MLX-format language models.\n\nUsage: nibble COMMAND [ARGUMENTS]\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nA MODEL is a directory, a name from `nibble list`, or org/name in the Hugging Face cache.\n"
                "`nibble COMMAND --help` explains a command, `man nibble` all of them. For example:\n\n"
                "  nibble run MODEL \"What is 2+2?\"\n"
                "  nibble chat MODEL\n");
}

static int unknown_command(const char *name) {
    const char *names[N_COMMANDS + 2] = {"--help", "--version"};
    for (size_t i = 0; i < N_COMMANDS; i++) names[i + 2] = commands[i]->name;
    const char *near = cli_nearest(name, names, N_COMMANDS + 2);
    const char *what = name[0] == '-' ? "option" : "command";
    if (near) return cli_usage(NULL, "unknown %s \"%s\"; did you mean \"%s\"?", what, name, near);
    return cli_usage(NULL, "unknown %s \"%s\"", what, name);
}

/* `nibble --complete` prints the subcommands' names for the shell completion (`nibble COMMAND --complete` prints that
 * command's options, see opts.c). */
static int complete(void) {
    for (size_t i = 0; i < N_COMMANDS; i++) out_printf("%s\n", commands[i]->name);
    return out_finish(CLI_OK);
}

static int help_command(int argc, char **argv) {
    if (argc < 2) {
        print_help(stdout);
        return out_finish(CLI_OK);
    }
    const command *c = find_command(argv[1]);
    if (!c) return unknown_command(argv[1]);
    char option[] = "--help";
    char *help[] = {argv[1], option, NULL};
    return c->run(c, 2, help);
}

static void show_log(void *user, nb_log_level level, const char *line) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)user;
    cli_note("%s: %s", names[level], line);
}

/* NIBBLE_LOG chooses how much the library tells; warnings if it is not set. */
static void start_log(void) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    const char *wanted = getenv("NIBBLE_LOG");
    nb_log_level level = NB_LOG_WARN;
    for (size_t i = 0; wanted && i < 4; i++)
        if (!strcmp(wanted, names[i])) level = (nb_log_level)i;
    nb_log_set(show_log, NULL, level);
}

/* Where this program lies, for the check of kernels in a fresh process of it. */
static void tell_command(void) {
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    setenv("NIBBLE_COMMAND", path, 0);
}

int main(int argc, char **argv) {
    /* Characters, for line editing; numbers stay in the C locale's form. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    start_log();
    tell_command();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
        return help_command(argc - 1, argv + 1);
    if (!strcmp(name, "--version")) {
        out_printf("nibble %s\n", nb_version());
        return out_finish(CLI_OK);
    }
    if (!strcmp(name, "--complete")) return complete();
    const command *c = find_command(name);
    if (!c) return unknown_command(name);
    signals_install();
    int code = c->run(c, argc - 1, argv + 1);
    progress_clear();
    cleanup_run();
    return out_finish(code);
}
