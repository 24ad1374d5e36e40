"""Rules by the thousand: operations are put on a queue, pushed, and their results pulled later.

DPDK 22.11 to 23.11 call a driver's missing function here without looking: nothing is called before rte_flow_configure
succeeded and the driver has shown that it knows templates.
"""
import time

import numpy as np

from libc.errno cimport EAGAIN, EBUSY, EIO, ENOMEM, ENOSYS, EOPNOTSUPP, ETIMEDOUT
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ctoffload_dpdk.dpdk._actions cimport Actions, write_conntrack
from ctoffload_dpdk.dpdk._check cimport check_flow, fits, last_error
from ctoffload_dpdk.dpdk._flow cimport FlowDevice, IndirectAction, Rule, await_removal, read_query
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk._pattern cimport Block, Pattern, block
from ctoffload_dpdk.dpdk._templates cimport TemplateTable, make_actions, make_pattern, make_table
from ctoffload_dpdk.dpdk.librte_eal cimport rte_free, rte_malloc
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_OP_SUCCESS,
    RTE_FLOW_PORT_FLAG_STRICT_QUEUE,
    dpdk_flow_port_attr_share,
    rte_flow,
    rte_flow_action_handle,
    rte_flow_async_action_handle_create,
    rte_flow_async_action_handle_destroy,
    rte_flow_async_action_handle_query,
    rte_flow_async_action_handle_update,
    rte_flow_async_create,
    rte_flow_async_destroy,
    rte_flow_configure,
    rte_flow_error,
    rte_flow_get_q_aged_flows,
    rte_flow_indir_action_conf,
    rte_flow_modify_conntrack,
    rte_flow_op_attr,
    rte_flow_op_result,
    rte_flow_port_attr,
    rte_flow_pull,
    rte_flow_push,
    rte_flow_queue_attr,
)

from ctoffload_dpdk.base.errors import FlowError, UsageError
from ctoffload_dpdk.dpdk import actions as kinds
from ctoffload_dpdk.dpdk import items
from ctoffload_dpdk.dpdk.pulled import Pulled

# Drivers whose table of asynchronous functions has holes, where a call would crash.
NO_PUSH = ("net_ntnic",)
NO_ASYNC_INDIRECT = ("net_ntnic",)
# mlx5 of 22.11 lets go of a counter service that it never took where its counters find no memory: with the first port
# of a card rte_flow_configure crashes, with a later one the last close does. It is not called then.
COUNTERS_NEED_MEMORY = ("mlx5_pci",)

cdef enum:
    PULL_MOST = 256          # results pulled in one call
    DRAIN_TRIES = 1000000    # polls a close() waits for its own operation
    QUERY_BYTES = 128
    QUEUES_MOST = 64
    # What mlx5 takes of DPDK's memory, rounded up: its counters and their rings, its jobs, and what is always there.
    COUNTER_BYTES = 96
    OPERATION_BYTES = 2048
    ROUNDING_BYTES = 8 << 20


