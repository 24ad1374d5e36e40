# The items of a rule, in C's form.
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_item

# Zeroed memory that lives as long as the object.
cdef class Block:
    cdef bytearray memory
    cdef char *at
    cdef size_t n_bytes
    cdef bint is_zero(self)

cdef Block block(size_t n_bytes)

cdef class Pattern:
    cdef rte_flow_item *items       # ends with END
    cdef list kept
    cdef list sizes                 # bytes of each item's spec
