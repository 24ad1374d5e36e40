"""DPDK's log, line by line with its level, into a pipe that never blocks the thread that logs."""
import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport FILE
from libc.string cimport memcpy

from ctoffload_dpdk.dpdk._check cimport check_eal
from ctoffload_dpdk.dpdk.librte_eal cimport rte_log_cur_msg_loglevel, rte_log_get_global_level, rte_log_set_global_level
from ctoffload_dpdk.dpdk.librte_eal cimport rte_log_set_level_pattern, rte_openlog_stream


cdef extern from "unistd.h" nogil:
    ssize_t write(int fd, const void *buf, size_t n)

cdef extern from "stdio.h" nogil:
    ctypedef ssize_t (*cookie_write)(void *cookie, const char *buf, size_t n) noexcept nogil
    ctypedef struct cookie_io_functions_t:
        void *read
        cookie_write write
        void *seek
        void *close
    FILE *fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions)

# A record is {uint32 level, uint32 bytes} and the text; written at once, so that records of two threads do not mix.
cdef enum:
    RECORD_HEADER = 8
    RECORD_MAX = 4096    # PIPE_BUF: what a pipe takes as a whole

cdef int pipe_write_fd = -1
cdef uint64_t n_dropped = 0
cdef FILE *stream = NULL


cdef ssize_t put(void *cookie, const char *text, size_t n) noexcept nogil:
    """stdio's write: runs on the thread that logs. A full pipe loses the line, and counts it, but never blocks."""
    global n_dropped
    cdef char record[RECORD_MAX]
    cdef size_t done = 0
    cdef uint32_t part
    cdef uint32_t level = <uint32_t> rte_log_cur_msg_loglevel()
    while done < n:
        part = <uint32_t> min(n - done, <size_t> (RECORD_MAX - RECORD_HEADER))
        memcpy(record, &level, 4)
        memcpy(record + 4, &part, 4)
        memcpy(record + RECORD_HEADER, text + done, part)
        if write(pipe_write_fd, record, RECORD_HEADER + part) < 0:
            n_dropped += 1
        done += part
    return <ssize_t> n


def redirect() -> int:
    """Sends DPDK's log into a pipe from now on; returns the pipe's reading end. Once per process."""
    global pipe_write_fd, stream
    cdef cookie_io_functions_t functions
    if stream != NULL:
        raise RuntimeError("the log is redirected already")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pipe_write_fd = writing
    functions.read = functions.seek = functions.close = NULL
    functions.write = put
    stream = fopencookie(NULL, b"w", functions)
    if stream == NULL:
        check_eal(-errno, "fopencookie")
    check_eal(rte_openlog_stream(stream), "rte_openlog_stream")
    return reading


def put_mark(token: int) -> None:
    """Writes a record of level 0xffffffff with this token: whoever reads it has read all lines before it."""
    os.write(pipe_write_fd, b"\xff\xff\xff\xff\x08\x00\x00\x00" + int(token).to_bytes(8, "little"))


def dropped() -> int:
    """Lines lost because nobody read the pipe."""
    return n_dropped


def set_level(level: int, pattern: str = "") -> None:
    """Logs up to this level (1 emergency to 8 debug), globally or for types like "lib.ethdev" or "pmd.net.*"."""
    if not pattern:
        rte_log_set_global_level(level)
        return
    check_eal(rte_log_set_level_pattern(pattern.encode(), level), "rte_log_set_level_pattern")


def global_level() -> int:
    """The level above which nothing is logged."""
    return rte_log_get_global_level()
