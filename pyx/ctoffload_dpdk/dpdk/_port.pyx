"""A port as its user sees it: what it receives and how, link, statistics, hairpin, packets."""
import numpy as np

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.dpdk._burst cimport receive, transmit
from ctoffload_dpdk.dpdk._check cimport fits
from ctoffload_dpdk.dpdk._device cimport Device
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk._flow_async cimport AsyncDevice
from ctoffload_dpdk.dpdk._mempool cimport Mempool
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    RTE_ETH_LINK_FULL_DUPLEX,
    RTE_ETH_LINK_UP,
    RTE_ETH_MAX_HAIRPIN_PEERS,
    RTE_ETH_SPEED_NUM_UNKNOWN,
    RTE_MAX_ETHPORTS,
    rte_eth_allmulticast_disable,
    rte_eth_allmulticast_enable,
    rte_eth_allmulticast_get,
    rte_eth_dev_fw_version_get,
    rte_eth_dev_get_mtu,
    rte_eth_dev_hairpin_capability_get,
    rte_eth_dev_info,
    rte_eth_dev_info_get,
    rte_eth_dev_rss_hash_conf_get,
    rte_eth_dev_rss_hash_update,
    rte_eth_dev_rss_reta_query,
    rte_eth_dev_rss_reta_update,
    rte_eth_dev_set_link_down,
    rte_eth_dev_set_link_up,
    rte_eth_dev_set_mtu,
    rte_eth_hairpin_bind,
    rte_eth_hairpin_cap,
    rte_eth_hairpin_conf,
    rte_eth_hairpin_get_peer_ports,
    rte_eth_hairpin_unbind,
    rte_eth_link,
    rte_eth_link_get_nowait,
    rte_eth_promiscuous_disable,
    rte_eth_promiscuous_enable,
    rte_eth_promiscuous_get,
    rte_eth_rss_conf,
    rte_eth_rss_reta_entry64,
    rte_eth_rx_hairpin_queue_setup,
    rte_eth_stats,
    rte_eth_stats_get,
    rte_eth_stats_reset,
    rte_eth_tx_hairpin_queue_setup,
    rte_eth_xstat,
    rte_eth_xstat_name,
    rte_eth_xstats_get,
    rte_eth_xstats_get_names,
    rte_eth_xstats_reset,
)
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_error, rte_flow_pick_transfer_proxy
from libc.stdlib cimport calloc, free

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk._device import USUAL_KEY_BYTES, find_port
from ctoffload_dpdk.dpdk._events import subscribe
from ctoffload_dpdk.dpdk.types import HairpinCapability, Link, PortStats, Rss

# Entries of a redirection table per group, and bytes of the longest hash key of any driver.
cdef enum:
    RETA_GROUP = 64
    RSS_KEY_MAX = 255


