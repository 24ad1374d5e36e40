"""A compiled provider for tests and benchmarks: counts, holds connections, with or without batch_submit."""
from libc.errno cimport EINVAL, ENODATA, ENOENT, EPERM
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.pycapsule cimport PyCapsule_New

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION, CT_OFFLOAD_CAPSULE, CT_OFFLOAD_ID_SLOT, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL,
    CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_FLUSH, CT_OFFLOAD_OP_POLICY, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW,
    CT_OFFLOAD_REASON_NAT_UNSUPPORTED, CT_OFFLOAD_R_BYPASS, CT_OFFLOAD_R_CONTEXT, DPIF_OFFLOAD_CAPSULE, c_bool,
    ct_offload_class, ct_offload_ctx, ct_offload_host, ct_offload_op, ct_offload_port, dpif_offload_class)

cdef enum:
    N_SLOTS = 1 << 16
    PROTO_TCP = 6


cdef c_bool can_offload(void *user, const ct_offload_ctx *ctx, uint16_t *reason) noexcept nogil:
    if ctx.mark == 0xbad:
        reason[0] = CT_OFFLOAD_REASON_NAT_UNSUPPORTED
        return False
    return True


cdef inline Place *place_of(State *state, uint64_t conn_id) noexcept nogil:
    return &state.places[CT_OFFLOAD_ID_SLOT(conn_id) % N_SLOTS]


cdef int conn_add(void *user, ct_offload_op *op) noexcept nogil:
    cdef State *state = <State *> user
    cdef Place *place = place_of(state, op.conn_id)
    state.operations += 1
    place.conn_id = op.conn_id
    place.is_held = 1
    op.handle = op.conn_id ^ 0x5555
    return 0


cdef int conn_established(void *user, ct_offload_op *op) noexcept nogil:
    cdef State *state = <State *> user
    cdef Place *place = place_of(state, op.conn_id)
    state.operations += 1
    if not place.is_held or place.conn_id != op.conn_id or op.handle != op.conn_id ^ 0x5555:
        return ENOENT
    place.since_ms = state.now_ms
    op.flags = CT_OFFLOAD_R_BYPASS
    if op.ctx.proto == PROTO_TCP:
        op.flags |= CT_OFFLOAD_R_CONTEXT
        place.has_window = 1
        memcpy(place.peer, op.ctx.peer, sizeof(place.peer))
    return 0


cdef int conn_update(void *user, ct_offload_op *op) noexcept nogil:
    cdef State *state = <State *> user
    cdef Place *place = place_of(state, op.conn_id)
    state.operations += 1
    op.last_used_ms = place.since_ms
    op.sampled_ms = state.now_ms
    return 0 if place.is_held and place.conn_id == op.conn_id else ENOENT


cdef int conn_del(void *user, ct_offload_op *op) noexcept nogil:
    cdef State *state = <State *> user
    cdef Place *place = place_of(state, op.conn_id)
    state.operations += 1
    if not place.is_held or place.conn_id != op.conn_id:
        return ENOENT
    memset(place, 0, sizeof(Place))
    return 0


cdef int conn_window(void *user, ct_offload_op *op) noexcept nogil:
    cdef State *state = <State *> user
    cdef Place *place = place_of(state, op.conn_id)
    state.operations += 1
    if not place.has_window or place.conn_id != op.conn_id:
        return ENODATA
    memcpy(op.peer, place.peer, sizeof(place.peer))
    return 0


cdef int flush(void *user) noexcept nogil:
    memset((<State *> user).places, 0, N_SLOTS * sizeof(Place))
    return 0


