"""A port as a device: which one it is, its set-up, its life."""
import threading

from libc.errno cimport ENODEV, EOPNOTSUPP
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.dpdk._check cimport check_port, fits
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk._mempool cimport Mempool
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_eal cimport (
    dpdk_devargs_text,
    rte_bus_name,
    rte_dev_bus,
    rte_dev_devargs,
    rte_dev_iterator,
    rte_dev_remove,
    rte_device,
)
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP,
    RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP,
    RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE,
    RTE_ETH_DEV_INTR_RMV,
    RTE_ETH_DEV_REPRESENTOR,
    RTE_ETH_DEV_SWITCH_DOMAIN_ID_INVALID,
    RTE_ETH_MQ_RX_RSS,
    RTE_ETH_NAME_MAX_LEN,
    RTE_MAX_ETHPORTS,
    rte_eth_conf,
    rte_eth_dev_adjust_nb_rx_tx_desc,
    rte_eth_dev_close,
    rte_eth_dev_configure,
    rte_eth_dev_get_name_by_port,
    rte_eth_dev_get_port_by_name,
    rte_eth_dev_info,
    rte_eth_dev_info_get,
    rte_eth_dev_is_removed,
    rte_eth_dev_is_valid_port,
    rte_eth_dev_reset,
    rte_eth_dev_socket_id,
    rte_eth_dev_start,
    rte_eth_dev_stop,
    rte_eth_iterator_init,
    rte_eth_iterator_next,
    rte_eth_macaddr_get,
    rte_eth_rx_metadata_negotiate,
    rte_eth_rx_queue_setup,
    rte_eth_tx_queue_setup,
)
from ctoffload_dpdk.dpdk.librte_flow cimport rte_ether_addr

from ctoffload_dpdk.base.errors import PortError, UsageError
from ctoffload_dpdk.dpdk.types import Descriptors, PortInfo, RxMetadata

# Of an RSS key, where the driver does not say.
USUAL_KEY_BYTES = 40
BITS_64 = (1 << 64) - 1


