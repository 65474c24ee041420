# SPDX-License-Identifier: Apache-2.0
#
# Finishes PTX: what C cannot say about kernels.
# - Kernels get registers as `bounds` says: the first of its entries NAMES:THREADS:BLOCKS whose names match.
# - Launches may overlap on sm_90 and later (kernels/gpu.h, previous_done). A kernel lets the next one begin at once, and
#   waits for the one before where its source says so, or first of all. The instructions are comments, which module.c
#   makes valid on devices that have them.
BEGIN { n_bounds = split(bounds, all, " ") }
function flush_entry(    i, waits) {
    for (i = 0; i < n; i++) waits = waits || lines[i] ~ /griddepcontrol\.wait/
    for (i = 0; i < n; i++) {
        if (!begun && i > body && lines[i] ~ /^\t[a-z@{]/) {
            print "\t//sm_90 griddepcontrol.launch_dependents;"
            if (!waits) print "\t//sm_90 griddepcontrol.wait;"
            begun = 1
        }
        print lines[i]
    }
    n = begun = inside = 0
}
/^\.visible \.entry|\.entry / {
    inside = 1
    bound = ""
    for (i = 1; i <= n_bounds && bound == ""; i++) {
        split(all[i], of, ":")
        if ($0 ~ ("entry " of[1] "[(]")) bound = ".maxntid " of[2] ", 1, 1\n.minnctapersm " of[3]
    }
}
!inside { print; next }
/^{/ {
    if (bound != "") lines[n++] = bound
    body = n
}
{ lines[n++] = $0 }
/^}/ { flush_entry() }
