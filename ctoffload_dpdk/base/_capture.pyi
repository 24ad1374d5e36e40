import numpy as np
from numpy.typing import NDArray

END: int
CUT: int
BAD_LENGTH: int
BAD_INTERFACE: int
BAD_VERSION: int
BAD_BYTE_ORDER: int
BAD_LINK_TYPE: int
NO_MEMORY: int
NOT_A_CAPTURE: int
MODIFIED_PCAP: int

class Walker:
    def __init__(self, buffer: NDArray[np.uint8]) -> None: ...
    @property
    def format(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def done(self) -> bool: ...
    @property
    def at(self) -> int: ...
    @property
    def value(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def link_types(self) -> list[int]: ...
    def fill(
        self,
        offset: NDArray[np.uint64],
        length: NDArray[np.uint32],
        time_ns: NDArray[np.int64],
        wire_length: NDArray[np.uint32],
        interface: NDArray[np.uint32],
    ) -> int: ...

def to_ethernet(
    data: NDArray[np.uint8],
    offset: NDArray[np.uint64],
    length: NDArray[np.uint32],
    wire_length: NDArray[np.uint32],
    link_type: NDArray[np.uint16],
    out: NDArray[np.uint8],
) -> int: ...
def put_blocks(
    data: NDArray[np.uint8],
    offset: NDArray[np.uint64],
    length: NDArray[np.uint32],
    time_ns: NDArray[np.int64],
    wire_length: NDArray[np.uint32],
    interface: NDArray[np.uint32],
    comment: NDArray[np.uint32],
    comments: list[bytes],
) -> bytearray: ...
def put_records(
    data: NDArray[np.uint8],
    offset: NDArray[np.uint64],
    length: NDArray[np.uint32],
    time_ns: NDArray[np.int64],
    wire_length: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> int: ...