cdef void batch_submit(void *user, ct_offload_op *ops, size_t n) noexcept nogil:
    cdef size_t i
    cdef uint16_t reason = 0
    (<State *> user).calls += 1
    for i in range(n):
        if ops[i].type == CT_OFFLOAD_OP_ADD or ops[i].type == CT_OFFLOAD_OP_POLICY:
            if not can_offload(user, ops[i].ctx, &reason):
                ops[i].error = EPERM
                ops[i].reason = reason
            else:
                ops[i].error = conn_add(user, &ops[i]) if ops[i].type == CT_OFFLOAD_OP_ADD else 0
        elif ops[i].type == CT_OFFLOAD_OP_EST:
            ops[i].error = conn_established(user, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_UPD:
            ops[i].error = conn_update(user, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_DEL:
            ops[i].error = conn_del(user, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_WINDOW:
            ops[i].error = conn_window(user, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_FLUSH:
            ops[i].error = flush(user)


cdef void batch_accept(void *user, ct_offload_op *ops, size_t n) noexcept nogil:
    """The least a native provider can do: for the cost of the layer alone."""
    cdef size_t i
    (<State *> user).calls += 1
    for i in range(n):
        ops[i].error = 0


cdef int init(void *user, const ct_offload_host *host) noexcept nogil:
    (<State *> user).is_initialised = True
    return 0


cdef void fini(void *user) noexcept nogil:
    (<State *> user).is_initialised = False


cdef int64_t poll(void *user, int64_t now_ms) noexcept nogil:
    (<State *> user).now_ms = now_ms
    return now_ms + 1000


cdef c_bool dpif_port_add(void *user, ct_offload_port port, const char *name) noexcept nogil:
    cdef DpifState *state = <DpifState *> user
    state.last = port
    state.n_offered += 1
    if name[0] != 110:               # "n": names it uses
        return False
    state.n_ports += 1
    return True


cdef void dpif_port_del(void *user, ct_offload_port port) noexcept nogil:
    (<DpifState *> user).last = port
    (<DpifState *> user).n_ports -= 1


cdef int dpif_set_config(void *user, const char *key, const char *value) noexcept nogil:
    (<DpifState *> user).n_settings += 1
    return EINVAL if value[0] == 33 else 0


cdef class CompiledDpifClass:
    """A dpif-offload class that uses ports whose names begin with n, and refuses values that begin with !."""

    def __init__(self, name: str = "compiled", spoil: str = "") -> None:
        self.name = name.encode()
        memset(&self.state, 0, sizeof(self.state))
        memset(&self.cls, 0, sizeof(self.cls))
        self.cls.abi_version = CT_OFFLOAD_ABI_VERSION + (spoil == "abi_version")
        self.cls.size = sizeof(dpif_offload_class) - (spoil == "size")
        if spoil != "name":
            self.cls.name = self.name
        self.cls.user = &self.state
        if spoil != "port_add":
            self.cls.port_add = dpif_port_add
        if spoil != "optional":
            self.cls.set_config = dpif_set_config
            self.cls.port_del = dpif_port_del

    def __dpif_offload_class__(self) -> object:
        return PyCapsule_New(&self.cls, DPIF_OFFLOAD_CAPSULE, NULL)

    @property
    def counts(self) -> dict[str, int]:
        return {"ports": self.state.n_ports, "offered": self.state.n_offered, "settings": self.state.n_settings}

    @property
    def last(self) -> tuple[int, int]:
        return self.state.last.id, self.state.last.generation


cdef class CompiledProvider:
    """`batch`: with batch_submit, else with single members. `accept`: a batch_submit that does nothing but accept."""

    def __init__(self, name: str = "compiled", *, batch: bool = True, accept: bool = False, priority: int = 0) -> None:
        memset(&self.state, 0, sizeof(State))
        self.state.places = <Place *> calloc(N_SLOTS, sizeof(Place))
        if self.state.places == NULL:
            raise MemoryError
        self.name = name.encode()
        memset(&self.cls, 0, sizeof(self.cls))
        self.cls.abi_version = CT_OFFLOAD_ABI_VERSION
        self.cls.size = sizeof(ct_offload_class)
        self.cls.name = self.name
        self.cls.priority = priority
        self.cls.user = &self.state
        self.cls.init = init
        self.cls.fini = fini
        self.cls.poll = poll
        if accept:
            self.cls.batch_submit = batch_accept
        elif batch:
            self.cls.batch_submit = batch_submit
        else:
            self.set_members()

    def set_members(self) -> None:
        self.cls.can_offload = can_offload
        self.cls.conn_add = conn_add
        self.cls.conn_established = conn_established
        self.cls.conn_update = conn_update
        self.cls.conn_del = conn_del
        self.cls.conn_window = conn_window
        self.cls.flush = flush

    def spoil(self, member: str) -> None:
        """Makes the class one that registration must refuse."""
        if member == "abi_version":
            self.cls.abi_version += 1
        elif member == "size":
            self.cls.size -= 8
        elif member == "name":
            self.cls.name = NULL
        elif member == "conn_add":
            self.cls.conn_add = NULL
        elif member == "conn_del":
            self.cls.conn_del = NULL
        elif member == "can_offload":
            self.cls.can_offload = NULL
        else:
            raise ValueError(member)

    def __ct_offload_class__(self) -> object:
        return PyCapsule_New(&self.cls, CT_OFFLOAD_CAPSULE, NULL)

    @property
    def is_initialised(self) -> bool:
        return self.state.is_initialised

    @property
    def calls(self) -> int:
        return self.state.calls

    @property
    def operations(self) -> int:
        return self.state.operations

    def held(self) -> list[int]:
        """Slots it holds."""
        cdef uint32_t i
        return [i for i in range(N_SLOTS) if self.state.places[i].is_held]

    def __dealloc__(self):
        free(self.state.places)
