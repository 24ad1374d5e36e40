"""The demo's course: the traffic, then ageing until nothing is left."""

from __future__ import annotations

import time

from ctoffload_dpdk.demo.frame import Frame
from ctoffload_dpdk.demo.lab import Lab
from ctoffload_dpdk.demo.lines import Lines
from ctoffload_dpdk.demo.traffic import Traffic
from ctoffload_dpdk.demo.view import View
from ctoffload_dpdk.engine import Account

# While packets flow the clock moves in steps no longer than this, so that expiry is seen when it happens.
STEP_MS = 250
# While nothing happens the steps grow up to this.
LONGEST_STEP_MS = 60_000
FRAMES_PER_S = 12


class Demo:
    """Runs traffic through a lab and shows it. pace_s: how long the traffic takes to watch; 0: as fast as it goes."""

    def __init__(self, lab: Lab, traffic: Traffic, view: View, pace_s: float = 0.0) -> None:
        self.lab = lab
        self.traffic = traffic
        self.view = view
        self.pace_s = pace_s
        self.lines = Lines(lab)
        self.fed = 0
        self.started = time.monotonic()
        self.shown = 0.0

    def run(self) -> Account:
        """The account at the end, when all connections have ended."""
        with self.view:
            for first, end, side, at_ms in self.traffic.runs():
                self.advance(at_ms, "traffic")
                self.lab.send(side, self.traffic.packets.slice(first, end))
                self.fed = end
                self.show("traffic")
            self.age()
            self.show("the end", always=True)
        account = self.lab.account()
        self.view.end(account)
        return account

    def advance(self, at_ms: int, phase: str) -> None:
        """Moves the clock on, a step at a time."""
        while self.lab.now_ms < at_ms:
            self.lab.advance_to(min(self.lab.now_ms + STEP_MS, at_ms))
            self.wait()
            self.show(phase)

    def age(self) -> None:
        """Lets time go by until every connection has ended and nothing else is left; faster where nothing happens."""
        step_ms = STEP_MS
        before = self.left()
        limit_ms = self.lab.now_ms + self.longest_ms()
        while any(before) and self.lab.now_ms < limit_ms:
            self.lab.advance_to(self.lab.now_ms + step_ms)
            left = self.left()
            step_ms = STEP_MS if left != before else min(step_ms * 2, LONGEST_STEP_MS)
            before = left
            self.show("ageing")

    def left(self) -> tuple[int, int, int]:
        """Connections, rules and held fragments that are still there."""
        engine = self.lab.engine
        return engine.connections().live, engine.rules().live, engine.packets().held

    def longest_ms(self) -> int:
        """By when the last connection must have ended: twice the longest timeout, since a sample may restart it."""
        return 2 * max(self.lab.engine.settings.timeouts_s().values()) * 1000

    def wait(self) -> None:
        """Keeps to the pace: so much of the time as of the traffic."""
        if self.pace_s and self.traffic.span_ms:
            due = self.started + self.pace_s * self.lab.now_ms / self.traffic.span_ms
            time.sleep(max(0.0, due - time.monotonic()))

    def show(self, phase: str, *, always: bool = False) -> None:
        """A frame, not more often than people can see."""
        self.lines.update(self.lab.now_ms)
        now = time.monotonic()
        if always or now - self.shown >= 1 / FRAMES_PER_S:
            self.shown = now
            self.view.show(self.frame(phase))

    def frame(self, phase: str) -> Frame:
        return Frame(
            phase=phase,
            now_ms=self.lab.now_ms,
            traffic_ms=self.traffic.span_ms,
            packets_fed=self.fed,
            packets_all=len(self.traffic.packets),
            packets=self.lab.packets(),
            connections=self.lab.engine.connections(),
            rules=self.lab.engine.rules(),
            rules_high_water=self.lab.rules_high_water(),
            in_hardware=self.lines.in_hardware(),
            lines=self.lines.shown(),
            events=self.lines.take_events(),
        )
