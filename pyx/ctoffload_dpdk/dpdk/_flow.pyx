"""Rules and indirect actions of a port, one call each."""
import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.dpdk._actions cimport Actions, read_conntrack, write_conntrack
from ctoffload_dpdk.dpdk._check cimport check_flow, fits, last_error
from ctoffload_dpdk.dpdk._device cimport Device
from ctoffload_dpdk.dpdk._indirect_handle cimport IndirectHandle
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk._pattern cimport Pattern
from ctoffload_dpdk.dpdk.librte_eal cimport rte_version_month, rte_version_year
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP,
    rte_eth_dev_info,
    rte_eth_dev_info_get,
)
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_PORT_FLAG_STRICT_QUEUE,
    rte_flow,
    rte_flow_action,
    rte_flow_action_conntrack,
    rte_flow_action_handle,
    rte_flow_action_handle_create,
    rte_flow_action_handle_destroy,
    rte_flow_action_handle_query,
    rte_flow_action_handle_update,
    rte_flow_action_type,
    rte_flow_attr,
    rte_flow_create,
    rte_flow_destroy,
    rte_flow_error,
    rte_flow_flush,
    rte_flow_get_aged_flows,
    rte_flow_indir_action_conf,
    rte_flow_info_get,
    rte_flow_isolate,
    rte_flow_modify_conntrack,
    rte_flow_port_info,
    rte_flow_query,
    rte_flow_query_age,
    rte_flow_query_count,
    rte_flow_queue_info,
    rte_flow_update_age,
    rte_flow_validate,
)

from ctoffload_dpdk.base.errors import CtoffloadError, FlowError, RuleGone, UsageError
from ctoffload_dpdk.dpdk import actions as kinds
from ctoffload_dpdk.dpdk.log import LOGGER
from ctoffload_dpdk.dpdk.types import AgeState, Count, FlowInfo

# Answers of query and update calls fit in here.
cdef enum:
    QUERY_BYTES = 128


