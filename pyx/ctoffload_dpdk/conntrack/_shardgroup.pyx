# cython: annotation_typing=False
# An argument of type int would be cut from a float before it can be checked.
"""What several trackers have in common, so that together they are one."""

import errno
import os

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole

from ctoffload_dpdk.conntrack._group cimport MAX_MEMBERS, group_free, group_new
from ctoffload_dpdk.conntrack._key cimport Seed


cdef class ShardGroup:
    """Common to the n shards that are made with it: limits, expected connections, and the rings by which they hand over.

    Each has a number of its own below n. Kept alive by its shards. Raises UsageError EINVAL unless n is 1 to 32.
    """

    def __cinit__(self, n: int):
        cdef bytes seed = os.urandom(sizeof(Seed))
        self.n = whole(n, 1, MAX_MEMBERS, "ShardGroup: n")
        self.group = group_new(n)
        if self.group == NULL:
            raise MemoryError
        memcpy(&self.group.seed, <const uint8_t *> seed, sizeof(Seed))

    def __dealloc__(self):
        group_free(self.group)

    cdef int add(self, Shard *shard) except -1:
        if shard.number >= self.group.n or self.group.shards[shard.number] != NULL:
            raise UsageError(f"ShardGroup: shard {shard.number} is there already, or not below {self.n}", errno=errno.EEXIST)
        self.group.shards[shard.number] = shard
        return 0
