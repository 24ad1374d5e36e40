"""A dpif-offload class that is a struct dpif_offload_class: checked, held, called without the GIL."""
import errno

from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetPointer, PyCapsule_IsValid

from ctoffload_dpdk.base.errors import ProviderError

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION, DPIF_OFFLOAD_CAPSULE, c_bool, ct_offload_port, dpif_offload_class)


cdef void check_class(const dpif_offload_class *cls) except *:
    """Raises ProviderError naming what is wrong with it."""
    if cls.name == NULL or cls.name[0] == 0:
        raise ProviderError("the dpif-offload class has no name", errno=errno.EINVAL, op="class_register",
                            hint="set dpif_offload_class.name to a unique word")
    name = cls.name.decode(errors="replace")
    if cls.abi_version != CT_OFFLOAD_ABI_VERSION or cls.size != sizeof(dpif_offload_class):
        raise ProviderError(
            f"dpif-offload class {name}: built for ABI {cls.abi_version} with {cls.size} bytes, this layer has ABI "
            f"{CT_OFFLOAD_ABI_VERSION} with {sizeof(dpif_offload_class)}", errno=errno.EPROTO, op="class_register",
            provider=name, hint="build it against the ct_offload.h of ctoffload_dpdk.get_include()")
    if cls.port_add == NULL:
        raise ProviderError(f"dpif-offload class {name}: port_add missing", errno=errno.EINVAL, op="class_register",
                            provider=name, hint="without it no port is ever its own")


cdef class DpifTable:
    """The members of a compiled dpif-offload class. `source`: a PyCapsule, or an object that gives one."""

    cdef dpif_offload_class cls
    cdef object source           # keeps the class alive

    def __init__(self, source: object) -> None:
        capsule = source.__dpif_offload_class__() if hasattr(source, "__dpif_offload_class__") else source
        if not PyCapsule_CheckExact(capsule) or not PyCapsule_IsValid(capsule, DPIF_OFFLOAD_CAPSULE):
            raise ProviderError(
                f"{type(source).__name__} is no dpif-offload class", errno=errno.EINVAL, op="class_register",
                hint=f"pass a DpifOffloadClass, or a PyCapsule named {DPIF_OFFLOAD_CAPSULE.decode()}, or an object "
                     "whose __dpif_offload_class__() returns one")
        self.source = (capsule, source)
        self.cls = (<dpif_offload_class *> PyCapsule_GetPointer(capsule, DPIF_OFFLOAD_CAPSULE))[0]
        check_class(&self.cls)

    @property
    def name(self) -> str:
        """Unique within its layer."""
        return self.cls.name.decode(errors="replace")

    def set_config(self, key: str, value: str) -> int:
        """0 or a positive errno."""
        cdef bytes c_key = key.encode(), c_value = value.encode()
        cdef const char *keys = c_key
        cdef const char *values = c_value
        cdef int rc = 0
        if self.cls.set_config != NULL:
            with nogil:
                rc = self.cls.set_config(self.cls.user, keys, values)
        return rc

    def port_add(self, port_id: int, generation: int, name: str) -> bool:
        """True where it uses the port."""
        cdef bytes c_name = name.encode()
        cdef const char *names = c_name
        cdef ct_offload_port port
        cdef c_bool used
        port.id, port.generation = port_id, generation
        with nogil:
            used = self.cls.port_add(self.cls.user, port, names)
        return used

    def port_del(self, port_id: int, generation: int) -> None:
        """It lets the port go."""
        cdef ct_offload_port port
        port.id, port.generation = port_id, generation
        if self.cls.port_del != NULL:
            with nogil:
                self.cls.port_del(self.cls.user, port)