cdef class Port(AsyncDevice):
    """A DPDK port. Made by `Eal.port(id, name or devargs)`, owned by the Eal; owns its rules and subscriptions.

    configure, set the queues up, start, use, stop, close. Each method names the DPDK call whose errors it raises as
    PortError or FlowError; a closed port raises ClosedError. UsageError: a wrong argument, or a port that runs where it
    has to be stopped (configure, queues, sizes) or the other way round (bursts). Templates and flow queues need
    configure_flow() first, else UsageError, and a driver that has them, else FlowError EOPNOTSUPP.
    """

    @staticmethod
    def open(Eal eal not None, which):
        """Opens the port with this id, name ("net_ring0") or device arguments ("0000:03:00.0"). One object per port.

        PortError ENODEV where there is none, UsageError where it is open already or device arguments name several.
        """
        cdef Port self = Port.__new__(Port)
        self.attach(eal, find_port(eal, which))
        return self

    # What it receives -----------------------------------------------------------------------------------------------

    @property
    def is_promiscuous(self):
        """Receives every packet, not only its own. Source: rte_eth_promiscuous_get()."""
        self.require_open()
        return self.check(rte_eth_promiscuous_get(self.id), "rte_eth_promiscuous_get") == 1

    def set_promiscuous(self, bint on=True):
        """Receives every packet, or only its own. Source: rte_eth_promiscuous_enable(), _disable()."""
        cdef int rc
        self.require_open()
        with nogil:
            rc = rte_eth_promiscuous_enable(self.id) if on else rte_eth_promiscuous_disable(self.id)
        self.check(rc, "rte_eth_promiscuous_enable" if on else "rte_eth_promiscuous_disable")

    @property
    def is_allmulticast(self):
        """Receives every multicast packet. Source: rte_eth_allmulticast_get()."""
        self.require_open()
        return self.check(rte_eth_allmulticast_get(self.id), "rte_eth_allmulticast_get") == 1

    def set_allmulticast(self, bint on=True):
        """Receives every multicast packet, or only its own. Source: rte_eth_allmulticast_enable(), _disable()."""
        cdef int rc
        self.require_open()
        with nogil:
            rc = rte_eth_allmulticast_enable(self.id) if on else rte_eth_allmulticast_disable(self.id)
        self.check(rc, "rte_eth_allmulticast_enable" if on else "rte_eth_allmulticast_disable")

    @property
    def mtu(self):
        """Bytes of the largest layer 3 packet. Source: rte_eth_dev_get_mtu()."""
        cdef uint16_t mtu = 0
        self.require_open()
        self.check(rte_eth_dev_get_mtu(self.id, &mtu), "rte_eth_dev_get_mtu")
        return mtu

    def set_mtu(self, mtu):
        """Changes the MTU, 1 to 65535 bytes; many drivers want the port stopped. Source: rte_eth_dev_set_mtu()."""
        cdef uint16_t n_bytes = fits(mtu, "mtu", 0xffff, 1)
        cdef int rc
        self.require_open()
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_dev_set_mtu(self.id, n_bytes)
        self.check(rc, "rte_eth_dev_set_mtu", mark)

    def rss(self):
        """What RSS hashes, and its key, as Rss. Source: rte_eth_dev_rss_hash_conf_get()."""
        cdef rte_eth_rss_conf conf
        cdef uint8_t key[RSS_KEY_MAX]
        self.require_open()
        memset(&conf, 0, sizeof(conf))
        memset(key, 0, sizeof(key))
        n_key = self.info().hash_key_bytes or USUAL_KEY_BYTES
        conf.rss_key, conf.rss_key_len = key, n_key
        self.check(rte_eth_dev_rss_hash_conf_get(self.id, &conf), "rte_eth_dev_rss_hash_conf_get")
        return Rss(conf.rss_hf, bytes(key[:n_key]))

    def set_rss(self, types, bytes key=None):
        """Changes what RSS hashes (RTE_ETH_RSS_* bits), and its key (None keeps it).

        UsageError for a key of other than info().hash_key_bytes bytes, 40 where that is 0.
        Source: rte_eth_dev_rss_hash_update().
        """
        cdef rte_eth_rss_conf conf
        self.require_open()
        memset(&conf, 0, sizeof(conf))
        conf.rss_hf = fits(types, "types", 0xffffffffffffffff)
        if key is not None:
            conf.rss_key, conf.rss_key_len = <uint8_t *> <const char *> key, self.key_length(key)
        mark = self.eal.log_mark()
        self.check(rte_eth_dev_rss_hash_update(self.id, &conf), "rte_eth_dev_rss_hash_update", mark)

    def reta(self):
        """The redirection table, the queue of each hash, as uint16[info().reta_size]. UsageError where there is none.

        Source: rte_eth_dev_rss_reta_query().
        """
        cdef rte_eth_rss_reta_entry64 entries[1024]
        self.require_open()
        size = self.require_reta()
        memset(entries, 0xff, sizeof(entries))
        self.check(rte_eth_dev_rss_reta_query(self.id, entries, size), "rte_eth_dev_rss_reta_query")
        return np.array([entries[i // RETA_GROUP].reta[i % RETA_GROUP] for i in range(size)], np.uint16)

    def set_reta(self, queues):
        """Replaces the redirection table; queues: info().reta_size numbers, else UsageError, and where there is none.

        Source: rte_eth_dev_rss_reta_update().
        """
        cdef rte_eth_rss_reta_entry64 entries[1024]
        self.require_open()
        size = self.require_reta()
        if len(queues) != size:
            raise UsageError(f"{self.label()}: its redirection table has {size} entries, not {len(queues)}")
        memset(entries, 0xff, sizeof(entries))
        for i, queue in enumerate(queues):
            entries[i // RETA_GROUP].reta[i % RETA_GROUP] = fits(queue, "a queue of the table", 0xffff)
        mark = self.eal.log_mark()
        self.check(rte_eth_dev_rss_reta_update(self.id, entries, size), "rte_eth_dev_rss_reta_update", mark)

    def require_reta(self):
        """Entries of the redirection table; UsageError where there is none."""
        size = self.info().reta_size
        if not 0 < size <= 1024 * RETA_GROUP:
            raise UsageError(f"{self.label()} has no redirection table")
        return size

    # Events ---------------------------------------------------------------------------------------------------------

    def on_event(self, event, callback, *, bint thread=True):
        """Calls callback(port id, event) when the driver reports this Event; returns a Subscription.

        On a thread of the binding's own, or with thread=False where `Subscription.deliver` is called. The callback may
        call anything; UsageError where it cannot be called. Source: rte_eth_dev_callback_register().
        """
        return subscribe(self, self.id, event, callback, thread)

    def firmware(self):
        """The NIC's firmware version in its driver's words; empty where it does not tell. Source: rte_eth_dev_fw_version_get()."""
        cdef char text[256]
        self.require_open()
        memset(text, 0, sizeof(text))
        if rte_eth_dev_fw_version_get(self.id, text, sizeof(text)):
            return ""
        return text.decode(errors="replace")

    # Link and statistics --------------------------------------------------------------------------------------------

    def link(self):
        """Up or down, and how fast, as Link, without waiting. Source: rte_eth_link_get_nowait()."""
        cdef rte_eth_link link
        self.require_open()
        memset(&link, 0, sizeof(link))
        self.check(rte_eth_link_get_nowait(self.id, &link), "rte_eth_link_get_nowait")
        speed = None if link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN else link.link_speed
        return Link(link.link_status == RTE_ETH_LINK_UP, speed, link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX)

    def set_link(self, bint up):
        """Takes the link up or down. Source: rte_eth_dev_set_link_up(), _down()."""
        self.require_open()
        if up:
            self.check(rte_eth_dev_set_link_up(self.id), "rte_eth_dev_set_link_up")
        else:
            self.check(rte_eth_dev_set_link_down(self.id), "rte_eth_dev_set_link_down")

    def stats(self):
        """Counters of the port as PortStats. Source: rte_eth_stats_get()."""
        cdef rte_eth_stats stats
        cdef int rc
        self.require_open()
        memset(&stats, 0, sizeof(stats))
        with nogil:
            rc = rte_eth_stats_get(self.id, &stats)
        self.check(rc, "rte_eth_stats_get")
        return PortStats(
            rx_packets=stats.ipackets,
            tx_packets=stats.opackets,
            rx_bytes=stats.ibytes,
            tx_bytes=stats.obytes,
            rx_missed=stats.imissed,
            rx_errors=stats.ierrors,
            tx_errors=stats.oerrors,
            rx_no_mbuf=stats.rx_nombuf,
        )

    def reset_stats(self):
        """Counters start at 0 again. Source: rte_eth_stats_reset(), rte_eth_xstats_reset()."""
        self.require_open()
        self.check(rte_eth_stats_reset(self.id), "rte_eth_stats_reset")
        self.check(rte_eth_xstats_reset(self.id), "rte_eth_xstats_reset")

    def xstats(self):
        """Every counter the driver has, by its name. Source: rte_eth_xstats_get()."""
        cdef int n, rc
        cdef rte_eth_xstat *values
        cdef rte_eth_xstat_name *names
        self.require_open()
        n = self.check(rte_eth_xstats_get_names(self.id, NULL, 0), "rte_eth_xstats_get_names")
        values = <rte_eth_xstat *> calloc(n + 1, sizeof(rte_eth_xstat))
        names = <rte_eth_xstat_name *> calloc(n + 1, sizeof(rte_eth_xstat_name))
        try:
            if values == NULL or names == NULL:
                raise MemoryError
            self.check(rte_eth_xstats_get_names(self.id, names, n), "rte_eth_xstats_get_names")
            with nogil:
                rc = rte_eth_xstats_get(self.id, values, n)
            rc = min(self.check(rc, "rte_eth_xstats_get"), n)
            return {names[values[i].id].name.decode(): values[i].value for i in range(rc)}
        finally:
            free(values)
            free(names)

    # Switch and hairpin ---------------------------------------------------------------------------------------------

    def transfer_proxy(self):
        """The id of the port on which transfer rules of this port are made. Source: rte_flow_pick_transfer_proxy()."""
        cdef uint16_t proxy = 0
        cdef rte_flow_error error
        cdef int rc
        self.require_open()
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_pick_transfer_proxy(self.id, &proxy, &error)
        self.check_flow(rc, "rte_flow_pick_transfer_proxy", &error)
        return proxy

    def hairpin_capability(self):
        """As HairpinCapability; PortError ENOTSUP without. Source: rte_eth_dev_hairpin_capability_get()."""
        cdef rte_eth_hairpin_cap cap
        self.require_open()
        memset(&cap, 0, sizeof(cap))
        self.check(rte_eth_dev_hairpin_capability_get(self.id, &cap), "rte_eth_dev_hairpin_capability_get")
        return HairpinCapability(cap.max_nb_queues, cap.max_rx_2_tx, cap.max_tx_2_rx, cap.max_nb_desc)

    def setup_hairpin_rx(self, queue, peers, *, descriptors=0, bint manual_bind=False, bint tx_explicit=False):
        """A receive queue that the NIC sends on by itself; peers: [(port id, tx queue)], 1 to 32.

        descriptors: 0 means the most that the driver takes; manual_bind: joined by bind_hairpin(), not by start();
        tx_explicit: rules for what leaves are the caller's. Source: rte_eth_rx_hairpin_queue_setup().
        """
        cdef rte_eth_hairpin_conf conf
        cdef uint16_t number = fits(queue, "queue", 0xffff)
        cdef uint16_t n_descriptors = fits(descriptors, "descriptors", 0xffff)
        self.require_stopped("changed")
        fill_hairpin(&conf, peers, manual_bind, tx_explicit)
        mark = self.eal.log_mark()
        self.check(rte_eth_rx_hairpin_queue_setup(self.id, number, n_descriptors, &conf),
                   "rte_eth_rx_hairpin_queue_setup", mark)
        self.rx_ready[number] = True

    def setup_hairpin_tx(self, queue, peers, *, descriptors=0, bint manual_bind=False, bint tx_explicit=False):
        """The other half: peers: [(port id, rx queue)], the rest as of setup_hairpin_rx.

        Source: rte_eth_tx_hairpin_queue_setup().
        """
        cdef rte_eth_hairpin_conf conf
        cdef uint16_t number = fits(queue, "queue", 0xffff)
        cdef uint16_t n_descriptors = fits(descriptors, "descriptors", 0xffff)
        self.require_stopped("changed")
        fill_hairpin(&conf, peers, manual_bind, tx_explicit)
        mark = self.eal.log_mark()
        self.check(rte_eth_tx_hairpin_queue_setup(self.id, number, n_descriptors, &conf),
                   "rte_eth_tx_hairpin_queue_setup", mark)
        self.tx_ready[number] = True

    def bind_hairpin(self, rx_port=RTE_MAX_ETHPORTS):
        """Joins its hairpin tx queues with the rx queues of rx_port, or of all. Source: rte_eth_hairpin_bind()."""
        self.require_open()
        mark = self.eal.log_mark()
        self.check(rte_eth_hairpin_bind(self.id, fits(rx_port, "rx_port", RTE_MAX_ETHPORTS)), "rte_eth_hairpin_bind", mark)

    def unbind_hairpin(self, rx_port=RTE_MAX_ETHPORTS):
        """Separates them again. Source: rte_eth_hairpin_unbind()."""
        self.require_open()
        mark = self.eal.log_mark()
        self.check(rte_eth_hairpin_unbind(self.id, fits(rx_port, "rx_port", RTE_MAX_ETHPORTS)), "rte_eth_hairpin_unbind", mark)

    def hairpin_peers(self, *, bint as_tx=True):
        """Ids of the ports joined with this one as sender, or as receiver. Source: rte_eth_hairpin_get_peer_ports()."""
        cdef uint16_t peers[RTE_MAX_ETHPORTS]
        cdef int n
        self.require_open()
        n = rte_eth_hairpin_get_peer_ports(self.id, peers, RTE_MAX_ETHPORTS, 1 if as_tx else 0)
        self.check(n, "rte_eth_hairpin_get_peer_ports")
        return [peers[i] for i in range(n)]

    # Packets --------------------------------------------------------------------------------------------------------

    def rx_burst(self, int queue=0, int max_packets=64):
        """Receives up to max_packets, copied once, as a Burst: packets, flags and marks. One thread per queue.

        max_packets: 1024 are the most. Source: rte_eth_rx_burst().
        """
        self.require_queue(queue, self.n_rx_queues, self.rx_ready, "receive")
        self.enter()
        try:
            return receive(self.id, queue, max_packets)
        finally:
            self.leave()

    def tx_burst(self, packets, Mempool mempool not None, int queue=0):
        """Sends Packets, copied once into buffers of mempool; returns how many the port took. One thread per queue.

        PortError where none was sent for want of a buffer: EMSGSIZE, a packet is longer than one; ENOBUFS, the pool is
        empty.
        Source: rte_eth_tx_burst().
        """
        self.require_queue(queue, self.n_tx_queues, self.tx_ready, "transmit")
        mempool.require_open()
        self.enter()
        try:
            return transmit(self.id, queue, packets, mempool, self.label())
        finally:
            self.leave()

    def require_queue(self, queue, n_queues, ready, direction):
        """Raises UsageError unless the port runs and has this queue for software."""
        self.require_open()
        if not self.is_started:
            raise UsageError(f"{self.label()} does not run", hint="start the port first")
        if not 0 <= queue < n_queues:
            raise UsageError(f"{self.label()} has {n_queues} {direction} queues; there is no queue {queue}")
        if ready[queue]:
            raise UsageError(f"{self.label()}: {direction} queue {queue} is a hairpin, whose packets the NIC alone moves")


cdef int fill_hairpin(rte_eth_hairpin_conf *conf, peers, bint manual_bind, bint tx_explicit) except -1:
    memset(conf, 0, sizeof(conf[0]))
    if not 0 < len(peers) <= RTE_ETH_MAX_HAIRPIN_PEERS:
        raise UsageError(f"a hairpin queue has 1 to {RTE_ETH_MAX_HAIRPIN_PEERS} peers, not {len(peers)}")
    conf.peer_count, conf.manual_bind, conf.tx_explicit = len(peers), manual_bind, tx_explicit
    for i, (port_id, queue) in enumerate(peers):
        conf.peers[i].port = fits(port_id, "port id of a peer", RTE_MAX_ETHPORTS - 1)
        conf.peers[i].queue = fits(queue, "queue of a peer", 0xffff)
    return 0
