"""The policy for new connections, compiled: rules that allow or deny, then those that translate."""
import errno as _errno

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.conntrack.nat import Nat

from ctoffload_dpdk.conntrack._action cimport make_nat
from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._packet cimport NatAction, Packet, PolicyRule, PolicyRules
from ctoffload_dpdk.conntrack._tuple cimport Tuple, tuple_of_key


cdef class Policy:
    """What may begin, and how it is translated: the first rule of each kind that fits a new connection decides.

    Where none fits, it may, and is not translated by these.
    rules: (PolicyRule of the settings, port id or None for any), in order. Raises UsageError for a wrong range.
    """

    def __cinit__(self, rules):
        rules = list(rules)
        access = [rule for rule in rules if rule[0].action in ("allow", "deny")]
        ordered = access + [rule for rule in rules if rule not in access]
        self._rules = <PolicyRule *> calloc(max(len(ordered), 1), sizeof(PolicyRule))
        if self._rules == NULL:
            raise MemoryError
        for i, (rule, port_id) in enumerate(ordered):
            self._rules[i] = make_rule(rule, port_id)
        self.rules.rules = self._rules
        self.rules.n_access = len(access)
        self.rules.n_all = len(ordered)

    def __dealloc__(self):
        free(self._rules)

    @property
    def translates(self):
        """True where some rule translates."""
        return self.rules.n_all > self.rules.n_access

    def __len__(self):
        return self.rules.n_all


cdef PolicyRule make_rule(rule, port_id) except *:
    cdef PolicyRule made
    memset(&made, 0, sizeof(made))
    made.any_port = port_id is None
    made.port_id = port_id or 0
    made.proto = rule.proto or 0
    made.deny = rule.action == "deny"
    for network in (rule.src, rule.dst):
        if network is not None:
            made.family = network.version
    if rule.src is not None:
        put_network(rule.src, made.src, made.src_mask)
    if rule.dst is not None:
        put_network(rule.dst, made.dst, made.dst_mask)
    made.src_ports[0], made.src_ports[1] = rule.src_ports or (0, 0xffff)
    made.dst_ports[0], made.dst_ports[1] = rule.dst_ports or (0, 0xffff)
    made.has_ports = rule.src_ports is not None or rule.dst_ports is not None
    if rule.translation:
        text = f"{'src' if rule.action == 'snat' else 'dst'}={rule.translation}"
        nat = Nat.parse(f"{text},{rule.choice}" if rule.choice else text)
        if nat.family and made.family and nat.family != made.family:
            raise UsageError(f"nat: {rule.translation} is of another family than what it is for", errno=_errno.EINVAL)
        made.nat = make_nat(nat)
    return made


cdef int put_network(network, uint64_t *address, uint64_t *mask) except -1:
    """As addresses lie in packets."""
    cdef bytes packed = network.network_address.packed
    cdef bytes bits = network.netmask.packed
    memcpy(address, <const char *> packed, len(packed))
    memcpy(mask, <const char *> bits, len(bits))
    return 0


cdef inline bint within(const uint64_t *address, const uint64_t *wanted, const uint64_t *mask) noexcept nogil:
    return (address[0] & mask[0]) == wanted[0] and (address[1] & mask[1]) == wanted[1]


cdef bint fits(const PolicyRule *rule, const Packet *packet, const Parsed *parsed, const Tuple *ends) noexcept nogil:
    if not rule.any_port and rule.port_id != packet.port_id:
        return False
    if (rule.proto and rule.proto != parsed.key.proto) or (rule.family and rule.family != parsed.key.family):
        return False
    if rule.has_ports and (not rule.src_ports[0] <= ends.src_port <= rule.src_ports[1]
                           or not rule.dst_ports[0] <= ends.dst_port <= rule.dst_ports[1]):
        return False
    return within(ends.src, rule.src, rule.src_mask) and within(ends.dst, rule.dst, rule.dst_mask)


cdef bint policy_allows(const PolicyRules *policy, const Packet *packet, const Parsed *parsed,
                        const NatAction **translation) noexcept nogil:
    cdef Tuple ends
    cdef uint32_t i
    memset(&ends, 0, sizeof(ends))
    tuple_of_key(&parsed.key, parsed.swapped, &ends)
    for i in range(policy.n_access):
        if fits(&policy.rules[i], packet, parsed, &ends):
            if policy.rules[i].deny:
                return False
            break
    if translation[0] != NULL:
        for i in range(policy.n_access, policy.n_all):
            if fits(&policy.rules[i], packet, parsed, &ends):
                translation[0] = &policy.rules[i].nat
                break
    return True