cdef class Device(Owned):
    """What `Port` is made of: identity, configuration, queues, start to close."""

    def __init__(self):
        raise UsageError("Port is made by Eal.port(id, name or devargs)")

    cdef int attach(self, Eal eal, uint16_t port_id) except -1:
        cdef Device other
        for other in eal.living(Device):
            if other.id == port_id:
                raise UsageError(f"{other.label()} is open already", hint="use that object, or close it first")
        self.id = port_id
        self.eal = eal
        self.pools, self.rx_ready, self.tx_ready = {}, {}, {}
        self.flow_lock = threading.Lock()
        self.tell_name()
        self.owned_by(eal)
        return 0

    cdef int tell_name(self) except -1:
        cdef char name[RTE_ETH_NAME_MAX_LEN]
        cdef rte_eth_dev_info info
        check_port(rte_eth_dev_get_name_by_port(self.id, name), "rte_eth_dev_get_name_by_port", f"port {self.id}")
        check_port(rte_eth_dev_info_get(self.id, &info), "rte_eth_dev_info_get", f"port {self.id}")
        self.name = name.decode()
        self.driver = "" if info.driver_name == NULL else info.driver_name.decode()
        self.keeps_rules = (info.dev_capa & RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP) != 0
        return 0

    cdef str label(self):
        return f"port {self.id} ({self.driver})"

    cdef int check(self, int rc, str op, object mark=None) except -1:
        """check_port with what DPDK logged since the mark; the log is asked only on failure."""
        if rc >= 0:
            return rc
        return check_port(rc, op, self.label(), "" if mark is None else self.eal.log_errors(mark))

    cdef int enter(self) except -1:
        self.require_open()
        self.n_busy += 1
        return 0

    cdef void leave(self) noexcept:
        self.n_busy -= 1

    cdef void lose_rules(self):
        self.rules_epoch += 1

    cdef int before_stop(self) except -1:
        """What a subclass has to take out of the port while it still runs."""
        return 0

    def info(self):
        """What the port is and can do, as PortInfo. Source: rte_eth_dev_info_get()."""
        cdef rte_eth_dev_info info
        cdef rte_ether_addr mac
        self.require_open()
        self.check(rte_eth_dev_info_get(self.id, &info), "rte_eth_dev_info_get")
        self.check(rte_eth_macaddr_get(self.id, &mac), "rte_eth_macaddr_get")
        return port_info(self, &info, &mac)

    @property
    def is_removed(self):
        """True where the device has vanished (hot-unplugged, VF taken away). Source: rte_eth_dev_is_removed()."""
        self.require_open()
        return rte_eth_dev_is_removed(self.id) != 0

    def configure(self, *, rx_queues=1, tx_queues=1, mtu=0, rss_types=None, bytes rss_key=None, rx_offloads=0,
                  tx_offloads=0, rx_metadata=RxMetadata.NONE, bint link_events=False, bint removal_events=False):
        """Sets the number of queues (hairpin queues included) and what holds for all of them; the port must be stopped.

        mtu: bytes, 0 for the default; rss_types: RTE_ETH_RSS_* bits, None for no RSS; rx_metadata: what is asked for,
        the answer is what the driver delivers, which the first time settles for good. Queues set up before are gone.
        removal_events: drivers tell that the device was pulled out only where they were asked to, and those that never
        do (PortInfo.tells_removal) refuse. Raises PortError; UsageError for what does not fit DPDK's members, and for a
        key of another length than the driver's.
        Source: rte_eth_rx_metadata_negotiate(), rte_eth_dev_configure().
        """
        cdef rte_eth_conf conf
        cdef uint16_t n_rx = fits(rx_queues, "rx_queues", 0xffff)
        cdef uint16_t n_tx = fits(tx_queues, "tx_queues", 0xffff)
        cdef int rc
        self.require_stopped("configured")
        memset(&conf, 0, sizeof(conf))
        conf.rxmode.mtu = fits(mtu, "mtu", 0xffff)
        conf.rxmode.offloads = fits(rx_offloads, "rx_offloads", BITS_64)
        conf.txmode.offloads = fits(tx_offloads, "tx_offloads", BITS_64)
        conf.intr_conf.lsc = link_events
        conf.intr_conf.rmv = removal_events
        if rss_types is not None:
            conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS
            conf.rx_adv_conf.rss_conf.rss_hf = fits(rss_types, "rss_types", BITS_64)
        if rss_key is not None:
            conf.rx_adv_conf.rss_conf.rss_key = <uint8_t *> <const char *> rss_key
            conf.rx_adv_conf.rss_conf.rss_key_len = self.key_length(rss_key)
        delivered = self.deliver(rx_metadata)
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_dev_configure(self.id, n_rx, n_tx, &conf)
        self.check(rc, "rte_eth_dev_configure", mark)
        self.forget_pools()
        self.n_rx_queues, self.n_tx_queues = n_rx, n_tx
        self.rx_ready, self.tx_ready = {}, {}
        return delivered

    cdef uint8_t key_length(self, bytes key) except? 0:
        """Drivers read as many bytes as they want, and DPDK before 23.11 does not look whether there are so many."""
        wanted = self.info().hash_key_bytes or USUAL_KEY_BYTES
        if len(key) != wanted:
            raise UsageError(f"{self.label()}: its RSS key has {wanted} bytes, not {len(key)}")
        return wanted

    cdef object deliver(self, wanted):
        """What the driver delivers of what is wanted. DPDK lets it be asked before the port is first configured alone."""
        if not wanted:
            return RxMetadata.NONE
        if self.delivered is None:
            self.delivered = negotiate(self, wanted)
        return self.delivered & wanted

    def setup_rx_queue(self, queue, Mempool mempool not None, *, descriptors=0):
        """A receive queue that takes its buffers from mempool; descriptors 0 means the driver's choice, else adjusted.

        Source: rte_eth_rx_queue_setup().
        """
        cdef uint16_t number = fits(queue, "queue", 0xffff)
        cdef uint16_t n_rx = fits(descriptors, "descriptors", 0xffff)
        cdef uint16_t n_tx = 0
        cdef int rc
        self.require_stopped("changed")
        mempool.require_open()
        if n_rx:
            self.check(rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &n_rx, &n_tx), "rte_eth_dev_adjust_nb_rx_tx_desc")
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_rx_queue_setup(self.id, number, n_rx, rte_eth_dev_socket_id(self.id), NULL, mempool.pool)
        self.check(rc, "rte_eth_rx_queue_setup", mark)
        self.set_pool(number, mempool)
        self.rx_ready[number] = False

    def setup_tx_queue(self, queue, *, descriptors=0):
        """A transmit queue; descriptors as of setup_rx_queue. Source: rte_eth_tx_queue_setup()."""
        cdef uint16_t number = fits(queue, "queue", 0xffff)
        cdef uint16_t n_rx = 0
        cdef uint16_t n_tx = fits(descriptors, "descriptors", 0xffff)
        cdef int rc
        self.require_stopped("changed")
        if n_tx:
            self.check(rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &n_rx, &n_tx), "rte_eth_dev_adjust_nb_rx_tx_desc")
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_tx_queue_setup(self.id, number, n_tx, rte_eth_dev_socket_id(self.id), NULL)
        self.check(rc, "rte_eth_tx_queue_setup", mark)
        self.tx_ready[number] = False

    def setup_queues(self, Mempool mempool not None, *, descriptors=0):
        """Sets up every receive and transmit queue the port was configured with."""
        for queue in range(self.n_rx_queues):
            self.setup_rx_queue(queue, mempool, descriptors=descriptors)
        for queue in range(self.n_tx_queues):
            self.setup_tx_queue(queue, descriptors=descriptors)

    def start(self):
        """Packets flow and rules can be made from now on. UsageError while a queue was not set up.

        Source: rte_eth_dev_start().
        """
        cdef int rc
        self.require_open()
        self.require_queues("receive", self.n_rx_queues, self.rx_ready)
        self.require_queues("transmit", self.n_tx_queues, self.tx_ready)
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_dev_start(self.id)
        self.check(rc, "rte_eth_dev_start", mark)
        self.is_started = True

    def require_queues(self, direction, n_queues, ready):
        """Raises UsageError for queues that were not set up: some drivers start all the same, and crash at a burst."""
        missing = [queue for queue in range(n_queues) if queue not in ready]
        if missing:
            raise UsageError(f"{self.label()}: {direction} queue {missing[0]} was not set up",
                             hint="setup_queues(mempool) sets all of them up")

    def stop(self):
        """Takes all rules out, unless the driver keeps them, and stops; those rules are gone then (RuleGone).

        Source: rte_eth_dev_stop().
        """
        cdef int rc
        self.require_open()
        if not self.is_started:
            return
        if not self.keeps_rules:
            self.before_stop()
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_dev_stop(self.id)
        self.check(rc, "rte_eth_dev_stop", mark)
        self.is_started = False
        if not self.keeps_rules:
            self.lose_rules()

    def reset(self):
        """Stops and resets the device; it must be configured anew. PortError ENOTSUP from most drivers.

        Source: rte_eth_dev_reset().
        """
        cdef int rc
        self.require_open()
        self.stop()
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_eth_dev_reset(self.id)
        self.check(rc, "rte_eth_dev_reset", mark)
        self.lose_rules()
        self.forget_pools()

    def close(self):
        """Stops the port and gives it back to the driver, after its rules, indirect actions and subscriptions.

        UsageError while another thread is inside a burst of this port. Source: rte_eth_dev_close().
        """
        if self.n_busy and not self.is_closed:
            raise UsageError(f"{self.label()} is in use by {self.n_busy} thread(s)", hint="stop their loops first")
        Owned.close(self)

    def remove(self):
        """Closes the port and unplugs its device, whose other ports must be closed. Source: rte_dev_remove()."""
        cdef rte_eth_dev_info info
        cdef rte_device *device
        cdef int rc
        self.require_open()
        self.check(rte_eth_dev_info_get(self.id, &info), "rte_eth_dev_info_get")
        device = info.device
        self.close()
        mark = self.eal.log_mark()
        with nogil:
            rc = rte_dev_remove(device)
        self.check(rc, "rte_dev_remove", mark)

    cdef int release(self) except -1:
        cdef int rc
        error = None
        try:
            self.stop_for_close()
        except PortError as failure:
            error = failure
        with nogil:
            rc = rte_eth_dev_close(self.id)
        self.forget_pools()
        self.lose_rules()
        if rc != -ENODEV:                # pulled out: nothing is left to be closed
            self.check(rc, "rte_eth_dev_close")
        if error is not None:
            self.abandon()
            raise error
        return 0

    def stop_for_close(self):
        """stop, whether or not the device is still there."""
        if self.is_started and rte_eth_dev_is_valid_port(self.id):
            self.stop()

    def require_stopped(self, done):
        """Raises UsageError while the port runs."""
        self.require_open()
        if self.is_started:
            raise UsageError(f"{self.label()} runs and cannot be {done}", hint="stop the port first")

    cdef void set_pool(self, object queue, object pool):
        cdef Mempool old = self.pools.pop(queue, None)
        user = f"{self.label()} queue {queue}"
        if old is not None:
            old.unuse(user)
        if pool is not None:
            self.pools[queue] = pool
            (<Mempool> pool).use(user)

    def forget_pools(self):
        """The queues are gone, and with them the port's claim on their mempools."""
        for queue in list(self.pools):
            self.set_pool(queue, None)


