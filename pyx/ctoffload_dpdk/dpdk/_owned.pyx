"""An object that owns something of DPDK's: it can be closed, refuses to be used closed, and warns when forgotten."""
import sys
import warnings
import weakref

from ctoffload_dpdk.base.errors import ClosedError


cdef class Owned:
    """Base of everything that holds a DPDK resource. Closing an owner closes what it owns first, youngest first."""

    def __cinit__(self):
        # Closed until a subclass holds something: a failed constructor leaves nothing to warn about.
        self.is_closed = True
        self.children = {}

    cdef int owned_by(self, Owned owner) except -1:
        self.owner = owner
        if owner is not None:
            owner.children[id(self)] = weakref.ref(self)
        self.is_closed = False
        return 0

    cdef int require_open(self) except -1:
        if self.is_closed:
            raise ClosedError(f"{self.label()} is closed")
        return 0

    cdef str label(self):
        return type(self).__name__

    cdef int release(self) except -1:
        return 0

    cdef void abandon(self):
        self.is_closed = True
        if self.owner is not None:
            self.owner.children.pop(id(self), None)

    cdef list living(self, kind):
        found = [ref() for ref in self.children.values()]
        return [child for child in found if child is not None and (kind is None or isinstance(child, kind))]

    cdef object close_children(self, kind):
        cdef Owned child
        first = None
        for child in reversed(self.living(kind)):
            try:
                child.close()
            except Exception as error:
                first = first or error
                child.abandon()
        return first

    def close(self):
        """Gives back what it owns, after what it owns in turn. Closing twice does nothing."""
        if self.is_closed:
            return
        error = self.close_children(None)
        self.release()
        self.abandon()
        if error is not None:
            raise error

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        return f"<{self.label()}{' closed' if self.is_closed else ''}>"

    def __del__(self):
        if self.is_closed or sys.is_finalizing():
            return
        try:
            warnings.warn(f"{self.label()} was never closed", ResourceWarning, source=self, stacklevel=2)
        finally:
            self.close()
