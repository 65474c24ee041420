# SPDX-License-Identifier: Apache-2.0
#
# Finishes PTX: what C cannot say about kernels.
# - Kernels whose names match `two_blocks` get registers for two blocks of 256 threads on a processor, those that match
#   `one_block` for one of 512.
# - Launches may overlap on sm_90 and later (kernels/gpu.h, previous_done). A kernel lets the next one begin at once, and
#   waits for the one before where its source says so, or first of all. The instructions are comments, which module.c
#   makes valid on devices that have them.
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
    large = one_block != "" && $0 ~ ("entry " one_block "[(]")
    bounded = two_blocks != "" && $0 ~ ("entry " two_blocks "[(]")
}
!inside { print; next }
/^{/ {
    if (bounded) lines[n++] = ".maxntid 256, 1, 1\n.minnctapersm 2"
    if (large) lines[n++] = ".maxntid 512, 1, 1\n.minnctapersm 1"
    body = n
}
{ lines[n++] = $0 }
/^}/ { flush_entry() }
