from ctoffload_dpdk.conntrack.nat import Nat

class Ct:
    def __init__(
        self,
        *,
        commit: bool = True,
        force: bool = False,
        mark: int = 0,
        mark_mask: int = 0,
        label: int = 0,
        label_mask: int = 0,
        timeout_policy: int = 0,
        nat: Nat | None = None,
        helper: str = "",
    ) -> None: ...