def find_port(Eal eal, which):
    """The id of the port with this id, name or devargs. PortError where there is none, UsageError for several, and
    for what is neither a number nor a string."""
    cdef uint16_t port_id = 0
    cdef bytes text
    eal.require_open()
    if isinstance(which, int):
        if not 0 <= which < RTE_MAX_ETHPORTS or not rte_eth_dev_is_valid_port(which):
            raise no_such_port(eal, which)
        return which
    if not isinstance(which, str):
        raise UsageError(f"{which!r} is no port", hint="name it by its id, its name or its device arguments")
    text = which.encode()
    if rte_eth_dev_get_port_by_name(text, &port_id) == 0:
        return port_id
    found = matching(text)
    if len(found) > 1:
        raise UsageError(f"{which!r} names the ports {', '.join(map(str, found))}", hint="name one of them by its id")
    if not found:
        raise no_such_port(eal, which)
    return found[0]


cdef list matching(bytes devargs):
    """Ids of the ports that a devargs string selects."""
    cdef rte_dev_iterator iterator
    cdef uint16_t port_id
    found = []
    memset(&iterator, 0, sizeof(iterator))
    if rte_eth_iterator_init(&iterator, devargs) != 0:
        return found
    port_id = rte_eth_iterator_next(&iterator)
    while port_id < RTE_MAX_ETHPORTS:
        found.append(port_id)
        port_id = rte_eth_iterator_next(&iterator)
    return found


