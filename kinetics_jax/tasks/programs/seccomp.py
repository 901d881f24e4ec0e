"""A system-call filter for the sandbox: no new processes, no sockets, no corners of the kernel.

Threads stay allowed (recursive programs raise their stack that way), so the memory of one process is
the memory of the program.
"""

import errno
import platform
import struct

# Number of each refused call on x86_64 and on aarch64 (None: that machine has no such call), from the
# kernel's syscall tables. Sorted by why they are refused.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    # network and its kind; memory that outlives the process or is not counted as its own
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    # kernel features with a record of holes that no contest program needs
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fanotify_init": (300, 262),
    "inotify_init1": (294, 26),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "personality": (135, 92),
    "landlock_create_ruleset": (444, 444),
}
_CLONE, _CLONE3 = (56, 220), 435
_CLONE_THREAD = 0x00010000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Classic BPF: (code, jump if true, jump if false, operand).
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FLAGS_AT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_X32 = 0x40000000


def machines() -> tuple[str, ...]:
    """Machines that the filter is written for, as ``platform.machine()`` names them."""
    return tuple(_MACHINES)


def program(machine: str | None = None) -> bytes:
    """The filter for ``machine`` (None: this one) as an array of ``struct sock_filter``, little-endian.

    Raises:
        KeyError: a machine that is not in ``machines()``.
    """
    column, audit_name = _MACHINES[machine or platform.machine()]
    refuse = 0x00050000 | errno.EPERM
    code = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_JUMP_EQUAL, 1, 0, audit_name),
        (_RETURN, 0, 0, _KILL),  # a 32-bit program has other numbers
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        # clone3 hides its flags in memory: as if the kernel had none, so that libc takes clone.
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS),
    ]
    for number in (numbers[column] for numbers in _REFUSED.values()):
        if number is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, refuse)]
    code += [
        (_JUMP_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, _FLAGS_AT),
        (_JUMP_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, refuse),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)