cdef class FlowDevice(Device):
    """The part of `Port` that makes rules."""

    cdef int check_flow(self, int rc, str op, rte_flow_error *error, str what="") except -1:
        return check_flow(rc, op, self.label(), error, what)

    cdef int tell_name(self) except -1:
        cdef rte_eth_dev_info info
        Device.tell_name(self)
        self.check(rte_eth_dev_info_get(self.id, &info), "rte_eth_dev_info_get")
        self.keeps_objects = (info.dev_capa & RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP) != 0
        return 0

    cdef int before_stop(self) except -1:
        """Rules go before the port stops, then indirect actions where the driver does not keep them."""
        try:
            if self.all_rules():
                self.flush_rules()
        except CtoffloadError as error:
            LOGGER.warning("%s: its rules are lost: %s", self.label(), error)
            self.rules_are_gone()
        if not self.keeps_objects:
            error = self.close_children(IndirectAction)
            if error is not None:
                LOGGER.warning("%s: its indirect actions are lost: %s", self.label(), error)
        return 0

    cdef object close_children(self, kind):
        # In bulk: one flush for a million rules.
        if kind is None and len(self.all_rules()) > 1:
            try:
                self.flush_rules()
            except CtoffloadError as error:
                LOGGER.warning("%s: removing its rules one by one: %s", self.label(), error)
        error = Device.close_children(self, kind)
        if kind is None and isinstance(error, FlowError):
            # mlx5 keeps shared objects over a stop, but frees them only while the port runs; they end with the port.
            LOGGER.warning("%s: %s", self.label(), error)
            return None
        return error

    cdef void lose_rules(self):
        Device.lose_rules(self)
        self.rules_are_gone()

    cdef list all_rules(self):
        """Rules of this port that are open."""
        return self.living(Rule)

    cdef void rules_are_gone(self):
        cdef Rule rule
        for rule in self.all_rules():
            rule.abandon()

    def validate_rule(self, attr, pattern, actions):
        """Asks the driver whether it would take this rule; FlowError where not.

        Many drivers accept what create refuses. UsageError as of create_rule, and on mlx5 with dv_flow_en=2 before
        25.11, which crashes.
        Source: rte_flow_validate().
        """
        cdef Pattern c_pattern = Pattern(pattern)
        cdef Actions c_actions = Actions(actions)
        cdef rte_flow_attr c_attr
        cdef rte_flow_error error
        cdef int rc
        self.require_open()
        self.require_validate()
        self.require_harmless(c_actions)
        to_attr(attr, &c_attr)
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_validate(self.id, &c_attr, c_pattern.items, c_actions.actions, &error)
        self.check_flow(rc, "rte_flow_validate", &error, "refused the rule")

    def require_validate(self):
        """Raises UsageError where the driver's validate is known to crash."""
        cdef tuple running = (rte_version_year(), rte_version_month())
        if self.driver.startswith("mlx5") and running < (25, 11) and "dv_flow_en=2" in self.info().devargs:
            raise UsageError(f"{self.label()}: rte_flow_validate crashes with dv_flow_en=2 before DPDK 25.11",
                             hint="create the rule in a scratch group and destroy it")

    cdef int require_harmless(self, Actions actions) except -1:
        """Raises UsageError for actions that crash the driver: mlx5 takes a context's values for its handle."""
        if self.driver.startswith("mlx5") and any(type(action) is kinds.Conntrack for action in actions.wanted):
            raise UsageError(f"{self.label()} takes CONNTRACK as an indirect action only",
                             hint="make it with create_indirect(Conntrack(...)) and give the rule Indirect(it)")
        return 0

    def create_rule(self, attr, pattern, actions):
        """Makes a rule from an Attr, items and actions; it belongs to this port.

        FlowError with the driver's message where it is refused. UsageError for what is no item or action, for a value
        that does not fit, and on mlx5 for a CONNTRACK that is not an indirect action. Source: rte_flow_create().
        """
        cdef Rule rule = Rule.__new__(Rule)
        cdef Pattern c_pattern
        cdef rte_flow_attr c_attr
        cdef rte_flow_error error
        cdef rte_flow *flow
        self.require_open()
        rule.pattern = list(pattern)
        c_pattern = Pattern(rule.pattern)
        rule.actions_c = Actions(actions)
        self.require_harmless(rule.actions_c)
        to_attr(attr, &c_attr)
        memset(&error, 0, sizeof(error))
        with nogil:
            flow = rte_flow_create(self.id, &c_attr, c_pattern.items, rule.actions_c.actions, &error)
        if flow == NULL:
            self.check_flow(last_error(), "rte_flow_create", &error, "refused the rule")
        rule.flow, rule.port, rule.attr, rule.epoch = flow, self, attr, self.rules_epoch
        rule.owned_by(self)
        return rule

    def flush_rules(self):
        """Takes every rule out of the port, whoever made it; Rule objects are gone then. Source: rte_flow_flush()."""
        cdef rte_flow_error error
        cdef int rc
        self.require_open()
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_flush(self.id, &error)
        self.check_flow(rc, "rte_flow_flush", &error)
        self.lose_rules()

    def isolate(self, bint on=True):
        """From now on the port receives only what rules ask for. Most drivers want it before configure.

        Source: rte_flow_isolate().
        """
        cdef rte_flow_error error
        cdef int rc
        self.require_open()
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_isolate(self.id, on, &error)
        self.check_flow(rc, "rte_flow_isolate", &error)

    def aged(self):
        """Contexts of the rules that aged (their handle where the context is 0), as uint64 array; arms FLOW_AGED again.

        Some drivers report each once, others until the rule is destroyed. Source: rte_flow_get_aged_flows().
        """
        cdef rte_flow_error error
        cdef int n_found, n_got
        cdef uint64_t[::1] view
        self.require_open()
        memset(&error, 0, sizeof(error))
        with nogil:
            n_found = rte_flow_get_aged_flows(self.id, NULL, 0, &error)
        self.check_flow(n_found, "rte_flow_get_aged_flows", &error)
        contexts = np.zeros(n_found, np.uint64)
        if n_found == 0:
            return contexts
        view = contexts
        memset(&error, 0, sizeof(error))
        with nogil:
            n_got = rte_flow_get_aged_flows(self.id, <void **> &view[0], n_found, &error)
        self.check_flow(n_got, "rte_flow_get_aged_flows", &error)
        # A driver with two lists may count past the end of the array.
        return contexts[: min(n_got, n_found)]

    def flow_info(self):
        """The driver's sizes for rules, as FlowInfo. FlowError where it has none. Source: rte_flow_info_get()."""
        cdef rte_flow_port_info info
        cdef rte_flow_queue_info queue
        cdef rte_flow_error error
        cdef int rc
        self.require_open()
        memset(&info, 0, sizeof(info))
        memset(&queue, 0, sizeof(queue))
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_info_get(self.id, &info, &queue, &error)
        self.check_flow(rc, "rte_flow_info_get", &error)
        return FlowInfo(
            max_queues=info.max_nb_queues,
            max_queue_size=queue.max_size,
            max_counters=info.max_nb_counters,
            max_ages=info.max_nb_aging_objects,
            max_meters=info.max_nb_meters,
            max_conntracks=info.max_nb_conn_tracks,
            strict_queue=(info.supported_flags & RTE_FLOW_PORT_FLAG_STRICT_QUEUE) != 0,
        )

    def create_indirect(self, action, *, bint ingress=False, bint egress=False, bint transfer=False):
        """Makes an action that rules share: COUNT, AGE, CONNTRACK, RSS. Returns an IndirectAction; this port owns it.

        Source: rte_flow_action_handle_create().
        """
        cdef IndirectAction made = IndirectAction.__new__(IndirectAction)
        cdef Actions c_actions = Actions([action])
        cdef rte_flow_indir_action_conf conf
        cdef rte_flow_error error
        cdef rte_flow_action_handle *handle
        self.require_open()
        memset(&conf, 0, sizeof(conf))
        memset(&error, 0, sizeof(error))
        conf.ingress, conf.egress, conf.transfer = ingress, egress, transfer
        with self.flow_lock:
            with nogil:
                handle = rte_flow_action_handle_create(self.id, &conf, c_actions.actions, &error)
            if handle == NULL:
                self.check_flow(last_error(), "rte_flow_action_handle_create", &error, "refused the action")
        made.handle, made.kind, made.port = handle, type(action), self
        made.owned_by(self)
        return made


