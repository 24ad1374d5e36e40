"""Bursts of packets between queues and Python's arrays, with one copy."""
import numpy as np

from libc.errno cimport EMSGSIZE, ENOBUFS
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ctoffload_dpdk.dpdk._check cimport check_port
from ctoffload_dpdk.dpdk._mempool cimport Mempool
from ctoffload_dpdk.dpdk.librte_ethdev cimport rte_eth_rx_burst, rte_eth_tx_burst
from ctoffload_dpdk.dpdk.librte_mbuf cimport (
    RTE_MBUF_F_RX_FDIR_ID,
    dpdk_mbuf_meta,
    rte_mbuf,
    rte_mempool,
    rte_pktmbuf_alloc,
    rte_pktmbuf_append,
    rte_pktmbuf_free,
    rte_pktmbuf_free_bulk,
    rte_pktmbuf_mtod,
    rte_pktmbuf_tailroom,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk.burst import Burst

cdef enum:
    MAX_BURST = 1024    # packets one call receives at most
    PART = 32           # packets a driver is asked for or given at once


cdef object receive(uint16_t port_id, uint16_t queue, int max_packets):
    """Up to max_packets from a queue: their bytes in one array, flags and marks beside it."""
    cdef rte_mbuf *mbufs[MAX_BURST]
    cdef int n = 0
    cdef int got
    cdef uint64_t n_bytes = 0
    if max_packets < 0:
        raise UsageError(f"max_packets is {max_packets}; it is 0 or more")
    cdef int most = min(max_packets, MAX_BURST)
    with nogil:
        while n < most:
            got = rte_eth_rx_burst(port_id, queue, mbufs + n, <uint16_t> min(PART, most - n))
            if got == 0:
                break
            n += got
        for got in range(n):
            n_bytes += mbufs[got].pkt_len
    try:
        return to_burst(mbufs, n, n_bytes)
    finally:
        with nogil:
            rte_pktmbuf_free_bulk(mbufs, n)


cdef object to_burst(rte_mbuf **mbufs, int n, uint64_t n_bytes):
    data, offset, length = np.empty(n_bytes, np.uint8), np.empty(n, np.uint64), np.empty(n, np.uint32)
    flags, mark, has_mark = np.empty(n, np.uint64), np.empty(n, np.uint32), np.empty(n, np.bool_)
    meta, port = np.empty(n, np.uint32), np.empty(n, np.uint16)
    if n:
        copy_out(mbufs, n, data, offset, length, flags, mark, has_mark.view(np.uint8), meta, port)
    return Burst(Packets(data, offset, length), flags, mark, has_mark, meta, port)


cdef int copy_out(rte_mbuf **mbufs, int n, uint8_t[::1] data, uint64_t[::1] offset, uint32_t[::1] length,
                  uint64_t[::1] flags, uint32_t[::1] mark, uint8_t[::1] has_mark, uint32_t[::1] meta,
                  uint16_t[::1] port) except -1:
    cdef rte_mbuf *m
    cdef rte_mbuf *segment
    cdef uint64_t at = 0
    cdef int i
    with nogil:
        for i in range(n):
            m = mbufs[i]
            offset[i], length[i], flags[i], port[i] = at, m.pkt_len, m.ol_flags, m.port
            has_mark[i] = (m.ol_flags & RTE_MBUF_F_RX_FDIR_ID) != 0
            mark[i] = m.hash.fdir.hi if has_mark[i] else 0
            meta[i] = dpdk_mbuf_meta(m)
            segment = m
            while segment != NULL:
                # An empty array has no address, but an empty segment copies nothing either.
                if segment.data_len:
                    memcpy(&data[at], rte_pktmbuf_mtod(segment), segment.data_len)
                at += segment.data_len
                segment = segment.next
    return 0


cdef int transmit(uint16_t port_id, uint16_t queue, object packets, Mempool mempool, str label) except -1:
    """Sends packets until the port takes no more; returns how many it took."""
    cdef const uint8_t[::1] data = packets.data
    cdef const uint64_t[::1] offset = packets.offset
    cdef const uint32_t[::1] length = packets.length
    cdef rte_mbuf *mbufs[PART]
    cdef int n_all = len(offset)
    cdef int n_sent = 0
    cdef int n_ready = 0
    cdef int sent = 0
    cdef int failed = 0
    with nogil:
        while n_sent < n_all:
            n_ready = 0
            while n_ready < PART and n_sent + n_ready < n_all:
                failed = copy_in(mempool.pool, &mbufs[n_ready], data, offset[n_sent + n_ready],
                                 length[n_sent + n_ready])
                if failed:
                    break
                n_ready += 1
            sent = rte_eth_tx_burst(port_id, queue, mbufs, n_ready)
            if sent < n_ready:
                rte_pktmbuf_free_bulk(mbufs + sent, n_ready - sent)
            n_sent += sent
            if failed or sent < n_ready:
                break
    # Where the packets before it found no room in the port, that is not this packet's fault.
    if failed and n_sent + n_ready == 0:
        check_port(-failed, "rte_eth_tx_burst", label, "", no_buffer(failed, mempool, packets))
    return n_sent


cdef int copy_in(rte_mempool *pool, rte_mbuf **out, const uint8_t[::1] data, uint64_t offset,
                 uint32_t length) noexcept nogil:
    """One packet in one buffer; a positive errno where that cannot be."""
    cdef rte_mbuf *m = rte_pktmbuf_alloc(pool)
    if m == NULL:
        return ENOBUFS
    if length > rte_pktmbuf_tailroom(m):
        rte_pktmbuf_free(m)
        return EMSGSIZE
    if length:
        memcpy(rte_pktmbuf_append(m, length), &data[offset], length)
    out[0] = m
    return 0


cdef str no_buffer(int error, Mempool mempool, packets):
    if error == EMSGSIZE:
        return f"a packet has {int(packets.length[0])} bytes, a buffer {mempool.data_bytes}; use larger buffers"
    return f"{mempool.label()} has no free buffer; use more buffers, or receive what was sent"