cdef class AsyncDevice(FlowDevice):
    """The part of `Port` that makes rules through templates and queues."""

    def configure_flow(self, sizes, *, share_with=None):
        """Sets rooms aside for rules, as FlowSizes (of 1 to 64 queues); between configure and start, once.

        share_with: the id of the port whose indirect actions this one may use (DPDK 23.03). FlowError where the driver
        refuses, has none of it, or would crash for want of DPDK's memory (ENOMEM). Source: rte_flow_configure().
        """
        cdef rte_flow_port_attr attr
        cdef rte_flow_queue_attr queue
        cdef const rte_flow_queue_attr *queues[QUEUES_MOST]
        cdef rte_flow_error error
        cdef uint16_t n_queues
        cdef int rc
        self.require_stopped("given other sizes")
        n_queues = fits(sizes.queues, "FlowSizes.queues", QUEUES_MOST, 1)
        for member in ("queue_size", "counters", "ages", "meters", "conntracks"):
            fits(getattr(sizes, member), f"FlowSizes.{member}", 0xffffffff)
        memset(&error, 0, sizeof(error))
        memset(&attr, 0, sizeof(attr))
        attr.nb_counters, attr.nb_aging_objects, attr.nb_meters = sizes.counters, sizes.ages, sizes.meters
        attr.nb_conn_tracks = sizes.conntracks
        attr.flags = RTE_FLOW_PORT_FLAG_STRICT_QUEUE if sizes.strict_queue else 0
        if share_with is not None:
            self.check_flow(dpdk_flow_port_attr_share(&attr, fits(share_with, "share_with", 0xffff)), "rte_flow_configure", &error,
                            "needs DPDK 23.03 to share indirect actions")
        queue.size = sizes.queue_size
        for i in range(n_queues):
            queues[i] = &queue
        with self.flow_lock:
            if self.driver in COUNTERS_NEED_MEMORY and sizes.counters and not has_memory(sizes):
                self.check_flow(-ENOMEM, "rte_flow_configure", &error,
                                f"not called: DPDK's memory has no {bytes_for(sizes) >> 20} MB in one piece for "
                                f"{sizes.counters} counters; this driver would crash")
            with nogil:
                rc = rte_flow_configure(self.id, &attr, n_queues, queues, &error)
            self.check_flow(rc, "rte_flow_configure", &error)
        self.flow_sizes, self.queues = sizes, {}

    cdef int require_async(self) except -1:
        cdef rte_flow_error error
        self.require_open()
        if self.flow_sizes is None:
            raise UsageError(f"{self.label()} was not configured for templates and queues",
                             hint="call configure_flow(FlowSizes(...)) between configure and start")
        if self.has_templates is None:
            self.has_templates = knows_templates(self)
        if not self.has_templates:
            memset(&error, 0, sizeof(error))
            self.check_flow(-EOPNOTSUPP, "rte_flow_pattern_template_create", &error)
        return 0

    def pattern_template(self, pattern, attr, *, bint relaxed=False):
        """A template of items whose masks say what is matched; relaxed: the NIC may match less than the items imply.

        attr: an Attr, of which the direction counts. Source: rte_flow_pattern_template_create().
        """
        self.require_async()
        return make_pattern(self, list(pattern), attr, relaxed)

    def actions_template(self, actions, attr, *, fixed=None):
        """A template of actions; fixed: for each whether its value is the template's (all, where None).

        Source: rte_flow_actions_template_create().
        """
        self.require_async()
        listed = list(actions)
        fixed = [True] * len(listed) if fixed is None else list(fixed)
        if len(fixed) != len(listed):
            raise UsageError(f"{len(listed)} actions, but {len(fixed)} times fixed or not")
        return make_actions(self, listed, fixed, attr)

    def template_table(self, attr, patterns, actions, n_rules, *, bint resizable=False):
        """Room for n_rules rules of these templates, 1 to 255 of each kind, at Attr's group, priority and direction.

        UsageError for templates of another port. resizable needs DPDK 24.03. Source: rte_flow_template_table_create().
        """
        self.require_async()
        return make_table(self, attr, tuple(patterns), tuple(actions), fits(n_rules, "n_rules", 0xffffffff), resizable)

    def flow_queue(self, int index=0):
        """The queue of asynchronous operations with this number; one thread at a time may use it.

        UsageError where FlowSizes.queues does not reach so far.
        """
        cdef FlowQueue queue
        self.require_async()
        if not 0 <= index < self.flow_sizes.queues:
            raise UsageError(f"{self.label()} has {self.flow_sizes.queues} flow queues; there is no queue {index}")
        if index not in self.queues:
            queue = FlowQueue.__new__(FlowQueue)
            queue.port, queue.index, queue.under_way, queue.unread = self, index, {}, []
            self.queues[index] = queue
        return self.queues[index]

    cdef list all_rules(self):
        cdef TemplateTable table
        rules = FlowDevice.all_rules(self)
        for table in self.living(TemplateTable):
            rules += table.living(AsyncRule)
        return rules

    cdef void rules_are_gone(self):
        cdef FlowQueue queue
        FlowDevice.rules_are_gone(self)
        for queue in (self.queues or {}).values():
            queue.under_way.clear()

    cdef int release(self) except -1:
        # The queues point at their port.
        self.queues = None
        self.flow_sizes = None
        return FlowDevice.release(self)


cdef size_t bytes_for(object sizes):
    return (<size_t> sizes.counters * COUNTER_BYTES
            + (<size_t> sizes.queues + 1) * <size_t> sizes.queue_size * OPERATION_BYTES + ROUNDING_BYTES)