cdef class Rule(Owned):
    """One rte_flow on one port. Made by `Port.create_rule`.

    Valid until `close()`, the port's stop (unless the driver keeps rules), a flush or the port's close; after those
    `is_gone` is True and queries raise RuleGone.
    """

    def __init__(self):
        raise UsageError("Rule is made by Port.create_rule(attr, pattern, actions)")

    cdef str label(self):
        return f"rule {<size_t> self.flow:#x} of {(<Owned> self.port).label()}"

    @property
    def handle(self):
        """The driver's number of the rule, unique on its port; `Port.aged` answers it where AGE has no context."""
        return <size_t> self.flow

    @property
    def actions(self):
        """The actions it was made with."""
        return list(self.actions_c.wanted)

    @property
    def is_gone(self):
        """True where the rule left the NIC without close()."""
        return self.epoch != self.port.rules_epoch

    cdef int require_there(self, object kind) except -1:
        if self.epoch != self.port.rules_epoch:
            raise RuleGone(f"{self.label()} is gone: the port was stopped or flushed", port=self.port.label(),
                           hint="make it again when the port runs")
        self.require_open()
        self.port.require_open()
        if not self.actions_c.has(kind):
            raise UsageError(f"{self.label()} has no {kind.__name__} action", hint="give it one when it is made")
        return 0

    def query_count(self, *, bint reset=False):
        """Packets and bytes that hit this rule since it was made or reset, as Count.

        At most one refresh period of the driver old (mlx5: 0.5 to 1 s). RuleGone after stop or flush, UsageError where
        the rule has no such action, else FlowError.
        Source: rte_flow_query(), action COUNT.
        """
        cdef rte_flow_query_count data
        self.require_there(kinds.Count)
        memset(&data, 0, sizeof(data))
        data.reset = reset
        query(self, RTE_FLOW_ACTION_TYPE_COUNT, &data)
        return read_query(kinds.Count, &data)

    def query_age(self):
        """Whether the rule aged, and its idle time in seconds, as AgeState. Raises what query_count does.

        Source: rte_flow_query(), action AGE.
        """
        cdef rte_flow_query_age data
        self.require_there(kinds.Age)
        memset(&data, 0, sizeof(data))
        query(self, RTE_FLOW_ACTION_TYPE_AGE, &data)
        return read_query(kinds.Age, &data)

    def close(self):
        """Takes the rule out of the NIC; a rule that is gone already is only forgotten. Source: rte_flow_destroy()."""
        if self.port is not None and self.epoch != self.port.rules_epoch:
            self.abandon()
        Owned.close(self)

    cdef int release(self) except -1:
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_destroy(self.port.id, self.flow, &error)
        return self.port.check_flow(rc, "rte_flow_destroy", &error, f"could not remove {self.label()}")


