"""A pool of packet buffers."""
import itertools

from libc.stdint cimport uint16_t

from ctoffload_dpdk.dpdk._check cimport check_port, fits, last_error
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_mbuf cimport (
    RTE_PKTMBUF_HEADROOM,
    rte_mempool,
    rte_mempool_avail_count,
    rte_mempool_free,
    rte_mempool_in_use_count,
    rte_pktmbuf_data_room_size,
    rte_pktmbuf_pool_create,
)

from ctoffload_dpdk.base.errors import UsageError

names = itertools.count()

cdef int ANY_SOCKET = -1


cdef class Mempool(Owned):
    """Packet buffers for receive queues and transmission. Made by `Eal.mempool`, owned by the Eal."""

    def __init__(self):
        raise UsageError("Mempool is made by Eal.mempool(n_mbufs)")

    @staticmethod
    def create(Eal eal not None, n_mbufs, *, data_bytes=2048, cache_size=256, int socket_id=ANY_SOCKET, str name=""):
        """Makes n_mbufs buffers of data_bytes each (headroom comes on top), on any socket by default.

        cache_size: buffers kept per registered thread, at most n_mbufs / 1.5. socket_id: of NUMA, -1 for any.
        Raises PortError without memory, UsageError for no buffers or other than 1 to 65407 bytes.
        Source: rte_pktmbuf_pool_create().
        """
        cdef Mempool self = Mempool.__new__(Mempool)
        cdef rte_mempool *pool
        cdef bytes encoded
        cdef const char *pointer
        cdef unsigned int n = fits(n_mbufs, "n_mbufs", 0x7fffffff, 1)
        cdef uint16_t room = fits(data_bytes, "data_bytes", 0xffff - RTE_PKTMBUF_HEADROOM, 1) + RTE_PKTMBUF_HEADROOM
        cdef unsigned int kept = min(fits(cache_size, "cache_size", 0x7fffffff), n * 2 // 3)
        eal.require_open()
        self.name = name or f"ctoffload_{next(names)}"
        self.eal = eal
        self.users = []
        encoded = self.name.encode()
        pointer = encoded
        mark = eal.log_mark()
        with nogil:
            pool = rte_pktmbuf_pool_create(pointer, n, kept, 0, room, socket_id)
        if pool == NULL:
            check_port(last_error(), "rte_pktmbuf_pool_create", f"mempool {self.name} ({n_mbufs} x {data_bytes} bytes)",
                       eal.log_errors(mark))
        self.pool = pool
        self.owned_by(eal)
        return self

    cdef str label(self):
        return f"mempool {self.name}"

    cdef void use(self, str user):
        self.users.append(user)

    cdef void unuse(self, str user):
        if user in self.users:
            self.users.remove(user)

    def close(self):
        """Frees the pool. UsageError while a queue of an open port takes buffers from it, or a port may have some that
        it was given to send.
        """
        from ctoffload_dpdk.dpdk._port import Port

        if self.is_closed:
            return
        if self.users:
            raise UsageError(f"{self.label()} is used by {', '.join(self.users)}", hint="close the ports first")
        ports = self.eal.living(Port) if self.n_in_use else []
        if ports:
            raise UsageError(f"{self.n_in_use} buffers of {self.label()} are under way",
                             hint=f"receive what was sent, or close the ports first: {', '.join(map(str, ports))}")
        Owned.close(self)

    cdef int release(self) except -1:
        with nogil:
            rte_mempool_free(self.pool)
        self.pool = NULL
        return 0

    @property
    def size(self):
        """Buffers in all."""
        self.require_open()
        return self.pool.size

    @property
    def data_bytes(self):
        """Bytes a buffer takes, headroom not counted."""
        self.require_open()
        return rte_pktmbuf_data_room_size(self.pool) - RTE_PKTMBUF_HEADROOM

    @property
    def n_available(self):
        """Free buffers; exact only while nobody takes or gives any. Source: rte_mempool_avail_count()."""
        self.require_open()
        return rte_mempool_avail_count(self.pool)

    @property
    def n_in_use(self):
        """Buffers out of the pool: in queues or lost. Source: rte_mempool_in_use_count()."""
        self.require_open()
        return rte_mempool_in_use_count(self.pool)
