# SPDX-License-Identifier: Apache-2.0
#
# Every C file is formatted as .clang-format wants it (`make format` makes it so).
exec "$NB_SOURCE_DIR/tools/format.sh"
