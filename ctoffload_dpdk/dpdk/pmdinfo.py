"""Which drivers a DPDK binary holds, and for which devices, from the records DPDK's build leaves in it.

A record is the string "PMD_INFO_STRING= " and JSON. It lies in .rodata of shared objects and programs, stripped ones
included; an archive (.a) holds it in the objects it is made of.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

from ctoffload_dpdk.base.errors import UsageError

ELF_MAGIC = b"\x7fELF"
AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60
ANY = 0xFFFF

# What pyelftools raises over a file that is no good.
_ELF_ERRORS = (ELFError, ValueError, KeyError, IndexError, AttributeError, OverflowError, TypeError)

_RECORD = re.compile(rb"PMD_INFO_STRING= (\{[^\0]*)\0")
_PLUGIN_PATH = re.compile(rb"DPDK_PLUGIN_PATH=([^\0]+)\0")


@dataclass(frozen=True, slots=True)
class PciId:
    """One device a driver knows; None stands for any."""

    vendor: int
    device: int
    subsystem_vendor: int | None
    subsystem_device: int | None

    def __str__(self) -> str:
        return f"{self.vendor:04x}:{self.device:04x}"


@dataclass(frozen=True, slots=True)
class PmdInfo:
    """One driver. parameters: its devargs as its authors describe them; kernel_modules: what it needs loaded."""

    name: str
    file: Path
    pci_ids: tuple[PciId, ...]
    parameters: str
    kernel_modules: str


def read(path: str | Path) -> list[PmdInfo]:
    """The drivers of one shared object, archive or program, in the order they lie in it; none is an empty list.

    UsageError where the file cannot be read, is neither ELF nor archive, or is cut short.
    """
    path = Path(path)
    content = _content(path)
    try:
        return [_record(path, text) for part in _parts(content) for text in _RECORD.findall(part)]
    except _Broken as error:
        raise UsageError(f"{path} {error}", hint="give a DPDK driver (librte_net_*.so or .a) or a program") from None


def read_directory(directory: str | Path) -> list[PmdInfo]:
    """The drivers of every shared object in a directory, each file once, whatever links point at it.

    UsageError where it is no directory, and as for `read`.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(
            f"{directory} is no directory", hint="DPDK's drivers are in dpdk/pmds-* of the library directory"
        )
    files = sorted({path.resolve() for path in directory.glob("*.so*")})
    return [info for file in files for info in read(file)]


def plugin_directory(path: str | Path) -> Path | None:
    """The directory a program loads its drivers from, as librte_eal in it, or the one it is linked with, names it.

    None where there is none; UsageError as for `read`.
    """
    path = Path(path)
    content = _content(path)
    try:
        for part in _parts(content):
            if found := _PLUGIN_PATH.search(part):
                return Path(found[1].decode())
        library = next((n for n in _needed(content) if n.startswith("librte_eal.so")), "")
    except _Broken as error:
        raise UsageError(f"{path} {error}") from None
    places = [directory / library for directory in _library_directories(path)] if library else []
    return next((plugin_directory(place) for place in places if place.is_file() and place != path), None)


def _library_directories(path: Path) -> list[Path]:
    """Where the loader would look for a library, near enough: beside the file, its environment, the system."""
    named = [Path(d) for d in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if d]
    multiarch = str(sysconfig.get_config_var("MULTIARCH") or "")
    system = [Path(root, multiarch) for root in ("/usr/local/lib", "/usr/lib", "/lib")]
    return [path.parent, *named, *system, Path("/usr/local/lib64"), Path("/usr/lib64"), Path("/usr/lib")]


def _needed(content: bytes) -> list[str]:
    """The libraries an ELF file is linked with."""
    if not content.startswith(ELF_MAGIC):
        return []
    try:
        dynamic = ELFFile(io.BytesIO(content)).get_section_by_name(".dynamic")
        if not isinstance(dynamic, DynamicSection):
            return []
        return [str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED")]
    except _ELF_ERRORS as error:
        raise _Broken(f"is damaged: {error}") from None


def _content(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # what a directory is, reading says
            raise UsageError(f"{path} is no file that can be read whole", hint="give a DPDK driver or a program")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", errno=error.errno or 0) from None


class _Broken(Exception):
    """What is wrong with the file, as the end of a sentence."""


def _record(path: Path, text: bytes) -> PmdInfo:
    try:
        data = json.loads(text)
        ids = tuple(
            PciId(vendor, device, _or_any(sub_vendor), _or_any(sub_device))
            for vendor, device, sub_vendor, sub_device in data.get("pci_ids", ())
        )
        return PmdInfo(data["name"], path, ids, data.get("params", ""), data.get("kmod", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise _Broken(f"holds a driver record that is damaged: {error}") from None


def _or_any(number: int) -> int | None:
    return None if number == ANY else number


def _parts(content: bytes) -> Iterator[bytes]:
    """Where records may lie: the read-only data of an ELF file, or of each object of an archive."""
    if content.startswith(ELF_MAGIC):
        yield from _elf_parts(content)
    elif content.startswith(AR_MAGIC):
        for member in _members(content):
            if member.startswith(ELF_MAGIC):
                yield from _elf_parts(member)
    else:
        raise _Broken("is neither an ELF file nor an archive")


def _elf_parts(content: bytes) -> Iterator[bytes]:
    try:
        elf = ELFFile(io.BytesIO(content))
        # Past the end lies the section table of a file that was cut.
        if elf.header["e_shoff"] + elf.num_sections() * elf.header["e_shentsize"] > len(content):
            raise _Broken("is cut short")
        for section in elf.iter_sections():
            if section.name.startswith(".rodata") and section["sh_type"] != "SHT_NOBITS":
                yield _data(section, content)
    except _Broken:
        raise
    except _ELF_ERRORS as error:
        raise _Broken(f"is damaged: {error}") from None


def _data(section: Section, content: bytes) -> bytes:
    if section["sh_offset"] + section["sh_size"] > len(content):
        raise _Broken("is cut short")
    data: bytes = section.data()
    return data


def _members(content: bytes) -> Iterator[bytes]:
    """The files of an ar archive."""
    at = len(AR_MAGIC)
    while at < len(content):
        header = content[at : at + AR_HEADER_BYTES]
        if len(header) < AR_HEADER_BYTES or header[58:60] != b"`\n":
            raise _Broken("is an archive that is damaged or cut short")
        size_text = header[48:58].strip()
        if not size_text.isdigit() or at + AR_HEADER_BYTES + int(size_text) > len(content):
            raise _Broken("is an archive that is damaged or cut short")
        size = int(size_text)
        yield content[at + AR_HEADER_BYTES : at + AR_HEADER_BYTES + size]
        at += AR_HEADER_BYTES + size + size % 2
