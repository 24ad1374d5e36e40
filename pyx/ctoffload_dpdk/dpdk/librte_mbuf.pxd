# rte_mbuf.h and rte_mempool.h as DPDK declares them; the C compiler lays the structs out.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "rte_mempool.h" nogil:
    struct rte_mempool:
        uint32_t size
        uint32_t cache_size
        int socket_id
    void rte_mempool_free(rte_mempool *mp)
    unsigned int rte_mempool_avail_count(const rte_mempool *mp)
    unsigned int rte_mempool_in_use_count(const rte_mempool *mp)
    rte_mempool *rte_mempool_lookup(const char *name)


cdef extern from "rte_mbuf.h" nogil:
    enum:
        RTE_PKTMBUF_HEADROOM
        RTE_MBUF_DEFAULT_DATAROOM
        RTE_MBUF_DEFAULT_BUF_SIZE

    # ol_flags of received packets
    const uint64_t RTE_MBUF_F_RX_VLAN
    const uint64_t RTE_MBUF_F_RX_VLAN_STRIPPED
    const uint64_t RTE_MBUF_F_RX_QINQ
    const uint64_t RTE_MBUF_F_RX_QINQ_STRIPPED
    const uint64_t RTE_MBUF_F_RX_RSS_HASH
    const uint64_t RTE_MBUF_F_RX_FDIR
    const uint64_t RTE_MBUF_F_RX_FDIR_ID
    const uint64_t RTE_MBUF_F_RX_FDIR_FLX
    const uint64_t RTE_MBUF_F_RX_IP_CKSUM_MASK
    const uint64_t RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN
    const uint64_t RTE_MBUF_F_RX_IP_CKSUM_BAD
    const uint64_t RTE_MBUF_F_RX_IP_CKSUM_GOOD
    const uint64_t RTE_MBUF_F_RX_IP_CKSUM_NONE
    const uint64_t RTE_MBUF_F_RX_L4_CKSUM_MASK
    const uint64_t RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN
    const uint64_t RTE_MBUF_F_RX_L4_CKSUM_BAD
    const uint64_t RTE_MBUF_F_RX_L4_CKSUM_GOOD
    const uint64_t RTE_MBUF_F_RX_L4_CKSUM_NONE
    const uint64_t RTE_MBUF_F_RX_OUTER_IP_CKSUM_BAD
    const uint64_t RTE_MBUF_F_RX_LRO
    # ol_flags of packets to transmit
    const uint64_t RTE_MBUF_F_TX_IP_CKSUM
    const uint64_t RTE_MBUF_F_TX_IPV4
    const uint64_t RTE_MBUF_F_TX_IPV6
    const uint64_t RTE_MBUF_F_TX_L4_MASK
    const uint64_t RTE_MBUF_F_TX_TCP_CKSUM
    const uint64_t RTE_MBUF_F_TX_UDP_CKSUM
    const uint64_t RTE_MBUF_F_TX_TCP_SEG
    const uint64_t RTE_MBUF_F_TX_VLAN

    # hash.fdir.hi is the mark of a rule where ol_flags has RTE_MBUF_F_RX_FDIR_ID.
    ctypedef struct dpdk_mbuf_fdir:
        uint32_t lo
        uint32_t hi
    ctypedef struct dpdk_mbuf_hash:
        uint32_t rss
        dpdk_mbuf_fdir fdir

    struct rte_mbuf:
        void *buf_addr
        uint16_t data_off
        uint16_t refcnt
        uint16_t nb_segs
        uint16_t port
        uint64_t ol_flags
        uint32_t packet_type
        uint32_t pkt_len
        uint16_t data_len
        uint16_t vlan_tci
        uint16_t vlan_tci_outer
        uint16_t buf_len
        dpdk_mbuf_hash hash
        rte_mempool *pool
        rte_mbuf *next
        uint64_t l2_len
        uint64_t l3_len
        uint64_t l4_len

    rte_mempool *rte_pktmbuf_pool_create(const char *name, unsigned int n, unsigned int cache_size, uint16_t priv_size,
                                         uint16_t data_room_size, int socket_id)
    rte_mbuf *rte_pktmbuf_alloc(rte_mempool *mp)
    int rte_pktmbuf_alloc_bulk(rte_mempool *pool, rte_mbuf **mbufs, unsigned int count)
    void rte_pktmbuf_free(rte_mbuf *m)
    void rte_pktmbuf_free_bulk(rte_mbuf **mbufs, unsigned int count)
    void rte_pktmbuf_free_seg(rte_mbuf *m)
    void rte_pktmbuf_reset(rte_mbuf *m)
    uint16_t rte_pktmbuf_headroom(const rte_mbuf *m)
    uint16_t rte_pktmbuf_tailroom(const rte_mbuf *m)
    uint16_t rte_pktmbuf_data_room_size(rte_mempool *mp)
    char *rte_pktmbuf_append(rte_mbuf *m, uint16_t n_bytes)
    char *rte_pktmbuf_prepend(rte_mbuf *m, uint16_t n_bytes)
    char *rte_pktmbuf_adj(rte_mbuf *m, uint16_t n_bytes)
    int rte_pktmbuf_trim(rte_mbuf *m, uint16_t n_bytes)
    int rte_pktmbuf_is_contiguous(const rte_mbuf *m)
    int rte_pktmbuf_linearize(rte_mbuf *m)
    int rte_pktmbuf_chain(rte_mbuf *head, rte_mbuf *tail)
    const void *rte_pktmbuf_read(const rte_mbuf *m, uint32_t off, uint32_t n_bytes, void *buf)


cdef extern from "dpdk_compat.h" nogil:
    uint8_t *rte_pktmbuf_mtod "dpdk_pktmbuf_mtod"(const rte_mbuf *m)
    # The META value of a packet, 0 where the driver delivers none.
    uint32_t dpdk_mbuf_meta(rte_mbuf *m)