cdef object no_such_port(Eal eal, which):
    there = ", ".join(f"{port.id} ({port.name})" for port in eal.ports()) or "none"
    return PortError(f"there is no port {which!r}; there are: {there}", errno=ENODEV, port=str(which),
                     hint="give the device to EAL (-a ADDRESS, --vdev NAME), or plug it in with Eal.probe")


cdef object negotiate(Device port, wanted):
    """Asks the driver to deliver metadata; answers what it will deliver. One without the call delivers all it has."""
    cdef uint64_t features = int(wanted)
    cdef int rc
    with nogil:
        rc = rte_eth_rx_metadata_negotiate(port.id, &features)
    if rc == -EOPNOTSUPP:
        return RxMetadata(wanted)
    port.check(rc, "rte_eth_rx_metadata_negotiate")
    return RxMetadata(features)


cdef object port_info(Device port, rte_eth_dev_info *info, rte_ether_addr *mac):
    cdef uint32_t flags = info.dev_flags[0] if info.dev_flags != NULL else 0
    cdef const char *devargs = NULL
    cdef const char *bus = NULL
    if info.device != NULL:
        devargs = dpdk_devargs_text(rte_dev_devargs(info.device))
        bus = rte_bus_name(rte_dev_bus(info.device))
    has_switch = info.switch_info.domain_id != RTE_ETH_DEV_SWITCH_DOMAIN_ID_INVALID
    return PortInfo(
        id=port.id,
        name=port.name,
        driver=port.driver,
        bus="" if bus == NULL else bus.decode(),
        devargs="" if devargs == NULL else devargs.decode("utf-8", "replace"),
        mac=":".join(f"{mac.addr_bytes[i]:02x}" for i in range(6)),
        if_index=info.if_index,
        socket_id=rte_eth_dev_socket_id(port.id),
        min_mtu=info.min_mtu,
        max_mtu=info.max_mtu,
        max_rx_queues=info.max_rx_queues,
        max_tx_queues=info.max_tx_queues,
        rx_offloads=info.rx_offload_capa,
        tx_offloads=info.tx_offload_capa,
        rx_descriptors=Descriptors(info.rx_desc_lim.nb_min, info.rx_desc_lim.nb_max, info.rx_desc_lim.nb_align),
        tx_descriptors=Descriptors(info.tx_desc_lim.nb_min, info.tx_desc_lim.nb_max, info.tx_desc_lim.nb_align),
        reta_size=info.reta_size,
        hash_key_bytes=info.hash_key_size,
        rss_types=info.flow_type_rss_offloads,
        speed_capa=info.speed_capa,
        switch_domain=info.switch_info.domain_id if has_switch else None,
        switch_port=info.switch_info.port_id,
        is_representor=(flags & RTE_ETH_DEV_REPRESENTOR) != 0,
        rules_survive_stop=port.keeps_rules,
        objects_survive_stop=(info.dev_capa & RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP) != 0,
        flow_is_thread_safe=(flags & RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE) != 0,
        tells_removal=(flags & RTE_ETH_DEV_INTR_RMV) != 0,
    )
