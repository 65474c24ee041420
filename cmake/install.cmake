# SPDX-License-Identifier: Apache-2.0
#
# What `make install` puts where: command, both libraries, header, pkg-config file, man page, completion, licence.
if(TARGET PkgConfig::ZSTD)
  set(nb_pc_zstd " libzstd")
endif()
configure_file(cmake/nibble.pc.in nibble.pc @ONLY)
install(TARGETS nibble_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS nibble_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/nibble.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/nibble.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET nibble_cli)
  install(TARGETS nibble_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/nibble.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
  install(FILES docs/nibble.bash-completion DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME nibble OPTIONAL)
endif()