cdef bint has_memory(object sizes):
    """Whether the memory that mlx5 needs for these sizes can be had: taken in one piece and given back."""
    cdef void *piece = rte_malloc(NULL, bytes_for(sizes), 0)
    rte_free(piece)
    return piece != NULL


cdef bint knows_templates(AsyncDevice port) except? False:
    """Makes and removes the smallest template there is: a driver without them says so, and has no queues either."""
    try:
        make_pattern(port, [items.Eth()], kinds.Attr(ingress=True), False).close()
    except FlowError as error:
        return error.errno not in (ENOSYS, EOPNOTSUPP)
    return True


cdef class AsyncRule(Rule):
    """A rule made through a queue. Counts and ages are asked for as of any `Rule`.

    is_confirmed: its creation was pulled and succeeded; is_failed: it was pulled and failed, close it all the same.
    close() waits for both its creation and its removal.
    """

    cdef str label(self):
        return f"asynchronous rule {<size_t> self.flow:#x} of {(<Owned> self.port).label()}"

    cdef int release(self) except -1:
        """Puts the removal on the rule's queue and waits for it; other results are kept for the next pull."""
        cdef uint64_t token
        cdef Operation operation
        cdef rte_flow_error error
        if await_removal(self, self.removal):
            return 0
        # A rule must not be removed before its creation has ended.
        self.queue.push()
        self.queue.wait_for(self.created_by)
        token = self.queue.begin("close", self, 0, None)
        operation = self.queue.under_way[token]
        enqueue_destroy(self.queue, self, token, False)
        self.queue.push()
        self.queue.wait_for(token)
        memset(&error, 0, sizeof(error))
        return self.queue.check(0 if operation.is_ok else -EIO, "rte_flow_async_destroy", &error,
                                f"could not remove {self.label()}")


cdef class Operation:
    """One operation that is under way."""


