"""Commands on DPDK's telemetry socket that are answered by Python."""
import re
import threading

from libc.errno cimport EIO
from libc.stdint cimport int64_t, uint64_t

from ctoffload_dpdk.dpdk._check cimport check_eal
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk.librte_telemetry cimport (
    DPDK_TEL_UINT_VAL,
    RTE_TEL_MAX_ARRAY_ENTRIES,
    RTE_TEL_MAX_DICT_ENTRIES,
    RTE_TEL_MAX_STRING_LEN,
    RTE_TEL_STRING_VAL,
    dpdk_tel_array_uint,
    dpdk_tel_dict_uint,
    rte_tel_data,
    rte_tel_data_add_array_string,
    rte_tel_data_add_dict_container,
    rte_tel_data_add_dict_int,
    rte_tel_data_add_dict_string,
    rte_tel_data_alloc,
    rte_tel_data_free,
    rte_tel_data_start_array,
    rte_tel_data_start_dict,
    rte_tel_data_string,
    rte_telemetry_register_cmd,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk.log import LOGGER

# Path of a command -> its function. Telemetry cannot forget a command, so neither do we.
commands = {}
commands_lock = threading.Lock()

# The longest path telemetry takes.
cdef int PATH_MAX = 55


def register_command(Eal eal, str path, function, str help_text):
    """Answers the telemetry command `path` ("/ctoffload/stats") with what function(params) returns.

    It returns a dict, a list or a string of int, str, dict and list. DPDK cuts strings at 127 bytes and containers at 256
    or 512 entries; names keep letters, digits, _ and /; a list of dicts is sent as a dict by position. It runs on a thread
    of DPDK's. A path can be given a new function, but never be removed. Raises UsageError for a path that does not
    begin with / or has more than 55 bytes, and for what cannot be called, EalError where DPDK refuses it.
    Source: rte_telemetry_register_cmd().
    """
    cdef bytes path_text = path.encode()
    cdef bytes help_bytes = help_text.encode()
    cdef int rc
    eal.require_open()
    if not path.startswith("/") or len(path_text) > PATH_MAX:
        raise UsageError(f"{path!r} is no telemetry command", hint=f"it begins with / and has at most {PATH_MAX} bytes")
    if not callable(function):
        raise UsageError(f"{function!r} cannot be called", hint="give a function of the command's parameters")
    with commands_lock:
        if path not in commands:
            rc = rte_telemetry_register_cmd(path_text, answer, help_bytes)
            check_eal(rc, "rte_telemetry_register_cmd", f"refused {path!r}")
        commands[path] = function


cdef int answer(const char *cmd, const char *params, rte_tel_data *info) noexcept with gil:
    """Runs on telemetry's thread for every command of ours."""
    try:
        function = commands[cmd.decode()]
        value = function("" if params == NULL else params.decode("utf-8", "replace"))
        if isinstance(value, str):
            return rte_tel_data_string(info, value.encode())
        return fill(info, value)
    except Exception:
        LOGGER.exception("telemetry command %s failed", cmd.decode())
        return -EIO


cdef int fill(rte_tel_data *data, value) except? -EIO:
    if isinstance(value, dict):
        return fill_dict(data, value)
    values = list(value)
    if any(isinstance(each, (dict, list, tuple)) for each in values):
        # A list of containers is new in 23.03: everywhere a dict by position.
        return fill_dict(data, {str(i): each for i, each in enumerate(values)})
    return fill_list(data, values)


cdef int fill_dict(rte_tel_data *data, dict values) except? -EIO:
    cdef int rc = rte_tel_data_start_dict(data)
    for key, value in list(values.items())[:RTE_TEL_MAX_DICT_ENTRIES]:
        # Telemetry takes letters, digits, _ and / in names.
        name = re.sub(r"[^0-9A-Za-z_/]", "_", str(key)).encode()
        if isinstance(value, (dict, list, tuple)):
            rc = add_container(data, name, value)
        elif isinstance(value, int) and value >= 0:
            rc = dpdk_tel_dict_uint(data, name, <uint64_t> value)
        elif isinstance(value, int):
            rc = rte_tel_data_add_dict_int(data, name, <int64_t> value)
        else:
            rc = rte_tel_data_add_dict_string(data, name, text(value))
        if rc < 0:
            return rc
    return 0


cdef int add_container(rte_tel_data *data, bytes name, value) except? -EIO:
    cdef rte_tel_data *inner = contained(value)
    cdef int rc = rte_tel_data_add_dict_container(data, name, inner, 0)
    if rc < 0:
        rte_tel_data_free(inner)
    return rc


cdef int fill_list(rte_tel_data *data, list values) except? -EIO:
    cdef int rc
    numbers = bool(values) and all(isinstance(value, int) and value >= 0 for value in values)
    rc = rte_tel_data_start_array(data, DPDK_TEL_UINT_VAL if numbers else RTE_TEL_STRING_VAL)
    for value in values[:RTE_TEL_MAX_ARRAY_ENTRIES]:
        if numbers:
            rc = dpdk_tel_array_uint(data, <uint64_t> value)
        else:
            rc = rte_tel_data_add_array_string(data, text(value))
        if rc < 0:
            return rc
    return 0


cdef bytes text(value):
    """A string as long as telemetry takes."""
    return str(value).encode()[: RTE_TEL_MAX_STRING_LEN - 1]


cdef rte_tel_data *contained(value) except NULL:
    cdef rte_tel_data *inner = rte_tel_data_alloc()
    if inner == NULL:
        raise MemoryError
    try:
        if fill(inner, value) < 0:
            raise ValueError("a value does not fit into telemetry")
    except Exception:
        rte_tel_data_free(inner)
        raise
    return inner
