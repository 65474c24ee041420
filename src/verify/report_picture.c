/* SPDX-License-Identifier: Apache-2.0
 *
 * The picture of a finding: the error over the output matrix as an SVG, tokens downwards and columns to the right.
 * Cells of the same colour are merged into rectangles, so that a page of many findings stays small. */
#include "verify/report_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/num.h"

/* What a cell looks like. From `beyond` on each is worse than the one before. */
typedef enum colour {
    NOT_LOOKED_AT,
    ALLOWED,
    BEYOND_1,
    BEYOND_10,
    BEYOND_100,
    BEYOND_10000,
    NOT_A_NUMBER,
    COLOURS
} colour;

static const struct {
    const char *css, *meaning;
} colours[COLOURS] = {
    [NOT_LOOKED_AT] = {"none", "not looked at"},
    [ALLOWED] = {"in", "as it should be (within the allowed error)"},
    [BEYOND_1] = {"b1", "1 to 10 times the allowed error"},
    [BEYOND_10] = {"b2", "10 to 100 times"},
    [BEYOND_100] = {"b3", "100 to 10,000 times"},
    [BEYOND_10000] = {"b4", "more"},
    [NOT_A_NUMBER] = {"nan", "not a number, infinite or never written"},
};

static colour colour_of(float share) {
    if (share < 0) return NOT_LOOKED_AT;
    if (!isfinite(share)) return NOT_A_NUMBER;
    return share <= 1      ? ALLOWED
           : share <= 10   ? BEYOND_1
           : share <= 100  ? BEYOND_10
           : share <= 1e4f ? BEYOND_100
                           : BEYOND_10000;
}

/* The picture's measures, in pixels. */
typedef struct layout {
    int rows, cols; /* cells */
    int cell_width, cell_height;
    int left, top; /* of the first cell */
} layout;