cdef class FlowQueue:
    """Operations go in, `push` hands them to the NIC, `pull` gives their results. Made by `Port.flow_queue`.

    Its methods raise UsageError while the port does not run, and as FlowError the errors of the DPDK call that they
    name: a full queue or table is EAGAIN, on mlx5 EBUSY or ENOMEM.
    """

    def __init__(self):
        raise UsageError("FlowQueue is made by Port.flow_queue(index)")

    def __repr__(self):
        return f"<flow queue {self.index} of {self.port!r}>"

    @property
    def n_under_way(self):
        """Operations whose result was not pulled yet."""
        return len(self.under_way)

    cdef int require_ready(self) except -1:
        self.port.require_async()
        if not self.port.is_started:
            raise UsageError(f"{self.port!r} does not run", hint="start the port first")
        return 0

    cdef uint64_t begin(self, object kind, object subject, uint64_t user_data, object buffer) except 0:
        cdef Operation operation = Operation.__new__(Operation)
        operation.kind, operation.subject, operation.user_data, operation.buffer = kind, subject, user_data, buffer
        self.next_token += 1
        self.under_way[self.next_token] = operation
        return self.next_token

    cdef int check(self, int rc, str op, void *error, str what) except -1:
        # mlx5 says ENOMEM or EBUSY where others say EAGAIN.
        hint = "the queue or the table is full; push, and pull results first" if rc in (-EAGAIN, -EBUSY, -ENOMEM) else ""
        return check_flow(rc, op, (<Owned> self.port).label(), <rte_flow_error *> error, what, hint)

    def enqueue_create(self, TemplateTable table not None, pattern, actions, *, pattern_index=0, actions_index=0,
                       uint64_t user_data=0, bint postpone=False):
        """Puts the creation of a rule on the queue and returns it as AsyncRule, which the table owns.

        pattern, actions: the values of the templates with these indices. postpone: not before push(). user_data comes
        back with the result. FlowError EAGAIN: the queue is full; UsageError: a table of another port, or a template
        that it has not. Source: rte_flow_async_create().
        """
        cdef AsyncRule rule = AsyncRule.__new__(AsyncRule)
        cdef Pattern c_pattern
        cdef rte_flow_op_attr attr
        cdef rte_flow_error error
        cdef uint64_t token
        cdef uint8_t its_pattern, its_actions
        self.require_ready()
        table.require_open()
        self.require_own(table.port, table)
        its_pattern = fits(pattern_index, "pattern_index", len(table.patterns) - 1)
        its_actions = fits(actions_index, "actions_index", len(table.actions) - 1)
        rule.pattern = list(pattern)
        c_pattern = Pattern(rule.pattern)
        rule.actions_c = Actions(actions)
        self.port.require_harmless(rule.actions_c)
        memset(&attr, 0, sizeof(attr))
        memset(&error, 0, sizeof(error))
        attr.postpone = postpone
        token = self.begin("create", rule, user_data, None)
        with nogil:
            rule.flow = rte_flow_async_create(self.port.id, self.index, &attr, table.table, c_pattern.items,
                                              its_pattern, rule.actions_c.actions, its_actions, <void *> token, &error)
        if rule.flow == NULL:
            del self.under_way[token]
            self.check(last_error(), "rte_flow_async_create", &error, "refused the rule")
        rule.port, rule.queue, rule.attr, rule.epoch = self.port, self, table.attr, self.port.rules_epoch
        rule.created_by = token
        rule.owned_by(table)
        return rule

    def enqueue_destroy(self, AsyncRule rule not None, *, uint64_t user_data=0, bint postpone=False):
        """Puts the removal of a rule on the queue.

        UsageError before the result of its creation was pulled, for a rule of another port, and for one that is on its
        way out already.
        Source: rte_flow_async_destroy().
        """
        cdef uint64_t token
        self.require_ready()
        rule.require_open()
        self.require_own(rule.port, rule)
        if rule.removal is not None:
            raise UsageError(f"{rule!r} is being removed already", hint="pull the result of its removal")
        if not rule.is_confirmed and not rule.is_failed:
            raise UsageError(f"{rule!r} was not confirmed yet", hint="pull the result of its creation first")
        token = self.begin("destroy", rule, user_data, None)
        enqueue_destroy(self, rule, token, postpone)
        rule.removal = (self, token)

    def push(self):
        """Hands everything that is on the queue to the NIC. Source: rte_flow_push()."""
        cdef rte_flow_error error
        cdef int rc
        self.require_ready()
        if self.port.driver in NO_PUSH:
            return
        memset(&error, 0, sizeof(error))
        with nogil:
            rc = rte_flow_push(self.port.id, self.index, &error)
        self.check(rc, "rte_flow_push", &error, "")

    def pull(self, most=64):
        """At most `most` results that have arrived, as Pulled: user_data and is_ok arrays. Source: rte_flow_pull()."""
        most = fits(most, "most", 0x7fffffff)
        self.require_ready()
        results = self.unread[:most]
        del self.unread[:most]
        while len(results) < most:
            more = self.pull_some(min(PULL_MOST, most - len(results)))
            if not more:
                break
            results += more
        return Pulled(np.array([r[0] for r in results], np.uint64), np.array([r[1] for r in results], np.bool_))

    def pull_all(self, *, double timeout_s=5.0):
        """The results of everything under way, as Pulled; waits for them at most timeout_s seconds, else FlowError
        ETIMEDOUT, and what arrived waits for the next pull().
        """
        cdef rte_flow_error error
        self.require_ready()
        deadline = time.monotonic() + timeout_s
        while self.under_way:
            more = self.pull_some(PULL_MOST)
            self.unread += more
            if not more:
                if time.monotonic() > deadline:
                    memset(&error, 0, sizeof(error))
                    self.check(-ETIMEDOUT, "rte_flow_pull", &error, f"left {len(self.under_way)} operations unanswered")
                time.sleep(0)
        return self.pull(len(self.unread))

    cdef list pull_some(self, int most):
        cdef rte_flow_op_result results[PULL_MOST]
        cdef rte_flow_error error
        cdef int n
        memset(&error, 0, sizeof(error))
        with nogil:
            n = rte_flow_pull(self.port.id, self.index, results, most, &error)
        self.check(n, "rte_flow_pull", &error, "")
        found = []
        for i in range(n):
            token = <size_t> results[i].user_data
            found.append(finish(self.under_way.pop(token, None), results[i].status == RTE_FLOW_OP_SUCCESS))
        return [result for result in found if result is not None]

    def complete(self, uint64_t token):
        """Waits for an operation that is under way, if it still is; its result waits for the next pull()."""
        if token in self.under_way:
            self.push()
            self.wait_for(token)

    cdef int wait_for(self, uint64_t token) except -1:
        """Pulls until this operation is done; results of others wait for the next pull()."""
        cdef rte_flow_error error
        for _ in range(DRAIN_TRIES):
            if token not in self.under_way:
                return 0
            self.unread += self.pull_some(PULL_MOST)
        memset(&error, 0, sizeof(error))
        return self.check(-ETIMEDOUT, "rte_flow_pull", &error, "gave no result")

    def aged(self):
        """As Port.aged, for rules of this queue where the port was configured with strict_queue, else for all.

        Source: rte_flow_get_q_aged_flows().
        """
        cdef rte_flow_error error
        cdef int n_found, n_got
        cdef uint64_t[::1] view
        self.require_ready()
        memset(&error, 0, sizeof(error))
        with nogil:
            n_found = rte_flow_get_q_aged_flows(self.port.id, self.index, NULL, 0, &error)
        self.check(n_found, "rte_flow_get_q_aged_flows", &error, "")
        contexts = np.zeros(n_found, np.uint64)
        if n_found == 0:
            return contexts
        view = contexts
        with nogil:
            n_got = rte_flow_get_q_aged_flows(self.port.id, self.index, <void **> &view[0], n_found, &error)
        self.check(n_got, "rte_flow_get_q_aged_flows", &error, "")
        return contexts[: min(n_got, n_found)]

    # Indirect actions -----------------------------------------------------------------------------------------------

    def enqueue_indirect_create(self, action, *, bint ingress=False, bint egress=False, bint transfer=False,
                                uint64_t user_data=0, bint postpone=False):
        """As Port.create_indirect, through the queue. UsageError for a driver without asynchronous indirect actions.

        Source: rte_flow_async_action_handle_create().
        """
        cdef IndirectAction made = IndirectAction.__new__(IndirectAction)
        cdef Actions c_actions = Actions([action])
        cdef rte_flow_indir_action_conf conf
        cdef rte_flow_op_attr attr
        cdef rte_flow_error error
        cdef uint64_t token
        self.require_indirect()
        memset(&conf, 0, sizeof(conf))
        memset(&attr, 0, sizeof(attr))
        memset(&error, 0, sizeof(error))
        conf.ingress, conf.egress, conf.transfer, attr.postpone = ingress, egress, transfer, postpone
        token = self.begin("indirect", made, user_data, c_actions)
        with nogil:
            made.handle = rte_flow_async_action_handle_create(self.port.id, self.index, &attr, &conf, c_actions.actions,
                                                              <void *> token, &error)
        if made.handle == NULL:
            del self.under_way[token]
            self.check(last_error(), "rte_flow_async_action_handle_create", &error, "refused the action")
        made.kind, made.port = type(action), self.port
        made.owned_by(self.port)
        return made

    def enqueue_conntrack_update(self, IndirectAction action not None, conntrack=None, *, original_direction=None,
                                 uint64_t user_data=0, bint postpone=False):
        """As IndirectAction.update_conntrack, through the queue. Source: rte_flow_async_action_handle_update()."""
        cdef Block update = block(sizeof(rte_flow_modify_conntrack))
        cdef rte_flow_modify_conntrack *change = <rte_flow_modify_conntrack *> update.at
        cdef rte_flow_op_attr attr
        cdef rte_flow_error error
        cdef uint64_t token
        cdef int rc
        self.require_indirect(action)
        action.require_kind(kinds.Conntrack)
        if conntrack is not None:
            write_conntrack(&change.new_ct, conntrack)
            change.state = 1
        if original_direction is not None:
            change.new_ct.is_original_dir, change.direction = bool(original_direction), 1
        memset(&attr, 0, sizeof(attr))
        memset(&error, 0, sizeof(error))
        attr.postpone = postpone
        token = self.begin("update", action, user_data, update)
        with nogil:
            rc = rte_flow_async_action_handle_update(self.port.id, self.index, &attr, action.handle, change,
                                                     <void *> token, &error)
        if rc < 0:
            del self.under_way[token]
        self.check(rc, "rte_flow_async_action_handle_update", &error, "")

    def enqueue_query(self, IndirectAction action not None, *, uint64_t user_data=0, bint postpone=False):
        """Asks for an indirect action's value; returns an Answer whose `value` is there once the result was pulled.

        UsageError for an action that has none, or is another port's.
        Source: rte_flow_async_action_handle_query().
        """
        cdef Block data = block(QUERY_BYTES)
        cdef rte_flow_op_attr attr
        cdef rte_flow_error error
        cdef uint64_t token
        cdef int rc
        self.require_indirect(action)
        action.require_value()
        memset(&attr, 0, sizeof(attr))
        memset(&error, 0, sizeof(error))
        attr.postpone = postpone
        answer = Answer(action.kind)
        token = self.begin("query", answer, user_data, data)
        with nogil:
            rc = rte_flow_async_action_handle_query(self.port.id, self.index, &attr, action.handle, data.at,
                                                    <void *> token, &error)
        if rc < 0:
            del self.under_way[token]
        self.check(rc, "rte_flow_async_action_handle_query", &error, "")
        return answer

    def enqueue_indirect_destroy(self, IndirectAction action not None, *, uint64_t user_data=0, bint postpone=False):
        """Removes an indirect action, through the queue. UsageError for another port's, and for one that is on its way
        out already. Source: rte_flow_async_action_handle_destroy()."""
        cdef rte_flow_op_attr attr
        cdef rte_flow_error error
        cdef uint64_t token
        cdef int rc
        self.require_indirect(action)
        memset(&attr, 0, sizeof(attr))
        memset(&error, 0, sizeof(error))
        attr.postpone = postpone
        token = self.begin("destroy", action, user_data, None)
        with nogil:
            rc = rte_flow_async_action_handle_destroy(self.port.id, self.index, &attr, action.handle, <void *> token,
                                                      &error)
        if rc < 0:
            del self.under_way[token]
        self.check(rc, "rte_flow_async_action_handle_destroy", &error, "")
        action.removal = (self, token)

    def require_indirect(self, IndirectAction action=None):
        """Raises UsageError where the driver has holes in its table, or the action is another port's or on its way out."""
        self.require_ready()
        if self.port.driver in NO_ASYNC_INDIRECT:
            raise UsageError(f"{self.port!r}: its driver has no asynchronous indirect actions",
                             hint="use Port.create_indirect")
        if action is not None:
            action.require_open()
            self.require_own(action.port, action)
            if action.removal is not None:
                raise UsageError(f"{action!r} is being removed already", hint="pull the result of its removal")

    cdef int require_own(self, object port, object what) except -1:
        """Its driver would take the pointer for one of its own."""
        if port is not self.port:
            raise UsageError(f"{what!r} is no business of {self!r}", hint="use a queue of the port that made it")
        return 0


