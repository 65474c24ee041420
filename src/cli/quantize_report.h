/* SPDX-License-Identifier: Apache-2.0
 *
 * What quantizing did to a model: the error of each tensor, and the perplexity of a text before and after. */
#ifndef NB_CLI_QUANTIZE_REPORT_H
#define NB_CLI_QUANTIZE_REPORT_H

/* Prints the report of model `to`, which was made from `from`; text may be NULL. Returns a cli_exit. */
int quantize_report(const char *from, const char *to, const char *text, int n_threads);

#endif