static int clamp(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

static layout layout_of(const finding *f) {
    layout l = {.rows = f->grid_rows, .cols = f->grid_cols, .left = 74, .top = 6};
    l.cell_width = clamp(720 / l.cols, 15, 48);
    l.cell_height = clamp(330 / l.rows, 12, 30);
    return l;
}

/* The first of n elements that cell i of `cells` stands for. */
static int64_t first_of(int i, int cells, int64_t n) {
    return div_up(i * n, cells);
}

/* "tokens 3 to 5" */
static void put_range(buf *out, const char *noun, int begin, int end, int cells, int64_t n) {
    const int64_t first = first_of(begin, cells, n), last = max_i64(first, first_of(end, cells, n) - 1);
    buf_printf(out, "%s%s ", noun, first == last ? "" : "s");
    report_put_count(out, first);
    if (first < last) buf_puts(out, " to "), report_put_count(out, last);
}

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

typedef struct area {
    int row, col, end_row, end_col;
    colour colour;
    float largest;
} area;

static colour cell_colour(const finding *f, int row, int col) {
    return colour_of(f->grid[row * f->grid_cols + col]);
}

static bool is_run(const finding *f, const bool *done, int row, const area *a) {
    for (int col = a->col; col < a->end_col; col++)
        if (done[row * f->grid_cols + col] || cell_colour(f, row, col) != a->colour) return false;
    return true;
}

/* The largest rectangle of one colour that goes right, then down from a cell; marks it as done. */
static area grow(const finding *f, bool *done, int row, int col) {
    area a = {row, col, row + 1, col + 1, cell_colour(f, row, col), 0};
    while (a.end_col < f->grid_cols && !done[row * f->grid_cols + a.end_col] &&
           cell_colour(f, row, a.end_col) == a.colour)
        a.end_col++;
    while (a.end_row < f->grid_rows && is_run(f, done, a.end_row, &a)) a.end_row++;
    for (int i = a.row; i < a.end_row; i++) {
        for (int j = a.col; j < a.end_col; j++) {
            done[i * f->grid_cols + j] = true;
            a.largest = fmaxf(a.largest, f->grid[i * f->grid_cols + j]);
        }
    }
    return a;
}

static void put_area(const finding *f, const layout *l, const area *a, buf *out) {
    buf_printf(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"><title>", colours[a->colour].css,
               l->left + a->col * l->cell_width, l->top + a->row * l->cell_height,
               (a->end_col - a->col) * l->cell_width, (a->end_row - a->row) * l->cell_height);
    put_range(out, "token", a->row, a->end_row, l->rows, f->rows);
    buf_puts(out, ", ");
    put_range(out, "column", a->col, a->end_col, l->cols, f->cols);
    buf_puts(out, ": ");
    if (a->colour == NOT_LOOKED_AT || a->colour == NOT_A_NUMBER) {
        buf_puts(out, colours[a->colour].meaning);
    } else {
        buf_puts(out, "at most ");
        report_put_share(out, (double)a->largest);
        buf_puts(out, " of the allowed error");
    }
    buf_puts(out, "</title></rect>\n");
}

/* A ring around the cell of the worst element. */
static void put_worst(const finding *f, const layout *l, buf *out) {
    if (f->n_wrong <= 0 || f->row < 0 || f->row >= f->rows || f->col < 0 || f->col >= f->cols) return;
    const int row = (int)(f->row * l->rows / f->rows), col = (int)(f->col * l->cols / f->cols);
    const int x = l->left + col * l->cell_width + l->cell_width / 2;
    const int y = l->top + row * l->cell_height + l->cell_height / 2;
    const int r = (l->cell_width < l->cell_height ? l->cell_width : l->cell_height) / 2 - 2;
    for (int i = 0; i < 2; i++) {
        buf_printf(out, "<circle class=\"%s\" cx=\"%d\" cy=\"%d\" r=\"%d\">", i ? "ring" : "halo", x, y, r);
        buf_puts(out, "<title>the worst element: token ");
        report_put_count(out, f->row);
        buf_puts(out, ", column ");
        report_put_count(out, f->col);
        buf_puts(out, "</title></circle>\n");
    }
}

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

/* Every how many elements a label fits, if n elements take so many pixels and a label has `room`: a power of two, as
 * tiles and groups are. */
static int64_t label_step(int64_t n, int pixels, int room) {
    int64_t step = 1;
    while (step < n && (double)step * pixels / (double)n < room) step *= 2;
    return step;
}

/* Where an element begins; where each has a cell of its own, its middle. */
static int label_at(int64_t i, int64_t n, int cells, int cell_size) {
    const double at = (double)i * cells * cell_size / (double)n;
    return (int)at + (n <= cells ? cell_size / 2 : 0);
}

static void put_row_labels(const finding *f, const layout *l, buf *out) {
    const int height = l->rows * l->cell_height, middle = l->top + height / 2;
    const int64_t step = label_step(f->rows, height, 22);
    for (int64_t i = 0; i < f->rows; i += step) {
        const int y = l->top + label_at(i, f->rows, l->rows, l->cell_height);
        buf_printf(out, "<path class=\"axis\" d=\"M%d %dh-4\"></path>", l->left - 1, y);
        buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", l->left - 8, y + 4);
        report_put_count(out, i);
        buf_puts(out, "</text>\n");
    }
    if (height < 48) /* no room to write upwards */
        buf_printf(out, "<text class=\"name\" x=\"2\" y=\"%d\">token</text>\n", middle + 4);
    else
        buf_printf(out,
                   "<text class=\"name\" x=\"14\" y=\"%d\" text-anchor=\"middle\" "
                   "transform=\"rotate(-90 14 %d)\">tokens</text>\n",
                   middle, middle);
}

static void put_col_labels(const finding *f, const layout *l, buf *out) {
    const int width = l->cols * l->cell_width, y = l->top + l->rows * l->cell_height;
    const int64_t step = label_step(f->cols, width, 56);
    for (int64_t i = 0; i < f->cols; i += step) {
        const int x = l->left + label_at(i, f->cols, l->cols, l->cell_width);
        buf_printf(out, "<path class=\"axis\" d=\"M%d %dv4\"></path>", x, y + 1);
        buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", x, y + 17);
        report_put_count(out, i);
        buf_puts(out, "</text>\n");
    }
    buf_printf(out, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">columns</text>\n",
               l->left + width / 2, y + 36);
}

/* ---- The picture ------------------------------------------------------------------------------------------------- */

void report_put_picture_style(buf *out) {
    buf_puts(out, "svg.picture{max-width:100%;height:auto;display:block}\n"
                  "svg.picture rect{shape-rendering:crispEdges}\n"
                  "svg.picture text{font-size:12px;fill:var(--dim)}\n"
                  "svg.picture text.name{fill:var(--text)}\n"
                  ".axis{stroke:var(--dim);fill:none}.frame{stroke:var(--dim);fill:none}\n"
                  ".halo{stroke:#fff;stroke-width:4;fill:none}.ring{stroke:#0b57d0;stroke-width:2;fill:none}\n"
                  ".in{fill:#dfe9e3}.b1{fill:#fdcc8a}.b2{fill:#fc8d59}.b3{fill:#e0402a}.b4{fill:#950012}\n"
                  ".nan{fill:#000}.none{fill:url(#hatch)}\n"
                  ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.4rem 0;list-style:none;"
                  "font-size:.85rem;color:var(--dim)}\n"
                  ".legend svg{vertical-align:-2px;margin-right:.35rem;width:14px;height:14px}\n");
}

void report_put_picture_defs(buf *out) {
    buf_puts(out, "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>"
                  "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
                  "patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#c9cdd1\"></rect>"
                  "<rect width=\"2\" height=\"6\" fill=\"#9aa1a8\"></rect></pattern></defs></svg>\n");
}

void report_put_picture_legend(buf *out) {
    buf_puts(out, "<ul class=\"legend\">");
    for (int i = 0; i < COLOURS; i++) {
        const int at = (i + 1) % COLOURS; /* what was not looked at comes last */
        buf_printf(out,
                   "<li><svg viewBox=\"0 0 14 14\"><rect class=\"%s\" width=\"14\" height=\"14\"></rect></svg>%s</li>",
                   colours[at].css, colours[at].meaning);
    }
    buf_puts(out, "<li><svg viewBox=\"0 0 14 14\"><circle class=\"halo\" cx=\"7\" cy=\"7\" r=\"5\"></circle>"
                  "<circle class=\"ring\" cx=\"7\" cy=\"7\" r=\"5\"></circle></svg>the worst element</li></ul>\n");
}

void report_put_picture(const finding *f, buf *out) {
    const layout l = layout_of(f);
    const int width = l.left + l.cols * l.cell_width + 30, height = l.top + l.rows * l.cell_height + 44;
    bool done[FINDING_GRID * FINDING_GRID] = {false};
    buf_printf(out,
               "<svg class=\"picture\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"error over the output\">\n",
               width, height, width, height);
    for (int row = 0; row < l.rows; row++) {
        for (int col = 0; col < l.cols; col++) {
            if (done[row * l.cols + col]) continue;
            const area a = grow(f, done, row, col);
            put_area(f, &l, &a, out);
        }
    }
    buf_printf(out, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"></rect>\n", l.left, l.top,
               l.cols * l.cell_width, l.rows * l.cell_height);
    put_worst(f, &l, out);
    put_row_labels(f, &l, out);
    put_col_labels(f, &l, out);
    buf_puts(out, "</svg>\n");
}