class Answer:
    """The value of an indirect action that was asked for: Count, AgeState or actions.Conntrack.

    value: None until the result was pulled; is_failed: it was pulled, and the NIC gave none.
    """

    __slots__ = ("is_failed", "kind", "value")

    def __init__(self, kind):
        self.kind, self.value, self.is_failed = kind, None, False


cdef int enqueue_destroy(FlowQueue queue, AsyncRule rule, uint64_t token, bint postpone) except -1:
    cdef rte_flow_op_attr attr
    cdef rte_flow_error error
    cdef int rc
    memset(&attr, 0, sizeof(attr))
    memset(&error, 0, sizeof(error))
    attr.postpone = postpone
    with nogil:
        rc = rte_flow_async_destroy(queue.port.id, queue.index, &attr, rule.flow, <void *> token, &error)
    if rc < 0:
        del queue.under_way[token]
    return queue.check(rc, "rte_flow_async_destroy", &error, f"could not remove {rule.label()}")


cdef tuple finish(Operation operation, bint ok):
    """Tells the subject of an operation how it went; returns (user_data, ok), or None where nobody asked."""
    cdef AsyncRule rule
    if operation is None:
        return None
    operation.is_ok = ok
    if operation.kind == "close":
        # close() itself waits for it; no pull() reports it.
        return None
    if operation.kind == "create":
        rule = operation.subject
        rule.is_confirmed, rule.is_failed = ok, not ok
    elif operation.kind == "destroy":
        if ok:
            (<Owned> operation.subject).abandon()
        elif isinstance(operation.subject, AsyncRule):
            (<AsyncRule> operation.subject).removal = None
        else:
            (<IndirectAction> operation.subject).removal = None
    elif operation.kind == "query":
        operation.subject.is_failed = not ok
        if ok:
            operation.subject.value = read_query(operation.subject.kind, (<Block> operation.buffer).at)
    return (operation.user_data, ok)
