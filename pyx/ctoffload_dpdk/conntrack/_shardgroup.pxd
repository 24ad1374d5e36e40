from ctoffload_dpdk.conntrack._group cimport Group
from ctoffload_dpdk.conntrack._state cimport Shard


cdef class ShardGroup:
    """Python's view of it is in _shardgroup.pyi."""
    cdef Group *group
    cdef readonly int n
    cdef int add(self, Shard *shard) except -1
