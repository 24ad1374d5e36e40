# An object that owns something of DPDK's: it has an owner, can be closed, refuses to be used closed.

cdef class Owned:
    cdef object __weakref__
    cdef readonly bint is_closed
    cdef Owned owner
    cdef dict children      # id -> weak reference, in order of creation

    # Called by a subclass once it holds what it owns.
    cdef int owned_by(self, Owned owner) except -1
    # Raises ClosedError unless this object and all its owners are open.
    cdef int require_open(self) except -1
    # What errors and warnings call it: "port 0 (net_null)".
    cdef str label(self)
    # Gives back what it owns; only called once, children are closed before.
    cdef int release(self) except -1
    # Marks it closed without giving anything back: what it owned is gone already.
    cdef void abandon(self)
    # Closes the children of one class (all where None), youngest first; returns the first error, or None.
    cdef object close_children(self, kind)
    cdef list living(self, kind)