cdef class IndirectAction(IndirectHandle):
    """An action made once and shared by rules (`actions.Indirect(it)`). Made by `Port.create_indirect`.

    Only the port that made it may update, query or close it. Close its rules first.
    """

    def __init__(self):
        raise UsageError("IndirectAction is made by Port.create_indirect(action)")

    cdef str label(self):
        return f"indirect {self.kind.__name__} {<size_t> self.handle:#x} of {(<Owned> self.port).label()}"

    def query(self):
        """Count, AgeState or actions.Conntrack, as it is now; a Conntrack costs a round trip to the NIC.

        UsageError for an action of another kind, FlowError where the driver refuses.
        Source: rte_flow_action_handle_query().
        """
        cdef uint8_t data[QUERY_BYTES]
        cdef rte_flow_error error
        cdef int rc
        self.require_value()
        memset(data, 0, sizeof(data))
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_action_handle_query(self.port.id, self.handle, data, &error)
            self.port.check_flow(rc, "rte_flow_action_handle_query", &error)
        return read_query(self.kind, data)

    cdef int require_value(self) except -1:
        self.require_open()
        if self.kind not in (kinds.Count, kinds.Age, kinds.Conntrack):
            raise UsageError(f"{self.label()} has nothing to query")
        return 0

    def update_age(self, *, timeout_s=None, bint touch=False):
        """Changes an AGE's timeout (0 to 16777215 s), or counts now as its last use.

        UsageError for a time beyond, and where this is no AGE. Source: rte_flow_action_handle_update().
        """
        cdef rte_flow_update_age update
        self.require_kind(kinds.Age)
        memset(&update, 0, sizeof(update))
        update.touch = touch
        if timeout_s is not None:
            update.timeout_valid, update.timeout = 1, fits(timeout_s, "timeout_s", 0xffffff)
        self.update_with(&update)

    def update_conntrack(self, conntrack=None, *, original_direction=None):
        """Changes the state of a CONNTRACK, or the direction that rules made from now on stand for.

        original_direction: False for the reply's. UsageError where this is no CONNTRACK.
        Source: rte_flow_action_handle_update() with rte_flow_modify_conntrack.
        """
        cdef rte_flow_modify_conntrack update
        self.require_kind(kinds.Conntrack)
        memset(&update, 0, sizeof(update))
        if conntrack is not None:
            write_conntrack(&update.new_ct, conntrack)
            update.state = 1
        if original_direction is not None:
            update.new_ct.is_original_dir, update.direction = bool(original_direction), 1
        self.update_with(&update)

    def require_kind(self, kind):
        """Raises UsageError where this stands for another action."""
        self.require_open()
        if self.kind is not kind:
            raise UsageError(f"{self.label()} is no {kind.__name__}")

    cdef int update_with(self, const void *update) except -1:
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_action_handle_update(self.port.id, self.handle, update, &error)
            return self.port.check_flow(rc, "rte_flow_action_handle_update", &error)

    cdef int release(self) except -1:
        cdef rte_flow_error error
        cdef int rc
        if await_removal(self, self.removal):
            return 0
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_action_handle_destroy(self.port.id, self.handle, &error)
            return self.port.check_flow(rc, "rte_flow_action_handle_destroy", &error,
                                        f"could not remove {self.label()}")


cdef bint await_removal(Owned it, object removal) except -1:
    """A removal on a queue is under way: waits for its end. False where there was none, or it failed."""
    if removal is not None:
        queue, token = removal
        queue.complete(token)
    return it.is_closed


cdef int query(Rule rule, int action_type, void *data) except -1:
    """rte_flow_query for one action of a rule; the driver gets the rule's own action, which some insist on."""
    cdef rte_flow_action action[2]
    cdef rte_flow_action *own = rule.actions_c.actions
    cdef rte_flow_error error
    cdef int rc
    memset(action, 0, sizeof(action))
    action[0].type = <rte_flow_action_type> action_type
    action[1].type = RTE_FLOW_ACTION_TYPE_END
    while own.type != RTE_FLOW_ACTION_TYPE_END:
        if own.type == action[0].type:
            action[0].conf = own.conf
        own += 1
    memset(&error, 0, sizeof(error))
    with nogil:
        rc = rte_flow_query(rule.port.id, rule.flow, action, data, &error)
    return rule.port.check_flow(rc, "rte_flow_query", &error)


cdef object read_query(object kind, const void *data):
    """What a query filled in, as Count, AgeState or actions.Conntrack."""
    cdef const rte_flow_query_count *count = <const rte_flow_query_count *> data
    cdef const rte_flow_query_age *age = <const rte_flow_query_age *> data
    if kind is kinds.Count:
        return Count(count.hits if count.hits_set else None, count.bytes if count.bytes_set else None)
    if kind is kinds.Age:
        return AgeState(age.aged != 0, age.sec_since_last_hit if age.sec_since_last_hit_valid else None)
    return read_conntrack(<const rte_flow_action_conntrack *> data)


cdef int to_attr(object attr, rte_flow_attr *out) except -1:
    memset(out, 0, sizeof(out[0]))
    out.group = fits(attr.group, "Attr.group", 0xffffffff)
    out.priority = fits(attr.priority, "Attr.priority", 0xffffffff)
    out.ingress, out.egress, out.transfer = bool(attr.ingress), bool(attr.egress), bool(attr.transfer)
    return 0
