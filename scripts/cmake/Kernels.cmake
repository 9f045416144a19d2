# Kernels: every src/kernel/*_isa.c is compiled once for each instruction set and chosen at run time, so that one
# binary is fast everywhere and no build is tied to the machine it was made on.
file(GLOB GRIDMF_KERNEL_SOURCES CONFIGURE_DEPENDS src/kernel/*.c)
set(GRIDMF_ISA_SOURCES ${GRIDMF_KERNEL_SOURCES})
list(FILTER GRIDMF_ISA_SOURCES INCLUDE REGEX "_isa\\.c$")
set(GRIDMF_AMX_SOURCES ${GRIDMF_KERNEL_SOURCES})
list(FILTER GRIDMF_AMX_SOURCES INCLUDE REGEX "_amx\\.c$")
list(FILTER GRIDMF_KERNEL_SOURCES EXCLUDE REGEX "_(isa|amx)\\.c$")

set(isa_generic_flags "")
set(isa_generic_floats 4)
set(isa_names generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND isa_names avx2 avx512)
  set(isa_avx2_flags -mavx2 -mfma)
  set(isa_avx2_floats 8)
  set(isa_avx512_flags -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  set(isa_avx512_floats 16)
endif()

# Consumers see the kernels' objects of every instruction set through this one target.
add_library(gridmf_kernel OBJECT ${GRIDMF_KERNEL_SOURCES})
target_link_libraries(gridmf_kernel PRIVATE gridmf_flags OpenMP::OpenMP_C)
set_target_properties(gridmf_kernel PROPERTIES POSITION_INDEPENDENT_CODE ON)
if("avx2" IN_LIST isa_names)
  target_compile_definitions(gridmf_flags INTERFACE GMF_HAVE_X86_KERNELS)
endif()
# Compiles kernels for an instruction set. Debug builds keep their kernels quick: they are tested against plain
# references, not stepped through. gcc fuses a * b + c only when told to, where -std=c11 asks for the standard.
function(add_kernels isa)
  add_library(gridmf_kernel_${isa} OBJECT ${ARGN})
  target_link_libraries(gridmf_kernel_${isa} PRIVATE gridmf_flags)
  target_compile_options(gridmf_kernel_${isa} PRIVATE ${isa_${isa}_flags} -O3 -fno-math-errno -ffp-contract=fast)
  set_target_properties(gridmf_kernel_${isa} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_sources(gridmf_kernel INTERFACE $<TARGET_OBJECTS:gridmf_kernel_${isa}>)
endfunction()

foreach(isa IN LISTS isa_names)
  add_kernels(${isa} ${GRIDMF_ISA_SOURCES})
  target_compile_definitions(gridmf_kernel_${isa} PRIVATE GMF_ISA=${isa} GMF_VECTOR_FLOATS=${isa_${isa}_floats})
endforeach()
if("avx512" IN_LIST isa_names) # sources named *_amx.c: AVX-512 and the matrix unit beside it
  set(isa_amx_flags ${isa_avx512_flags} -mamx-tile -mamx-bf16)
  add_kernels(amx ${GRIDMF_AMX_SOURCES})
endif()
